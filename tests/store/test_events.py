"""The numbered stream: gap-free for each city, in the order in which changes became visible, whoever writes when."""

import asyncio
import contextlib
import random
from collections import Counter
from datetime import timedelta

import pytest

from broker.job import Event
from broker.lifecycle import EndReason, JobEvent
from broker.store import events, jobs, submissions
from broker.store.database import Database
from broker.store.events import Numbered
from tests.small_world import T0, a_spec, lay_out, placed, submitted

WRITERS = 16
ROUNDS = 12


@pytest.fixture
async def world(database: Database) -> Database:
    return await lay_out(database)


async def numbered(database: Database, limit: int = 1000) -> Numbered:
    async with database.hub() as tx:
        return await events.number(tx, limit)


async def stream(database: Database, city: str, after: int = 0) -> list[Event]:
    async with database.city(city) as tx:
        return await events.read(tx, city, after, 100_000)


async def test_each_city_has_its_own_sequence_from_one_on(world: Database) -> None:
    ganzhou = await submitted(world, "a", "b")
    nanjing = await submitted(world, "a", city="nanjing")

    first = await numbered(world)
    ganzhou += await submitted(world, "c")
    second = await numbered(world)

    assert (first.last, second.last) == ({"ganzhou": 2, "nanjing": 1}, {"ganzhou": 3})
    assert [len(first.events), len(second.events)] == [3, 1]
    assert [(e.cursor, e.job, e.kind, e.at) for e in await stream(world, "ganzhou")] == [
        (n + 1, job, JobEvent.SUBMITTED, T0) for n, job in enumerate(ganzhou)
    ]
    assert [(e.cursor, e.job) for e in await stream(world, "nanjing")] == [(1, nanjing[0])]


async def test_nothing_to_number_is_nothing_done(world: Database) -> None:
    assert await numbered(world) == Numbered((), {})
    async with world.city("ganzhou") as tx:
        assert (await events.last(tx, "ganzhou"), await events.read(tx, "ganzhou", 0, 10)) == (0, [])


async def test_batches_go_on_where_the_last_one_ended(world: Database) -> None:
    ids = await submitted(world, *(f"k{n}" for n in range(7)))

    counts = [len((await numbered(world, limit=3)).events) for _ in range(4)]

    assert counts == [3, 3, 1, 0]
    assert [(e.cursor, e.job) for e in await stream(world, "ganzhou")] == [(n + 1, job) for n, job in enumerate(ids)]


async def test_a_page_starts_beyond_its_cursor_and_ends_at_its_limit(world: Database) -> None:
    await submitted(world, *(f"k{n}" for n in range(5)))
    await numbered(world)

    async with world.city("ganzhou") as tx:
        page = await events.read(tx, "ganzhou", 2, 2)
        beyond = await events.read(tx, "ganzhou", 5, 2)
        last = await events.last(tx, "ganzhou")

    assert ([e.cursor for e in page], beyond, last) == ([3, 4], [], 5)


async def test_a_city_cannot_read_another_citys_events(world: Database) -> None:
    await submitted(world, "k", city="nanjing")
    await numbered(world)

    async with world.city("ganzhou") as tx:
        assert await events.read(tx, "nanjing", 0, 10) == []
        assert await events.last(tx, "nanjing") == 0
        assert await events.last_of(tx, ["ganzhou", "nanjing"]) == {}


async def test_an_event_tells_where_the_job_went_and_how_it_ended(world: Database) -> None:
    [job, other] = await submitted(world, "a", "b")
    lease = await placed(world, job, cards=(2, 5))
    async with world.city("ganzhou") as tx:
        await jobs.cancel(tx, other, T0 + timedelta(seconds=9))
    await numbered(world)

    _, _, leased, cancelled = await stream(world, "ganzhou")

    assert leased.placement is not None
    assert (leased.kind, leased.attempt, leased.placement.lease) == (JobEvent.LEASED, 1, lease)
    assert [(n.node, n.cards) for n in leased.placement.nodes] == [("n1", (2, 5))]
    assert cancelled.ending is not None
    assert (cancelled.kind, cancelled.ending.reason) == (JobEvent.CANCELLED, EndReason.CANCELLED)


