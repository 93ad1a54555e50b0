from unit.cli.fake_dagster import dagster

__all__ = ["dagster"]
