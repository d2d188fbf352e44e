"""A peer for the client: a real gRPC server whose JobService does what a test has written down."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from broker.client import Build, Client, JobSpec, RetryPolicy
from broker.wire.v1 import job_pb2, job_service_pb2_grpc
from broker.wire.v1 import job_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
Trouble = Callable[[Context], Awaitable[None]]

QUICK = RetryPolicy(first_delay_seconds=0.001, delay_seconds_max=0.01, give_up_after_seconds=5.0)
IMPATIENT = RetryPolicy(give_up_after_seconds=0)


def hello(name: str = "hello") -> JobSpec:
    """A small job."""
    build = Build(stack="cann", command=["echo", "hello"])
    return JobSpec(name=name, cards_per_task=1, walltime_seconds=60, builds=[build])


def trouble(code: grpc.StatusCode, message: str, *details: Message) -> Trouble:
    """What a broker does that answers with an error."""

    async def answer(context: Context) -> None:
        packed = []
        for detail in details:
            packed.append(AnyMessage())
            packed[-1].Pack(detail)
        status = Status(code=code.value[0], message=message, details=packed)
        await context.abort_with_status(rpc_status.to_status(status))

    return answer


AWAY = trouble(grpc.StatusCode.UNAVAILABLE, "going down")


@dataclass
class ScriptedBroker(job_service_pb2_grpc.JobServiceServicer):
    """Stores jobs by key like the real one; `troubles` are met by calls one after another before they are served."""

    troubles: deque[Trouble | None] = field(default_factory=deque)
    keys: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    states: deque[int] = field(default_factory=deque)
    events: list[pb.JobEvent] = field(default_factory=list)
    log: bytes = b""
    break_after: deque[int] = field(default_factory=deque)  # messages or events after which a stream breaks
    previous: deque[int] = field(
        default_factory=deque
    )  # of an enterprise: what each event of a stream names as gone before
    silent_break: bool = False  # a stream that breaks ends in good order instead

    async def _meet(self, name: str, request: Any, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        assert metadata["authorization"] == "Bearer xs_test"
        self.calls.append((name, request))
        met = self.troubles.popleft() if self.troubles else None
        if met is not None:
            await met(context)

    def _accept(self, item: pb.SubmitJobRequest) -> pb.SubmitJobResponse:
        duplicate = item.request_key in self.keys
        job_id = self.keys.setdefault(item.request_key, f"job-{len(self.keys) + 1}")
        return pb.SubmitJobResponse(job_id=job_id, duplicate=duplicate)

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        await self._meet("SubmitJob", request, context)
        return self._accept(request)

    async def SubmitJobs(
        self, request_iterator: AsyncIterator[pb.SubmitJobsRequest], context: Context
    ) -> AsyncIterator[pb.SubmitJobsResponse]:
        await self._meet("SubmitJobs", None, context)
        left = self.break_after.popleft() if self.break_after else -1
        async for message in request_iterator:
            self.calls.append(("message", message))
            results = []
            for item in message.items:
                if item.spec.name == "refuse":
                    problem = pb.Problem(code="FAILED_PRECONDITION", reason="NO_POOL_CAN_HOLD", message="too large")
                    results.append(pb.SubmitJobResult(request_key=item.request_key, refused=problem))
                else:
                    accepted = self._accept(item)
                    results.append(pb.SubmitJobResult(request_key=item.request_key, accepted=accepted))
            left -= 1
            if left == 0:  # stored, and the answer is lost
                if self.silent_break:
                    return
                await AWAY(context)
            yield pb.SubmitJobsResponse(results=results)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        await self._meet("GetJob", request, context)
        state = self.states.popleft() if len(self.states) > 1 else self.states[0]
        return pb.GetJobResponse(job=job_pb2.Job(job_id=request.job_id, state=state, attempt=2))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        await self._meet("ListJobs", request, context)
        first = int(request.page_token or 0)
        names = sorted(self.keys)[first : first + request.page_size]
        following = first + request.page_size
        token = str(following) if following < len(self.keys) else ""
        return pb.ListJobsResponse(jobs=[job_pb2.Job(job_id=self.keys[n]) for n in names], next_page_token=token)

    async def WatchJobs(self, request: pb.WatchJobsRequest, context: Context) -> AsyncIterator[pb.WatchJobsResponse]:
        await self._meet("WatchJobs", request, context)
        left = self.break_after.popleft() if self.break_after else -1
        for event in self.events:
            if event.cursor > request.after_cursor:
                if left == 0:
                    if self.silent_break:
                        return
                    await AWAY(context)
                left -= 1
                previous = self.previous.popleft() if self.previous else None
                yield pb.WatchJobsResponse(events=[event], previous_cursor=previous)

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: Context) -> AsyncIterator[pb.ReadLogsResponse]:
        await self._meet("ReadLogs", request, context)
        left = self.break_after.popleft() if self.break_after else -1
        for offset in range(request.offset, len(self.log), 4):
            if left == 0:
                await AWAY(context)
            left -= 1
            yield pb.ReadLogsResponse(data=self.log[offset : offset + 4], offset=offset)

    def called(self, name: str) -> list[Any]:
        """The requests of a method, in order."""
        return [request for method, request in self.calls if method == name]


def events(cursors: Iterable[int]) -> list[pb.JobEvent]:
    """Events with these cursors."""
    return [pb.JobEvent(cursor=c, job_id=f"job-{c}", kind=pb.JOB_EVENT_KIND_SUBMITTED) for c in cursors]


@asynccontextmanager
async def serving(servicer: job_service_pb2_grpc.JobServiceServicer) -> AsyncIterator[str]:
    """Serve on a free port of loopback, and yield the endpoint."""
    server = grpc.aio.server()
    job_service_pb2_grpc.add_JobServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def client_of(broker: ScriptedBroker, retry: RetryPolicy = QUICK) -> AsyncIterator[Client]:
    """A client that talks to the broker over a real socket."""
    async with serving(broker) as endpoint, Client(endpoint, "xs_test", retry=retry, seed=1) as client:
        yield client
