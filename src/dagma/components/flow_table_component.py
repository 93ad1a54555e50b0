"""`type: dagma.FlowTable`: a table that a flow answers, declared in YAML."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from pydantic import Field
from typing_extensions import override

from dagma import environment
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError
from dagma.components.flow_table import table_asset
from dagma.components.scaffolds import FlowTableScaffolder
from dagma.project import project_folder


class EnvironmentVariable(dg.Model):
    """A value that stands in the environment, or in the file that `NAME_FILE` names."""

    env: str = Field(description="The variable's name. It is read when the asset is materialized.")


class FileRows(dg.Model):
    """Rows of a file. Relative paths start in the project's folder."""

    csv: str | None = Field(default=None, description="A CSV file with a header.")
    jsonl: str | None = Field(default=None, description="A file with a JSON object in each line.")
    parquet: str | None = Field(default=None, description="A Parquet file; needs pyarrow.")
    encoding: str | None = Field(default=None, description="The CSV file's encoding. Default: UTF-8.")
    delimiter: str | None = Field(default=None, description="What stands between its cells. Default: a comma.")

    def source(self) -> dict[str, Any]:
        """Give what `read_rows` takes."""
        source = {name: value for name, value in self if value is not None}
        for kind in source.keys() & {"csv", "jsonl", "parquet"}:
            source[kind] = project_folder() / Path(source[kind])
        return source


class QueryRows(dg.Model):
    """Rows of a SQL query."""

    sql: str = Field(description="The query.")
    url: EnvironmentVariable = Field(description="The variable with the database's SQLAlchemy URL: {env: NAME}.")

    def source(self) -> dict[str, Any]:
        """Give what `read_rows` takes."""
        url = environment.text(self.url.env)
        if url is None:
            raise RowsError(f"{self.url.env} is not set. Set it in project/.env to the URL of the rows' database.")
        return {"sql": self.sql, "url": url}


class RowPartitions(dg.Model):
    """Partitions of a table by a column of its rows."""

    column: str = Field(description="The column whose value is the partition's key.")
    keys: list[str] | None = Field(default=None, description="The keys of all partitions.")
    daily_from: str | None = Field(
        default=None, description="The first day, as in 2026-01-31: a partition for each day since."
    )

    def definition(self) -> dg.PartitionsDefinition[Any]:
        """Give Dagster's definition.

        Raises:
            RowsError: It names both kinds, or none.
        """
        if (self.keys is None) == (self.daily_from is None):
            raise RowsError("The partitions name either keys or daily_from.")
        if self.keys is not None:
            return dg.StaticPartitionsDefinition(self.keys)
        return dg.DailyPartitionsDefinition(start_date=str(self.daily_from))


@dg.scaffold_with(FlowTableScaffolder)
@dataclass(frozen=True, kw_only=True)
class FlowTable(BatchSettings, dg.Component, dg.Resolvable):
    """A table whose rows a flow answers, as an asset: a row for each input row, asked only if it is new or changed."""

    asset: Annotated[str, dg.Resolver.default(description="The asset's key. The table has its name.")]
    rows: Annotated[
        str | FileRows | QueryRows,
        dg.Resolver.passthrough(
            description="The key of an upstream asset, {csv|jsonl|parquet: path}, or {sql: query, url: {env: NAME}}."
        ),
    ]
    partitions: Annotated[
        RowPartitions | None,
        dg.Resolver.passthrough(
            description="Partitions: {column: country, keys: [de, fr]}, or {column: day, daily_from: date}."
        ),
    ] = None
    pool: Annotated[
        str | None, dg.Resolver.default(description="A pool that limits how many materializations run at a time.")
    ] = None

    @override
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(assets=[self.build_asset()])

    def build_asset(self) -> dg.AssetsDefinition:
        """Make the asset. Override it to change what the attributes can't say."""
        source = self.rows
        return table_asset(
            self,
            asset=dg.AssetKey.from_user_string(self.asset),
            rows=dg.AssetKey.from_user_string(source) if isinstance(source, str) else source.source,
            partitions_def=None if self.partitions is None else self.partitions.definition(),
            partition_column=None if self.partitions is None else self.partitions.column,
            pool=self.pool,
        )
