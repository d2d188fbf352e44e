"""How many calls a city and its enterprises may make: calls beyond are refused, messages of a stream wait for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

from broker.clock import Clock
from broker.errors import TooManyCalls, TooManyStreams
from broker.gcra import MILLIS_OF_CALL, NANOS_IN_SECOND, Decision, decide
from broker.rpc.identity import current_caller
from broker.rpc.interceptor import Context, Guard
from broker.wire.v1 import job_service_pb2 as pb

BURST_MIN: Final = 10
"""Calls that may come at once from a city whose rate is lower than that; else a second's worth may."""

WAIT_SECONDS_MAX: Final = 1.0

STREAMS_MAX: Final[Mapping[str, int]] = {
    "/broker.wire.v1.JobService/SubmitJobs": 8,  # each holds some messages of megabytes in memory
    "/broker.wire.v1.JobService/ReadLogs": 64,  # each asks an agent four times a second while it follows
    "/broker.wire.v1.JobService/WatchJobs": 1000,
}
"""Streams that one city, with its enterprises, may have open at once in this process: a rate bounds none that stays."""

STREAMS_RETRY_SECONDS: Final = 5.0

ENTERPRISE_PART: Final = 2
"""An enterprise has one part in so many of what its city may do: whatever one does, something is left to the others."""

CallsPerSecondMax = Callable[[str], Awaitable[int]]
"""Tells a city's limit. Raises CityNotFound."""


class LimitCalls(Guard):
    """Counts the calls and the open streams of each city, those of its enterprises among them, and of each enterprise.

    Operators, observers and agents are not limited by it.

    A bulk submission is one call when it begins, and each of its messages is one more plus a thousandth for each item.
    Such a message is not refused but waits: flow control carries the pause to the sender, and nothing is sent twice.
    """

    def __init__(self, calls_per_second_max: CallsPerSecondMax, clock: Clock) -> None:
        super().__init__()
        self._calls_per_second_max = calls_per_second_max
        self._clock = clock
        self._full_at_nanos: dict[str, int] = {}  # by city and enterprise with a key, so it stays small
        self._streams: Counter[tuple[str, str]] = Counter()  # open now, by whose and method

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG002
        """Count the call. Raise TooManyCalls or TooManyStreams with the time after which it may be made."""
        with ExitStack() as streams:
            for whose, part in _limited():
                calls_per_second_max = await self._rate(whose, part)
                decision = self._take(whose, MILLIS_OF_CALL, calls_per_second_max)
                if not decision.allowed:
                    raise TooManyCalls(
                        city=whose,
                        calls_per_second_max=calls_per_second_max,
                        retry_after_seconds=decision.retry_after_nanos / NANOS_IN_SECOND,
                    )
                streams.enter_context(self._open(whose, method, part))
            yield

    async def _rate(self, whose: str, part: int) -> int:
        """Return how many calls a second a city or an enterprise may make."""
        return max(1, await self._calls_per_second_max(whose.partition("/")[0]) // part)

    @contextmanager
    def _open(self, whose: str, method: str, part: int) -> Iterator[None]:
        """Count the stream for as long as the block runs."""
        most = STREAMS_MAX.get(method)
        if most is None:
            yield
            return
        streams, most = (whose, method), most // part
        if self._streams[streams] >= most:
            raise TooManyStreams(
                city=whose, method=method.rpartition("/")[2], open=most, retry_after_seconds=STREAMS_RETRY_SECONDS
            )
        self._streams[streams] += 1
        try:
            yield
        finally:
            self._streams[streams] -= 1

    async def admit(self, message: Any) -> None:
        """Let a message of a bulk submission wait until the rates of the city and the enterprise allow it."""
        if not isinstance(message, pb.SubmitJobsRequest):
            return
        cost_millis = MILLIS_OF_CALL + len(message.items)
        for whose, part in _limited():
            while True:
                decision = self._take(whose, cost_millis, await self._rate(whose, part))
                if decision.allowed:
                    break
                await asyncio.sleep(min(decision.retry_after_nanos / NANOS_IN_SECOND, WAIT_SECONDS_MAX))

    def _take(self, whose: str, cost_millis: int, calls_per_second_max: int) -> Decision:
        decision = decide(
            self._full_at_nanos.get(whose, 0),
            int(self._clock.now().timestamp() * NANOS_IN_SECOND),
            cost_millis=cost_millis,
            calls_per_second=calls_per_second_max,
            burst=max(calls_per_second_max, BURST_MIN),
        )
        self._full_at_nanos[whose] = decision.full_at_nanos
        return decision


def _limited() -> list[tuple[str, int]]:
    """Return whose calls are counted, the narrowest first, each with its part of what the city may do."""
    caller = current_caller()
    if caller is None or not caller.city:
        return []
    own = [(caller.subject, ENTERPRISE_PART)] if caller.enterprise else []
    return [*own, (caller.city, 1)]
