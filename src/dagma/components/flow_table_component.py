"""`type: dagma.FlowTable`: a table that a flow answers, declared in YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Annotated, Any, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from dagma import environment
from dagma.batches.answer_table import checked_table_name
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError
from dagma.components.component_file import FlowTableScaffolder, naming_the_file
from dagma.components.flow_settings import ResolvedPartitions
from dagma.components.flow_table import check_partitions, flow_table
from dagma.components.stored_tables import table_name_of


class DeclaredRows(dg.Model):
    """Rows of a file or of a SQL query. Relative paths start in the project's folder."""

    # What is wrong is told by `check`: pydantic's errors quote what they refuse, and so a URL with a password.
    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})

    csv: str | None = Field(default=None, description="A CSV file with a header.")
    jsonl: str | None = Field(default=None, description="A file with a JSON object in each line.")
    parquet: str | None = Field(default=None, description="A Parquet file; needs pyarrow.")
    sql: str | None = Field(default=None, description="A query.")
    encoding: str | None = Field(default=None, description="The CSV file's encoding. Default: UTF-8.")
    delimiter: str | None = Field(default=None, description="What stands between its cells. Default: a comma.")
    url: Any = Field(
        default=None, description="The variable with the SQLAlchemy URL of the query's database: {env: NAME}."
    )

    def check(self) -> None:
        """Refuse what can't be meant, without a word of what a URL holds.

        Raises:
            RowsError: It can't.
        """
        if self.model_extra:
            raise RowsError(f"rows.{min(self.model_extra)}: rows have no such attribute.")
        if sum(kind is not None for kind in (self.csv, self.jsonl, self.parquet, self.sql)) != 1:
            raise RowsError("rows: Write an asset's key, or an object of one kind: csv, jsonl, parquet or sql.")
        if self.csv is None and (self.encoding or self.delimiter):
            raise RowsError("rows: Only a CSV file has an encoding and a delimiter. Leave them out.")
        if (self.sql is None) != (self.url is None):
            raise RowsError("rows: A query has a url, and nothing else has: {sql: select ..., url: {env: NAME}}.")
        if self.url is not None and not _names_a_variable(self.url):
            raise RowsError(
                "rows.url: The url names a variable, so that no password is in this file. Write url: "
                "{env: SHOP_DB_URL} here, and SHOP_DB_URL='...' into project/.env."
            )

    def source(self) -> dict[str, Any]:
        """Give what `read_rows` takes."""
        if self.url is None:
            return self.model_dump(exclude_none=True)
        variable = self.url["env"]
        url = environment.text(variable)
        if url is None:
            raise RowsError(f"{variable} is not set. Set it in project/.env to the URL of the rows' database.")
        return {"sql": self.sql, "url": url}


def _names_a_variable(url: Any) -> bool:
    return isinstance(url, Mapping) and [*url] == ["env"] and isinstance(url["env"], str) and url["env"].isidentifier()


@dg.scaffold_with(FlowTableScaffolder)
@dataclass(frozen=True, kw_only=True)
class FlowTable(BatchSettings, dg.Component, dg.Resolvable):
    """A table whose rows a flow answers, as an asset: a row for each input row, asked only if it is new or changed."""

    asset: Annotated[str, dg.Resolver.default(description="The asset's key. The table has its name.")]
    rows: Annotated[
        str | DeclaredRows,
        dg.Resolver.passthrough(
            description="The key of an upstream asset, {csv|jsonl|parquet: path}, or {sql: query, url: {env: NAME}}."
        ),
    ]
    partitions_def: ResolvedPartitions = None
    partition_column: Annotated[
        str | None, dg.Resolver.default(description="The column whose value is the key of a row's partition.")
    ] = None
    pool: Annotated[
        str | None, dg.Resolver.default(description="A pool that limits how many materializations run at a time.")
    ] = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        # Here, and not only where the asset is made, since Dagster knows the lines of the file while it is loaded.
        checked_table_name(table_name_of(dg.AssetKey.from_user_string(self.asset)))
        check_partitions(self.partitions_def, self.partition_column)
        if isinstance(self.rows, DeclaredRows):
            self.rows.check()
        elif (kind := PurePath(self.rows).suffix[1:]) in ("csv", "jsonl", "parquet"):
            raise RowsError(f"rows: A text is an asset's key. Write {{{kind}: {self.rows}}} for a file.")

    @override
    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        with naming_the_file(context, getattr(attributes, "asset", None)):
            if attributes is None:
                raise RowsError("The attributes are missing. Write at least asset, rows, key and input.")
            return super().load(attributes, context)

    @override
    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        with naming_the_file(context, self.asset):
            return dg.Definitions(assets=[self.build_asset()])

    def build_asset(self) -> dg.AssetsDefinition:
        """Make the asset. Override it to change what the attributes can't say."""
        source = self.rows
        return flow_table(
            **{each.name: getattr(self, each.name) for each in fields(BatchSettings)},
            asset=dg.AssetKey.from_user_string(self.asset),
            rows=dg.AssetKey.from_user_string(source) if isinstance(source, str) else source.source,
            partitions_def=self.partitions_def,
            partition_column=self.partition_column,
            pool=self.pool,
        )
