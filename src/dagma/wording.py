"""How counts are told to people."""


def counted(count: int, things: str) -> str:
    """Say how many there are of some things, given their plural: `1 row`, `2,000 rows`."""
    return f"{count:,} {things.removesuffix('s') if count == 1 else things}"
