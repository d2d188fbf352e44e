"""Jobs that arrive are leased beside the rounds, by the last round's prices and within every limit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pytest

from broker.audit import limits
from broker.audit.main import run
from broker.caller import Caller, Role
from broker.ids import JobId
from broker.job import Ending, LeasePrice
from broker.ledger.transactions import Move
from broker.lifecycle import EndReason, JobEvent, JobState
from broker.loops.placing import PlacingLoop
from broker.loops.planning import Planned, PlanningProcess
from broker.loops.rounds import LOOK_AGAIN, RoundLoop
from broker.market import placing as placing_room
from broker.market.energy import HubEnergy, PowerChange
from broker.market.identity import Identity
from broker.market.ledger import Ledger
from broker.market.operations import Operations
from broker.market.pauses import Paused, Pauses
from broker.market.placing import Placing
from broker.market.quotas import Quotas
from broker.market.rounds import Rounds, RoundsReader
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.worlds.quotas import QuotaRow
from tests.cluster_world import START, ClusterWorld, ended
from tests.conftest import Dsns
from tests.deadlines import eventually
from tests.market.test_rounds import POLICY
from tests.small_world import asked

FAIR = 10**9  # what is offered when nobody is in a hurry
RICH = 5 * FAIR
OPERATOR = Caller("key-operator", Role.OPERATOR)
Change: TypeAlias = Callable[[Database], Awaitable[None]]
Act: TypeAlias = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """Do nothing."""


class Slow(PlanningProcess):
    """Hands a plan over when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.planning = asyncio.Event()
        self.may_end = asyncio.Event()

    async def plan(self, snapshot: bytes, horizon: bytes, policy_json: str, budget_seconds: float) -> Planned:
        planned = await super().plan(snapshot, horizon, policy_json, budget_seconds)
        self.planning.set()
        await self.may_end.wait()
        return planned


@dataclass
class Lanes:
    """Both ways to a lease, over one database."""

    world: ClusterWorld
    planner: Slow
    woken: list[str]
    placing: Placing
    rounds: RoundLoop
    fast: PlacingLoop
    reader: RoundsReader

    async def submit(self, city: str = "ganzhou", **changes: Any) -> JobId:
        return await self.world.submit(city, **{"ceiling_micro_yuan_per_pflops_hour": RICH} | changes)

    async def submit_to_round(self, **changes: Any) -> JobId:
        """Submit a job that the fast lane leaves to the next round, as if it had looked at it and had no room."""
        job = await self.submit(**changes)
        self.placing._judged = job
        return job

    async def round(self) -> int:
        return await self.rounds.run_once(self.world.now)

    async def place(self) -> int:
        return await self.fast.run_once(self.world.now)

    async def first_round(self, **changes: Any) -> JobId:
        """Let a round place one job, so that there are prices; and read the world it leaves."""
        job = await self.submit(**changes)
        assert await self.round() == 1
        await self.round()
        return job

    async def round_under_way(self) -> "asyncio.Task[int]":
        """Begin a round that has its plan and does not commit it before `end`."""
        self.planner.planning.clear()
        self.planner.may_end.clear()
        task = asyncio.create_task(self.round())
        planned = asyncio.create_task(self.planner.planning.wait())
        await asyncio.wait({task, planned}, return_when=asyncio.FIRST_COMPLETED)
        planned.cancel()
        assert not task.done(), "there was nothing to plan"
        return task

    async def end(self, task: "asyncio.Task[int]") -> int:
        self.planner.may_end.set()
        return await task

    def once_read(
        self, act: Callable[[], Awaitable[None]], before: Callable[[], Awaitable[None]] = nothing
    ) -> list[int]:
        """Do something before and after the world is read the next time, when nobody has yet what was read.

        Return how many jobs each reading found waiting, as it goes on.
        """
        read, waiting = self.rounds._rounds.read, list[int]()

        async def reading(now: datetime) -> Any:
            if not waiting:
                await before()
            prepared = await read(now)
            waiting.append(len(prepared.waiting))
            if len(waiting) == 1:
                await act()
            return prepared

        self.rounds._rounds.read = reading  # type: ignore[method-assign]
        return waiting

    async def break_off(self, task: "asyncio.Task[int]") -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def finish(self, *jobs: JobId) -> None:
        """Let an agent that connects anew report that leased jobs are done."""
        async with self.world.database.hub() as tx:
            rows = await tx.fetch("SELECT lease_id, epoch FROM leases WHERE job_id = ANY($1)", jobs)
        refs = [LeaseRef(row["lease_id"], row["epoch"]) for row in rows]
        endings = [ended(ref, Ending(EndReason.COMPLETED)) for ref in refs]
        await self.world.report(await self.world.attach(), 1, *endings)

    async def held_beside(self, job: JobId) -> int:
        """Return how many cards are held on the job's node, its own included."""
        async with self.world.database.hub() as tx:
            return int(
                await tx.fetchval(
                    """SELECT count(*) FROM held_cards WHERE node_id = (
                           SELECT ln.node_id FROM leases l JOIN lease_nodes ln USING (lease_id) WHERE l.job_id = $1)""",
                    job,
                )
            )

    async def numbers(self) -> list[int]:
        return [report.round for report in await self.reader.list_page(10, None, busy_only=False)]


