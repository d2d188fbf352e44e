"""Run a background service for ever: at an interval or when woken, through errors and an absent database."""

import asyncio
from datetime import datetime
from typing import Final, Protocol

import structlog

from broker import metrics
from broker.clock import Clock
from broker.errors import DatabaseUnavailable
from broker.market.lead import NotLeader

BACKOFF_SECONDS: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 5.0

_log = structlog.get_logger(__name__)


class Service(Protocol):
    """One background task; its name is in every log line about it."""

    @property
    def name(self) -> str:
        """Name for logs."""
        ...

    async def run_once(self, now: datetime) -> int:
        """Do what is due at `now` and return how much that was."""
        ...


async def run_forever(
    service: Service,
    *,
    clock: Clock,
    stop: asyncio.Event,
    interval_seconds: float,
    wake: asyncio.Event | None = None,
    rest_seconds: float = 0.0,
    rest_share: float = 0.0,
) -> None:
    """Run the service until `stop` is set; return after the run that is going on then.

    An error never ends it: it is logged, and the pauses grow from 0.2 to 5 seconds until a run succeeds.

    Args:
        interval_seconds: pause between two runs when nobody sets `wake`.
        wake: ends the pause early; cleared before each run, so that what is set during a run causes another one.
        rest_seconds: pause that is kept in any case, so that a busy waker does not make the loop spin.
        rest_share: the same as a share of the time that the last run took, where that is longer.
    """
    failures = 0
    metrics.process.loop_runs(service.name)
    while not stop.is_set():
        if wake is not None:
            wake.clear()
        began = asyncio.get_running_loop().time()
        try:
            await service.run_once(clock.now())
        except Exception as error:
            if stop.is_set():  # what the run needed may be closed by now
                _log.info("service was interrupted by the stop", service=service.name, error=repr(error))
                return
            failures += 1
            metrics.process.loop_failed(service.name)
            _tell(service.name, error, failures)
            await _pause(min(BACKOFF_SECONDS * 2 ** min(failures - 1, 10), BACKOFF_SECONDS_MAX), stop)
            continue
        if failures:
            _log.info("service recovered", service=service.name, failures=failures)
            failures = 0
        rest = max(rest_seconds, rest_share * (asyncio.get_running_loop().time() - began))
        if rest:
            await _pause(rest, stop)
        await _pause(max(0.0, interval_seconds - rest), stop, wake)


def _tell(name: str, error: Exception, failures: int) -> None:
    if isinstance(error, DatabaseUnavailable):
        if failures == 1:  # the database's absence is one event, not one for each attempt
            _log.warning("service waits for the database", service=name, error=str(error.__cause__ or error))
        return
    if isinstance(error, NotLeader):  # as on a machine that stood still for a while; nothing was committed
        _log.warning("another broker has taken over the rounds", service=name)
        return
    _log.error("service failed", service=name, failures=failures, exc_info=error)


async def _pause(seconds: float, *ends: asyncio.Event | None) -> None:
    """Wait until the time is over or one of the events is set."""
    waits = [asyncio.ensure_future(end.wait()) for end in ends if end is not None]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
