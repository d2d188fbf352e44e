"""Reports in, what should be out: on a real PostgreSQL, with scripted and with random agents."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from broker.caller import Caller, Role
from broker.errors import AlreadyAttached, ClusterMismatch, InvalidRequest, RoleRefused, StaleSession
from broker.ids import JobId, LeaseId
from broker.job import Ending, IfLost
from broker.lifecycle import AgentState, EndReason, JobEvent, JobState, LeaseState, next_job
from broker.loops.silence import Silence
from broker.market.clusters import Session, Terms
from broker.market.reports import Desired, Hello, LeaseSeen, LeaseStop, Report, StopReason, by_ref
from broker.store import leases
from broker.store.clusters import NodeCondition
from broker.store.database import Database
from broker.store.leases import LeaseRef
from broker.store.orders import LiveLeases
from tests.cluster_world import (
    START,
    ClusterWorld,
    agent_of,
    ended,
    inventory,
    orders_of,
    running,
    starting,
)

COMPLETED = Ending(EndReason.COMPLETED)
CANCELLED = Ending(EndReason.CANCELLED)


@pytest.fixture
async def world(database: Database) -> ClusterWorld:
    return await ClusterWorld(database).lay()


async def test_a_job_lives_its_whole_life(world: ClusterWorld) -> None:
    """Ordered until it is reported, left alone while it runs, settled when it has ended."""
    session = await world.attach()
    job, ref = await world.placed()

    first = await world.report(session, 1)
    again = await world.report(session, 2)
    seen = await world.report(session, 3, starting(ref))
    up = await world.report(session, 4, running(ref, world.now))
    done = await world.report(session, 5, ended(ref, COMPLETED))
    rest = await world.report(session, 6)

    assert orders_of(first) == orders_of(again) == [ref.lease]
    assert (first.report_sequence, again.report_sequence) == (1, 2)
    assert seen == Desired(3)
    assert up == Desired(4)
    assert done == Desired(5, settled=(ref,))
    assert rest == Desired(6)
    assert await world.story(job) == ["submitted", "leased", "started", "succeeded"]
    await world.check()


async def test_what_a_stream_has_wrong_about_live_leases_is_put_right_within_a_minute(world: ClusterWorld) -> None:
    """It reads what has changed; should that ever lack something, it does not last."""
    session = await world.attach()
    _, ref = await world.running(session, 1)
    stranger = ended(LeaseRef(LeaseId(9), 1), COMPLETED)
    await world.report(session, 2, running(ref), stranger)  # it has read by now what the first one changed
    session._live._by_ref.clear()  # as a mistake would

    wrong = await world.report(session, 3, running(ref))
    for sequence in range(4, 17):
        world.advance(5)
        told = await world.report(session, sequence, running(ref))

    assert [stop.ref for stop in wrong.stop] == [ref]
    assert told.stop == ()


async def test_every_message_may_come_twice(world: ClusterWorld) -> None:
    """A repeated report is answered alike and changes nothing, also when a later one was judged already."""
    session = await world.attach()
    job, ref = await world.placed()
    empty = Report(1, world.now, (), {})
    up = Report(2, world.now, (), by_ref([running(ref)]))

    for report in (empty, empty, up, up, empty, up):
        await world.clusters.report(session, report, world.now)

    assert await world.state_of(job) is JobState.RUNNING
    assert await world.story(job) == ["submitted", "leased", "started"]


async def test_a_running_lease_that_a_complete_report_no_longer_names_has_vanished(world: ClusterWorld) -> None:
    """The node was rebooted, or the agent's folder lost: the job waits again, uncharged."""
    session = await world.attach()
    job, ref = await world.running(session, 1)
    freed = world.freed

    desired = await world.report(session, 2)

    assert desired == Desired(2)
    assert await world.state_of(job) is JobState.PENDING
    assert (await world.lease(ref))["end_reason"] == "vanished"
    assert world.freed > freed
    await world.check()