def lanes(world: ClusterWorld, planner: Slow, holder: str = "me", *, enabled: bool = True) -> Lanes:
    planner.may_end.set()  # whatever the test before this one left
    woken: list[str] = []
    placing = Placing(world.database, policy=POLICY, wake_cluster=woken.append, enabled=enabled)
    rounds = Rounds(
        world.database,
        jobs_max=100,
        records_kept=5,
        wake_cluster=woken.append,
        remember=lambda _: None,
        placing=placing,
    )
    loop = RoundLoop(
        world.database,
        rounds,
        planner,
        holder=holder,
        policy=POLICY,
        budget_seconds=5,
        recheck_seconds=30,
        lead_term=timedelta(seconds=5),
        clock_now=lambda: world.now,
    )
    return Lanes(world, planner, woken, placing, loop, PlacingLoop(placing), RoundsReader(world.database))


@pytest.fixture(scope="module")
async def planner() -> AsyncIterator[Slow]:
    process = Slow()
    yield process
    process.close()


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    """Sixteen cards on two nodes, of one PFLOPS and 500 W each."""
    world = await ClusterWorld(database).lay()
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE accelerator_models SET fp16_programme_milli_tflops = 1000000, watts = 400, host_watts = 100"
        )
    await world.attach()
    return world


@pytest.fixture
async def here(world: ClusterWorld, planner: Slow) -> Lanes:
    return lanes(world, planner)


async def prepay(database: Database, micro_yuan: int) -> None:
    """The city pays 1000 micro-yuan for each card and second, and has so much."""
    async with database.hub() as tx:
        await asked(tx, "east", "ascend-910b", 3_600_000)
        await tx.execute("UPDATE cities SET billing = 'prepaid' WHERE city = 'ganzhou'")
    await Ledger(database).deposit(OPERATOR, Move("slip", "city/ganzhou", micro_yuan, "slip"), now=START)


async def cap_power(database: Database) -> None:
    """2 kW at the meter are three cards of 500 W at a PUE of 1.25."""
    change = PowerChange("qingyang", power_kilowatts_max=2, pue_milli=1250)
    await HubEnergy(database, wake=lambda: None).set(OPERATOR, change, now=START)


async def limit_city(database: Database) -> None:
    """Three cards of the city's quota."""
    quotas = Quotas(database, wake=lambda: None)
    await quotas.set(OPERATOR, QuotaRow("qingyang", 3_000, 0, None), now=START)
    await quotas.set(OPERATOR, QuotaRow("qingyang/ganzhou", 3_000, 0, None), now=START)


async def drain_cluster(database: Database) -> None:
    operations = Operations(database, Identity(database), wake=lambda: None)
    await operations.drain(OPERATOR, "east", [], "fan", now=START)


async def cordon_free_node(database: Database) -> None:
    """The one node that has eight cards left."""
    async with database.hub() as tx:
        node = await tx.fetchval("SELECT node FROM nodes WHERE node_id NOT IN (SELECT node_id FROM held_cards)")
    operations = Operations(database, Identity(database), wake=lambda: None)
    await operations.cordon(OPERATOR, "east", [node], "fan", now=START)


