"""Whoever follows sees every event once and in order, from any cursor on, however it is woken."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, aclosing

import pytest

from broker.caller import Caller
from broker.errors import BrokerError, CursorInFuture, InvalidRequest, RoleRefused
from broker.job import Event
from broker.loops.numbering import Numbering
from broker.market import watch
from broker.market.watch import PAGE_EVENTS_MAX, Page, Pulses, Watch
from broker.store.database import Database
from tests.deadlines import eventually
from tests.small_world import ACME, AGENT, GANZHOU, NANJING, OBSERVER, OPERATOR, T0, a_spec, lay_out, submitted


class Scene:
    """A broker process as far as watching goes: its numbering loop, its pulses."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.pulses = Pulses(database)
        self.watch = Watch(database, self.pulses)
        self.numbering = Numbering(database, announce=self.pulses.announce)

    async def happen(self, *keys: str, city: str = "ganzhou", enterprise: str = "") -> None:
        await submitted(self.database, *keys, city=city, spec=a_spec(enterprise=enterprise))
        await self.numbering.run_once(T0)

    async def collect(self, after: int, count: int) -> list[Event]:
        """Follow ganzhou until there are `count` events."""
        seen: list[Event] = []
        async with aclosing(self.watch.follow(GANZHOU, "", after, 20)) as pages:
            async for page in pages:
                seen += page.events
                if len(seen) >= count:
                    break
        return seen


@pytest.fixture
async def scene(database: Database) -> Scene:
    return Scene(await lay_out(database, clusters=False))


def cursors(events: Iterable[Event]) -> list[int]:
    return [e.cursor for e in events]


async def test_what_was_is_read_first_and_what_comes_follows(scene: Scene) -> None:
    await scene.happen("a", "b")

    following = asyncio.create_task(scene.collect(0, 5))
    await eventually(lambda: _is_watched(scene))
    await scene.happen("c", "d", "e")

    assert cursors(await following) == [1, 2, 3, 4, 5]


async def test_from_any_cursor_each_later_event_comes_once(scene: Scene) -> None:
    for n in range(6):
        await scene.happen(f"k{n}")

    for after in range(6):
        assert cursors(await scene.collect(after, 6 - after)) == list(range(after + 1, 7))


async def test_a_watcher_that_stops_and_resumes_again_and_again_misses_nothing(scene: Scene) -> None:
    async def resume() -> list[Event]:
        seen: list[Event] = []
        while len(seen) < 40:
            seen += await scene.collect(seen[-1].cursor if seen else 0, 1)
        return seen

    resuming = asyncio.create_task(resume())
    for n in range(20):
        await scene.happen(f"a{n}", f"b{n}")

    assert cursors(await resuming) == list(range(1, 41))


async def test_pages_hold_five_hundred_events_at_most(scene: Scene) -> None:
    await scene.happen(*(f"k{n}" for n in range(PAGE_EVENTS_MAX + 3)))

    async with aclosing(scene.watch.follow(GANZHOU, "", 0, 20)) as pages:
        sizes = [len((await anext(pages)).events), len((await anext(pages)).events)]

    assert sizes == [500, 3]


async def test_events_that_another_process_numbered_arrive_too(scene: Scene) -> None:
    other = Scene(scene.database)

    following = asyncio.create_task(scene.collect(0, 1))
    await eventually(lambda: _is_watched(scene))
    await other.happen("a")

    assert cursors(await following) == [1]


async def test_other_cities_do_not_wake_a_watcher(scene: Scene) -> None:
    async with AsyncExitStack() as stack:
        for city in ("ganzhou", "nanjing"):
            stack.enter_context(scene.pulses.watching(city))
        waiting = asyncio.create_task(scene.pulses.beyond("ganzhou", 0, 20))
        await scene.happen("a", city="nanjing")
        assert await scene.pulses.beyond("nanjing", 0, 20)
        assert not waiting.done()
        await scene.happen("a")
        assert await waiting


async def test_many_watchers_ask_the_database_with_one_voice(scene: Scene) -> None:
    """A hundred that wait cost one poller, and nothing when the last one has gone."""
    watchers = [asyncio.create_task(scene.collect(0, 1)) for _ in range(100)]
    await eventually(lambda: _is_watched(scene, 100))
    pollers = [t for t in asyncio.all_tasks() if t.get_name() == "watch-poller"]
    await scene.happen("a")
    seen = await asyncio.gather(*watchers)

    assert len(pollers) == 1
    assert [cursors(s) for s in seen] == [[1]] * 100
    await eventually(lambda: _all_done(pollers))
    assert not scene.pulses.watched()


async def test_who_is_woken_together_gets_the_same_page(scene: Scene) -> None:
    """Read once for all of them, and none takes it along who leaves before it has come; an enterprise's is its own."""

    async def first_page(caller: Caller) -> Page:
        async with aclosing(scene.watch.follow(caller, "", 0, 20)) as pages:
            return await anext(pages)

    watchers = [asyncio.create_task(first_page(GANZHOU)) for _ in range(50)]
    acme = asyncio.create_task(first_page(ACME))
    await eventually(lambda: _is_watched(scene, 51))
    impatient = asyncio.create_task(first_page(GANZHOU))
    await asyncio.sleep(0)
    impatient.cancel()
    await scene.happen("a")
    await scene.happen("b", enterprise="acme")
    pages = await asyncio.gather(*watchers)

    assert len(set(map(id, pages))) < 10
    assert {page.events[0].cursor for page in pages} == {1}
    assert cursors((await acme).events) == [2]


