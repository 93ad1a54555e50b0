"""The user's files on a Langflow server: what flows read by the path that an upload gives."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from urllib3.filepost import encode_multipart_formdata

from dagma.langflow.errors import BadRequest, FlowNotFound, nothing_runs_yet
from dagma.langflow.flow import checked_uuid
from dagma.langflow.http.connection import Connection
from dagma.langflow.http.transport import Reply
from dagma.langflow.untrusted_json import json_object, json_objects, malformed, moment_or_none, text_or_none

# Langflow refuses some characters, and looks for names that are taken with LIKE, to which _ and % stand for others.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,199}(\.[A-Za-z0-9]{1,20})?")


@dataclass(frozen=True)
class StoredFile:
    """A file on the server.

    Attributes:
        id: Its id.
        name: Its name there, without the extension; Langflow numbers one that is taken: `report (1)`.
        path: What a component's field takes, as a tweak: `{user id}/{name}.{extension}`.
        size: Its size in bytes.
        created_at: When it was uploaded, aware; None where the server does not tell.
    """

    id: str
    name: str
    path: str
    size: int
    created_at: datetime | None = None


class FilesApi(Connection):
    """Uploads, lists and deletes files. A flow that runs as the same user reads them; no other does."""

    @nothing_runs_yet()
    def upload_file(self, name: str, content: bytes) -> StoredFile:
        """Upload a file.

        Give each a name that nobody else uses: of two uploads of one name at the same time, Langflow refuses one, and
        deletes the content of both.

        Args:
            name: Its name: letters, digits and `-`, with an extension, by which components tell its kind.
            content: Its content.

        Raises:
            BadRequest: The name can't be used, or the file is larger than Langflow takes.
            LangflowError: It can't be uploaded. No flow was asked to run.
        """
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"A file can't be uploaded as {name[:100]!r}.", fix="Use letters, digits, - and one extension."
            )
        body, content_type = encode_multipart_formdata({"file": (name, content, "application/octet-stream")})
        reply = self._send(
            "POST",
            "/api/v2/files/",
            f"upload of file {name!r}",
            payload=body,
            headers={"Content-Type": content_type},
            deadline=self._deadline(None),
        )
        return _file(reply, json_object(reply, outcome="not_run"))

    def list_files(self) -> list[StoredFile]:
        """Return the files of the user.

        Raises:
            LangflowError: They can't be had.
        """
        reply = self._send("GET", "/api/v2/files/", "list of files")
        return [_file(reply, body) for body in json_objects(reply)]

    def delete_file(self, file_id: str) -> bool:
        """Delete a file.

        Returns:
            False where there was none.

        Raises:
            LangflowError: It can't be deleted.
        """
        with suppress(FlowNotFound):
            self._send("DELETE", f"/api/v2/files/{checked_uuid('file_id', file_id)}", "deletion of a file")
            return True
        return False


def _file(reply: Reply, body: Mapping[str, Any]) -> StoredFile:
    file_id, name, path = (text_or_none(body.get(field)) for field in ("id", "name", "path"))
    size = body.get("size")
    if file_id is None or name is None or path is None or not isinstance(size, int):
        raise malformed(reply, "a file without id, name, path or size", outcome="not_run")
    return StoredFile(file_id, name, path, size, moment_or_none(body.get("created_at")))