async def pause_queue(database: Database) -> None:
    await Pauses(database, wake=lambda: None).pause(OPERATOR, Paused.QUEUE, "ganzhou", "review", now=START)


async def pause_cluster(database: Database) -> None:
    await Pauses(database, wake=lambda: None).pause(OPERATOR, Paused.CLUSTER, "east", "review", now=START)


async def broken_limits(dsns: Dsns) -> set[str]:
    """Return what the audit finds of limits."""
    _, findings = await run(dsns.hub, dsns.city, {})
    return {finding.rule for finding in findings} & {rule.__name__ for rule in limits.RULES}


async def test_a_job_that_arrives_after_a_round_is_leased_without_another(here: Lanes) -> None:
    async with here.world.database.hub() as tx:
        await asked(tx, "east", "ascend-910b", 7)
    await here.first_round()
    before = await here.numbers()
    here.woken.clear()

    job = await here.submit()

    assert await here.place() == 1
    assert await here.world.state_of(job) is JobState.LEASED
    assert await here.world.story(job) == [JobEvent.SUBMITTED, JobEvent.LEASED]
    assert await here.numbers() == before
    assert here.woken == ["east"]
    placement = (await here.world.job(job)).placement
    assert placement is not None
    assert placement.price == LeasePrice(7, 0, 1)
    await here.world.check()


async def test_a_job_that_arrives_while_a_round_is_planned_is_leased_meanwhile(here: Lanes) -> None:
    """The round thinks about a job of its own; both are leased, on unlike cards."""
    await here.first_round()
    planned = await here.submit_to_round(cards_per_task=4)
    task = await here.round_under_way()
    arrived = await here.submit(cards_per_task=3)

    assert await here.place() == 1
    assert await here.world.state_of(arrived) is JobState.LEASED
    assert await here.world.state_of(planned) is JobState.PENDING
    assert await here.end(task) == 1
    assert await here.world.state_of(planned) is JobState.LEASED
    assert await here.world.held() == 1 + 3 + 4
    await here.world.check()


async def test_a_job_that_arrives_while_the_world_is_read_is_leased_meanwhile(here: Lanes) -> None:
    """The new view counts it, and so does the round that is planned on that world; it is not read twice."""
    await here.first_round()
    planned = await here.submit_to_round(cards_per_task=4)
    meanwhile: list[JobId] = []

    async def arrive() -> None:
        meanwhile.append(await here.submit(cards_per_task=3))
        assert await asyncio.wait_for(here.place(), 10) == 1

    waiting = here.once_read(arrive)

    assert await here.round() == 1
    assert len(waiting) == 1
    assert await here.world.state_of(meanwhile[0]) is JobState.LEASED
    assert await here.world.state_of(planned) is JobState.LEASED
    rest = [await here.submit() for _ in range(9)]
    assert await here.place() == 16 - 1 - 3 - 4
    assert [await here.world.state_of(job) for job in rest].count(JobState.PENDING) == 1
    await here.world.check()


async def test_a_job_that_waited_when_the_world_was_read_is_leased_once(here: Lanes) -> None:
    """The round has it in its world, the view before leases it; that world shows its cards as free."""
    await here.first_round()
    planned = await here.submit_to_round(cards_per_task=8)
    arrived: list[JobId] = []

    async def arrive() -> None:
        arrived.append(await here.submit(cards_per_task=7))

    async def place() -> None:
        assert await asyncio.wait_for(here.place(), 10) == 1

    waiting = here.once_read(place, arrive)

    assert await here.round() == 1
    assert waiting == [2]
    assert await here.world.state_of(planned) is JobState.LEASED
    assert await here.world.state_of(arrived[0]) is JobState.LEASED
    assert await here.world.held() == 16
    await here.world.check()


async def test_a_share_that_is_leased_while_the_world_is_read_has_it_read_again(here: Lanes) -> None:
    """The card that was split for it has no name in what was read."""
    async with here.world.database.hub() as tx:
        await tx.execute("UPDATE accelerator_models SET slices_milli = '{500}'")
    await here.first_round()
    await here.submit_to_round(cards_per_task=4)

    async def arrive() -> None:
        await here.submit(share_milli=500)
        assert await asyncio.wait_for(here.place(), 10) == 1

    waiting = here.once_read(arrive)

    assert await here.round() == 1
    assert len(waiting) == 2
    await here.world.check()


