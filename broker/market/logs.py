"""Output of tasks: read on the agent, through its stream, at the moment it is asked for. The broker keeps none."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Final

from broker.caller import Caller, Role
from broker.errors import AgentUnreachable, BrokerError, JobNotFound, LogsNotFound, RoleRefused, StaleSession
from broker.ids import JobId, job_text
from broker.market import access
from broker.store import orders
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.store.orders import Attempt

PIECE_BYTES_MAX: Final = 262_144
"""Most bytes that an agent is asked for at once."""

WAITING_REQUESTS_MAX: Final = 256
"""Most requests that one agent may have unanswered; more readers are told to come again."""

_RETRY_AFTER_SECONDS: Final = 2.0


class LogStream(StrEnum):
    """The two outputs of a process."""

    STDOUT = "stdout"
    STDERR = "stderr"


class LogProblem(StrEnum):
    """Why an agent cannot read what it was asked for; stable codes on the wire."""

    UNKNOWN_LEASE = "LOG_UNKNOWN_LEASE"
    UNKNOWN_TASK = "LOG_UNKNOWN_TASK"


@dataclass(frozen=True, slots=True)
class LogRequest:
    """A piece of output that is wanted; `request` is the number that the answer repeats."""

    request: int
    ref: LeaseRef
    task: int
    stream: LogStream
    offset: int
    length_max: int


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of output. `complete`: nothing will be added any more. `problem`: it cannot be read."""

    data: bytes
    complete: bool
    problem: LogProblem | None = None


class AgentLink:
    """An agent's stream, as far as others may use it.

    Args:
        send: puts a request on the stream; must not block.
        close: ends the stream with an error.
    """

    def __init__(self, cluster: str, send: Callable[[LogRequest], None], close: Callable[[BrokerError], None]) -> None:
        self.cluster = cluster
        self.close = close
        self._send = send
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[LogPiece]] = {}

    async def ask(
        self, ref: LeaseRef, task: int, stream: LogStream, offset: int, *, timeout_seconds: float
    ) -> LogPiece:
        """Return what the agent answers. Raise AgentUnreachable when it does not in time, or is asked too much."""
        if len(self._waiting) >= WAITING_REQUESTS_MAX:
            raise self._unreachable()
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(LogRequest(number, ref, task, stream, offset, PIECE_BYTES_MAX))
            async with asyncio.timeout(timeout_seconds):
                piece: LogPiece = await answer
            return piece
        except TimeoutError:
            raise self._unreachable() from None
        finally:
            del self._waiting[number]

    def answered(self, number: int, piece: LogPiece) -> None:
        """Hand over an answer. One that nobody waits for any more is dropped."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(piece)

    def failed(self, number: int) -> None:
        """Tell who waits for this answer that none will come."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(self._unreachable())

    def closed(self) -> None:
        """Tell all who wait that no answer will come."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._unreachable())

    def _unreachable(self) -> AgentUnreachable:
        return AgentUnreachable(cluster=self.cluster, retry_after_seconds=_RETRY_AFTER_SECONDS)


class AgentLinks:
    """The agents that are connected to this process, at most one for each cluster."""

    def __init__(self) -> None:
        self._links: dict[str, AgentLink] = {}

    def connect(self, link: AgentLink) -> None:
        """Make this the cluster's stream; an older one is closed with StaleSession."""
        older = self._links.get(link.cluster)
        self._links[link.cluster] = link
        if older is not None:
            older.close(StaleSession(cluster=link.cluster))

    def disconnect(self, link: AgentLink) -> None:
        """Forget the stream, if it is still the cluster's."""
        if self._links.get(link.cluster) is link:
            del self._links[link.cluster]
        link.closed()

    def clusters(self) -> list[str]:
        """Return the clusters whose agents are connected here."""
        return list(self._links)

    def to(self, cluster: str) -> AgentLink:
        """Return the cluster's stream. Raise AgentUnreachable when there is none here."""
        link = self._links.get(cluster)
        if link is None:
            raise AgentUnreachable(cluster=cluster, retry_after_seconds=_RETRY_AFTER_SECONDS)
        return link


class Logs:
    """Use case: read what a task has written.

    Args:
        answer_seconds_max: how long an agent may take for one piece.
        poll_seconds: how often an agent is asked whether a running task has written more.
    """

    def __init__(
        self, database: Database, links: AgentLinks, *, answer_seconds_max: float = 10.0, poll_seconds: float = 0.25
    ) -> None:
        self._database = database
        self._links = links
        self._answer_seconds_max = answer_seconds_max
        self._poll_seconds = poll_seconds

    async def read(
        self, caller: Caller, job: JobId, attempt: int, task: int, stream: LogStream, offset: int, follow: bool
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (offset, bytes) from `offset` on: what there is, or with `follow` all until the task has ended.

        Args:
            attempt: from 1; 0 means the last one.
            task: of the gang, from 0.

        Raises:
            JobNotFound: the caller may not see such a job.
            LogsNotFound: it was never placed, has no such task or attempt, or its output is no longer kept.
            AgentUnreachable: the cluster's agent is not connected here, or does not answer; go on from the last offset.
        """
        place = await self._locate(caller, job, attempt)
        if task >= place.tasks:
            raise LogsNotFound(why=f"{job_text(job)} has the tasks 0 to {place.tasks - 1}, no task {task}")
        while True:
            link = self._links.to(place.cluster)
            piece = await link.ask(place.ref, task, stream, offset, timeout_seconds=self._answer_seconds_max)
            if piece.problem is not None and not (follow and await self._may_still_start(caller, job, place)):
                raise LogsNotFound(why=_why(piece.problem, job, task))
            if piece.data:
                yield offset, piece.data
                offset += len(piece.data)
            elif piece.complete or not follow:
                return
            else:
                await asyncio.sleep(self._poll_seconds)

    async def _locate(self, caller: Caller, job: JobId, number: int) -> Attempt:
        """Return where the output is, as far as the caller may see the job."""
        if caller.role is Role.AGENT:
            raise RoleRefused(role=caller.role, needed="the job's city, an operator or an observer reads its output")
        async with access.transaction_of(self._database, caller) as tx:
            place = await orders.attempt(tx, job, number)
            if place is None and not await orders.job_exists(tx, job):
                raise JobNotFound(job=job_text(job))
        if place is None:
            why = f"attempt {number} of {job_text(job)}" if number else job_text(job)
            raise LogsNotFound(why=f"{why} has not been placed")
        return place

    async def _may_still_start(self, caller: Caller, job: JobId, place: Attempt) -> bool:
        """Tell whether the agent does not know the lease because its order is still on the way."""
        return (await self._locate(caller, job, place.ref.epoch)).live


def _why(problem: LogProblem, job: JobId, task: int) -> str:
    if problem is LogProblem.UNKNOWN_TASK:
        return f"the agent knows no task {task} of {job_text(job)}"
    return f"the agent has no output of this attempt of {job_text(job)}: it has not started there, or is no longer kept"
