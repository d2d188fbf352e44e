"""Write what a round decided, all or nothing for each gang, and keep its report."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import HoldId, JobId, LeaseId, RoundId
from broker.job import LeasePrice
from broker.lifecycle import JobEvent, job_sources
from broker.store.database import Connection

WHOLE_MILLI: Final = 1000
"""A whole card, in thousandths."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round found and how long it took. Worths are micro-yuan per hour."""

    at: datetime
    outcome: str  # committed, rejected, failed
    input_sha256: str
    jobs: int
    placed: int
    stale: int
    objective: int
    bound: int
    gap_ppm: int
    effort: int
    snapshot_millis: int
    plan_millis: int
    verify_millis: int
    commit_millis: int
    versions: tuple[str, ...]
    refused_by_reason: Mapping[str, int]
    error: str = ""
    round: int = 0  # given by the store
    stopped: int = 0  # leases that it ordered to stop for others; found by the commit


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """What a replay needs; rounds of releases that did not look ahead have neither horizon nor decision."""

    snapshot: bytes
    plan: bytes
    policy_json: str
    horizon: bytes | None = None
    decision: bytes | None = None


@dataclass(frozen=True, slots=True)
class LeaseDraft:
    """A lease to be committed: cards by node id; of shares one for each task, so a card as often as tasks share it."""

    job: JobId
    city: str
    cluster: str
    pool_id: int
    build: int
    epoch: int
    if_lost: str
    nodes: tuple[tuple[int, tuple[int, ...], int], ...]  # node_id, cards, tasks
    share_milli: int = 0  # of its card for each task; 0: whole cards
    price: LeasePrice | None = None  # None: not known
    priority: str = ""  # of the job, and since when it waits: for figures alone
    wanted_at: datetime | None = None
    lease: LeaseId | None = None  # its number, where it had to be known before; None: it gets one
    hold: HoldId | None = None  # the money that is held for it; None: its city does not pay in advance

    @property
    def milli_cards(self) -> int:
        """What it holds of cards, in thousandths of one."""
        return sum(milli for _, _, milli, _ in self.held())

    def held(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield what it holds of each card: node_id, card, thousandths of the card, tasks that share them."""
        for node_id, cards, _ in self.nodes:
            for card, tasks in Counter(cards).items():
                yield node_id, card, tasks * self.share_milli or WHOLE_MILLI, tasks


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job that still waits, locked until the end of the transaction."""

    job: JobId
    city: str
    attempt: int
    if_lost: str
    walltime_seconds: int
    preemptible: bool
    priority: str
    wanted_at: datetime  # since when it could be leased as far as its city is concerned


NEW_LEASE_IDS: Final[LiteralString] = """
    SELECT nextval('leases_lease_id_seq') AS lease_id FROM generate_series(1, $1) ORDER BY 1
"""
LOCK_WAITING: Final[LiteralString] = """
    SELECT job_id, city, attempt, if_lost, walltime_seconds, preemptible, priority,
           greatest(submitted_at, earliest_start) AS wanted_at
      FROM jobs
     WHERE job_id = ANY($1) AND state = ANY($2) AND (start_by IS NULL OR start_by > $3)
       AND (earliest_start IS NULL OR earliest_start <= $3)
     ORDER BY job_id FOR NO KEY UPDATE
"""
LOCK_NODES: Final[LiteralString] = """
    SELECT node_id FROM nodes WHERE node_id = ANY($1) ORDER BY node_id FOR NO KEY UPDATE
"""
INSERT_ROUND: Final[LiteralString] = """
    INSERT INTO rounds (leader_epoch, at, outcome, input_sha256, jobs, placed, stale, objective_micro_yuan_per_hour,
                        bound_micro_yuan_per_hour, gap_ppm, effort, snapshot_millis, plan_millis, verify_millis,
                        commit_millis, versions, error, refused_by_reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    RETURNING round_id
"""
FINISH_ROUND: Final[LiteralString] = """
    UPDATE rounds SET placed = $2, stale = $3, stopped = $4, commit_millis = $5 WHERE round_id = $1
"""
INSERT_RECORD: Final[LiteralString] = """
    INSERT INTO round_records (round_id, snapshot, plan, policy_json, horizon, decision) VALUES ($1, $2, $3, $4, $5, $6)
"""
PRUNE_RECORDS: Final[LiteralString] = """
    DELETE FROM round_records
     WHERE round_id < (SELECT min(round_id)
                         FROM (SELECT round_id FROM round_records ORDER BY round_id DESC LIMIT $1) AS kept)
"""
INSERT_LEASES: Final[LiteralString] = """
    WITH given AS (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::int[], $5::smallint[], $6::int[], $7::text[],
                             $10::bigint[], $11::bigint[], $12::int[], $13::bigint[], $14::bigint[])
                   AS t (job_id, city, cluster, pool_id, build, epoch, if_lost, ask, scarcity, rate_card_version,
                         lease_id, hold_id)
    ), made AS (
        INSERT INTO leases (lease_id, job_id, city, cluster, pool_id, build, epoch, if_lost,
                            ask_micro_yuan_per_card_hour, scarcity_micro_yuan_per_card_hour, rate_card_version,
                            round_id, offered_at, hold_id)
        OVERRIDING SYSTEM VALUE
        SELECT coalesce(lease_id, nextval('leases_lease_id_seq')), job_id, city, cluster, pool_id, build, epoch,
               if_lost, ask, scarcity, rate_card_version, $8, $9, hold_id
          FROM given
        RETURNING lease_id, job_id, city, epoch, hold_id
    ), charged AS (
        INSERT INTO lease_usage (lease_id, city, due_at) SELECT lease_id, city, $9 FROM made WHERE hold_id IS NOT NULL
    ), moved AS (
        UPDATE jobs j
           SET state = 'leased', attempt = made.epoch, waiting_reason = '', started_at = NULL, make_room = false
          FROM made WHERE j.job_id = made.job_id
    ), told AS (
        INSERT INTO event_outbox (city, job_id, kind, at, attempt, lease_id)
        SELECT city, job_id, 'leased', $9, epoch, lease_id FROM made ORDER BY lease_id
    )
    SELECT job_id, lease_id FROM made
"""
INSERT_NODES: Final[LiteralString] = """
    INSERT INTO lease_nodes (lease_id, node_id, cards, tasks, share_milli)
    SELECT t.lease_id, t.node_id, string_to_array(t.cards, ',')::smallint[], t.tasks, t.share_milli
      FROM unnest($1::bigint[], $2::int[], $3::text[], $4::int[], $5::smallint[])
        AS t (lease_id, node_id, cards, tasks, share_milli)
"""
HOLD_CARDS: Final[LiteralString] = """
    INSERT INTO held_cards (node_id, card, milli, tasks, lease_id)
    SELECT * FROM unnest($1::int[], $2::smallint[], $3::smallint[], $4::smallint[], $5::bigint[])
"""
COLUMNS: Final[LiteralString] = """
    round_id, at, outcome, input_sha256, jobs, placed, stale, objective_micro_yuan_per_hour,
    bound_micro_yuan_per_hour, gap_ppm, effort, snapshot_millis, plan_millis, verify_millis, commit_millis, versions,
    error, refused_by_reason, stopped
"""
LIST: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + """
      FROM rounds WHERE ($1::bigint IS NULL OR round_id < $1) AND (NOT $3 OR jobs > 0) ORDER BY round_id DESC LIMIT $2
"""
)
GET: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM rounds WHERE round_id = coalesce($1, (SELECT max(round_id) FROM rounds))"
)
RECORD: Final[LiteralString] = """
    SELECT snapshot, plan, policy_json, horizon, decision FROM round_records WHERE round_id = $1
"""
NEWEST_RECORD: Final[LiteralString] = """
    SELECT max(round_id) FROM rounds JOIN round_records USING (round_id) WHERE outcome = 'committed'
"""


