"""Summary: what customers think of each product, and how often the flow is right about it."""

from collections import Counter, defaultdict

import dagster as dg

from dagma import StoredTable

COLUMNS = ("positive", "negative", "failed", "right")


@dg.asset(kinds={"python"})
def sentiment_by_product(review_sentiments: StoredTable) -> dg.MaterializeResult[dict[str, Counter]]:
    """Reviews of each product by sentiment. `right` counts those whose sentiment is what the stars say."""
    products: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for review in review_sentiments:
        counts = products[review["product"]]
        counts[review["sentiment"] or "failed"] += 1
        counts["right"] += review["sentiment"] == review["label"]
    total = sum(products.values(), Counter())
    answered = total["positive"] + total["negative"]
    return dg.MaterializeResult(
        value=dict(products),
        metadata={
            "summary": dg.MetadataValue.md(as_markdown({**products, "all": total})),
            "accuracy": total["right"] / answered if answered else 0.0,
        },
    )


def as_markdown(products: dict[str, Counter[str]]) -> str:
    """Write a table with a line for each product, which can be read in a terminal, too."""
    lines = [["product", *COLUMNS], ["---", *("---:" for _ in COLUMNS)]]
    lines += [[product, *(str(counts[column]) for column in COLUMNS)] for product, counts in products.items()]
    return "\n".join(f"| {' | '.join(cell.ljust(10) for cell in cells)} |" for cells in lines)