async def test_who_found_no_room_while_the_world_was_read_is_looked_at_again(here: Lanes) -> None:
    """By the view before there is none; by the new one there is: what ran has ended."""
    ran = await here.first_round(cards_per_task=8)
    other = await here.submit(cards_per_task=8)
    assert await here.place() == 1
    meanwhile: list[JobId] = []
    await here.finish(ran)
    await here.submit_to_round(cards_per_task=1, ceiling_micro_yuan_per_pflops_hour=1)

    async def arrive() -> None:
        meanwhile.append(await here.submit(cards_per_task=8))
        assert await asyncio.wait_for(here.place(), 10) == 0

    here.once_read(arrive)
    await here.round()

    assert await here.world.state_of(other) is JobState.LEASED
    assert await here.world.state_of(meanwhile[0]) is JobState.LEASED
    await here.world.check()


async def test_who_was_leased_while_the_world_was_read_and_waits_again_is_left_to_the_round(here: Lanes) -> None:
    """Its lease was taken over by the new view and has ended: in that view its room counts once."""
    await here.first_round()
    await here.submit_to_round(cards_per_task=1, ceiling_micro_yuan_per_pflops_hour=1)
    seen: list[tuple[int, list[str]]] = []

    async def arrive() -> None:
        job = await here.submit(cards_per_task=3, attempts_max=5)
        assert await here.place() == 1
        lease = await here.world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", job)
        gone = ended(LeaseRef(lease["lease_id"], lease["epoch"]), Ending(EndReason.VANISHED))
        await here.world.report(await here.world.attach(), 1, gone)
        assert await here.world.state_of(job) is JobState.PENDING

    async def then_place(*given: Any, **more: Any) -> bool:
        went_on = await go_on(*given, **more)
        placed, view = await here.place(), here.placing._view
        assert view is not None
        seen.append((placed, [placement.job_id for _, placement in view.leased]))
        return went_on

    here.once_read(arrive)
    go_on = here.placing.go_on
    here.placing.go_on = then_place  # type: ignore[method-assign]
    await here.round()

    assert [(placed, len(leased)) for placed, leased in seen] == [(0, 1)]
    await here.world.check()


async def test_a_plan_for_cards_that_were_leased_meanwhile_is_handed_back(here: Lanes) -> None:
    """Each whole or not at all: eight cards are free, the job that arrives has one of them."""
    await here.first_round(cards_per_task=8)
    planned = await here.submit_to_round(cards_per_task=8)
    task = await here.round_under_way()
    await here.submit()

    assert await here.place() == 1
    assert await here.end(task) == 0
    assert await here.world.state_of(planned) is JobState.PENDING
    assert await here.world.held() == 9
    await here.world.check()


async def test_the_view_goes_on_after_the_round_that_was_planned_beside_it(here: Lanes) -> None:
    """It knows what the round took: the last eight cards, and not one more, are leased without another round."""
    await here.first_round()
    await here.submit_to_round(cards_per_task=4)
    task = await here.round_under_way()
    await here.submit(cards_per_task=3)
    await here.place()
    await here.end(task)
    rest = [await here.submit() for _ in range(9)]

    assert await here.place() == 8
    assert [await here.world.state_of(job) for job in rest].count(JobState.PENDING) == 1
    assert await here.world.held() == 16
    await here.world.check()


async def test_the_view_goes_on_when_the_round_has_what_ended_meanwhile(here: Lanes, world: ClusterWorld) -> None:
    """A job is leased beside the round, has the cards that the round plans with, and ends before its commit."""
    session = await world.attach()
    await here.first_round(cards_per_task=8)
    await here.submit_to_round(cards_per_task=8)
    task = await here.round_under_way()
    short = await here.submit(cards_per_task=8)
    assert await here.place() == 1
    ref = await world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", short)
    done = ended(LeaseRef(ref["lease_id"], ref["epoch"]), Ending(EndReason.COMPLETED))
    await world.report(session, 1, done)

    waiting = here.once_read(nothing)
    assert await here.end(task) == 1

    assert waiting == []
    assert here.placing.at_work
    await here.submit()
    assert await here.place() == 0
    await world.check()


