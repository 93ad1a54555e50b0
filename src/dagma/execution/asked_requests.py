"""What Dagster's GraphQL does for somebody, by their role, and under their name."""

import logging
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.tags import REPORTING_USER_TAG
from dagster._core.workspace.context import WorkspaceRequestContext
from graphene import Schema
from graphql import GraphQLError, GraphQLResolveInfo
from typing_extensions import override

from dagma.execution.askers import Asker
from dagma.execution.roles import MUTATIONS, Role
from dagma.principal_tag import PRINCIPAL_TAG

logger = logging.getLogger(__name__)


class AskedRequest(WorkspaceRequestContext):
    """What Dagster's resolvers work with: Dagster's own read-only view of it where a viewer asks.

    Attributes:
        asker: Who asks; None for the stack itself.
        is_refused: Whether a mutation was refused.
    """

    def __init__(self, context: WorkspaceRequestContext, asker: Asker | None) -> None:
        """Take what Dagster has made for a request."""
        super().__init__(
            instance=context.instance,
            current_workspace=context.get_current_workspace(),
            process_context=context.process_context,
            version=context.version,
            source=context.source,
            read_only=context.read_only or (asker is not None and asker.role < Role.EDITOR),
        )
        self.asker = asker
        self.is_refused = False

    @override
    def get_viewer_tags(self) -> dict[str, str]:
        """Give the tags of a backfill that is launched, which its runs get, too."""
        return {PRINCIPAL_TAG: self.asker.principal} if self.asker else {}

    @override
    def get_reporting_user_tags(self) -> dict[str, str]:
        """Give the tags of an event that is reported for an external asset: one of Dagster's own names."""
        return {REPORTING_USER_TAG: self.asker.principal} if self.asker else {}


def guard_mutations(schema: Schema) -> None:
    """Have every mutation of a schema look at who asks.

    The resolver of a mutation is the one place that all ways to it lead to: aliases, fragments, and several operations
    in a document.
    """
    mutations = schema.graphql_schema.mutation_type
    if mutations is None:
        return
    for name, field in mutations.fields.items():
        field.resolve = _guarded(name, field.resolve)


def _guarded(name: str, resolve: Any) -> Callable[..., Any]:
    async def guarded(root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        request: AskedRequest = info.context
        asker = request.asker
        if asker is not None:
            if reason := asker.refusal(name, MUTATIONS.get(name)):
                request.is_refused = True
                logger.warning("Refused: %s", reason)
                # With its path it is taken as it is. Without one it would be shown as a fault, with its stack trace.
                raise GraphQLError(reason, nodes=info.field_nodes, path=info.path.as_list())
            _sign(name, arguments, asker.principal, request.instance)
        result = resolve(root, info, **arguments)
        result = await result if isawaitable(result) else result
        if asker is not None and name == "reexecutePartitionBackfill" and (new := getattr(result, "backfill_id", None)):
            _sign_backfill(request.instance, new, asker.principal)
        return result

    return guarded


def _sign(name: str, arguments: Mapping[str, Any], principal: str, instance: dg.DagsterInstance) -> None:
    """Put the principal on the runs that a mutation launches, whatever its tags say."""
    for params in (arguments.get("executionParams"), *(arguments.get("executionParamsList") or ())):
        if params is not None:
            metadata = params.get("executionMetadata") or {}
            params["executionMetadata"] = {**metadata, "tags": _signed(metadata.get("tags"), principal)}
    if params := arguments.get("reexecutionParams"):
        params["extraTags"] = _signed(params.get("extraTags"), principal)
    if name == "resumePartitionBackfill":
        # Before it is resumed: then Dagster's daemon does not write it at the same time.
        _sign_backfill(instance, arguments["backfillId"], principal, only_ended=True)


def _signed(tags: Iterable[Mapping[str, str]] | None, principal: str) -> list[Mapping[str, str]]:
    own = {"key": PRINCIPAL_TAG, "value": principal}
    return [*(tag for tag in tags or () if tag["key"] != PRINCIPAL_TAG), own]


def _sign_backfill(instance: dg.DagsterInstance, backfill_id: str, principal: str, *, only_ended: bool = False) -> None:
    """Put the principal on a backfill that Dagster takes over with the tags of whoever launched it first."""
    backfill = instance.get_backfill(backfill_id)
    if backfill is None or (only_ended and backfill.status not in BULK_ACTION_TERMINAL_STATUSES):
        return
    instance.update_backfill(backfill._replace(tags={**backfill.tags, PRINCIPAL_TAG: principal}))