async def new_lease_ids(tx: Connection, count: int) -> list[LeaseId]:
    """Return numbers for leases that are to be made: what is held for them names them."""
    return [LeaseId(r["lease_id"]) for r in await tx.fetch(NEW_LEASE_IDS, count)]


async def lock_waiting(tx: Connection, jobs: Sequence[JobId], now: datetime) -> dict[JobId, WaitingJob]:
    """Return those of the jobs that still wait and may start, and lock them, in one stated order."""
    rows = await tx.fetch(LOCK_WAITING, jobs, job_sources(JobEvent.LEASED), now)
    return {JobId(r["job_id"]): WaitingJob(*r.values()) for r in rows}


async def lock_nodes(tx: Connection, node_ids: Sequence[int]) -> None:
    """Keep reports, operators and other commits from changing these nodes until the transaction ends."""
    await tx.execute(LOCK_NODES, node_ids)


async def insert(tx: Connection, leader_epoch: int, report: RoundReport) -> RoundId:
    """Store the report and return the round's number."""
    return RoundId(
        await tx.fetchval(
            INSERT_ROUND,
            leader_epoch,
            report.at,
            report.outcome,
            report.input_sha256,
            report.jobs,
            report.placed,
            report.stale,
            report.objective,
            report.bound,
            report.gap_ppm,
            report.effort,
            report.snapshot_millis,
            report.plan_millis,
            report.verify_millis,
            report.commit_millis,
            list(report.versions),
            report.error,
            dict(report.refused_by_reason),
        )
    )