async def test_a_job_whose_lease_ended_while_its_round_was_planned_is_leased_again(
    here: Lanes, world: ClusterWorld
) -> None:
    """The view has placed it, the round has it in its world as well, and it waits again when that is committed."""
    session = await world.attach()
    await here.first_round()
    await here.submit_to_round(cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=RICH)
    again: list[JobId] = []

    async def arrive() -> None:
        again.append(await here.submit(cards_per_task=2))

    here.once_read(nothing, arrive)
    task = await here.round_under_way()
    ref = await world.row("SELECT lease_id, epoch FROM leases WHERE job_id = $1", again[0])
    await world.report(session, 1, ended(LeaseRef(ref["lease_id"], ref["epoch"]), Ending(EndReason.VANISHED)))
    assert await world.state_of(again[0]) is JobState.PENDING

    assert await here.end(task) == 1

    assert here.placing.at_work
    assert await world.state_of(again[0]) is JobState.LEASED
    await world.check()


async def test_what_ended_on_a_quiet_exchange_is_seen_by_the_next_reading(here: Lanes, world: ClusterWorld) -> None:
    """The world is what it was before the lane leased anything in it."""
    await here.finish(await here.first_round())
    world.now += 2 * LOOK_AGAIN
    await here.round()
    jobs = [await here.submit(cards_per_task=8) for _ in range(2)]
    assert await here.place() == 2
    await here.finish(*jobs)
    world.now += 2 * LOOK_AGAIN
    await here.round()

    await here.submit(cards_per_task=8)

    assert await here.place() == 1


async def test_no_round_is_planned_for_who_was_leased_while_the_world_was_read(here: Lanes) -> None:
    await here.first_round()
    before = await here.numbers()

    async def arrive() -> None:
        await here.submit(cards_per_task=2)

    async def place() -> None:
        assert await asyncio.wait_for(here.place(), 10) == 1

    here.world.now += 2 * LOOK_AGAIN
    here.once_read(place, arrive)

    assert await here.round() == 0
    assert await here.numbers() == before


async def test_a_pair_of_cards_is_left_whole_while_pairs_are_usual(here: Lanes) -> None:
    """Two cards are free on one node and three on the other: the tightest would be the pair that the queue asks for."""
    for cards in (5, 6):
        await here.submit(cards_per_task=cards)
    assert await here.round() == 2
    await here.submit_to_round(tasks=3, cards_per_task=2)
    assert await here.round() == 0  # three pairs have no room

    job = await here.submit()

    assert await here.place() == 1
    assert await here.held_beside(job) == 6


async def test_a_city_that_the_view_does_not_know_waits_for_the_round(here: Lanes) -> None:
    await here.first_round()
    async with here.world.database.hub() as tx:
        await tx.execute("INSERT INTO cities VALUES ('xian', 'Xian', 1, 1000, 1000, 1)")
    stranger, known = await here.submit("xian"), await here.submit()

    assert await here.place() == 1
    assert await here.world.state_of(known) is JobState.LEASED
    assert await here.world.state_of(stranger) is JobState.PENDING
    assert await here.round() == 1


# Who may lease beside the rounds


async def test_nothing_is_leased_beside_the_rounds_when_that_is_off(world: ClusterWorld, planner: Slow) -> None:
    here = lanes(world, planner, enabled=False)
    await here.first_round()
    job = await here.submit()

    assert await here.place() == 0
    assert await world.state_of(job) is JobState.PENDING
    assert await here.round() == 1


async def test_on_a_hub_where_nobody_waits_the_first_job_is_leased_without_a_round_of_its_own(here: Lanes) -> None:
    """One round of nobody gives the prices: else who comes first waits for reading, planning and commit."""
    await here.world.attach()

    rounds_of_nobody = [await here.round(), await here.round()]
    job = await here.submit()
    leased = await here.place()

    assert (rounds_of_nobody, leased) == ([0, 0], 1)
    assert await here.world.state_of(job) is JobState.LEASED
    assert len(await here.numbers()) == 1


