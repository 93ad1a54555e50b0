"""`type: dagma.FlowTable`: a table that a flow answers, declared in YAML."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Annotated, Any, Self

import dagster as dg
from pydantic import BaseModel, BeforeValidator, Field, model_validator
from typing_extensions import override

from dagma import environment
from dagma.batches.answer_table import checked_table_name
from dagma.batches.batch_settings import BatchSettings
from dagma.batches.errors import RowsError
from dagma.components.component_file import FlowTableScaffolder, naming_the_file
from dagma.components.flow_settings import ResolvedPartitions
from dagma.components.flow_table import check_partitions, flow_table
from dagma.components.stored_tables import table_name_of


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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.csv is None and (self.encoding or self.delimiter):
            raise RowsError("Only a CSV file has an encoding and a delimiter. Leave them out.")
        return self

    def source(self) -> dict[str, Any]:
        """Give what `read_rows` takes."""
        return self.model_dump(exclude_none=True)


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


ROW_KINDS = ("csv", "jsonl", "parquet", "sql")
ROW_NAMES = (*ROW_KINDS, "encoding", "delimiter", "url")


def _checked_rows(rows: Any) -> Any:
    """Say in one sentence what is wrong with a declaration of rows, and never what a URL holds.

    Raises:
        RowsError: It is neither an asset's key nor an object of one kind.
    """
    if isinstance(rows, str):
        return rows
    kinds = [name for name in rows if name in ROW_KINDS] if isinstance(rows, Mapping) else []
    told = f"The kinds are {', '.join(ROW_KINDS)}."
    for unknown in [str(name) for name in rows if name not in ROW_NAMES] if isinstance(rows, Mapping) else []:
        close = get_close_matches(unknown, ROW_NAMES, n=1)
        meant = f", did you mean {close[0]}?" if close else "."
        raise RowsError(f"Unknown {'option' if kinds else 'kind'} {unknown!r}{meant} {told}")
    if len(kinds) != 1:
        raise RowsError(f"Rows are an asset's key, or an object of one kind, such as {{csv: data/reviews.csv}}. {told}")
    if kinds == ["sql"] and not _names_a_variable(rows.get("url")):
        raise RowsError(
            "The url names a variable, so that no password is in this file. Write url: {env: SHOP_DB_URL} here, and "
            "SHOP_DB_URL='...' into project/.env."
        )
    return rows


def _names_a_variable(url: Any) -> bool:
    return isinstance(url, Mapping) and re.fullmatch(r"\w+", str(url.get("env"))) is not None


@dg.scaffold_with(FlowTableScaffolder)
@dataclass(frozen=True, kw_only=True)
class FlowTable(BatchSettings, dg.Component, dg.Resolvable):
    """A table whose rows a flow answers, as an asset: a row for each input row, asked only if it is new or changed."""

    asset: Annotated[str, dg.Resolver.default(description="The asset's key. The table has its name.")]
    rows: Annotated[
        str | FileRows | QueryRows,
        BeforeValidator(_checked_rows),
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
