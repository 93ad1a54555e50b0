"""`type: dagma.FlowTable`: a table that a flow answers, declared in YAML."""

from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any

import dagster as dg
from pydantic import Field
from typing_extensions import override

from dagma import environment
from dagma.batches.batch_settings import Refresh, Vanished
from dagma.batches.errors import RowsError
from dagma.components.flow_table import flow_table
from dagma.project import project_folder

EXAMPLE = """\
type: {type_name}

attributes:
  asset: {name}
  rows: {{csv: data/{name}.csv}}  # or the key of an upstream asset; relative paths start in project/
  key: id
  input: "{{{{ row.text }}}}\\nIs this positive or negative? Answer with one word."
  output: {{label: {{enum: [positive, negative]}}}}
"""


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


class FlowTableScaffolder(dg.Scaffolder[Any]):
    """Writes a `defs.yaml` to begin with."""

    @override
    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = EXAMPLE.format(type_name=request.type_name, name=request.target_path.name)
        (request.target_path / "defs.yaml").write_text(dedent(text))


@dg.scaffold_with(FlowTableScaffolder)
class FlowTable(dg.Component, dg.Resolvable, dg.Model):
    """A table whose rows a flow answers, as an asset: a row for each input row, asked only if it is new or changed."""

    asset: str = Field(description="The asset's key. The table has its name.")
    rows: Annotated[str | FileRows | QueryRows, dg.Resolver.passthrough()] = Field(
        description="The key of an upstream asset, {csv|jsonl|parquet: path}, or {sql: query, url: {env: NAME}}."
    )
    key: str = Field(description="The column that tells rows apart.")
    input: Annotated[str, dg.Resolver.passthrough()] = Field(
        description="What to ask of a row, as a Jinja template: {{ row.text }}."
    )
    flow: str | None = Field(default=None, description="Id or endpoint name of the flow. Default: the default flow.")
    output: Annotated[dict[str, Any] | None, dg.Resolver.passthrough()] = Field(
        default=None,
        description="Columns to answer with: {label: {enum: [a, b]}, reason: string}. Default: the answer's text.",
    )
    keep: list[str] = Field(default=[], description="Columns of the input that the table has, beside the key.")
    tweaks: Annotated[dict[str, Any] | None, dg.Resolver.passthrough()] = Field(
        default=None, description="Fields of the flow by component id; texts in it are templates."
    )
    session: Annotated[str | None, dg.Resolver.passthrough()] = Field(
        default=None, description="Template of a session that calls share. Default: one for each call."
    )
    concurrency: int = Field(default=8, description="How many calls may be in flight.")
    max_cost_usd: float | None = Field(default=None, description="What one materialization may cost, in USD.")
    max_failed: int | float | str | None = Field(
        default=None, description="How many rows may fail: a number, or a share of the rows asked, such as 5%."
    )
    sample: int | None = Field(default=None, description="Ask so many rows only, and tell what all would cost.")
    refresh: Refresh = Field(default="changed", description="Which rows are asked again: changed, failed or all.")
    vanished: Vanished = Field(
        default="mark", description="What becomes of rows that are not in the input any more: mark or drop."
    )
    partitions: Annotated[RowPartitions | None, dg.Resolver.passthrough()] = Field(
        default=None, description="Partitions: {column: country, keys: [de, fr]}, or {column: day, daily_from: date}."
    )
    pool: str | None = Field(default=None, description="A pool that limits how many materializations run at a time.")

    @override
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(assets=[self.build_asset()])

    def build_asset(self) -> dg.AssetsDefinition:
        """Make the asset. Override it to change what the attributes can't say."""
        source = self.rows
        return flow_table(
            asset=dg.AssetKey.from_user_string(self.asset),
            rows=dg.AssetKey.from_user_string(source) if isinstance(source, str) else source.source,
            key=self.key,
            input=self.input,
            flow=self.flow,
            output=self.output,
            keep=self.keep,
            tweaks=self.tweaks,
            session=self.session,
            concurrency=self.concurrency,
            max_cost_usd=self.max_cost_usd,
            max_failed=self.max_failed,
            sample=self.sample,
            refresh=self.refresh,
            vanished=self.vanished,
            partitions_def=None if self.partitions is None else self.partitions.definition(),
            partition_column=None if self.partitions is None else self.partitions.column,
            pool=self.pool,
        )