async def finish(
    tx: Connection, round_id: RoundId, *, placed: int, stale: int, stopped: int, commit_millis: int
) -> None:
    """Add what the commit found."""
    await tx.execute(FINISH_ROUND, round_id, placed, stale, stopped, commit_millis)


async def keep_record(tx: Connection, round_id: RoundId, record: RoundRecord, kept: int) -> None:
    """Store what a replay needs, and let go of all but the last `kept` records."""
    parts = (record.snapshot, record.plan, record.policy_json, record.horizon, record.decision)
    await tx.execute(INSERT_RECORD, round_id, *parts)
    await tx.execute(PRUNE_RECORDS, kept)


async def offer(tx: Connection, round_id: RoundId, drafts: Sequence[LeaseDraft], at: datetime) -> dict[JobId, LeaseId]:
    """Turn placements into leases: jobs LEASED, cards held, events written. The caller has locked and checked.

    Raise asyncpg.CheckViolationError or UniqueViolationError when a card would be promised twice all the same.
    """
    if not drafts:
        return {}
    rows = await tx.fetch(
        INSERT_LEASES,
        [d.job for d in drafts],
        [d.city for d in drafts],
        [d.cluster for d in drafts],
        [d.pool_id for d in drafts],
        [d.build for d in drafts],
        [d.epoch for d in drafts],
        [d.if_lost for d in drafts],
        round_id,
        at,
        [d.price and d.price.ask_micro_yuan_per_card_hour for d in drafts],
        [d.price and d.price.scarcity_micro_yuan_per_card_hour for d in drafts],
        [d.price and d.price.rate_card_version for d in drafts],
        [d.lease for d in drafts],
        [d.hold for d in drafts],
    )
    leases = {JobId(r["job_id"]): LeaseId(r["lease_id"]) for r in rows}
    parts = [(leases[d.job], *part, d.share_milli) for d in drafts for part in d.nodes]
    await tx.execute(
        INSERT_NODES,
        [p[0] for p in parts],
        [p[1] for p in parts],
        [",".join(map(str, p[2])) for p in parts],
        [p[3] for p in parts],
        [p[4] for p in parts],
    )
    held = [(*card, leases[d.job]) for d in drafts for card in d.held()]
    await tx.execute(HOLD_CARDS, *(list(column) for column in zip(*held, strict=True)))
    return leases


async def list_page(tx: Connection, before: RoundId | None, limit: int, *, busy_only: bool) -> list[RoundReport]:
    """Return reports, newest first."""
    return [_report(r) for r in await tx.fetch(LIST, before, limit, busy_only)]


async def get(tx: Connection, round_id: RoundId | None) -> RoundReport | None:
    """Return one report, the last one for None; None when there is none."""
    row = await tx.fetchrow(GET, round_id)
    return None if row is None else _report(row)


async def record(tx: Connection, round_id: RoundId) -> RoundRecord | None:
    """Return what a replay of the round needs, None when it is no longer kept."""
    row = await tx.fetchrow(RECORD, round_id)
    return None if row is None else RoundRecord(*row.values())


async def newest_record(tx: Connection) -> RoundId | None:
    """Return the number of the newest committed round whose record is kept."""
    newest: int | None = await tx.fetchval(NEWEST_RECORD)
    return None if newest is None else RoundId(newest)


def _report(row: Any) -> RoundReport:
    values = dict(row)
    values["round"] = values.pop("round_id")
    values["objective"] = values.pop("objective_micro_yuan_per_hour")
    values["bound"] = values.pop("bound_micro_yuan_per_hour")
    values["versions"] = tuple(values["versions"])
    return RoundReport(**values)
