"""Langflow over REST as the backend of calls."""

import logging
import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import fields
from typing import Any, get_args

import dagster as dg
from dagster._config.pythonic_config.resource import ConfigurableResourceFactoryResourceDefinition
from pydantic import Field, PrivateAttr
from typing_extensions import override

from dagma import environment
from dagma.backends.backend import Backend
from dagma.backends.langflow.access_variables import (
    DEFAULT_BASE_URL,
    FILE_VARIABLES,
    KEY_VARIABLES,
    SECRET_VARIABLES,
    access_from_environment,
    base_url_from_environment,
)
from dagma.backends.langflow.langflow_jobs import LangflowJobs, job_of, usages_of, usages_of_job
from dagma.backends.langflow.langflow_outcomes import Answering, LangflowOutcomes
from dagma.backends.langflow.uploaded_files import uploaded
from dagma.backoff import Backoff
from dagma.calls.answer import Answer
from dagma.calls.call_backend import Finding
from dagma.calls.call_policy import CallPolicy
from dagma.calls.request import CallMode, CallRequest, FlowReference
from dagma.langflow import (
    Access,
    BadRequest,
    CallResult,
    JobPolicy,
    LangflowClient,
    LangflowError,
    RetryPolicy,
    TokenUsage,
)
from dagma.langflow.flow import check_flow_id, uuid_or_none, v1_body
from dagma.langflow.flows_api import is_refused_look_up
from dagma.langflow.redaction import bare_url
from dagma.langflow.untrusted_json import text_or_none
from dagma.ledger import Begun
from dagma.ledger.call import Mode
from dagma.run_config.fixed_resource import setting_value

logger = logging.getLogger(__name__)

# How often a look-up is sent that must not hold anybody up.
QUICK_RETRY = RetryPolicy(attempts=2, backoff=Backoff(0.2, 0.2))


def _access_field(name: str) -> Any:
    """Declare a field as `Access` describes that setting."""
    (setting,) = (setting for setting in fields(Access) if setting.name == name)
    ending = " As an EnvVar only, which is stored nowhere." if name in KEY_VARIABLES else ""
    return Field(default=setting.default, repr=setting.repr, description=f"{setting.metadata['description']}{ending}")


