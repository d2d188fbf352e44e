"""How many arrivals the fast lane looks at together, how many it leases together, and when it rests."""

from dataclasses import replace

import pytest

from broker.ids import job_text
from broker.lifecycle import JobState
from broker.loops import placing as placing_loop
from broker.loops.placing import REST_SECONDS_MAX, rest_seconds
from broker.market import placing as placing_room
from broker.store import jobs
from scheduler.placer import Placer
from scheduler.snapshot import Snapshot
from tests.loops.test_placing import Lanes, here, planner, prepay, world

__all__ = ["here", "planner", "world"]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing_room, "JOBS_PER_COMMIT_MAX", 2)
    monkeypatch.setattr(placing_room, "JOBS_LOOKED_AT_MAX", 6)


async def no_room_for_two(here: Lanes) -> None:
    """Bring the lane to passing by: a whole step in which nobody finds room."""
    for _ in range(2):
        await here.submit(tasks=2, cards_per_task=8)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    assert here.placing.full


async def test_who_comes_behind_many_without_room_is_not_looked_at_in_their_small_steps(
    here: Lanes, small_steps: None
) -> None:
    """After a step in which nobody found room the others like them are passed by together."""
    await here.first_round()
    await no_room_for_two(here)
    for _ in range(4):
        await here.submit(tasks=2, cards_per_task=8)
    behind = [await here.submit() for _ in range(3)]

    steps = [await here.placing.place_arrived(here.world.now, commits_max=1) for _ in range(3)]

    assert steps == [0, 2, 1]
    assert {await here.world.state_of(job) for job in behind} == {JobState.LEASED}
    await here.world.check()


async def test_a_step_is_twice_as_large_as_the_one_before_while_more_have_come(
    here: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing_room, "JOBS_PER_COMMIT", 1)
    monkeypatch.setattr(placing_room, "JOBS_PER_COMMIT_MAX", 4)
    monkeypatch.setattr(placing_room, "STEP_SECONDS", 1e9)
    here.placing._jobs_per_commit = 1
    await here.first_round()
    for _ in range(9):
        await here.submit()

    steps = [await here.placing.place_arrived(here.world.now, commits_max=1) for _ in range(4)]
    for _ in range(2):
        await here.submit()
    steps += [await here.placing.place_arrived(here.world.now, commits_max=1) for _ in range(2)]

    assert steps == [1, 2, 4, 2, 1, 1]
    await here.world.check()


@pytest.mark.parametrize(
    ("jobs", "leased", "seconds", "more", "then"),
    [
        (200, 200, 0.1, True, 400),
        (800, 700, 0.5, True, 1000),
        (400, 400, 0.6, True, 400),
        (1000, 1000, 1.1, True, 500),
        (300, 300, 1.1, True, 200),
        (1000, 500, 0.1, True, 200),  # most find no room: those who do wait for them
        (1000, 1000, 0.1, False, 200),
    ],
)
def test_a_step_is_as_large_as_there_is_time_and_use_for_it(
    jobs: int, leased: int, seconds: float, more: bool, then: int
) -> None:
    assert placing_room.jobs_of_next(jobs, leased, seconds, more=more) == then


