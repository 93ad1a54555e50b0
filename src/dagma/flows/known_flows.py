"""The flows of a server or a folder as they were last seen, which load without asking, and how to look again."""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter
from typing_extensions import override

from dagma.flows.files import read_flow
from dagma.flows.outline import FlowOutline
from dagma.langflow import Flow, LangflowClient, LangflowError

logger = logging.getLogger(__name__)

OUTLINES = TypeAdapter(list[FlowOutline])
"""Writes and reads the file of what is known."""

# One at a time writes what is known: two would undo each other's work.
_RENEWING = threading.Lock()
# Langflow tells whole seconds: within the second in which a flow was read, it may be saved once more.
_SETTLED_AFTER = timedelta(seconds=2)


class FolderFlows:
    """The flows of a folder's JSON files.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> list[FlowOutline]:
        """Return the flows as they were last seen.

        It asks no server, and never raises: a file that holds no flow is left out, with a warning.
        """
        if not self._folder.is_dir():
            logger.warning("There is no folder of flows at %s, so no flow is an asset.", self._folder)
        outlines = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                outlines.append(FlowOutline.of(Flow.of(read_flow(path))))
            except LangflowError:
                logger.warning("The file of a flow is left out: %s: id or name is missing", path)
            except (ValueError, OSError) as error:
                logger.warning("The file of a flow is left out: %s", error)
        return outlines

    def renew(self, wanted: Callable[[FlowOutline], bool], seconds: float) -> list[FlowOutline]:  # noqa: ARG002
        """Look again, and keep what is found.

        Args:
            wanted: Tells by a flow's header whether its content is of interest.
            seconds: When to stop reading contents; the next time goes on where this one has stopped.

        Returns:
            The flows.

        Raises:
            LangflowError: The server can't be asked. What is known stays.
            OSError: What is found can't be kept.
        """
        return self.load()


class ServerFlows(FolderFlows):
    """The flows of a Langflow server; those of a folder stand in until the server was asked for the first time.

    Args:
        kept: The file that keeps them; None where nothing is kept.
        connect: Makes a client of the server.
        folder: The folder whose flows stand in.
    """

    def __init__(self, kept: Path | None, connect: Callable[[], LangflowClient], folder: Path) -> None:
        super().__init__(folder)
        self._kept = kept
        self._connect = connect

    @override
    def load(self) -> list[FlowOutline]:
        if (kept := self._read()) is not None:
            return kept
        if not self._folder.is_dir():
            logger.warning("Langflow has not been asked for its flows yet: none is known.")
            return []
        logger.warning("Langflow has not been asked for its flows yet: those of %s are used.", self._folder)
        # What they are on the server is not known.
        return [replace(outline, version=None) for outline in super().load()]

    @override
    def renew(self, wanted: Callable[[FlowOutline], bool], seconds: float) -> list[FlowOutline]:
        # Only flows that were saved since are read as a whole.
        deadline = time.monotonic() + seconds
        with _RENEWING, self._connect() as client:
            before = {outline.id: outline for outline in self._read() or []}
            projects = client.list_projects()
            outlines = []
            for flow in client.list_flows():
                header = FlowOutline.of(flow, projects.get(str(flow.raw.get("folder_id"))))
                known = before.get(flow.id)
                outline = _with_content_of(known, header) if known else header
                is_current = outline.version is not None and outline.updated_at == header.updated_at is not None
                if not is_current and wanted(header) and time.monotonic() < deadline:
                    outline = _read_whole(client, header, outline)
                outlines.append(outline)
            self._write(outlines)
            return outlines

    def _read(self) -> list[FlowOutline] | None:
        if self._kept is None:
            return None
        try:
            return OUTLINES.validate_json(self._kept.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("What was known of Langflow's flows can't be read, and is asked for again: %s", error)
            return None

    def _write(self, outlines: list[FlowOutline]) -> None:
        if self._kept is None:
            return
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        # Replaced as a whole: other processes read it at any time.
        part = self._kept.with_name(f"{self._kept.name}.part")
        part.write_bytes(OUTLINES.dump_json(outlines))
        part.replace(self._kept)


def fingerprint_of(outlines: Iterable[FlowOutline]) -> str:
    """Name what assets are made of: equal while no flow was changed, added, renamed or removed."""
    known = [asdict(replace(outline, updated_at=None)) for outline in sorted(outlines, key=lambda each: each.id)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _with_content_of(known: FlowOutline, header: FlowOutline) -> FlowOutline:
    """Take the content from what was known, with the time at which it was saved."""
    return replace(
        header,
        version=known.version,
        updated_at=known.updated_at,
        components=known.components,
        edges=known.edges,
        calls=known.calls,
    )


def _read_whole(client: LangflowClient, header: FlowOutline, known: FlowOutline) -> FlowOutline:
    try:
        outline = FlowOutline.of(client.find_flow(header.id), header.project)
        return outline if _is_settled(outline) else replace(outline, updated_at=None)
    except Exception as error:  # noqa: BLE001  # whatever is in one flow, the others are read
        logger.warning("Flow %r (%s) can't be read, and stays as it was known: %s", header.name, header.id, error)
        return known


def _is_settled(outline: FlowOutline) -> bool:
    """Tell whether another save of a flow would show in the time of its last one."""
    return outline.updated_at is not None and (
        datetime.now(UTC) - datetime.fromisoformat(outline.updated_at) > _SETTLED_AFTER
    )