async def test_who_leads_again_in_the_same_world_plans_a_round_for_its_prices(here: Lanes, planner: Slow) -> None:
    """Its prices were of the lead before: what was seen then does not keep it from planning."""
    await here.world.attach()
    await here.round()
    await here.rounds.resign(here.world.now)
    other = lanes(here.world, planner, "second")
    await other.round()
    await other.rounds.resign(here.world.now)

    await here.round()
    job = await here.submit()

    assert await here.place() == 1
    assert await here.world.state_of(job) is JobState.LEASED


async def test_without_a_committed_round_there_are_no_prices_and_nothing_is_leased(here: Lanes) -> None:
    job = await here.submit()

    assert await here.place() == 0
    assert await here.world.state_of(job) is JobState.PENDING
    assert await here.numbers() == []


async def test_who_does_not_lead_leases_nothing(here: Lanes, planner: Slow) -> None:
    await here.first_round()
    second = lanes(here.world, planner, "second")
    await second.round()
    job = await here.submit()

    assert await second.place() == 0
    assert await second.round() == 0
    assert await here.world.state_of(job) is JobState.PENDING


async def test_who_lost_the_lead_leases_nothing_and_drops_its_view(here: Lanes, planner: Slow) -> None:
    """Another one may have leased since; so the view is gone even if the lead should come back."""
    world = here.world
    await here.first_round()
    old = await world.row("SELECT holder, epoch FROM leadership")
    world.advance(6)
    await lanes(world, planner, "newer").round()
    job = await here.submit()

    assert (await world.row("SELECT holder FROM leadership"))["holder"] == "newer"
    assert await here.place() == 0
    async with world.database.hub() as tx:
        await tx.execute("UPDATE leadership SET holder = $1, epoch = $2", old["holder"], old["epoch"])
    assert await here.place() == 0
    assert await world.state_of(job) is JobState.PENDING


