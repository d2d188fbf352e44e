"""The client of a compute exchange: submit jobs, watch them, ask why they wait.

    async with Client.from_environment() as xisuan:
        job = await xisuan.submit(JobSpec(name="hello", cards_per_task=1, walltime_seconds=60,
                                          builds=[Build(stack="cann", command=["echo", "hello"])]))
        print(await xisuan.wait(job.job_id))

It can be shipped alone: it knows the wire and nothing else of the broker.
"""

from broker.client.admin import AdminClient, RoundRecord
from broker.client.client import Client
from broker.client.errors import (
    BadJobFile,
    BadSettings,
    BrokerFault,
    Conflict,
    FieldProblem,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotPossibleNow,
    StreamGap,
    TooMuch,
    Unavailable,
    XisuanError,
)
from broker.client.market import MarketClient
from broker.client.results import (
    CancelledSet,
    End,
    EndReason,
    Event,
    EventKind,
    Explanation,
    Job,
    JobChange,
    JobState,
    Placement,
    Receipt,
    Submission,
    Verdict,
)
from broker.client.retry import RetryPolicy
from broker.client.spec import Build, GangSize, GreenPreference, IfLost, JobSpec, PriorityClass, Within, WorkloadClass

__all__ = [
    "AdminClient",
    "BadJobFile",
    "BadSettings",
    "BrokerFault",
    "Build",
    "CancelledSet",
    "Client",
    "Conflict",
    "End",
    "EndReason",
    "Event",
    "EventKind",
    "Explanation",
    "FieldProblem",
    "GangSize",
    "GreenPreference",
    "IfLost",
    "InvalidRequest",
    "Job",
    "JobChange",
    "JobSpec",
    "JobState",
    "MarketClient",
    "NotAllowed",
    "NotFound",
    "NotPossibleNow",
    "Placement",
    "PriorityClass",
    "Receipt",
    "RetryPolicy",
    "RoundRecord",
    "StreamGap",
    "Submission",
    "TooMuch",
    "Unavailable",
    "Verdict",
    "Within",
    "WorkloadClass",
    "XisuanError",
]
