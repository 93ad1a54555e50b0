"""A Langflow in this process, for tests."""

import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from typing_extensions import override

from dagma.testing.behaviour import Behaviour, echo
from dagma.testing.fake_files import FakeFile, FakeFiles
from dagma.testing.fake_jobs import FakeJob, FakeJobs
from dagma.testing.fake_runs import FakeRuns
from dagma.testing.fake_store import FakeStore
from dagma.testing.http_server import FakeResponse, FakeServer, RecordedRequest

_DEFAULT_MAX_TEXT_LENGTH = 6000


class FakeLangflow(FakeServer):
    """Speaks Langflow 1.13's API on a free port of 127.0.0.1, answers as told and misbehaves as scripted.

    Its flows do what Python functions say; what it answers was checked against a real Langflow, down to its traps.

        with FakeLangflow() as fake:
            flow_id = fake.add_flow("greeter", lambda call: f"Hello {call.input_value}")
            fake.script(Fault(path="/api/v1/run", status=503))
            ...  # call fake.base_url with fake.api_key
            assert len(fake.requests) == 2

    Args:
        api_key: The key that requests must carry.
        max_text_length: Where texts in the state of jobs are cut, as `LANGFLOW_MAX_TEXT_LENGTH` does.
        keepalive: Seconds between the signs of life in the event streams of jobs.
        ssl_context: Speaks TLS, where given.
    """

    def __init__(
        self,
        *,
        api_key: str = "sk-fake-langflow-key",
        max_text_length: int = _DEFAULT_MAX_TEXT_LENGTH,
        keepalive: float = 15.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(ssl_context)
        self.api_key = api_key
        self._store = FakeStore()
        self._files = FakeFiles()
        self._jobs = FakeJobs(keepalive)
        self._runs = FakeRuns(self._store, self._jobs, max_text_length)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._jobs.close()

    @property
    def jobs(self) -> list[FakeJob]:
        """Every background job so far, in order."""
        return [job for job in self._jobs.all() if not job.is_direct]

    @property
    def files(self) -> list[FakeFile]:
        """Every file that is there, in the order of their uploads."""
        return self._files.all()

    def file_content(self, path: str) -> bytes | None:
        """Return what is in a file, by the path that a flow gets; None where there is none."""
        return self._files.content(path)

    def add_flow(
        self,
        name: str,
        behaviour: Behaviour = echo,
        *,
        flow: Mapping[str, Any] | None = None,
        flow_id: str | None = None,
        endpoint_name: str | None = None,
        project: str | None = None,
        saved_at: datetime | None = None,
    ) -> str:
        """Add a flow.

        Args:
            name: Its name.
            behaviour: What it does with a call; it answers with its input by default.
            flow: Its JSON, such as a file that Langflow exported; chat input and chat output by default.
            flow_id: Its id; the JSON's or a random one by default.
            endpoint_name: Its endpoint name; the JSON's or the flow's name by default.
            project: The name of its project, which is created where it is missing; Langflow's own by default.
            saved_at: When it was saved, with a time zone; now by default.

        Returns:
            Its id.

        Raises:
            ValueError: Another flow has the endpoint name.
        """
        body = {"data": _CHAT, "endpoint_name": name, **(flow or {}), "name": name}
        body["id"] = flow_id or body.get("id") or str(uuid4())
        body["endpoint_name"] = endpoint_name or body["endpoint_name"]
        if project is not None:
            body["folder_id"] = self._store.project_id(project)
        if isinstance(refusal := self._store.put_flow(body, saved_at), str):
            raise ValueError(f"The flow {name!r} can't be added: {refusal}.")
        self.behave(body["id"], behaviour)
        return str(body["id"])

    def behave(self, flow_id: str, behaviour: Behaviour) -> None:
        """Set what a flow does from now on, whether it was added here or uploaded, by its id or endpoint name."""
        flow = self._store.find_flow(flow_id)
        self._store.behave(flow["id"] if flow is not None else flow_id, behaviour)

    def hold_queue(self) -> None:
        """Queue jobs from now on without ever running them, as Langflow does with those queued before a crash."""
        self._jobs.stuck = True

    def crash(self) -> None:
        """Lose what runs and never run the jobs that are queued, as a Langflow that is killed and started again."""
        self._jobs.lose()

    def forget_history(self) -> None:
        """Forget the messages, traces and states of direct runs: another Langflow behind the same address has none."""
        self._jobs.forget_direct()

    def drop_jobs(self) -> None:
        """Drop the jobs that run, as a Langflow does whose database is away when they end: in progress for ever."""
        self._jobs.drop()

    @override
    def answer(self, request: RecordedRequest) -> FakeResponse:
        segments = [segment for segment in request.path.split("/") if segment]
        if segments == ["health_check"]:
            return FakeResponse(200, {"status": "ok", "chat": "ok", "db": "ok"})
        if (refused := self._refused(request)) is not None:
            return refused
        match [request.method, *segments]:
            case ["POST", "api", "v1", "run", name]:
                return self._runs.v1(name, request)
            case ["GET", "api", "v1", "version"]:
                return FakeResponse(200, {"version": "1.13.0", "main_version": "1.13.0", "package": "Langflow"})
            case ["GET", "api", "v1", "monitor", *rest]:
                return self._runs.monitor(request, rest)
            case [_, "api", "v1", ("flows" | "projects" | "variables") as kind, *rest]:
                return self._store.answer(kind, request, rest)
            case [_, "api", "v2", "files", *rest]:
                return self._files.answer(request, rest)
            case [_, "api", "v2", "workflows", *rest]:
                return self._runs.v2(request, rest)
        return FakeResponse(404, {"detail": "Not Found"})

    def _refused(self, request: RecordedRequest) -> FakeResponse | None:
        given = request.headers.get("x-api-key") or request.query.get("x-api-key")
        return None if given == self.api_key else FakeResponse(403, {"detail": "Invalid or missing API key"})


_STORES = {"should_store_message": {"value": True}}
_CHAT = {
    "nodes": [
        {
            "id": "ChatInput-1",
            "data": {"type": "ChatInput", "node": {"display_name": "Chat Input", "template": _STORES}},
        },
        {
            "id": "ChatOutput-1",
            "data": {"type": "ChatOutput", "node": {"display_name": "Chat Output", "template": _STORES}},
        },
    ],
    "edges": [{"source": "ChatInput-1", "target": "ChatOutput-1"}],
}