async def test_who_comes_when_a_page_has_just_been_read_does_not_get_it(scene: Scene) -> None:
    """It may be older than what the watcher was woken for: given again and again, it would let nobody else run."""
    first = asyncio.create_task(scene.watch._shared(GANZHOU, "ganzhou", 0))
    await asyncio.sleep(0)
    [reading] = scene.watch._reading.values()
    while not reading.done():  # noqa: ASYNC110  # who waits for it goes on after it was forgotten
        await asyncio.sleep(0)

    second = await scene.watch._shared(GANZHOU, "ganzhou", 0)

    assert second is not await first
    assert not scene.watch._reading


async def test_a_stream_without_events_ends_when_it_was_told_to(scene: Scene) -> None:
    await scene.happen("a")

    seen = [page async for page in scene.watch.follow(GANZHOU, "", 0, 1)]

    assert [cursors(page.events) for page in seen] == [[1]]


async def of_acme(scene: Scene, after: int, idle: int = 1) -> list[list[int]]:
    return [cursors(page.events) async for page in scene.watch.follow(ACME, "", after, idle)]


async def test_an_enterprise_reads_its_city_in_stretches_and_finds_its_own(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the stretches are in which only others act, and wherever its own lie in them."""
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(watch, "STRETCH_EVENTS_MAX", size)
        assert await of_acme(scene, 0) == []
    for n in range(5):
        await scene.happen(f"a{n}", f"b{n}", f"c{n}")
        await scene.happen(f"mine{n}", enterprise="acme")

    for size in (1, 2, 3, 7):
        monkeypatch.setattr(watch, "STRETCH_EVENTS_MAX", size)
        assert [c for page in await of_acme(scene, 0) for c in page] == [4, 8, 12, 16, 20]
        assert [c for page in await of_acme(scene, 9) for c in page] == [12, 16, 20]


async def test_a_large_enterprise_gets_full_pages(scene: Scene) -> None:
    await scene.happen(*(f"k{n}" for n in range(PAGE_EVENTS_MAX + 3)), enterprise="acme")

    assert [len(page) for page in await of_acme(scene, 0)] == [500, 3]


async def test_what_others_of_its_city_do_does_not_keep_the_stream_of_an_enterprise_open(scene: Scene) -> None:
    """It is told to end after a second without an event of its own; others have one all the time."""
    await scene.happen("mine", enterprise="acme")
    ended = asyncio.create_task(of_acme(scene, 0))

    async def others_act_until_it_ends() -> bool:
        await scene.happen(f"other-{asyncio.get_running_loop().time()}")
        return ended.done()

    await eventually(others_act_until_it_ends)

    assert await ended == [[1]]


async def test_an_enterprise_is_woken_by_its_own_events(scene: Scene) -> None:
    following = asyncio.create_task(of_acme(scene, 0, 2))
    await eventually(lambda: _is_watched(scene))
    await scene.happen("others")
    await scene.happen("mine", enterprise="acme")

    assert await following == [[2]]


@pytest.mark.parametrize(
    ("caller", "city", "after", "idle", "error"),
    [
        (GANZHOU, "", 2, 1, CursorInFuture),
        (NANJING, "", 1, 1, CursorInFuture),
        (GANZHOU, "", 2**63 - 1, 1, CursorInFuture),
        (GANZHOU, "", 2**64 - 1, 1, CursorInFuture),
        (GANZHOU, "", 0, 86_401, InvalidRequest),
        (GANZHOU, "nanjing", 0, 1, RoleRefused),
        (OPERATOR, "", 0, 1, InvalidRequest),
        (AGENT, "ganzhou", 0, 1, RoleRefused),
    ],
)
async def test_what_cannot_be_followed_is_refused(
    scene: Scene, caller: object, city: str, after: int, idle: int, error: type[BrokerError]
) -> None:
    await scene.happen("a")

    with pytest.raises(error):
        await _first_page(scene.watch.follow(caller, city, after, idle))  # type: ignore[arg-type]


@pytest.mark.parametrize("caller", [OPERATOR, OBSERVER])
async def test_operators_and_observers_follow_the_city_they_name(scene: Scene, caller: object) -> None:
    await scene.happen("a", city="nanjing")

    page = await _first_page(scene.watch.follow(caller, "nanjing", 0, 20))  # type: ignore[arg-type]

    assert cursors(page.events) == [1]


async def _first_page(pages: AsyncIterator[Page]) -> Page:
    return await anext(pages)


async def _is_watched(scene: Scene, watchers: int = 1) -> bool:
    return scene.pulses.watched().get("ganzhou") == watchers


async def _all_done(tasks: list[asyncio.Task[None]]) -> bool:
    return all(t.done() for t in tasks)
