"""Ingest: the reviews, from a file."""

import csv

import dagster as dg

from dagma import data_folder


@dg.asset(kinds={"csv"})
def product_reviews() -> dg.MaterializeResult[list[dict[str, str]]]:
    """Reviews of four products. `label` is what the customer's stars say; stars may come without a text."""
    with (data_folder() / "reviews.csv").open(encoding="utf-8", newline="") as file:
        # An empty cell is no value: the row of a review without text gets an error, and no question about nothing.
        reviews = [{column: cell for column, cell in row.items() if cell} for row in csv.DictReader(file)]
    return dg.MaterializeResult(value=reviews, metadata={"dagster/row_count": len(reviews)})
