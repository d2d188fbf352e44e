"""The numbering loop and the runner that keeps every service alive."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
import structlog

from broker.clock import ManualClock, SystemClock
from broker.errors import DatabaseUnavailable
from broker.loops.numbering import Numbering
from broker.loops.service import run_forever
from broker.store import events
from broker.store.database import Database
from tests.deadlines import eventually
from tests.small_world import T0, lay_out, submitted


@pytest.fixture
async def world(database: Database) -> Database:
    return await lay_out(database, clusters=False)


async def test_one_run_numbers_everything_in_batches_and_tells_of_each(world: Database) -> None:
    announced: list[dict[str, int]] = []
    numbering = Numbering(world, announce=lambda last: announced.append(dict(last)), batch_events=2)
    await submitted(world, "a", "b", "c")
    await submitted(world, "a", city="nanjing")

    counts = [await numbering.run_once(T0) for _ in range(2)]

    assert counts == [4, 0]
    assert announced == [{"ganzhou": 2}, {"ganzhou": 3, "nanjing": 1}]


async def test_two_loops_that_are_woken_all_the_time_number_everything_once(world: Database) -> None:
    stop, wake = asyncio.Event(), asyncio.Event()
    loops = [
        asyncio.create_task(
            run_forever(
                Numbering(world, announce=lambda _: None, batch_events=3),
                clock=SystemClock(),
                stop=stop,
                wake=wake,
                interval_seconds=0.02,
            )
        )
        for _ in range(2)
    ]
    for n in range(20):
        await submitted(world, f"a{n}", f"b{n}")
        wake.set()

    async def all_numbered() -> bool:
        async with world.city("ganzhou") as tx:
            return await events.last(tx, "ganzhou") == 40

    await eventually(all_numbered)
    stop.set()
    await asyncio.gather(*loops)
    async with world.city("ganzhou") as tx:
        seen = await events.read(tx, "ganzhou", 0, 100)
    assert [e.cursor for e in seen] == list(range(1, 41))
    assert len({e.job for e in seen}) == 40


class Scripted:
    """A service that does what the script says, run by run, and then sets `done`."""

    name = "scripted"

    def __init__(self, script: Iterable[Exception | None]) -> None:
        self.script = list(script)
        self.runs: list[datetime] = []
        self.done = asyncio.Event()

    async def run_once(self, now: datetime) -> int:
        self.runs.append(now)
        step = self.script.pop(0) if self.script else None
        if not self.script:
            self.done.set()
        if step is not None:
            raise step
        return 1


async def test_an_error_is_logged_and_the_service_runs_on() -> None:
    service = Scripted([ValueError("broken"), None])

    with structlog.testing.capture_logs() as logs:
        await _run_until_done(service)

    assert [(line["log_level"], line["event"], line["service"]) for line in logs] == [
        ("error", "service failed", "scripted"),
        ("info", "service recovered", "scripted"),
    ]
    assert "broken" in str(logs[0]["exc_info"])


async def test_an_absent_database_is_one_line_however_long_it_lasts() -> None:
    service = Scripted([DatabaseUnavailable(), DatabaseUnavailable(), DatabaseUnavailable(), None])

    with structlog.testing.capture_logs() as logs:
        await _run_until_done(service)

    assert [line["event"] for line in logs] == ["service waits for the database", "service recovered"]
    assert logs[1]["failures"] == 3


async def test_a_wake_ends_the_pause_and_the_time_comes_from_the_clock() -> None:
    service, wake, stop = Scripted([None, None]), asyncio.Event(), asyncio.Event()
    clock = ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    running = asyncio.create_task(run_forever(service, clock=clock, stop=stop, interval_seconds=3600, wake=wake))

    await eventually(lambda: _ran(service, 1))
    clock.advance(seconds=5)
    wake.set()
    await eventually(lambda: _ran(service, 2))
    stop.set()
    await running

    assert [t.second for t in service.runs] == [0, 5]


async def test_a_busy_waker_cannot_make_it_spin() -> None:
    """With a rest of an hour a second run does not come, however often it is woken; stopping does not wait for it."""
    service, wake, stop = Scripted([None]), asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        run_forever(service, clock=SystemClock(), stop=stop, interval_seconds=7200, wake=wake, rest_seconds=3600)
    )

    await eventually(lambda: _ran(service, 1))
    for _ in range(100):
        wake.set()
        await asyncio.sleep(0)
    stop.set()
    await running

    assert len(service.runs) == 1


async def test_cancelling_ends_it_at_once() -> None:
    service = Scripted([None])
    running = asyncio.create_task(
        run_forever(service, clock=SystemClock(), stop=asyncio.Event(), interval_seconds=3600)
    )
    await service.done.wait()

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def _run_until_done(service: Scripted) -> None:
    """Run until the script has been played and the run after it was paused for."""
    stop, runs = asyncio.Event(), len(service.script) + 1
    running = asyncio.create_task(run_forever(service, clock=SystemClock(), stop=stop, interval_seconds=0.001))
    await eventually(lambda: _ran(service, runs))
    stop.set()
    await running


async def _ran(service: Scripted, times: int) -> bool:
    return len(service.runs) >= times
