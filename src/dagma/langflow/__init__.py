"""Everything that speaks Langflow's HTTP API: a client with one typed result and one typed error per cause."""

from dagma.backoff import Backoff
from dagma.langflow.auth.access import Access
from dagma.langflow.client import LangflowClient
from dagma.langflow.errors import (
    BadRequest,
    CallTimeout,
    CompletedWithoutOutput,
    Conflict,
    FlowFailed,
    FlowNotFound,
    Forbidden,
    JobCancelled,
    JobLost,
    JobNotFound,
    JobSuspended,
    LangflowError,
    MalformedResponse,
    Outcome,
    RateLimited,
    RedirectRefused,
    ServerError,
    TLSFailure,
    TruncatedAnswer,
    Unauthorized,
    Unreachable,
)
from dagma.langflow.events import EventKind, FlowEvent
from dagma.langflow.files_api import StoredFile
from dagma.langflow.flow import Flow, InputType, OutputType, content_version
from dagma.langflow.http.connection import RetryPolicy
from dagma.langflow.http.connection_settings import JobPolicy
from dagma.langflow.jobs_api import HumanRequest, JobState, JobStatus
from dagma.langflow.past_runs_api import PastRun, StoredRecord
from dagma.langflow.result import CallResult, TokenUsage, Trace
from dagma.langflow.variables_api import Variable

__all__ = [
    "Access",
    "Backoff",
    "BadRequest",
    "CallResult",
    "CallTimeout",
    "CompletedWithoutOutput",
    "Conflict",
    "EventKind",
    "Flow",
    "FlowEvent",
    "FlowFailed",
    "FlowNotFound",
    "Forbidden",
    "HumanRequest",
    "InputType",
    "JobCancelled",
    "JobLost",
    "JobNotFound",
    "JobPolicy",
    "JobState",
    "JobStatus",
    "JobSuspended",
    "LangflowClient",
    "LangflowError",
    "MalformedResponse",
    "Outcome",
    "OutputType",
    "PastRun",
    "RateLimited",
    "RedirectRefused",
    "RetryPolicy",
    "ServerError",
    "StoredFile",
    "StoredRecord",
    "TLSFailure",
    "TokenUsage",
    "Trace",
    "TruncatedAnswer",
    "Unauthorized",
    "Unreachable",
    "Variable",
    "content_version",
]
