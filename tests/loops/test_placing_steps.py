"""How many arrivals the fast lane looks at together, how many it leases together, and when it rests."""

import pytest

from broker.lifecycle import JobState
from broker.loops import placing as placing_loop
from broker.loops.placing import REST_SECONDS_MAX, rest_seconds
from broker.market import placing as placing_room
from scheduler.placer import Placer
from scheduler.plan import Placement
from scheduler.snapshot import Snapshot
from tests.loops.test_placing import Lanes, here, planner, prepay, world

__all__ = ["here", "planner", "world"]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing_room, "JOBS_PER_COMMIT_MAX", 2)
    monkeypatch.setattr(placing_room, "JOBS_LOOKED_AT_MAX", 6)


async def test_who_comes_behind_many_without_room_is_not_looked_at_in_their_small_steps(
    here: Lanes, small_steps: None
) -> None:
    """After a step in which nobody found room the next one is larger; whoever finds room there starts at once."""
    await here.first_round()
    for _ in range(7):
        await here.submit(tasks=2, cards_per_task=8)
    behind = [await here.submit() for _ in range(4)]

    assert await here.placing.place_arrived(here.world.now, commits_max=2) == 1
    assert await here.world.state_of(behind[0]) is JobState.LEASED
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 2, "a small step: there is room"
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 1
    await here.world.check()


async def test_a_commit_leases_no_more_after_a_step_without_room(here: Lanes, small_steps: None) -> None:
    """Two without room make the next step one of kinds: of five behind them who fit one starts, then two and two."""
    await here.first_round()
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    behind = [await here.submit() for _ in range(5)]

    leased = [await here.placing.place_arrived(here.world.now, commits_max=1) for _ in range(4)]

    assert leased == [1, 2, 2, 0]
    assert {await here.world.state_of(job) for job in behind} == {JobState.LEASED}
    await here.world.check()


async def test_who_stands_behind_one_of_another_kind_that_fits_is_looked_at(here: Lanes, small_steps: None) -> None:
    """In a step of kinds the oldest of two kinds start; the others are looked at from the first of them on."""
    await here.first_round()
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    ones = [await here.submit()]
    twos = [await here.submit(cards_per_task=2)]
    large = await here.submit(tasks=2, cards_per_task=8)
    ones.append(await here.submit())
    twos.append(await here.submit(cards_per_task=2))

    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 2
    assert [await here.world.state_of(job) for job in (*ones, *twos)] == [JobState.LEASED, JobState.PENDING] * 2
    assert await here.place() == 2
    assert {await here.world.state_of(job) for job in (*ones, *twos)} == {JobState.LEASED}
    assert await here.world.state_of(large) is JobState.PENDING
    await here.world.check()


async def test_while_nobody_finds_room_one_of_each_kind_is_decided_on(
    here: Lanes, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[int] = []

    def counted(placer: Placer, arrivals: Snapshot) -> tuple[list[Placement], str | None]:
        decided.append(len(arrivals.job_id))
        return first_placed(placer, arrivals)

    first_placed = placing_room._first_placed
    await here.first_round()
    monkeypatch.setattr(placing_room, "_first_placed", counted)
    for number in range(14):
        await here.submit(tasks=2, cards_per_task=8, walltime_seconds=3600 + number % 2)
    assert await here.place() == 0

    assert decided == [2, 2, 2]
    await here.submit()
    assert await here.place() == 1


async def test_one_whose_lease_ended_hides_nobody_of_its_kind(here: Lanes, small_steps: None) -> None:
    """It was placed in this view, waits again and is left to the round; in a step of kinds it is the oldest of its."""
    await here.first_round()
    back = await here.submit()
    assert await here.place() == 1
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    async with here.world.database.hub() as tx:
        await tx.execute("DELETE FROM held_cards; UPDATE jobs SET state = 'pending'")
    like_it = await here.submit()
    here.placing.look_again_at([back])

    assert await here.place() == 1
    assert await here.world.state_of(like_it) is JobState.LEASED
    assert await here.world.state_of(back) is JobState.PENDING


async def test_one_without_room_makes_no_step_larger(here: Lanes, small_steps: None) -> None:
    await here.first_round()
    await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    for _ in range(3):
        await here.submit(tasks=2, cards_per_task=8)
    behind = await here.submit()

    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    assert await here.world.state_of(behind) is JobState.PENDING
    assert await here.place() == 1


async def test_in_a_large_step_those_who_come_again_and_those_who_cannot_pay_keep_nobody_from_starting(
    here: Lanes, small_steps: None
) -> None:
    """Who is handed back stands before the others, and more fit than one commit takes: each of them starts, once."""
    await prepay(here.world.database, 10 * 607 * 1000)
    again = [await here.submit(tasks=2, cards_per_task=8, walltime_seconds=10**6) for _ in range(2)]
    await here.first_round()
    back = [await here.submit_to_round() for _ in range(2)]
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    poor = await here.submit(walltime_seconds=10**7)
    behind = [await here.submit() for _ in range(3)]
    here.placing.look_again_at([*again, *back])

    leased = [await here.placing.place_arrived(here.world.now, commits_max=1) for _ in range(4)]

    assert (max(leased), sum(leased)) == (2, 5)
    assert {await here.world.state_of(job) for job in (*back, *behind)} == {JobState.LEASED}
    assert {await here.world.state_of(job) for job in (*again, poor)} == {JobState.PENDING}
    await here.world.check()


async def test_room_that_came_back_is_found_in_small_steps_again(here: Lanes, small_steps: None) -> None:
    """A view of the world that a round read anew knows nothing of who found no room before."""
    before = await here.first_round(tasks=2, cards_per_task=8)
    small = [await here.submit() for _ in range(5)]
    assert await here.place() == 0
    await here.finish(before)

    assert await here.round() + await here.place() >= 5
    assert {await here.world.state_of(job) for job in small} == {JobState.LEASED}
    await here.world.check()


async def test_while_nobody_finds_room_the_lane_rests_after_each_look_and_not_otherwise(
    here: Lanes, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []

    async def rested(seconds: float) -> None:
        rests.append(seconds)

    await here.first_round()
    monkeypatch.setattr(placing_loop, "sleep", rested)
    await here.submit()
    assert await here.place() == 1
    assert rests == []
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.place() == 0
    assert len(rests) == 1
    assert 0 < rests[0] <= REST_SECONDS_MAX
    await here.submit()
    assert await here.place() == 1
    assert len(rests) == 1


@pytest.mark.parametrize(("look", "rest"), [(0.0, 0.0), (0.005, 0.02), (0.0125, 0.05), (30.0, 0.05)])
def test_a_rest_is_some_looks_long_and_never_long(look: float, rest: float) -> None:
    assert rest_seconds(look) == pytest.approx(rest)
