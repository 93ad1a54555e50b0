"""Langflow as a backend: the conformance suite, and one shape of response for direct calls and jobs."""

import dagster as dg
import pytest
from contract.conftest import Flows, LangflowServer

from dagma.backends.backend import Backend
from dagma.backends.langflow.langflow_resource import LangflowRestResource
from dagma.testing.backend_conformance import BackendConformance, asked


class TestLangflow(BackendConformance):
    @pytest.fixture
    def backend(self, langflow_server: LangflowServer, flows: Flows, monkeypatch: pytest.MonkeyPatch) -> Backend:
        monkeypatch.setenv("THE_KEY", langflow_server.api_key)
        return LangflowRestResource(
            base_url=langflow_server.base_url, api_key=dg.EnvVar("THE_KEY"), default_flow_id=flows.behave
        )

    @pytest.fixture
    def failing_backend(
        self, langflow_server: LangflowServer, flows: Flows, monkeypatch: pytest.MonkeyPatch
    ) -> Backend:
        monkeypatch.setenv("A_WRONG_KEY", "sk-wrong")
        return LangflowRestResource(
            base_url=langflow_server.base_url, api_key=dg.EnvVar("A_WRONG_KEY"), default_flow_id=flows.behave
        )

    def test_a_job_is_read_as_a_direct_call_is(self, backend: Backend) -> None:
        made = asked(
            lambda: [
                backend.run_flow("hello", mode="direct", session_id="contract-one"),
                backend.run_flow("hello", mode="job", session_id="contract-one"),
            ]
        )
        direct, job = made.calls
        assert made.error is None
        assert (job.answer.text, job.answer.session_id) == (direct.answer.text, direct.answer.session_id)
        assert job.answer.usages == direct.answer.usages
        assert set(direct.response) <= set(job.response)
        assert (job.begun.mode, bool(job.answer.job_id)) == ("job", True)

    def test_the_flow_is_looked_up_by_either_name(self, backend: Backend, flows: Flows) -> None:
        by_id = backend.look_up(flows.behave)
        assert by_id.endpoint_name
        by_name = backend.look_up(by_id.endpoint_name)
        assert (by_name.flow_id, by_name.version) == (flows.behave, by_id.version)

    def test_a_flow_that_asks_a_human_needs_a_job(self, backend: Backend, flows: Flows) -> None:
        assert backend.look_up(flows.approval).needs_job
        assert not backend.look_up(flows.echo).needs_job
