"""Client processes: they send what their cities submit at the moment at which it is due, whatever the broker does.

Open loop: a latency counts from when a submission was due, not from when it could be sent, so that a broker that stalls
cannot hide its stall by stopping the clients as well. What could not be sent when the run ended is counted as not sent.
"""

import asyncio
import signal
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice, takewhile
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
import numpy as np

from benchmarks.load.arrivals import Arrivals
from benchmarks.load.engine import RUN_SECONDS
from benchmarks.load.histogram import histogram, record
from broker.wire.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

CALL_SECONDS_MAX: Final = 60.0
LATE_SECONDS_MAX: Final = 1.0
"""How long after the end of the run something that is late may still be sent."""

MESSAGE_ITEMS_MAX: Final = 1000

PROBES_PER_SECOND: Final = 20.0
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each city, as in life
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class Way(StrEnum):
    """How cities submit."""

    UNARY = "unary"  # a call for each job
    STREAM = "stream"  # a message for each job on one stream of each city
    BATCH = "batch"  # what is due within a tenth of a second goes in one message


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """What one client process is told; goes to another process.

    Attributes:
        cities: its cities; `of_city` tells which of the arrivals' cities they are.
        begins_at: by `time.monotonic`, which all processes of a machine share.
        stacks: by software stack the models that jobs may have; a job gets one or two.
    """

    endpoint: str
    keys: Mapping[str, str]
    cities: tuple[str, ...]
    of_city: tuple[int, ...]
    arrivals: Arrivals
    begins_at: float
    seconds: float
    way: Way
    in_flight_max: int
    stacks: Mapping[str, tuple[str, ...]]
    seed: int
    run: str  # goes into request keys


@dataclass(slots=True)
class Counts:
    """What a client process has seen so far; sent each second."""

    due: int = 0
    sent: int = 0
    acknowledged: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    events: int = 0


@dataclass(slots=True)
class ClientResult:
    """What a client process has seen at the end.

    Attributes:
        counts: all of it. not_sent: what was due and could not be sent when the run was over.
        ack, lag, probe: encoded histograms: of acknowledgements from when they were due, of events from when they
            happened to when a watcher had them, and of small calls (GetJob) beside the load.
        ack_by_second: [S, 3] of each second of the run: acknowledged, mean and longest seconds.
        probes: when each small call began (seconds since 1970), and how long it took.
    """

    counts: Counts
    not_sent: int
    ack: bytes
    lag: bytes
    ack_by_second: np.ndarray
    probes: list[tuple[float, float]]