async def test_a_lease_that_was_never_seen_to_run_is_ordered_again(world: ClusterWorld) -> None:
    """Its order may have been lost, or be on the way: that is no end."""
    session = await world.attach()
    _, ref = await world.placed()
    await world.report(session, 1, starting(ref))

    assert orders_of(await world.report(session, 2)) == [ref.lease]

    assert await world.lease_state(ref) is LeaseState.OFFERED


async def test_a_cancelled_job_is_stopped_and_ends_when_the_agent_says_so(world: ClusterWorld) -> None:
    """The cards are held until then."""
    session = await world.attach()
    job, ref = await world.running(session, 1)
    await world.cancel(job)
    world.signals.wake("east")

    stop = await world.report(session, 2, running(ref))
    held = await world.held()
    done = await world.report(session, 3, ended(ref, CANCELLED))

    assert stop.stop == (LeaseStop(ref, 7, StopReason.CANCELLED),)
    assert held == 1
    assert done == Desired(3, settled=(ref,))
    assert await world.state_of(job) is JobState.CANCELLED
    assert (await world.story(job))[-2:] == [JobEvent.CANCEL_REQUESTED, JobEvent.CANCELLED]


async def test_a_job_cancelled_while_its_order_is_on_the_way_is_ordered_and_stopped(world: ClusterWorld) -> None:
    """It must come to an end that the agent confirms: the order cannot be called back."""
    session = await world.attach()
    job, ref = await world.placed()
    await world.cancel(job)

    desired = await world.report(session, 1)

    assert orders_of(desired) == [ref.lease]
    assert desired.stop == (LeaseStop(ref, 7, StopReason.CANCELLED),)
    await world.report(session, 2, ended(ref, CANCELLED))
    assert await world.state_of(job) is JobState.CANCELLED


async def test_what_is_not_ours_is_stopped_and_then_settled(world: ClusterWorld) -> None:
    """No engine job without a lease; another cluster's lease is nobody's here."""
    session = await world.attach()
    await world.attach("west", "two", inventory("w1"))
    job = await world.submit()
    foreign = await world.offer(job, {"w1": [0]}, "west")
    mine_job, mine = await world.running(session, 1)
    await world.report(session, 2, ended(mine, COMPLETED))
    unknown, stale = LeaseRef(LeaseId(999_999), 1), LeaseRef(mine.lease, 7)

    stop = await world.report(session, 3, running(foreign), running(unknown), starting(stale))
    done = await world.report(session, 4, ended(foreign, COMPLETED), ended(unknown, COMPLETED), ended(stale, COMPLETED))

    assert {(s.ref, s.reason) for s in stop.stop} == {
        (foreign, StopReason.UNKNOWN_LEASE),
        (unknown, StopReason.UNKNOWN_LEASE),
        (stale, StopReason.STALE_EPOCH),
    }
    assert set(done.settled) == {foreign, unknown, stale}
    assert await world.state_of(job) is JobState.LEASED
    assert await world.state_of(mine_job) is JobState.SUCCEEDED


async def test_a_stale_epoch_changes_nothing_and_is_settled(world: ClusterWorld) -> None:
    """An agent that comes back with an old attempt cannot end the new one."""
    session = await world.attach()
    job, old = await world.running(session, 1, attempts_max=3)
    await world.report(session, 2, ended(old, Ending(EndReason.SIGNAL, signal=9)))
    new = await world.offer(job)
    world.signals.wake("east")

    desired = await world.report(session, 3, ended(old, COMPLETED))

    assert desired.settled == (old,)
    assert orders_of(desired) == [new.lease]
    assert await world.state_of(job) is JobState.LEASED


async def test_a_restarted_agent_goes_on_where_the_old_one_stopped(world: ClusterWorld) -> None:
    """Its jobs ran on; a new process with its memory attaches at once, even before the old stream's end is seen."""
    first = await world.attach("east", "one")
    job, ref = await world.running(first, 1)

    second = await world.attach("east", "one")
    desired = await world.report(second, 1, running(ref))

    assert desired == Desired(1)
    assert await world.state_of(job) is JobState.RUNNING
    with pytest.raises(StaleSession):
        await world.report(first, 2)


