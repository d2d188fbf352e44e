"""JobService: who, what, one use case, answer. Everything else is decided elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from broker.caller import Caller
from broker.clock import Clock
from broker.errors import BrokerError, DatabaseUnavailable, InvalidRequest, invalid
from broker.ids import JobId, job_text
from broker.market.jobs import Jobs, Receipt, token_after
from broker.market.logs import Logs
from broker.market.verdicts import Explanation
from broker.market.watch import Page, Watch
from broker.rpc import convert
from broker.rpc.arrivals import Arrivals
from broker.rpc.convert import Submission
from broker.rpc.convert_when import start_asked
from broker.rpc.identity import caller_of
from broker.rpc.interceptor import Context
from broker.rpc.status import problem_of
from broker.store.catalogue_view import City
from broker.wire.v1 import job_service_pb2 as pb
from broker.wire.v1.job_service_pb2_grpc import JobServiceServicer

BULK_ITEMS_MAX: Final = 1000
BULK_BYTES_MAX: Final = 4 * 1024 * 1024
BULK_AHEAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""How much of a bulk submission is read before what is ahead of it is stored."""

BULK_GATHER_SECONDS: Final = 0.02
"""For so long small messages that come one after the other are gathered for one transaction."""

ITEM_BYTES: Final = 4096
"""What an item weighs in memory once it was read, beside its text."""

ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
"""An answer that holds several jobs or events is cut here: below what gRPC clients take by default."""

LOG_BYTES_MAX: Final = 256 * 1024
ITEMS_IN_ONE_GO: Final = 100
"""Items that are checked before other calls get their turn."""


Explain = Callable[[Caller, JobId, datetime | None], Awaitable[Explanation]]
"""Tells why a job waits, and what would start it: by a time, or now. Raises JobNotFound."""


class _Item(Struct, frozen=True, gc=False):
    """One item of a bulk submission, as it was read."""

    city: str  # as it was named: perhaps empty, perhaps nonsense
    request_key: str  # for the answer, cut to its limit
    submission: Submission | InvalidRequest


@dataclass(frozen=True, slots=True)
class _Message:
    """One message of a bulk submission, as it was read."""

    items: list[_Item]
    answer_together: bool


