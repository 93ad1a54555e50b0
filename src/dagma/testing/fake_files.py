"""The files of a fake Langflow, and their endpoint."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import PurePath
from typing import Any
from uuid import uuid4

from dagma.langflow.flow import uuid_or_none
from dagma.testing import shapes
from dagma.testing.http_server import FakeResponse, RecordedRequest

USER_ID = str(uuid4())


@dataclass(frozen=True)
class FakeFile:
    """A file as Langflow keeps it: its name has no extension, its path is what flows get."""

    id: str
    name: str
    path: str
    content: bytes
    created_at: str

    def body(self) -> dict[str, Any]:
        """Write what the server says of it."""
        return {"id": self.id, "name": self.name, "path": self.path, "size": len(self.content), "provider": None}


class FakeFiles:
    """Keeps files in memory, and answers requests to /api/v2/files."""

    def __init__(self) -> None:
        self._files: dict[str, FakeFile] = {}
        self._lock = threading.Lock()

    def all(self) -> list[FakeFile]:
        """Return the files, in the order of their uploads."""
        with self._lock:
            return list(self._files.values())

    def content(self, path: str) -> bytes | None:
        """Return what is in the file at a path; None where there is none."""
        return next((file.content for file in self.all() if file.path == path), None)

    def answer(self, request: RecordedRequest, rest: list[str]) -> FakeResponse:
        """Answer a request."""
        match [request.method, *rest]:
            case ["POST"]:
                return self._upload(request)
            case ["GET"]:
                # Times without a zone, as a database gives them.
                return FakeResponse(200, [{**file.body(), "created_at": file.created_at} for file in self.all()])
            case ["GET", file_id]:
                return FakeResponse(200, self._files[file_id].content)
            case ["DELETE", file_id]:
                return self._delete(file_id)
        return FakeResponse(405, {"detail": "Method Not Allowed"})

    def _upload(self, request: RecordedRequest) -> FakeResponse:
        head = f"Content-Type: {request.headers.get('content-type')}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in message_from_bytes(head + request.body, policy=policy.HTTP).iter_parts()
        }
        name = PurePath(parts["file"].get_filename() or "")
        with self._lock:
            taken = sum(file.name.startswith(name.stem) for file in self._files.values())
            root = f"{name.stem} ({taken})" if taken else name.stem
            content = parts["file"].get_payload(decode=True)
            now = datetime.now(UTC).replace(tzinfo=None).isoformat()
            file = FakeFile(str(uuid4()), root, f"{USER_ID}/{root}{name.suffix}", bytes(content), now)
            self._files[file.id] = file
        return FakeResponse(201, file.body())

    def _delete(self, file_id: str) -> FakeResponse:
        key = uuid_or_none(file_id)
        if key is None:
            return FakeResponse(422, shapes.unprocessable(["path", "file_id"], "Input should be a valid UUID"))
        with self._lock:
            file = self._files.pop(key, None)
        if file is None:
            return FakeResponse(404, {"detail": "File not found"})
        return FakeResponse(200, {"detail": f"File {file.name} deleted successfully"})