async def test_an_agent_without_the_memory_of_the_last_one_is_refused_while_leases_live(world: ClusterWorld) -> None:
    """Its silence about what the other one started would free cards that are in use, and start jobs a second time."""
    first = await world.attach("east", "one")
    job, ref = await world.running(first, 1)
    await world.clusters.detach(first)
    with pytest.raises(AlreadyAttached, match="one"):
        await world.attach("east", "two")
    world.advance(3600)
    with pytest.raises(AlreadyAttached, match="one"):
        await world.attach("east", "two")

    back = await world.attach("east", "one")
    await world.report(back, 1, ended(ref, COMPLETED))
    await world.clusters.detach(back)
    await world.attach("east", "two")

    assert await world.state_of(job) is JobState.SUCCEEDED


async def test_an_agent_whose_stream_has_ended_gets_no_new_work(world: ClusterWorld) -> None:
    """Nobody would hear the order; its leases live on as in any silence."""
    first = await world.attach()
    _, ref = await world.running(first, 1)

    await world.clusters.detach(first)

    assert (await world.row("SELECT agent_state FROM clusters WHERE cluster = 'east'"))[0] == AgentState.SUSPECT
    assert await world.lease_state(ref) is LeaseState.ACTIVE
    second = await world.attach()
    await world.report(second, 1, running(ref))
    assert (await world.row("SELECT agent_state FROM clusters WHERE cluster = 'east'"))[0] == AgentState.LIVE


async def test_the_word_of_a_stale_stream_changes_nothing(world: ClusterWorld) -> None:
    """A report that was under way when the agent dialled again must not be judged after the newer stream's."""
    old = await world.attach()
    job, ref = await world.placed()
    new = await world.attach()
    await world.report(new, 1, running(ref))

    with pytest.raises(StaleSession):
        await world.report(old, 1)
    old._report = Report(1, None, (), {})
    with pytest.raises(StaleSession):
        await world.clusters.refresh(old, world.now)

    assert await world.state_of(job) is JobState.RUNNING


async def test_a_lost_lease_that_never_ran_is_ordered_again(world: ClusterWorld) -> None:
    """The order may never have arrived before the silence."""
    session = await world.attach()
    job, ref = await world.placed()
    async with world.database.hub() as tx:
        await leases.silent(tx, "east", world.now)

    desired = await world.report(session, 1)
    await world.report(session, 2, running(ref))

    assert orders_of(desired) == [ref.lease]
    assert await world.story(job) == ["submitted", "leased", "lost", "found", "started"]


async def test_only_its_own_agents_key_speaks_for_a_cluster(world: ClusterWorld) -> None:
    """And no other role does."""
    hello = Hello("east", "one", "1", "local", (inventory(),))

    with pytest.raises(ClusterMismatch, match="west"):
        await world.clusters.attach(agent_of("west"), hello, world.now)
    with pytest.raises(RoleRefused):
        await world.clusters.attach(Caller("key", Role.OPERATOR), hello, world.now)

    assert (await world.row("SELECT agent_state FROM clusters WHERE cluster = 'east'"))[0] == "never"


async def test_an_inventory_that_is_refused_does_not_attach(world: ClusterWorld) -> None:
    """Nothing half written."""
    with pytest.raises(InvalidRequest):
        await world.attach("east", "one", inventory(model="abacus"))

    row = await world.row("SELECT agent_state, session_epoch FROM clusters WHERE cluster = 'east'")
    assert tuple(row) == ("never", 0)


async def test_a_further_hello_changes_the_inventory_of_the_same_stream(world: ClusterWorld) -> None:
    """The fence stays; another agent's name on the stream is refused."""
    session = await world.attach()
    hello = Hello("east", "one", "1", "local", (inventory("n1", "n3"),))
    await world.report(session, 1)

    await world.clusters.change_inventory(session, hello, world.now)
    await world.report(session, 2, nodes=(NodeCondition("n3", down=True),))

    assert (await world.row("SELECT down FROM nodes WHERE node = 'n3'"))["down"]
    with pytest.raises(InvalidRequest):
        await world.clusters.change_inventory(session, replace(hello, instance="two"), world.now)


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (NodeCondition("elsewhere", down=True), "report.nodes[0].node"),
        (NodeCondition("n1", foreign_cards=(1, 8)), "report.nodes[0].foreign_cards"),
    ],
)
async def test_a_report_knows_only_its_own_nodes_and_cards(
    world: ClusterWorld, condition: NodeCondition, field: str
) -> None:
    """Another cluster's nodes cannot be called down."""
    session = await world.attach()
    await world.attach("west", "two", inventory("elsewhere"))

    with pytest.raises(InvalidRequest) as refused:
        await world.report(session, 1, nodes=(condition,))

    assert [f.field for f in refused.value.fields] == [field]
    assert not (await world.row("SELECT down FROM nodes WHERE node = 'elsewhere'"))["down"]


