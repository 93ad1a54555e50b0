"""The files of calls on a Langflow server: uploaded once for all calls that use them, and deleted after the last."""

import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dagma.calls.attached_files import AttachedFile, with_paths
from dagma.calls.request import CallRequest, is_own_session
from dagma.langflow import LangflowClient, LangflowError, RetryPolicy, StoredFile
from dagma.langflow.errors import nothing_runs_yet

NAME_START = "dagma-"
"""How the names of such files begin: the pruning finds what was left behind by it."""
# How many files that no call uses a batch leaves on the server, since the next row may ask about one of them.
MOST_IDLE = 20
# Each is in memory while it is sent.
UPLOADS_AT_ONCE = 4
# How long a call that has its answer waits for a deletion.
DELETE_SECONDS = 5.0

logger = logging.getLogger(__name__)


@dataclass
class _Upload:
    """A content on the server.

    Attributes:
        users: How many calls use it.
        stays: Whether a flow may still read it after its calls: it is left to the pruning.
    """

    users: int = 0
    stays: bool = False
    stored: StoredFile | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class UploadedFiles:
    """Knows which contents are on the server; safe for threads.

    A content is there once for all calls of this process that use it at the same time. No other process deletes it,
    since each upload has a name of its own.
    """

    def __init__(self) -> None:
        self._uploads: dict[tuple[str, str], _Upload] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(UPLOADS_AT_ONCE)
        self._batches = 0

    @contextmanager
    def handed_over(
        self, request: CallRequest, client: LangflowClient, *, outlive: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Upload the files of a call.

        Args:
            request: The call.
            client: Uploads and deletes.
            outlive: The flow runs on after this block, as a job does.

        Yields:
            The call's tweaks, with the paths of its files.

        Raises:
            BadFile: A file can't be read any more.
            LangflowError: It can't be uploaded. No flow was asked to run.
        """
        taken: list[_Upload] = []
        # A session that others share keeps the message with the paths, and a flow with memory reads them again.
        outlive = outlive or not is_own_session(request.session_id or "")
        try:
            with nothing_runs_yet():
                paths = {
                    name: [self._path(each, client, taken) for each in files]
                    if isinstance(files, tuple)
                    else self._path(files, client, taken)
                    for name, files in (request.files or {}).items()
                }
            yield with_paths(request.tweaks, paths)
        except BaseException as error:
            outlive = outlive or not isinstance(error, LangflowError) or error.outcome == "unknown"
            raise
        finally:
            self._give_back(taken, client, stay=outlive)

    @contextmanager
    def kept(self, client: LangflowClient) -> Iterator[None]:
        """Leave some files on the server in here, although no call uses them: more calls will follow."""
        with self._lock:
            self._batches += 1
        try:
            yield
        finally:
            with self._lock:
                self._batches -= 1
            self._give_back([], client, stay=False)

    def _path(self, file: AttachedFile, client: LangflowClient, taken: list[_Upload]) -> str:
        key = (file.digest, file.extension)
        with self._lock:
            # Put last: the first ones are those that were not used for the longest time.
            upload = self._uploads[key] = self._uploads.pop(key) if key in self._uploads else _Upload()
            upload.users += 1
        taken.append(upload)
        with upload.lock:
            if upload.stored is None:
                with self._slots:
                    name = f"{NAME_START}{file.digest[:32]}-{uuid.uuid4().hex[:12]}{file.extension}"
                    upload.stored = client.upload_file(name, file.read())
            return upload.stored.path

    def _give_back(self, taken: Sequence[_Upload], client: LangflowClient, *, stay: bool) -> None:
        with self._lock:
            for upload in taken:
                upload.users -= 1
                upload.stays = upload.stays or stay
            idle = [key for key, upload in self._uploads.items() if not upload.users]
            most = MOST_IDLE if self._batches else 0
            dropped = [self._uploads.pop(key) for key in idle[: max(len(idle) - most, 0)]]
        for upload in dropped:
            if upload.stored is not None and not upload.stays:
                _delete(upload.stored, client)


def _delete(stored: StoredFile, client: LangflowClient) -> None:
    try:
        client.hurried(DELETE_SECONDS, RetryPolicy(2)).delete_file(stored.id)
    except LangflowError as error:
        # The call has its answer all the same.
        logger.warning("The file %s stays on Langflow until `dagma prune` deletes it: %s", stored.name, error)