class JobService(JobServiceServicer):
    """What client cities call.

    Args:
        jobs: submit, look, cancel, change.
        watch: follow events.
        explain: tell why a job waits.
        logs: read output.
        clock: the edge's clock.
    """

    def __init__(self, jobs: Jobs, watch: Watch, explain: Explain, logs: Logs, clock: Clock) -> None:
        self._jobs = jobs
        self._watch = watch
        self._explain = explain
        self._logs = logs
        self._clock = clock
        self._told: WeakKeyDictionary[Page, list[list[pb.JobEvent]]] = WeakKeyDictionary()

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        """Store one job."""
        caller, now = caller_of(context), self._clock.now()
        city = await self._jobs.city_to_change(caller, convert.city_or_empty(request.city))
        submission = convert.submission(request, now=now)
        receipt = await self._jobs.submit(caller, city.city, submission.request_key, submission.spec, now)
        return _accepted(receipt)

    async def SubmitJobs(
        self, request_iterator: AsyncIterator[pb.SubmitJobsRequest], context: Context
    ) -> AsyncIterator[pb.SubmitJobsResponse]:
        """Store many jobs: what has arrived goes into one transaction for each city, every message gets its answer.

        A database that is away ends the stream; whatever was not answered can be sent again under its keys.
        """
        caller = caller_of(context)
        async with Arrivals(
            request_iterator,
            weigh=_bulk_bytes,
            prepare=self._read,
            ahead_max=BULK_AHEAD_BYTES_MAX,
            gather_seconds=BULK_GATHER_SECONDS,
        ) as arrivals:
            while messages := await arrivals.take(_items_of, BULK_ITEMS_MAX):
                items = [item for message in messages for item in message.items]
                outcomes = zip(items, await self._submit_items(caller, items), strict=True)
                for count in _answers(messages):
                    yield _answer(islice(outcomes, count))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """Return one job, with the signed placement policy of its last lease."""
        job, policy = await self._jobs.look(caller_of(context), convert.job_id("job_id", request.job_id))
        return pb.GetJobResponse(job=convert.job_to_wire(job, self._clock.now(), policy))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Return a page of jobs, as many as asked for unless they are too large for one answer."""
        wanted = convert.job_filter(request)
        page = await self._jobs.list_page(
            caller_of(context),
            city=wanted.city,
            states=wanted.states,
            job_set=wanted.job_set,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        now = self._clock.now()
        fitting = next(convert.chunks((convert.job_to_wire(job, now) for job in page.jobs), ANSWER_BYTES_MAX), [])
        token = page.next_page_token if len(fitting) == len(page.jobs) else token_after(page.jobs[len(fitting) - 1])
        return pb.ListJobsResponse(jobs=fitting, next_page_token=token)

    async def WatchJobs(self, request: pb.WatchJobsRequest, context: Context) -> AsyncIterator[pb.WatchJobsResponse]:
        """Follow the events of a city, or of one of its enterprises."""
        caller, city = caller_of(context), convert.city_or_empty(request.city)
        following = self._watch.follow(caller, city, request.after_cursor, request.idle_seconds_max)
        previous = request.after_cursor
        async with aclosing(following) as pages:
            async for page in pages:
                for events in self._told_of(page):
                    yield pb.WatchJobsResponse(events=events, previous_cursor=previous if caller.enterprise else None)
                    previous = events[-1].cursor

    def _told_of(self, page: Page) -> list[list[pb.JobEvent]]:
        """Return the events of a page, in lists for one message each; made once for all who share it."""
        told = self._told.get(page)
        if told is None:
            told = list(convert.chunks(map(convert.event_to_wire, page.events), ANSWER_BYTES_MAX))
            self._told[page] = told
        return told

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        """Cancel one job."""
        job_id = convert.job_id("job_id", request.job_id)
        now = self._clock.now()
        job = await self._jobs.cancel(caller_of(context), job_id, now)
        return pb.CancelJobResponse(job=convert.job_to_wire(job, now))

    async def CancelJobSet(self, request: pb.CancelJobSetRequest, context: Context) -> pb.CancelJobSetResponse:
        """Cancel all jobs of a set."""
        touched = await self._jobs.cancel_set(
            caller_of(context),
            convert.city_or_empty(request.city),
            convert.job_set(request),
            self._clock.now(),
            dry_run=request.dry_run,
        )
        return pb.CancelJobSetResponse(cancelled=touched.cancelled, cancel_requested=touched.cancel_requested)

    async def UpdateJob(self, request: pb.UpdateJobRequest, context: Context) -> pb.UpdateJobResponse:
        """Change the priority of a waiting job."""
        job_id, priority = convert.new_priority(request)
        now = self._clock.now()
        job = await self._jobs.update_priority(caller_of(context), job_id, priority, now)
        return pb.UpdateJobResponse(job=convert.job_to_wire(job, now))

    async def ExplainJob(self, request: pb.ExplainJobRequest, context: Context) -> pb.ExplainJobResponse:
        """Tell why a job waits."""
        now = self._clock.now()
        job_id, start_by = convert.job_id("job_id", request.job_id), start_asked(request, now)
        explanation = await self._explain(caller_of(context), job_id, start_by)
        return convert.explanation_to_wire(explanation, now)

    async def ReadLogs(self, request: pb.ReadLogsRequest, context: Context) -> AsyncIterator[pb.ReadLogsResponse]:
        """Read the output of one task."""
        wanted = convert.log_selection(request)
        async for offset, data in self._logs.read(
            caller_of(context),
            wanted.job,
            wanted.attempt,
            wanted.task,
            wanted.stream,
            wanted.offset,
            wanted.follow,
        ):
            for start in range(0, len(data), LOG_BYTES_MAX):
                yield pb.ReadLogsResponse(data=data[start : start + LOG_BYTES_MAX], offset=offset + start)

    async def _read(self, message: pb.SubmitJobsRequest) -> _Message:
        """Return a message with its items, each valid or with what is wrong with it."""
        now = self._clock.now()
        items: list[_Item] = []
        for i, item in enumerate(message.items):
            items.append(_Item(item.city, item.request_key[: convert.REQUEST_KEY_CHARACTERS_MAX], _read(item, now)))
            if i % ITEMS_IN_ONE_GO == ITEMS_IN_ONE_GO - 1:
                await asyncio.sleep(0)
        return _Message(items, message.answer_together)

    async def _submit_items(self, caller: Caller, items: Sequence[_Item]) -> list[Receipt | BrokerError | None]:
        """Return what became of each item; each is judged by itself."""
        outcomes: list[Receipt | BrokerError | None] = [None] * len(items)
        of_city: dict[str, list[tuple[int, Submission]]] = {}
        cities: dict[str, City | BrokerError] = {}
        for i, item in enumerate(items):
            city = cities.get(item.city) or cities.setdefault(item.city, await self._city(caller, item.city))
            if isinstance(city, BrokerError):
                outcomes[i] = city
            elif isinstance(item.submission, BrokerError):
                outcomes[i] = item.submission
            else:
                of_city.setdefault(city.city, []).append((i, item.submission))
        for name, members in of_city.items():
            pairs = [(submission.request_key, submission.spec) for _, submission in members]
            receipts = await self._jobs.submit_many(caller, name, pairs, self._clock.now())
            for (i, _), receipt in zip(members, receipts, strict=True):
                outcomes[i] = receipt
        return outcomes

    async def _city(self, caller: Caller, named: str) -> City | BrokerError:
        """Return the city that items are submitted for, or why they cannot be."""
        try:
            return await self._jobs.city_to_change(caller, convert.city_or_empty(named))
        except DatabaseUnavailable:
            raise
        except BrokerError as error:
            return error


def _items_of(message: _Message) -> int:
    return len(message.items)


def _answers(messages: Iterable[_Message]) -> Iterator[int]:
    """Yield how many results each answer has: one answer for a message, or for neighbours that may share it."""
    for together, neighbours in groupby(messages, key=attrgetter("answer_together")):
        counts = map(_items_of, neighbours)
        if together:
            yield sum(counts)
        else:
            yield from counts


def _read(item: pb.SubmitJobRequest, now: datetime) -> Submission | InvalidRequest:
    try:
        return convert.submission(item, now=now)
    except InvalidRequest as error:
        return error


def _bulk_bytes(message: pb.SubmitJobsRequest) -> int:
    """Return what it weighs. Raise InvalidRequest beyond the limits: its items cannot be answered one by one."""
    items, size = len(message.items), message.ByteSize()
    if items > BULK_ITEMS_MAX:
        raise invalid("items", f"has {items} entries, must have at most {BULK_ITEMS_MAX}: send more messages")
    if size > BULK_BYTES_MAX:
        raise invalid("items", f"has {size} bytes, must have at most {BULK_BYTES_MAX}: send more messages")
    return size + max(1, items) * ITEM_BYTES  # an empty one is kept until it is answered, too


def _answer(outcomes: Iterable[tuple[_Item, Receipt | BrokerError | None]]) -> pb.SubmitJobsResponse:
    """Return one message with what became of these items."""
    answer = pb.SubmitJobsResponse()
    for item, outcome in outcomes:
        result = answer.results.add(request_key=item.request_key)  # filled in its place: a copy takes twice as long
        if isinstance(outcome, BrokerError):
            result.refused.CopyFrom(problem_of(outcome))
        elif outcome is not None:
            result.accepted.job_id = job_text(outcome.job)
            result.accepted.duplicate = outcome.duplicate
        else:
            raise AssertionError("every item has an outcome: it was refused, or submitted for its city")
    return answer


def _accepted(receipt: Receipt) -> pb.SubmitJobResponse:
    return pb.SubmitJobResponse(job_id=job_text(receipt.job), duplicate=receipt.duplicate)