async def test_times_are_read_by_the_agents_own_clock(world: ClusterWorld) -> None:
    """An agent whose clock is a day ahead still tells how long a job ran."""
    session = await world.attach()
    _, ref = await world.placed()
    world.advance(100)
    ahead = world.now + timedelta(days=1)
    seen = ended(ref, COMPLETED, started_at=ahead - timedelta(seconds=60), ended_at=ahead - timedelta(seconds=20))

    await world.clusters.report(session, Report(1, ahead, (), by_ref([seen])), world.now)

    lease = await world.lease(ref)
    assert (lease["started_at"], lease["ended_at"]) == (START + timedelta(seconds=40), START + timedelta(seconds=80))


async def test_an_unchanged_report_writes_a_heartbeat_at_most_every_second(world: ClusterWorld) -> None:
    """At rest a thousand clusters must cost next to nothing."""
    session = await world.attach()
    await world.report(session, 1)

    async def heard_after(seconds: float, sequence: int) -> timedelta:
        world.advance(seconds)
        await world.report(session, sequence)
        heard: datetime = (await world.row("SELECT heard_at FROM clusters WHERE cluster = 'east'"))["heard_at"]
        return world.now - heard

    assert await heard_after(0.4, 2) == timedelta(seconds=0.4)
    assert await heard_after(0.4, 3) == timedelta(seconds=0.8)
    assert await heard_after(0.4, 4) == timedelta(0)


def test_with_short_terms_heartbeats_come_more_often() -> None:
    """An agent that reports must never look silent."""
    short = Terms(report_interval_seconds=0.1, suspect_after_seconds=0.8, lost_after_seconds=2, kill_after_seconds=1)

    assert Terms().heartbeat == timedelta(seconds=1)
    assert short.heartbeat == timedelta(seconds=0.2)


async def test_what_another_broker_committed_is_seen_within_five_seconds(world: ClusterWorld) -> None:
    """No wake reaches this process, and the report says nothing new."""
    session = await world.attach()
    await world.report(session, 1)
    _, ref = await world.placed()

    world.advance(2)
    early = await world.report(session, 2)
    world.advance(3)
    late = await world.report(session, 3)

    assert orders_of(early) == []
    assert orders_of(late) == [ref.lease]


async def test_a_wake_tells_the_agent_at_once_and_only_once(world: ClusterWorld) -> None:
    """A round's commit reaches a quiet agent without waiting for its next report."""
    session = await world.attach()
    await world.report(session, 1)
    _, ref = await world.placed()
    world.signals.wake("west")
    assert not session.signal.is_set()

    world.signals.wake("east")

    assert session.signal.is_set()
    pushed = await world.clusters.refresh(session, world.now)
    assert pushed is not None
    assert (pushed.report_sequence, orders_of(pushed)) == (0, [ref.lease])
    assert await world.clusters.refresh(session, world.now) is None


async def test_news_name_each_order_once_and_an_answer_names_it_until_it_has_begun(world: ClusterWorld) -> None:
    """Else an agent that gets a hundred leases one by one is sent five thousand orders."""
    session = await world.attach()
    await world.report(session, 1)
    _, first = await world.placed()
    await world.clusters.refresh(session, world.now)
    _, second = await world.placed()

    news = await world.clusters.refresh(session, world.now)
    answer = await world.report(session, 2)
    again = await world.clusters.refresh(session, world.now)

    assert news is not None
    assert orders_of(news) == [second.lease]
    assert orders_of(answer) == [first.lease, second.lease]
    assert again is None


