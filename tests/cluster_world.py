"""A small world for tests of agents: two clusters, two cities, jobs that are really offered, and what they are now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from msgspec import structs

from broker.caller import Caller, Role
from broker.ids import JobId, LeaseId, RoundId
from broker.job import Build, Job, JobSpec
from broker.lifecycle import JobEvent, JobState, LeaseState
from broker.market.clusters import Clusters, ClusterSignals, Session, Terms
from broker.market.reports import Desired, Hello, LeasePhase, LeaseSeen, Report, by_ref
from broker.store import jobs, rounds, submissions
from broker.store.clusters import NodeInventory, PoolInventory
from broker.store.database import Connection, Database
from broker.store.leases import LeaseRef
from broker.store.rounds import LeaseDraft, RoundReport

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
TERMS = Terms(restarts_max=2)

CATALOGUE = """
    INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang');
    INSERT INTO accelerator_models VALUES
        ('ascend-910b', 'Huawei', 'cann', 'domestic', 0, 1, 0, 0, 0, 'test'),
        ('a800', 'NVIDIA', 'cuda', 'foreign', 0, 1, 0, 0, 0, 'test');
    INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1, 1000, 1000, 1), ('nanjing', 'Nanjing', 1, 1000, 1000, 1);
    INSERT INTO clusters (cluster, hub, owner, title)
        VALUES ('east', 'qingyang', 'owner', 'East'), ('west', 'qingyang', 'owner', 'West');
"""

# What design section 8 demands of these tables at any moment.
CARDS_HELD_BY_THE_DEAD = "SELECT count(*) FROM held_cards JOIN leases USING (lease_id) WHERE state = 'ended'"
CARDS_NOT_HELD = """
    SELECT count(*) FROM leases l JOIN lease_nodes n USING (lease_id) CROSS JOIN unnest(n.cards) AS c (card)
     WHERE l.state <> 'ended'
       AND NOT EXISTS (SELECT FROM held_cards h WHERE (h.node_id, h.card, h.lease_id) = (n.node_id, c.card, l.lease_id))
"""
JOBS_AND_LEASES_APART = """
    SELECT count(*) FROM jobs j
     WHERE (j.state IN ('leased', 'running')) <>
           (1 = (SELECT count(*) FROM leases l WHERE l.job_id = j.job_id AND l.state <> 'ended'))
"""
TIMES_OUT_OF_ORDER = """
    SELECT count(*) FROM leases
     WHERE started_at < offered_at OR ended_at < started_at OR ended_at < offered_at