class LangflowRestResource(Backend):
    """Answers calls with the flows of a Langflow server: `POST /api/v1/run/{flow_id}`, or a background job."""

    base_url: str = Field(
        default=DEFAULT_BASE_URL,
        repr=False,
        description="Where Dagster reaches Langflow: scheme, host and port, as in a browser.",
    )
    api_key: str | None = _access_field("api_key")
    timeout: float = Field(
        default=300.0,
        gt=0,
        description="Seconds for a whole direct call, its retries included. Langflow says nothing until a flow is "
        "done, so this is also the longest that a flow may take.",
    )
    default_flow_id: str | None = Field(
        default=None,
        description="Id or endpoint name of the flow for calls that name none. Empty: such calls are skipped.",
    )
    mode: CallMode = Field(
        default="direct",
        description="How calls are sent: direct (one request), job (a background job that outlives the worker), or "
        "auto (job for a step's own call and for flows that ask a human; direct for other rows of a batch, streams, "
        "and inputs or outputs but chat).",
    )
    job_timeout: float = Field(
        default=3600.0, gt=0, description="Seconds that a job may take, its time in the queue included."
    )
    bearer_token: str | None = _access_field("bearer_token")
    oauth_token_url: str | None = _access_field("oauth_token_url")
    oauth_client_id: str | None = _access_field("oauth_client_id")
    oauth_client_secret: str | None = _access_field("oauth_client_secret")
    oauth_scope: str | None = _access_field("oauth_scope")
    oauth_audience: str | None = _access_field("oauth_audience")
    basic_user: str | None = _access_field("basic_user")
    basic_password: str | None = _access_field("basic_password")
    headers: str | None = _access_field("headers")
    verify_tls: bool = _access_field("verify_tls")
    ca_bundle: str | None = _access_field("ca_bundle")
    client_cert: str | None = _access_field("client_cert")
    client_key: str | None = _access_field("client_key")
    public_url: str = Field(
        default=DEFAULT_BASE_URL, description="Where people's browsers reach Langflow; links in the UI start with it."
    )
    _client: LangflowClient | None = PrivateAttr(default=None)
    _connecting: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _answering: Answering = PrivateAttr(default_factory=Answering)

    @override
    def get_resource_definition(self) -> ConfigurableResourceFactoryResourceDefinition:
        for field, variable in KEY_VARIABLES.items():
            key = getattr(self, field)
            if key and not isinstance(key, dg.EnvVar):
                raise dg.DagsterInvalidDefinitionError(
                    f"The {field} of a {type(self).__name__} is given as text, which Dagster would store and show. "
                    f"Put it into a variable of the environment, or into a file that {variable}_FILE names, and give "
                    f'that: {field}=dg.EnvVar("{variable}").'
                )
        return super().get_resource_definition()

    @override
    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        super().setup_for_execution(context)
        # A setting that can't be used is an error of the call, which the ledger records.
        with suppress(BadRequest):
            self._client = self._connect()

    @override
    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    @property
    def client(self) -> LangflowClient:
        """The client for calls; its connections are kept from one call to the next.

        Raises:
            BadRequest: A setting can't be used.
        """
        with self._connecting:
            if self._client is None:
                self._client = self._connect()
            return self._client

    @property
    def quick_client(self) -> LangflowClient:
        """The same client with less patience, for what must not hold anybody up."""
        return self.client.hurried(self.policy.look_up_seconds, QUICK_RETRY)

    @override
    def answer(self, request: CallRequest) -> dict[str, Any]:
        uploading = uploaded(request, self.client) if request.files else nullcontext(request.tweaks)
        with uploading as tweaks:
            choices = {**_choices(request), "tweaks": tweaks}
            if not request.stream:
                return dict(self.client.run(request.flow_id, request.input_value, **choices).raw)
            # The client ends a stream with the result, or raises.
            events = self.client.stream(request.flow_id, request.input_value, **choices)
            results = [event.result for event in events if event.result]
            return dict(results[-1].raw)

    @override
    def read(self, response: Mapping[str, Any]) -> Answer:
        result, job = CallResult.from_v1(response), job_of(response)
        usage = TokenUsage.of(job.get("usage")) or result.usage
        seconds = job.get("seconds")
        return Answer(
            text=result.answer,
            outputs={} if result.answer is not None else result.outputs,
            usages=usages_of_job(job) or usages_of(usage, text_or_none(job.get("model")) or result.model),
            session_id=result.session_id,
            job_id=text_or_none(job.get("job_id")),
            seconds=seconds if isinstance(seconds, int | float) else None,
        )

    @override
    def jobs(self) -> LangflowJobs:
        return LangflowJobs(self, self.job_timeout)

    @override
    def find_outcome(self, request: CallRequest, begun: Begun) -> Finding:
        return LangflowOutcomes(self, self._answering).find(request, begun)

    @override
    def tells_unsent(self, request: CallRequest) -> bool:
        return LangflowOutcomes(self, self._answering).tells_unsent(request)

    @property
    @override
    def outcome_seconds(self) -> float:
        return self.timeout

    @override
    def choose_mode(self, request: CallRequest, flow: FlowReference) -> Mode:
        # What Langflow can't be sent in any mode is refused before it is recorded.
        check_flow_id(request.flow_id)
        v1_body(request.input_value, **_choices(request))
        mode = request.mode or self.mode
        # v2 takes no types, and gives the events of a job instead of a stream.
        is_plain = request.input_type == "chat" and request.output_type == "chat" and not request.stream
        if mode == "job" and not is_plain:
            raise BadRequest(
                "A job takes chat input, gives chat output and does not stream.",
                fix="Set input_type and output_type to chat and stream to False, or the mode to direct.",
            )
        if mode == "auto":
            # What knows no flows, such as a gateway that passes on nothing but runs, knows no jobs either.
            is_known = flow.look_up_error is None or not is_refused_look_up(flow.look_up_error)
            mode = "job" if is_known and is_plain and (request.row is None or flow.needs_job) else "direct"
        return mode

    @property
    @override
    def takes_files(self) -> bool:
        return True

    @property
    @override
    def backend_name(self) -> str:
        return "langflow"

    @property
    @override
    def identity(self) -> str:
        # Flows of two servers can have the same name. Who logs in to a gateway changes nothing.
        return f"{self.backend_name} {bare_url(_stripped(self.base_url) or '').rstrip('/')}"

    @override
    def default_flow(self) -> str | None:
        flow_id: str | None = _stripped(self.default_flow_id)
        return flow_id

    @override
    def look_up(self, flow_id: str) -> FlowReference:
        pages = self.public_url.rstrip("/")
        try:
            flow = self.quick_client.recent_flow(flow_id)
        except LangflowError as error:
            # The call itself will say whatever is wrong, and more patiently.
            logger.warning("Flow %.100s could not be looked up for its name and version: %s", flow_id, error)
            # Langflow's pages know flows by UUID; an endpoint name has to be looked for in the list.
            page = f"flow/{flow_id}" if uuid_or_none(flow_id) else "flows"
            return FlowReference(flow_id, url=f"{pages}/{page}", look_up_error=error)
        return FlowReference(
            flow.id,
            name=flow.name,
            url=f"{pages}/flow/{flow.id}",
            endpoint_name=flow.endpoint_name,
            version=flow.version,
            needs_job=flow.asks_human,
            document=flow.raw,
        )

    def _connect(self) -> LangflowClient:
        try:
            return LangflowClient(
                _stripped(self.base_url) or "",
                self._access(),
                timeout=self.timeout,
                retry=RetryPolicy(self.policy.request_attempts, self.policy.request_backoff),
                jobs=JobPolicy(total=self.job_timeout, outage=self.policy.outage_seconds),
            )
        except ValueError as error:
            raise BadRequest(
                f"Langflow can't be called as it is set up: {error}",
                fix="Correct the settings of the resource, or the variables that they come from.",
            ) from None

    def _access(self) -> Access:
        return Access(**{field.name: _stripped(getattr(self, field.name)) for field in fields(Access)})