async def test_news_of_a_stop_bring_the_order_that_the_agent_may_not_have_seen(world: ClusterWorld) -> None:
    session = await world.attach()
    await world.report(session, 1)
    job, first = await world.placed()
    await world.placed()
    await world.clusters.refresh(session, world.now)
    await world.cancel(job)

    news = await world.clusters.refresh(session, world.now)

    assert news is not None
    assert (orders_of(news), [stop.ref for stop in news.stop]) == ([first.lease], [first])


async def test_an_agent_that_is_silent_is_told_nothing(world: ClusterWorld) -> None:
    """A word that reached it late would renew what is about to be given up."""
    session = await world.attach()
    await world.report(session, 1)
    await world.placed(if_lost=IfLost.RESTART)

    world.advance(world.terms.suspect_after_seconds)

    assert await world.clusters.refresh(session, world.now) is None


@pytest.mark.parametrize("wrong", [{"suspect_after_seconds": 1.0}, {"kill_after_seconds": 60.0}])
def test_terms_that_could_run_a_job_twice_are_refused(wrong: dict[str, Any]) -> None:
    """An agent must have killed before the broker restarts."""
    with pytest.raises(ValueError, match="needs"):
        Terms(**wrong)


LOST_LEASES = "SELECT lease_id, epoch FROM leases WHERE state = 'lost' ORDER BY lease_id"


class Engine:
    """An agent with its engine as a random walk.

    It obeys what it is told, forgets only what is settled, and keeps its terms: `if_lost: restart` work is killed when
    no word came for long enough. Now and then a node loses its memory, and what ran there with it.
    """

    def __init__(self, luck: random.Random, terms: Terms, now: datetime) -> None:
        self.luck = luck
        self.terms = terms
        self.told_at = now
        self.states: dict[LeaseRef, str] = {}
        self.orders: dict[LeaseRef, tuple[JobId, IfLost]] = {}
        self.runs = 0

    def obey(self, desired: Desired, now: datetime) -> None:
        self.told_at = now
        for order in desired.start:
            self.states.setdefault(order.ref, "starting")
            self.orders[order.ref] = order.job, order.if_lost
        for stop in desired.stop:
            if stop.ref in self.up():
                self.states[stop.ref] = "cancelled"
        for ref in desired.settled:
            self.states.pop(ref, None)

    def live_on(self) -> None:
        for ref, state in list(self.states.items()):
            if state == "starting" and self.luck.random() < 0.6:
                self.states[ref] = "running"
                self.runs += 1
            elif state == "running" and self.luck.random() < 0.2:
                self.states[ref] = self.luck.choice(["completed", "exit_code", "exit_code", "exit_code"])
            if self.luck.random() < 0.02:
                del self.states[ref]

    def keep_terms(self, now: datetime) -> None:
        if now - self.told_at >= timedelta(seconds=self.terms.kill_after_seconds):
            for ref in self.up():
                if self.orders[ref][1] is IfLost.RESTART:
                    self.states[ref] = "lost"

    def up(self) -> set[LeaseRef]:
        return {ref for ref, state in self.states.items() if state in ("starting", "running")}

    def jobs_up(self) -> list[JobId]:
        return [self.orders[ref][0] for ref in self.up()]

    def seen(self) -> tuple[LeaseSeen, ...]:
        made = {"starting": starting, "running": running}
        return tuple(
            made[state](ref) if state in made else ended(ref, Ending(EndReason(state)))
            for ref, state in self.states.items()
        )