"""


def spec(**changes: Any) -> JobSpec:
    right = JobSpec(
        name="pretrain",
        tasks=1,
        cards_per_task=1,
        walltime_seconds=600,
        builds=(Build("cann", ("python", "train.py"), environment={"A": "1"}),),
        ceiling_micro_yuan_per_pflops_hour=1,
        grace_seconds=7,
    )
    return structs.replace(right, **changes)


def inventory(*nodes: str, pool: str = "main", model: str = "ascend-910b", cards: int = 8) -> PoolInventory:
    return PoolInventory(pool, model, tuple(NodeInventory(n, cards, 64_000, 1024) for n in nodes or ("n1", "n2")))


def agent_of(cluster: str) -> Caller:
    return Caller("key", Role.AGENT, cluster)


@dataclass
class ClusterWorld:
    """A database with the world in it, the use cases of agents over it, and a time that the test moves."""

    database: Database
    terms: Terms = TERMS

    def __post_init__(self) -> None:
        self.now = START
        self.freed = 0
        self.signals = ClusterSignals()
        self.clusters = Clusters(self.database, self.terms, self.signals, capacity_freed=self._count_freed)
        self._keys = count(1)

    def _count_freed(self) -> None:
        self.freed += 1

    async def lay(self) -> "ClusterWorld":
        async with self.database.hub() as tx:
            await tx.execute(CATALOGUE)
        return self

    def advance(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    # What agents do.

    async def attach(self, cluster: str = "east", instance: str = "one", *pools: PoolInventory) -> Session:
        hello = Hello(cluster, instance, "1", "local", pools or (inventory(),))
        return await self.clusters.attach(agent_of(cluster), hello, self.now)

    async def report(self, session: Session, sequence: int, *leases: LeaseSeen, **more: Any) -> Desired:
        report = Report(sequence, self.now, more.get("nodes", ()), by_ref(leases))
        return await self.clusters.report(session, report, self.now)

    # What cities and rounds do.

    async def submit(self, city: str = "ganzhou", **changes: Any) -> JobId:
        async with self.database.city(city) as tx:
            item = (f"key-{next(self._keys)}", spec(**changes))
            return (await submissions.insert_many(tx, city, [item], self.now))[0].job

    async def offer(
        self, job: JobId, cards: Mapping[str, Sequence[int]] | None = None, cluster: str = "east"
    ) -> LeaseRef:
        """Commit a round that places the waiting job on these cards, by node; without any, on the lowest free one."""
        async with self.database.hub() as tx:
            return await self.offer_in(tx, job, cards, cluster)

    async def offer_in(
        self, tx: Connection, job: JobId, cards: Mapping[str, Sequence[int]] | None = None, cluster: str = "east"
    ) -> LeaseRef:
        """Offer as `offer` does, in a transaction that the caller commits."""
        if cards is None:
            cards = await _lowest_free_card(tx, cluster)
        waiting = (await rounds.lock_waiting(tx, [job], self.now))[job]
        pool = await tx.fetchval("SELECT pool_id FROM pools WHERE cluster = $1", cluster)
        ids = {r["node"]: r["node_id"] for r in await tx.fetch("SELECT * FROM nodes WHERE cluster = $1", cluster)}
        nodes = tuple((ids[node], tuple(held), 1) for node, held in cards.items())
        epoch = waiting.attempt + 1
        draft = LeaseDraft(job, waiting.city, cluster, pool, 0, epoch, waiting.if_lost, nodes)
        lease = (await rounds.offer(tx, await self._round(tx), [draft], self.now))[job]
        return LeaseRef(lease, epoch)

    async def placed(self, **changes: Any) -> tuple[JobId, LeaseRef]:
        """Submit a job and offer it."""
        job = await self.submit(**changes)
        return job, await self.offer(job)

    async def running(self, session: Session, sequence: int, **changes: Any) -> tuple[JobId, LeaseRef]:
        """Submit a job, offer it and let the agent report that it runs."""
        job, ref = await self.placed(**changes)
        await self.report(session, sequence, running(ref))
        return job, ref

    async def cancel(self, job: JobId) -> None:
        async with self.database.hub() as tx:
            await jobs.cancel(tx, job, self.now)

    async def _round(self, tx: Connection) -> RoundId:
        return await rounds.insert(
            tx, 1, RoundReport(self.now, "committed", "", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), {})
        )

    # What is.

    async def job(self, job: JobId) -> Job:
        async with self.database.hub() as tx:
            return await jobs.get(tx, job)

    async def state_of(self, job: JobId) -> JobState:
        return (await self.job(job)).state

    async def lease(self, ref: LeaseRef) -> Mapping[str, Any]:
        return dict(await self.row("SELECT * FROM leases WHERE lease_id = $1", ref.lease))

    async def lease_state(self, ref: LeaseRef) -> LeaseState:
        return LeaseState((await self.lease(ref))["state"])

    async def story(self, job: JobId) -> list[JobEvent]:
        async with self.database.hub() as tx:
            rows = await tx.fetch("SELECT kind FROM event_outbox WHERE job_id = $1 ORDER BY event_id", job)
        return [JobEvent(r["kind"]) for r in rows]

    async def held(self) -> int:
        async with self.database.hub() as tx:
            return int(await tx.fetchval("SELECT count(*) FROM held_cards"))

    async def row(self, query: str, *values: Any) -> Any:
        async with self.database.hub() as tx:
            return await tx.fetchrow(query, *values)

    async def check(self) -> None:
        """Assert what must hold at any moment."""
        async with self.database.hub() as tx:
            for rule in (CARDS_HELD_BY_THE_DEAD, CARDS_NOT_HELD, JOBS_AND_LEASES_APART, TIMES_OUT_OF_ORDER):
                assert await tx.fetchval(rule) == 0, rule


async def _lowest_free_card(tx: Connection, cluster: str) -> dict[str, list[int]]:
    row = await tx.fetchrow(
        """SELECT n.node, c.card FROM nodes n CROSS JOIN generate_series(0, n.cards - 1) AS c (card)
            WHERE n.cluster = $1
              AND NOT EXISTS (SELECT FROM held_cards h WHERE (h.node_id, h.card) = (n.node_id, c.card))
            ORDER BY n.node, c.card LIMIT 1""",
        cluster,
    )
    assert row is not None, "the world is full"
    return {row["node"]: [row["card"]]}


def starting(ref: LeaseRef) -> LeaseSeen:
    return LeaseSeen(ref, LeasePhase.STARTING)


def running(ref: LeaseRef, started_at: datetime | None = None) -> LeaseSeen:
    return LeaseSeen(ref, LeasePhase.RUNNING, started_at)


def ended(ref: LeaseRef, ending: Any, **times: datetime) -> LeaseSeen:
    return LeaseSeen(ref, LeasePhase.ENDED, times.get("started_at"), times.get("ended_at"), ending)


def orders_of(desired: Desired) -> list[LeaseId]:
    return [order.ref.lease for order in desired.start]


async def laid_with_agents(database: Database) -> ClusterWorld:
    """Return a world whose clusters have their agents."""
    world = await ClusterWorld(database).lay()
    await world.attach("east")
    await world.attach("west")
    return world
