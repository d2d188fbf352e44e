"""How many arrivals the fast lane looks at together, how many it leases together, and when it rests."""

import pytest

from broker.lifecycle import JobState
from broker.loops import placing as placing_loop
from broker.loops.placing import REST_SECONDS_MAX, rest_seconds
from broker.market import placing as placing_room
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
    """Two without room make the next step large; of the five in it who fit, two start with each commit, in turn."""
    await here.first_round()
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    behind = [await here.submit() for _ in range(5)]

    leased = [await here.placing.place_arrived(here.world.now, commits_max=1) for _ in range(4)]

    assert leased == [2, 2, 1, 0]
    assert {await here.world.state_of(job) for job in behind} == {JobState.LEASED}
    await here.world.check()


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
