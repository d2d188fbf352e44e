"""What every engine can do. One conformance suite holds for all of them (tests/engines/conformance.py)."""

from dataclasses import dataclass
from typing import Protocol

from broker.agent.orders import LeaseKey, LogStream, Observation, Order, PoolStock, Refusal, Used
from broker.ids import JobId


class EngineError(Exception):
    """The engine cannot work; the message says what to do."""


class UnknownLog(Exception):
    """There is no such output; `code` is LOG_UNKNOWN_LEASE or LOG_UNKNOWN_TASK."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that an engine can or cannot do here.

    Attributes:
        name: stable, for programs.
        ok: whether it can.
        why: how, or what is missing; for people.
    """

    name: str
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Bytes of an output, and whether nothing will be added after them any more."""

    data: bytes
    complete: bool


class Engine(Protocol):
    """Runs gangs as processes, somewhere.

    All of it can be repeated: starting, stopping or settling a lease twice does what doing it once did, also when
    the agent was killed half-way and another one carries on.
    """

    name: str
    """As the broker is told: "local", ..."""

    async def open(self) -> None:
        """Take possession: adopt what still runs from before. Raise EngineError when that cannot be."""
        ...

    async def close(self) -> None:
        """Let go without ending anything: jobs run on, and the next agent adopts them."""
        ...

    def memory_id(self) -> str:
        """Return the random id of its memory, the same for as long as that lasts; there after `open`."""
        ...

    def inventory(self) -> tuple[PoolStock, ...]:
        """Return every pool with its nodes."""
        ...

    def capabilities(self) -> list[Capability]:
        """Return what this engine can and cannot do here, with reasons."""
        ...

    def latest_epoch(self, job: JobId) -> int:
        """Return the highest epoch of this job that was ever taken, 0 when none was."""
        ...

    async def observe(self) -> Observation:
        """Return what is true now."""
        ...

    async def used(self) -> tuple[Used, ...]:
        """Return what each lease with a trace has used that ran at all, as far as it can be proved.

        Never less than was returned before, also by an agent that was killed: what its record does not prove any more
        is kept when it is returned. Of one whose end nobody saw that is what was returned last.
        """
        ...

    async def wait_changed(self) -> None:
        """Return when something may have changed since the last call."""
        ...

    async def start(self, order: Order) -> None:
        """Start the gang, or record why it could not be started; either shows in `observe`."""
        ...

    async def refuse(self, refusal: Refusal) -> None:
        """Record an order that cannot be carried out as a start that failed."""
        ...

    async def lose(self, key: LeaseKey, job: JobId) -> None:
        """Record a lease that was taken once and has no trace any more as vanished; one with a trace is shown again."""
        ...

    async def stop(self, key: LeaseKey, *, grace_seconds: int, reason: str) -> None:
        """End the lease: TERM, then KILL after the grace. One without a trace is recorded as cancelled."""
        ...

    async def settle(self, key: LeaseKey) -> None:
        """Forget a lease that has ended and that the broker has recorded; its output stays readable for a while."""
        ...

    async def renew(self, until_boot_ns: int) -> None:
        """Let leases that have to be renewed live until then, in nanoseconds of boot time."""
        ...

    async def read_log(self, key: LeaseKey, task: int, stream: LogStream, offset: int, length_max: int) -> LogPiece:
        """Return a piece of a task's output. Raise UnknownLog when there is none such."""
        ...