def main(plan: ClientPlan, pipe: Connection) -> None:
    """Be the process: submit, watch, probe; tell counts each second and the result at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_Clients(plan, pipe).run())


class _Clients:
    def __init__(self, plan: ClientPlan, pipe: Connection) -> None:
        self._plan, self._pipe = plan, pipe
        self._counts = Counts()
        self._ack, self._lag = histogram(), histogram()
        self._by_second: dict[int, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        self._probes: list[tuple[float, float]] = []
        self._last_job: dict[str, str] = {}
        self._room = asyncio.Semaphore(plan.in_flight_max)
        self._done = asyncio.Event()
        self._due_at = np.zeros(0)

    async def run(self) -> None:
        plan = self._plan
        mine = plan.arrivals.of(np.array(plan.of_city, dtype=np.int64))
        self._due_at = plan.arrivals.at_seconds[mine]
        requests = _requests(plan, mine)
        channels = {city: grpc.aio.insecure_channel(plan.endpoint, options=_OPTIONS) for city in plan.cities}
        beside = [asyncio.create_task(work) for work in (self._tell(), self._probe(channels))]
        beside += [asyncio.create_task(self._watch(city, channels[city])) for city in plan.cities]
        send = {Way.UNARY: self._unary, Way.STREAM: self._stream, Way.BATCH: self._batch}[plan.way]
        await asyncio.gather(*(send(city, channels[city], requests[city]) for city in plan.cities))
        unsent = sum(len(left) for left in requests.values())
        self._pipe.send(self._counts)
        await asyncio.to_thread(self._pipe.recv)  # until the exchange has come to rest: events go on till then
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self._pipe.send(
            ClientResult(
                self._counts, unsent, self._ack.encode(), self._lag.encode(), self._seconds_table(), self._probes
            )
        )
        for channel in channels.values():
            await channel.close()

    # --- submit --------------------------------------------------------------------------------------------------

    async def _unary(self, city: str, channel: grpc.aio.Channel, left: "deque[_Due]") -> None:
        stub = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        calls: set[asyncio.Task[None]] = set()
        while left and await self._wait_for(left[0]):
            await self._room.acquire()
            due = left.popleft()
            self._counts.sent += 1
            call = asyncio.create_task(self._call(city, stub, due))
            calls.add(call)
            call.add_done_callback(calls.discard)
        if calls:
            await asyncio.wait(calls, timeout=CALL_SECONDS_MAX)

    async def _call(self, city: str, stub: Any, due: "_Due") -> None:
        try:
            answer = await stub.SubmitJob(due.request, metadata=self._as(city), timeout=CALL_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            self._counts.refused[error.code().name] += 1
        else:
            self._last_job[city] = answer.job_id
            self._acknowledged(due)
        finally:
            self._room.release()

    async def _stream(self, city: str, channel: grpc.aio.Channel, left: "deque[_Due]") -> None:
        await self._in_messages(city, channel, left, lambda: 1)

    async def _batch(self, city: str, channel: grpc.aio.Channel, left: "deque[_Due]") -> None:
        def due() -> int:
            soon = self._now() + 0.1
            return sum(1 for _ in takewhile(lambda each: each.at <= soon, islice(left, MESSAGE_ITEMS_MAX)))

        await self._in_messages(city, channel, left, due)

    async def _in_messages(
        self, city: str, channel: grpc.aio.Channel, left: "deque[_Due]", size: Callable[[], int]
    ) -> None:
        stub = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        call = stub.SubmitJobs(metadata=self._as(city))
        on_the_way: deque[_Due] = deque()
        reading = asyncio.create_task(self._read_answers(city, call, on_the_way))
        try:
            while left and await self._wait_for(left[0]):
                items = [left.popleft() for _ in range(max(1, min(size(), len(left))))]
                self._counts.sent += len(items)
                on_the_way += items
                requests = [due.request for due in items]
                await call.write(job_service_pb2.SubmitJobsRequest(items=requests, answer_together=len(items) == 1))
            await call.done_writing()
            async with asyncio.timeout(CALL_SECONDS_MAX):
                await reading
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            # InvalidStateError: the stream had ended before anything more was written
            self._counts.refused[type(error).__name__] += len(on_the_way)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read_answers(self, city: str, call: Any, on_the_way: "deque[_Due]") -> None:
        while (answer := await call.read()) is not grpc.aio.EOF:
            for result in answer.results:
                due = on_the_way.popleft()
                if result.WhichOneof("outcome") == "accepted":
                    self._last_job[city] = result.accepted.job_id
                    self._acknowledged(due)
                else:
                    self._counts.refused[result.refused.reason] += 1

    async def _wait_for(self, due: "_Due") -> bool:
        """Wait until something is due; tell whether the run goes on."""
        while (early := due.at - self._now()) > 0:
            if self._now() >= self._plan.seconds:
                return False
            await asyncio.sleep(min(early, self._plan.seconds - self._now() + 0.001))
        return self._now() < self._plan.seconds + LATE_SECONDS_MAX

    def _acknowledged(self, due: "_Due") -> None:
        seconds = self._now() - due.at
        self._counts.acknowledged += 1
        record(self._ack, seconds)
        row = self._by_second[int(self._now())]
        row[0] += 1
        row[1] += seconds
        row[2] = max(row[2], seconds)

    # --- beside it -----------------------------------------------------------------------------------------------

    async def _watch(self, city: str, channel: grpc.aio.Channel) -> None:
        """Follow the city's events from its first on; a stream that breaks is taken up again where it was."""
        stub, cursor = job_service_pb2_grpc.JobServiceStub(channel), 0  # type: ignore[no-untyped-call]
        while True:
            call = stub.WatchJobs(job_service_pb2.WatchJobsRequest(after_cursor=cursor), metadata=self._as(city))
            try:
                while (message := await call.read()) is not grpc.aio.EOF:
                    now = time.time()
                    self._counts.events += len(message.events)
                    cursor = message.events[-1].cursor
                    for event in message.events:
                        record(self._lag, now - event.at.seconds - event.at.nanos / 1e9)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.2)

    async def _probe(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """Make a small call now and then, to see whether anything holds up the broker's calls."""
        city = self._plan.cities[0]
        stub = job_service_pb2_grpc.JobServiceStub(channels[city])  # type: ignore[no-untyped-call]
        while True:
            await asyncio.sleep(1 / PROBES_PER_SECOND)
            if city in self._last_job:
                began, at = time.perf_counter(), time.time()
                try:
                    await stub.GetJob(
                        job_service_pb2.GetJobRequest(job_id=self._last_job[city]),
                        metadata=self._as(city),
                        timeout=CALL_SECONDS_MAX,
                    )
                except grpc.aio.AioRpcError:
                    continue
                self._probes.append((at, time.perf_counter() - began))

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._counts.due = int(np.searchsorted(self._due_at, self._now(), side="right"))
            self._pipe.send(self._counts)

    def _seconds_table(self) -> np.ndarray:
        last = max(self._by_second, default=-1)
        return np.array(
            [[n, total / max(n, 1), most] for n, total, most in (self._by_second[s] for s in range(last + 1))]
        )

    def _as(self, city: str) -> Sequence[tuple[str, str]]:
        return (("authorization", f"Bearer {self._plan.keys[city]}"),)

    def _now(self) -> float:
        return time.monotonic() - self._plan.begins_at


@dataclass(frozen=True, slots=True)
class _Due:
    at: float
    request: job_service_pb2.SubmitJobRequest


def _requests(plan: ClientPlan, mine: np.ndarray) -> "dict[str, deque[_Due]]":
    """Return what each city submits, made before the run begins: building messages must not delay sending them."""
    draw = np.random.Generator(np.random.PCG64((plan.seed, 3, plan.of_city[0])))
    stacks = sorted(plan.stacks)
    name_of = dict(zip(plan.of_city, plan.cities, strict=True))
    due: dict[str, deque[_Due]] = {city: deque() for city in plan.cities}
    first = draw.integers(0, len(stacks), mine.size)
    second = draw.integers(0, len(stacks), mine.size)
    deferrable = draw.random(mine.size) < 0.2
    priorities = np.where(deferrable, job_pb2.PRIORITY_CLASS_DEFERRABLE, job_pb2.PRIORITY_CLASS_STANDARD).tolist()
    for place, row in enumerate(mine.tolist()):
        chosen = dict.fromkeys((stacks[first[place]], stacks[second[place]]))
        seconds = f"{plan.arrivals.run_seconds[row]:.2f}"
        spec = job_pb2.JobSpec(
            name=f"load {row}",
            tasks=int(plan.arrivals.tasks[row]),
            cards_per_task=int(plan.arrivals.cards[row]),
            cpu_milli_per_task=1000,
            walltime_seconds=int(plan.arrivals.walltime_seconds[row]),
            priority=priorities[place],
            builds=[
                job_pb2.Build(stack=stack, command=["train", "--seed", str(row)], environment={RUN_SECONDS: seconds})
                for stack in chosen
            ],
        )
        request = job_service_pb2.SubmitJobRequest(request_key=f"{plan.run}-{row}", spec=spec)
        due[name_of[int(plan.arrivals.city[row])]].append(_Due(float(plan.arrivals.at_seconds[row]), request))
    return due