async def test_who_leads_goes_on_leading_while_many_are_looked_at(here: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of thousands takes longer than a term: the round that follows must not be planned in vain."""
    await here.first_round()
    here.rounds._lead_term = timedelta(seconds=0.4)
    place = here.placing.place_arrived

    async def expires() -> datetime:
        return (await here.world.row("SELECT expires_at FROM leadership"))["expires_at"]  # type: ignore[no-any-return]

    async def takes_its_time(now: datetime, *, commits_max: int) -> int:
        before = await expires()
        here.world.advance(0.1)

        async def renewed() -> bool:
            return await expires() > before

        await eventually(renewed)
        return await place(now, commits_max=commits_max)

    monkeypatch.setattr(here.placing, "place_arrived", takes_its_time)
    job = await here.submit_to_round(cards_per_task=4)

    assert await here.round() == 1
    assert await here.world.state_of(job) is JobState.LEASED


async def test_a_stream_that_does_not_end_keeps_no_round_waiting(here: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the fast lane has looked at one job there is another one."""
    await here.first_round()
    waiting = await here.submit_to_round(cards_per_task=8)
    monkeypatch.setattr(placing_room, "JOBS_PER_COMMIT_MAX", 1)
    place_some = here.placing._place_some

    async def and_another_arrives(*given: Any) -> tuple[int, bool]:
        await here.submit(cards_per_task=16)
        return await place_some(*given)

    monkeypatch.setattr(here.placing, "_place_some", and_another_arrives)

    async with asyncio.timeout(60):
        await here.round()
    assert await here.world.state_of(waiting) is JobState.LEASED


# What has to wait


async def test_room_of_a_large_gang_of_the_running_round_is_not_taken(here: Lanes) -> None:
    """Twelve of sixteen cards are set aside for it: four small jobs start meanwhile, the fifth waits, and it starts."""
    before = await here.first_round(tasks=2, cards_per_task=8, ceiling_micro_yuan_per_pflops_hour=FAIR)
    gang = await here.submit(tasks=3, cards_per_task=4)
    assert await here.place() == 0
    await here.finish(before)
    task = await here.round_under_way()
    small = [await here.submit() for _ in range(5)]

    assert await here.place() == 4
    assert await here.end(task) == 1
    assert await here.world.state_of(gang) is JobState.LEASED
    assert [await here.world.state_of(job) for job in small].count(JobState.PENDING) == 1
    assert await here.world.held() == 16
    await here.world.check()


async def test_what_came_while_a_round_was_planned_and_what_it_handed_back_start_with_its_commit(here: Lanes) -> None:
    """The nodes of the one were taken by the other; neither waits for a round more."""
    await here.first_round()
    planned = await here.submit_to_round(cards_per_task=8)
    task = await here.round_under_way()
    for _ in range(2):
        await here.submit(cards_per_task=4)
    await here.place()
    here.placing.drop()  # so the next one meets no view until the commit
    late = await here.submit()
    await here.end(task)

    assert await here.world.state_of(late) is JobState.LEASED
    assert await here.world.state_of(planned) in (JobState.LEASED, JobState.PENDING)
    assert len(await here.numbers()) == 2


async def test_while_nobody_waits_no_world_is_read(here: Lanes) -> None:
    """But now and then, so that the fast lane knows what has become free."""
    await here.first_round()
    view = here.placing._view

    await here.round()
    assert here.placing._view is view

    here.world.now += LOOK_AGAIN
    await here.submit(cards_per_task=1)
    await here.round()
    assert here.placing._view is not view


async def test_a_job_whose_ceiling_is_below_the_clearing_price_waits_for_the_round(here: Lanes) -> None:
    """There is room, but for what it costs since twenty jobs wanted sixteen cards."""
    world = here.world
    jobs = [await here.submit(ceiling_micro_yuan_per_pflops_hour=FAIR) for _ in range(20)]
    assert await here.round() == 16
    await here.finish(*jobs)
    for job in jobs:
        if await world.state_of(job) is JobState.PENDING:
            await world.cancel(job)
    world.now += LOOK_AGAIN
    await here.round()
    poor = await here.submit(ceiling_micro_yuan_per_pflops_hour=FAIR // 10)
    rich = await here.submit()

    assert await here.place() == 1
    assert await world.state_of(rich) is JobState.LEASED
    assert await world.state_of(poor) is JobState.PENDING
    assert await here.round() == 1
    assert await world.state_of(poor) is JobState.LEASED


# Limits


@pytest.mark.parametrize(
    "change",
    [cap_power, limit_city, drain_cluster, cordon_free_node, pause_queue, pause_cluster],
    ids=lambda change: change.__name__,
)
async def test_what_changed_since_the_view_is_respected(here: Lanes, change: Change) -> None:
    """Neither the fast lane nor the round after it leases the job where it may not run any more."""
    await here.first_round()
    await change(here.world.database)
    job = await here.submit(cards_per_task=8)

    assert await here.place() == 0
    assert await here.world.state_of(job) is JobState.PENDING
    assert await here.round() == 0
    assert await here.world.held() == 1


@pytest.mark.parametrize("limit", [cap_power, limit_city], ids=lambda limit: limit.__name__)
@pytest.mark.parametrize("again", [False, True], ids=["once", "planned-again"])
async def test_what_was_leased_meanwhile_counts_in_the_commit_of_the_round(
    here: Lanes, dsns: Dsns, limit: Change, again: bool
) -> None:
    """One of three cards is used: the round has plans for both others, and one goes to a job that arrives meanwhile."""
    await limit(here.world.database)
    await here.first_round()
    planned = await here.submit_to_round(cards_per_task=2)
    if again:
        await here.break_off(await here.round_under_way())
    task = await here.round_under_way()
    arrived = await here.submit()

    assert await here.place() == 1
    assert await here.end(task) == 0
    assert await here.world.state_of(arrived) is JobState.LEASED
    assert await here.world.state_of(planned) is JobState.PENDING
    assert await broken_limits(dsns) == set()


async def test_what_arrives_is_paid_for_or_waits(here: Lanes) -> None:
    """The fast lane holds money as rounds do: what its payer cannot pay any more waits, and is told why by the next."""
    cost = 607 * 1000
    await prepay(here.world.database, 3 * cost + cost // 2)
    await here.first_round()

    jobs = [await here.submit() for _ in range(4)]
    placed = await here.place()

    states = [await here.world.state_of(job) for job in jobs]
    assert (placed, states.count(JobState.LEASED)) == (2, 2)
    held = await here.world.row("SELECT count(*) AS holds, count(DISTINCT reference) AS leases FROM ledger_holds")
    assert (held["holds"], held["leases"]) == (3, 3)
    left = await here.world.job(jobs[states.index(JobState.PENDING)])
    assert left.waiting_reason == "FUNDS_SHORT"