def _choices(request: CallRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ("input_type", "output_type", "tweaks", "session_id")}


def _stripped(setting: Any) -> Any:
    """Return a setting without blanks around it; None for one that is blank."""
    if isinstance(setting, dg.EnvVar):
        # Dagster puts the value in its place; in a program without Dagster nobody has.
        try:
            setting = setting_value(setting)
        except environment.SettingError as error:
            raise BadRequest(str(error), fix="") from None
    return setting.strip() or None if isinstance(setting, str) else setting


def langflow_from_environment(policy: CallPolicy | None = None) -> LangflowRestResource:
    """Configure Langflow from `LANGFLOW_*` variables.

    What may hold a secret is an EnvVar, which every process reads for itself, from the variable or from the file that
    `NAME_FILE` names, and no snapshot holds. Those that are not set are left out.

    Raises:
        SettingError: A variable has a value that can't be used, or that can't stand beside another's.
    """
    # Told now, rather than by the first call.
    base_url_from_environment()
    access = access_from_environment()
    secret_variables = {
        "base_url": "LANGFLOW_BASE_URL",
        "default_flow_id": "LANGFLOW_DEFAULT_FLOW_ID",
        **SECRET_VARIABLES,
    }
    secrets = {field: dg.EnvVar(variable) for field, variable in secret_variables.items() if environment.text(variable)}
    files: dict[str, Any] = {field: getattr(access, field) for field in FILE_VARIABLES}
    return LangflowRestResource(
        timeout=environment.positive_number("LANGFLOW_TIMEOUT_SECONDS", default=300.0),
        mode=environment.choice("LANGFLOW_MODE", get_args(CallMode), default="direct"),
        job_timeout=environment.positive_number("LANGFLOW_JOB_TIMEOUT_SECONDS", default=3600.0),
        verify_tls=access.verify_tls,
        public_url=environment.text("LANGFLOW_PUBLIC_URL", default=DEFAULT_BASE_URL),
        policy=policy or CallPolicy(),
        **files,
        **secrets,
    )