async def test_what_is_not_committed_has_no_number_and_leaves_no_hole(world: Database) -> None:
    """A transaction that began earlier and commits later comes later; one that rolls back never was."""
    async with world.city("ganzhou") as slow:
        [held] = await submissions.insert_many(slow, "ganzhou", [("slow", a_spec(tasks=2))], T0)
        [quick] = await submitted(world, "quick")
        before = await numbered(world)
    after = await numbered(world)

    assert (before.last, after.last) == ({"ganzhou": 1}, {"ganzhou": 2})
    assert [(e.cursor, e.job) for e in await stream(world, "ganzhou")] == [(1, quick), (2, held.job)]
    assert held.job < quick


async def test_one_numbers_at_a_time_and_others_go_away(world: Database) -> None:
    await submitted(world, "a", "b")

    async with world.hub() as mine:
        first = await events.number(mine, 1)
        meanwhile = await numbered(world)
    afterwards = await numbered(world)

    assert (len(first.events), len(meanwhile.events), len(afterwards.events)) == (1, 0, 1)


async def test_a_numbering_that_fails_numbers_nothing(world: Database) -> None:
    async def number_and_fail() -> None:
        async with world.hub() as tx:
            await events.number(tx, 10)
            raise RuntimeError

    await submitted(world, "a")

    with pytest.raises(RuntimeError):
        await number_and_fail()

    assert (await numbered(world)).last == {"ganzhou": 1}


class Traffic:
    """Writers that commit and roll back at random, numberers that compete, readers that follow."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.seed = seed
        self.committed: Counter[str] = Counter()
        self.writing = WRITERS
        self.numbering = True

    async def write(self, writer: int) -> None:
        luck = random.Random(f"{self.seed}-{writer}")
        for n in range(ROUNDS):
            city = luck.choice(["ganzhou", "nanjing"])
            keys = [f"{writer}-{n}-{i}" for i in range(luck.randint(1, 4))]
            with contextlib.suppress(InterruptedError):
                await self._write_or_not(city, keys, luck)
                self.committed[city] += len(keys)
        self.writing -= 1

    async def _write_or_not(self, city: str, keys: list[str], luck: random.Random) -> None:
        async with self.database.city(city) as tx:
            await submissions.insert_many(tx, city, [(k, a_spec()) for k in keys], T0)
            for _ in range(luck.randint(0, 5)):
                await asyncio.sleep(0)  # lets others commit in between
            if luck.random() < 0.3:
                raise InterruptedError

    async def number(self) -> None:
        while self.writing or (await numbered(self.database, limit=7)).events:
            await numbered(self.database, limit=7)

    async def run(self) -> None:
        await asyncio.gather(*(self.write(w) for w in range(WRITERS)), self.number(), self.number())
        await self.number()
        self.numbering = False

    async def follow(self, city: str) -> list[Event]:
        seen: list[Event] = []
        while True:
            may_end = not self.numbering
            page = await stream(self.database, city, seen[-1].cursor if seen else 0)
            seen += page
            if may_end and not page:
                return seen


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_sixteen_writers_that_commit_in_any_order_leave_no_gap(world: Database, seed: int) -> None:
    """Readers that follow meanwhile see every committed job once, and no cursor is skipped."""
    traffic = Traffic(world, seed)

    ganzhou, nanjing, _ = await asyncio.gather(traffic.follow("ganzhou"), traffic.follow("nanjing"), traffic.run())

    for city, seen in (("ganzhou", ganzhou), ("nanjing", nanjing)):
        assert [e.cursor for e in seen] == list(range(1, traffic.committed[city] + 1))
        assert len({e.job for e in seen}) == traffic.committed[city]