class Walk:
    """A broker, an agent and a link between them that loses, repeats and delays; and a second agent in good health.

    A job that is given up too early starts again at the second one, and so runs twice.
    """

    def __init__(self, world: ClusterWorld, sessions: list[Session], jobs: list[JobId], luck: random.Random) -> None:
        self.world = world
        self.session, self.neighbour_session = sessions
        self.jobs = jobs
        self.luck = luck
        self.engine, self.neighbour = (Engine(luck, world.terms, world.now) for _ in range(2))
        self.silence = Silence(world.database, world.terms, capacity_freed=lambda: None)
        self.sent: list[Report] = []
        self.live = {cluster: LiveLeases() for cluster in ("east", "west")}
        self.sequences = count(1)

    async def report(self) -> None:
        self.engine.live_on()
        self.engine.obey(await self._send(), self.world.now)

    async def report_whose_answer_is_lost(self) -> None:
        self.engine.live_on()
        await self._send()

    async def repeat(self) -> None:
        if self.sent:
            await self.world.clusters.report(self.session, self.luck.choice(self.sent), self.world.now)

    async def push(self) -> None:
        desired = await self.world.clusters.refresh(self.session, self.world.now)
        if desired is not None:
            self.engine.obey(desired, self.world.now)

    async def dial_again(self) -> None:
        self.sent.clear()
        self.session = await self.world.attach()

    async def wait(self, seconds: float = 2) -> None:
        self.world.advance(seconds)
        self.engine.keep_terms(self.world.now)
        self.neighbour.live_on()
        report = Report(next(self.sequences), self.world.now, (), by_ref(self.neighbour.seen()))
        desired = await self.world.clusters.report(self.neighbour_session, report, self.world.now)
        self.neighbour.obey(desired, self.world.now)
        await self.silence.run_once(self.world.now)

    async def cut_the_link(self) -> None:
        for _ in range(self.luck.choice([3, 12, 14, 20])):
            await self.wait(5)
            await self.place()
            await self.check()

    async def place(self) -> None:
        waiting = [job for job in self.jobs if await self.world.state_of(job) is JobState.PENDING]
        if waiting:
            cluster = self.luck.choice(["east", "west"])
            await self.world.offer(self.luck.choice(waiting), cluster=cluster)
            self.world.signals.wake(cluster)

    async def cancel(self) -> None:
        if self.luck.random() < 0.2:
            await self.world.cancel(self.luck.choice(self.jobs))

    async def write_off(self) -> None:
        async with self.world.database.hub() as tx:
            for row in await tx.fetch(LOST_LEASES):
                ref = LeaseRef(LeaseId(row["lease_id"]), row["epoch"])
                if ref not in self.engine.states and ref in self.engine.orders:  # the operator looks before he vouches
                    await leases.write_off(tx, ref.lease, self.world.now)

    async def check(self) -> None:
        """No job runs twice, and who reads what has changed of the live leases knows as much as who reads all."""
        async with self.world.database.hub() as tx:
            for cluster, changed in self.live.items():
                assert await changed.read(tx, cluster) == await LiveLeases().read(tx, cluster)
        up = self.engine.jobs_up() + self.neighbour.jobs_up()
        assert len(up) == len(set(up)), "a job runs twice at the same time"

    async def _send(self) -> Desired:
        sequence = self.sent[-1].sequence + 1 if self.sent else 1
        self.sent.append(Report(sequence, self.world.now, (), by_ref(self.engine.seen())))
        return await self.world.clusters.report(self.session, self.sent[-1], self.world.now)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_in_whatever_order_nothing_of_section_8_breaks(database: Database, seed: int) -> None:
    """Cards are held exactly by live leases, one for a job, no job runs twice at once, and each story is in the table.

    Replay one seed: pytest tests/market/test_clusters.py -k "whatever and 3"
    """
    luck = random.Random(seed)
    world = await ClusterWorld(database).lay()
    sessions = [await world.attach("east"), await world.attach("west")]
    jobs = [await world.submit(attempts_max=10, if_lost=luck.choice(list(IfLost))) for _ in range(10)]
    walk = Walk(world, sessions, jobs, luck)
    steps = [
        *[walk.report] * 6,
        *[walk.place, walk.wait] * 2,
        *(walk.report_whose_answer_is_lost, walk.repeat, walk.push, walk.dial_again),
        *(walk.cut_the_link, walk.cut_the_link, walk.cancel, walk.write_off),
    ]

    for _ in range(120):
        await luck.choice(steps)()
        await walk.check()
        await world.check()

    assert walk.engine.runs + walk.neighbour.runs > 15
    for job in jobs:
        state = JobState.PENDING
        for event in (await world.story(job))[1:]:
            state = next_job(state, event)
        assert state is await world.state_of(job)
