"""What one broker process tells of itself: calls, connections to the database, background services."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from broker.metrics.registry import counter, gauge, histogram

CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""Status codes of gRPC."""

METHOD: Final = "methods of the wire, as Service/Method"
POOLS: Final = ("city", "hub")

CALLS: Final = counter(
    "broker_calls_total",
    "Calls that have ended, by method and status code; a stream is one call.",
    {"method": METHOD, "code": CODES},
)
CALL_SECONDS: Final = histogram(
    "broker_call_seconds",
    "Time from a call's begin to its end. Streams, which last as long as their callers like, are not counted.",
    (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    {"method": METHOD},
)
DATABASE_CONNECTIONS: Final = gauge(
    "broker_database_connections",
    "Connections to the database, of transactions of cities and of the hub: busy, idle, or not opened yet.",
    {"pool": POOLS, "use": ("busy", "idle", "unopened")},
)
DATABASE_WAIT_SECONDS: Final = histogram(
    "broker_database_wait_seconds",
    "How long a transaction waited for a free connection; those that gave up are counted with their time.",
    (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 5),
    {"pool": POOLS},
)
LOOP_FAILURES: Final = counter(
    "broker_loop_failures_total",
    "Runs of background services that ended in an error, an absent database included; each is tried again.",
    {"loop": "background services of the broker"},
)
CENSUS_SECONDS: Final = gauge(
    "broker_census_seconds", "How long the last reading of the hub's state for /metrics took in this broker."
)


@dataclass(slots=True)
class Call:
    """A call that goes on; `code` is told when it ends otherwise than well."""

    code: str = "OK"


@contextmanager
def call(method: str, *, timed: bool) -> Iterator[Call]:
    """Count a call around the block. `method` is its full name; `timed`: it is no stream."""
    name, began, told = method.rpartition(".")[2], perf_counter(), Call()
    try:
        yield told
    finally:
        CALLS.labels(name, told.code).inc()
        if timed:
            CALL_SECONDS.labels(name).observe(perf_counter() - began)


def methods_served(methods: Iterable[tuple[str, bool]]) -> None:
    """Let methods exist from the start, each with whether it is timed; of codes those that alerts ask for."""
    for method, timed in methods:
        name = method.rpartition(".")[2]
        for code in ("OK", "INTERNAL", "UNAVAILABLE"):
            CALLS.labels(name, code)
        if timed:
            CALL_SECONDS.labels(name)


def connections(pool: str, size: Callable[[], int], idle: Callable[[], int], most: int) -> None:
    """Show the connections of a pool of `most`: asked for whenever /metrics is read."""
    DATABASE_CONNECTIONS.labels(pool, "busy").set_function(lambda: size() - idle())
    DATABASE_CONNECTIONS.labels(pool, "idle").set_function(idle)
    DATABASE_CONNECTIONS.labels(pool, "unopened").set_function(lambda: most - size())


def waited_for_connection(pool: str, seconds: float) -> None:
    """Count a transaction's wait for a connection."""
    DATABASE_WAIT_SECONDS.labels(pool).observe(seconds)


def loop_runs(loop: str) -> None:
    """Let a background service exist from the start."""
    LOOP_FAILURES.labels(loop)


def loop_failed(loop: str) -> None:
    """Count a failed run."""
    LOOP_FAILURES.labels(loop).inc()
