"""The files of calls on a Langflow server: uploaded for each call, and deleted after it."""

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagma.calls.attached_files import AttachedFile, with_paths
from dagma.calls.request import CallRequest, is_own_session
from dagma.langflow import LangflowClient, LangflowError, RetryPolicy, StoredFile
from dagma.langflow.errors import nothing_runs_yet

NAME_START = "dagma-"
"""How the names of such files begin: the pruning finds what was left behind by it."""
# How long a call that has its answer waits for a deletion.
DELETE_SECONDS = 5.0
# How many are sent at once by this process: each is in memory meanwhile.
_SLOTS = threading.BoundedSemaphore(4)

logger = logging.getLogger(__name__)


@contextmanager
def uploaded(request: CallRequest, client: LangflowClient, *, outlive: bool = False) -> Iterator[dict[str, Any]]:
    """Upload the files of a call, and delete them after the block, unless a flow may still read them.

    Args:
        request: The call.
        client: Uploads and deletes.
        outlive: The flow runs on after this block, as a job does: its files are left to the pruning.

    Yields:
        The call's tweaks, with the paths of its files.

    Raises:
        BadFile: A file can't be read any more.
        LangflowError: It can't be uploaded. No flow was asked to run.
    """
    stored: list[StoredFile] = []

    def path_of(file: AttachedFile) -> str:
        with _SLOTS:
            name = f"{NAME_START}{file.digest[:32]}-{uuid.uuid4().hex[:12]}{file.extension}"
            stored.append(client.upload_file(name, file.read()))
        return stored[-1].path

    # A session that others share keeps the message with the paths, and a flow with memory reads them again.
    outlive = outlive or not is_own_session(request.session_id or "")
    try:
        with nothing_runs_yet():
            paths = {
                name: [path_of(each) for each in files] if isinstance(files, tuple) else path_of(files)
                for name, files in (request.files or {}).items()
            }
        yield with_paths(request.tweaks, paths)
    except BaseException as error:
        outlive = outlive or not isinstance(error, LangflowError) or error.outcome == "unknown"
        raise
    finally:
        for each in () if outlive else stored:
            try:
                client.hurried(DELETE_SECONDS, RetryPolicy(2)).delete_file(each.id)
            except LangflowError as error:
                # The call has its answer all the same.
                logger.warning("The file %s stays on Langflow until `dagma prune` deletes it: %s", each.name, error)