async def test_after_a_step_that_failed_the_next_one_is_small(here: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the commit was lost")

    await here.first_round()
    await here.submit()
    here.placing._jobs_per_commit = placing_room.JOBS_PER_COMMIT_MAX
    monkeypatch.setattr(placing_room.rounds, "offer", fail)

    with pytest.raises(RuntimeError):
        await here.placing.place_arrived(here.world.now)

    assert here.placing._jobs_per_commit == placing_room.JOBS_PER_COMMIT


async def test_those_who_find_room_start_in_the_order_in_which_they_came(here: Lanes, small_steps: None) -> None:
    """Of three cards two of one kind take one each; who came later and asks for two has none, whatever its kind."""
    await here.first_round()
    for cards in (8, 4):
        await here.submit(cards_per_task=cards)
        assert await here.place() == 1
    await no_room_for_two(here)
    jobs = [await here.submit(), await here.submit(), await here.submit(cards_per_task=2)]

    assert await here.place() == 2
    assert [await here.world.state_of(job) for job in jobs] == [JobState.LEASED, JobState.LEASED, JobState.PENDING]
    await here.world.check()


async def test_while_nobody_finds_room_one_of_each_kind_is_looked_at(
    here: Lanes, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []

    def counted(placer: Placer, arrivals: Snapshot) -> str | None:
        looked_at.append(len(arrivals.job_id))
        return first_with_room(placer, arrivals)

    first_with_room = Placer.first_with_room
    await here.first_round()
    monkeypatch.setattr(Placer, "first_with_room", counted)
    for number in range(14):
        await here.submit(tasks=2, cards_per_task=8, walltime_seconds=3600 + number % 2)
    assert await here.place() == 0

    assert looked_at == [2, 2]  # of the first two each was, and then of six and of six
    await here.submit()
    assert await here.place() == 1


async def test_of_many_kinds_some_are_looked_at_together(
    here: Lanes, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing_room, "KINDS_LOOKED_AT_MAX", 2)
    await here.first_round()
    await no_room_for_two(here)
    for number in range(5):
        await here.submit(tasks=2, cards_per_task=8, walltime_seconds=3600 + number)
    behind = await here.submit()

    assert await here.place() == 1
    assert await here.world.state_of(behind) is JobState.LEASED


async def test_one_whose_quote_holds_its_money_is_not_hidden_by_one_who_cannot_pay(
    here: Lanes, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are alike in all but the quote, and the older one has no money."""
    await here.first_round()
    await prepay(here.world.database, 1)
    await here.round()
    await no_room_for_two(here)
    poor, held = await here.submit(), await here.submit()
    view = here.placing._view
    assert view is not None
    pools = tuple(replace(pool, ask_micro_yuan_per_card_hour=3_600_000) for pool in view.world.view.pools)
    read = replace(view.world.view, pools=pools, held=frozenset({held}), prepaid={"ganzhou": {"city/ganzhou": 1}})
    view.source = view.world = replace(view.world, view=read)
    looked_at: list[str] = []

    def noted(placer: Placer, arrivals: Snapshot) -> str | None:
        looked_at.extend(arrivals.job_id)
        return first_with_room(placer, arrivals)

    first_with_room = Placer.first_with_room
    monkeypatch.setattr(Placer, "first_with_room", noted)
    await here.place()

    assert job_text(held) in looked_at
    assert job_text(poor) not in looked_at


async def test_who_is_handed_back_while_others_are_passed_by_is_looked_at(
    here: Lanes, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id is below those that are passed by at that moment: it is not taken for one of them."""
    await here.first_round()
    back = await here.submit_to_round()
    await no_room_for_two(here)
    await here.submit(tasks=2, cards_per_task=8)

    def meanwhile(placer: Placer, arrivals: Snapshot) -> str | None:
        here.placing.look_again_at([back])
        return first_with_room(placer, arrivals)

    first_with_room = Placer.first_with_room
    monkeypatch.setattr(Placer, "first_with_room", meanwhile)
    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    monkeypatch.setattr(Placer, "first_with_room", first_with_room)

    assert await here.place() == 1
    assert await here.world.state_of(back) is JobState.LEASED


async def test_who_is_cancelled_after_others_were_passed_by_ends_no_look(here: Lanes, small_steps: None) -> None:
    """The first who would find room is gone when it is looked at again: those behind it start all the same."""
    await here.first_round()
    await no_room_for_two(here)
    gone, behind = await here.submit(), await here.submit()

    assert await here.placing.place_arrived(here.world.now, commits_max=1) == 0
    async with here.world.database.hub() as tx:
        await jobs.cancel(tx, gone, here.world.now)

    assert await here.place() == 1
    assert await here.world.state_of(behind) is JobState.LEASED
    await here.world.check()


async def test_one_whose_lease_ended_hides_nobody_of_its_kind(here: Lanes, small_steps: None) -> None:
    """It was placed in this view, waits again and is left to the round; in a step of kinds it is the oldest of its."""
    await here.first_round()
    back = await here.submit()
    assert await here.place() == 1
    await no_room_for_two(here)
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
