"""A small world in a real database, and jobs in it: for tests of what stands on the store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from broker.caller import Caller, Role
from broker.ids import JobId, LeaseId
from broker.job import Build, JobSpec
from broker.lifecycle import JOB_FINAL, JobState
from broker.store import rates, rounds, submissions, voucher_applications
from broker.store.database import Connection, Database
from broker.store.rounds import LeaseDraft, RoundReport
from broker.vouchers.applying import Enterprise
from broker.vouchers.programme import ApplicantType
from broker.worlds.rates import Curve, RateCard

T0 = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

GANZHOU = Caller("key-ganzhou", Role.CITY, "ganzhou")
NANJING = Caller("key-nanjing", Role.CITY, "nanjing")
OPERATOR = Caller("key-operator", Role.OPERATOR)
OBSERVER = Caller("key-observer", Role.OBSERVER)
ACME = Caller("key-acme", Role.ENTERPRISE, "ganzhou/acme")
COMPANY = ApplicantType.COMPANY
AGENT = Caller("key-agent", Role.AGENT, "longdong")

CATALOGUE = """
    INSERT INTO hubs (hub, title) VALUES ('qingyang', 'Qingyang'), ('guian', 'Gui''an');
    INSERT INTO accelerator_models
        VALUES ('ascend-910b', 'Huawei', 'cann', 'domestic', 0, 320000, 0, 65536, 400, 'test'),
               ('mlu-590', 'Cambricon', 'neuware', 'domestic', 0, 314000, 0, 81920, 350, 'test'),
               ('a800', 'NVIDIA', 'cuda', 'foreign', 0, 312000, 0, 81920, 400, 'test'),
               ('h20', 'NVIDIA', 'cuda', 'foreign', 0, 148000, 0, 98304, 400, 'test');
    INSERT INTO cities VALUES ('ganzhou', 'Ganzhou', 1000000, 100000, 1000, 20000000),
                              ('nanjing', 'Nanjing', 1000000, 100000, 1000, 30000000);
"""
CLUSTER = """
    INSERT INTO clusters (cluster, hub, owner, title) VALUES ('longdong', 'qingyang', 'longdong', 'Longdong');
    INSERT INTO pools (cluster, pool, model) VALUES ('longdong', 'ascend', 'ascend-910b');
    INSERT INTO nodes (cluster, pool_id, node, cards, cpu_milli, memory_mib)
        SELECT 'longdong', pool_id, 'n' || n, 8, 64000, 524288 FROM pools, generate_series(1, 4) AS n;
"""

A_ROUND = RoundReport(T0, "committed", "", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, (), {})


async def lay_out(database: Database, *, clusters: bool = True) -> Database:
    """Fill the catalogue: two hubs, four models, two cities, and a cluster of 4 nodes with 8 cards each."""
    async with database.hub() as tx:
        await tx.execute(CATALOGUE)
        if clusters:
            await tx.execute(CLUSTER)
    return database


async def registered(database: Database, *enterprises: str, city: str = "ganzhou") -> None:
    """Register enterprises of a city, as the voucher office does."""
    async with database.hub() as tx:
        for name in enterprises:
            new = Enterprise(city, name, name, f"number of {city}/{name}", f"plant of {city}/{name}", COMPANY)
            await voucher_applications.put_enterprise(tx, new, T0)


def a_spec(**changes: Any) -> JobSpec:
    """A job of one task with one card that can run as CUDA or CANN, changed as wanted."""
    spec = JobSpec(
        name="train",
        tasks=1,
        cards_per_task=1,
        walltime_seconds=3600,
        builds=(Build("cuda", ("python", "train.py")), Build("cann", ("python", "train.py"))),
        ceiling_micro_yuan_per_pflops_hour=20_000_000,
    )
    return structs.replace(spec, **changes)


async def submitted(
    database: Database, *keys: str, city: str = "ganzhou", spec: JobSpec | None = None, at: datetime = T0
) -> list[JobId]:
    """Store a job for each key."""
    async with database.city(city) as tx:
        stored = await submissions.insert_many(tx, city, [(key, spec or a_spec()) for key in keys], at)
    return [s.job for s in stored]


async def placed(database: Database, job: JobId, *, city: str = "ganzhou", cards: Sequence[int] = (0,)) -> LeaseId:
    """Lease cards of the first node to the job, as a round does."""
    async with database.hub() as tx:
        node_id, pool_id = await tx.fetchrow("SELECT node_id, pool_id FROM nodes ORDER BY node_id LIMIT 1")
        attempt = await tx.fetchval("SELECT attempt FROM jobs WHERE job_id = $1", job)
        number = await rounds.insert(tx, 1, A_ROUND)
        draft = LeaseDraft(job, city, "longdong", pool_id, 1, attempt + 1, "hold", ((node_id, tuple(cards), 1),))
        return (await rounds.offer(tx, number, [draft], T0 + timedelta(seconds=1)))[job]


async def brought_to(database: Database, job: JobId, state: JobState, *, city: str = "ganzhou") -> None:
    """Bring a waiting job into any state, with the facts that the state demands."""
    if state in (JobState.LEASED, JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED):
        await placed(database, job, city=city)
    reason = {
        JobState.SUCCEEDED: "completed",
        JobState.FAILED: "exit_code",
        JobState.CANCELLED: "cancelled",
        JobState.EXPIRED: "expired",
    }.get(state)
    async with database.hub() as tx:
        await tx.execute(
            "UPDATE jobs SET state = $2, ended_at = $3, end_reason = $4 WHERE job_id = $1",
            job,
            state,
            T0 + timedelta(seconds=9) if state in JOB_FINAL else None,
            reason,
        )


async def told(database: Database, job: JobId) -> list[str]:
    """Return what was told about the job, numbered or not, in order."""
    async with database.hub() as tx:
        rows = await tx.fetch(
            "SELECT kind FROM (SELECT kind, 0 AS waits, cursor AS place FROM events WHERE job_id = $1 UNION ALL"
            " SELECT kind, 1, event_id FROM event_outbox WHERE job_id = $1) AS both_tables ORDER BY waits, place",
            job,
        )
    return [r["kind"] for r in rows]


async def asked(tx: Connection, cluster: str, model: str, micro_yuan_per_card_hour: int, *, year: int = 2020) -> None:
    """Let a rate card stand that asks the same in every hour, from long ago on; that of a later year goes before it."""
    long_ago = datetime(year, 1, 1, tzinfo=UTC)
    curve = Curve.flat(micro_yuan_per_card_hour)
    await rates.add(tx, [RateCard(cluster, model, 0, curve, long_ago, None, "test", long_ago)])


async def is_blocked(database: Database) -> bool:
    """Return whether some transaction of this database waits for a lock now."""
    async with database.hub() as tx:
        return await tx.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN"
            " (SELECT pid FROM pg_stat_activity WHERE datname = current_database()))"
        )
