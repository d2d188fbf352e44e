"""Read what a round is planned on: one consistent view of queue, nodes, leases, catalogue and rules."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any, Final, LiteralString, NamedTuple

import numpy as np
from numpy.typing import NDArray

from broker.ids import JobId
from broker.job import PriorityClass
from broker.store import occupancy, prepaid, promises, quotes, rates, rules, stops
from broker.store.database import Connection
from broker.store.node_table import NodeRow, NodeTable, SplitCard
from broker.store.occupancy import NOTHING_HELD, Occupancy
from broker.store.pauses import NOT_PAUSED
from broker.store.prepaid import Balances
from broker.store.promises import PromiseRow
from broker.store.rules import RulesView
from broker.worlds.rates import NO_ASK


@dataclass(frozen=True, slots=True)
class ModelRow:
    """An accelerator model, figures in thousandths of a TFLOPS, 0 where nobody knows."""

    model: str
    stack: str
    origin: str
    programme: int
    nameplate: int
    measured: int


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool of equal nodes."""

    pool_id: int
    cluster: str
    pool: str
    hub: str
    model: str
    ask_micro_yuan_per_card_hour: int
    owner: str
    rate_card: int = 0  # version of the rate card that asks it; 0: there is none
    asks_since: datetime | None = None  # when that began; None: nothing is asked


class WaitingRow(NamedTuple):
    """A job that waits; a tuple, for rounds and the fast lane make a hundred thousand of these."""

    job: JobId
    submitted_at: datetime
    city: str
    shape_id: int
    priority: PriorityClass
    ceiling_micro_yuan_per_pflops_hour: int
    walltime_seconds: int
    enterprise: str  # empty: the city itself
    finish_by: datetime | None = None
    grace_seconds: int = 0  # between TERM and KILL, on top of the walltime
    ceiling_micro_yuan_per_job: int | None = None  # of one run; None: no such ceiling
    vouchers: tuple[str, ...] = ()  # that pay first
    funds_wanted_micro_yuan: int = 0  # that its payer could not hold for it; 0: it was not asked to
    funds_refused_at: datetime | None = None  # when that was


@dataclass(frozen=True, slots=True)
class WorldView:
    """Everything that a round needs, as rows in a stable order."""

    models: tuple[ModelRow, ...]
    hubs: tuple[str, ...]
    cities: tuple[tuple[str, int], ...]  # name, weight in millionths
    round_trips: Mapping[tuple[str, str], int]  # (city, hub) -> microseconds
    pools: tuple[PoolRow, ...]
    nodes: Sequence[NodeRow]  # in no order that means anything
    shapes: Mapping[int, Mapping[str, Any]]  # shape_id -> requirement (JobSpec.requirement)
    waiting: tuple[WaitingRow, ...]  # sorted by id
    rules: RulesView  # what operators rule: slices, power, transfers, domains, quotas
    leases: Occupancy = NOTHING_HELD  # what is held until when; of a view for one job only when asked for
    promises: tuple[PromiseRow, ...] = ()  # by start
    make_room_for: tuple[JobId, ...] = ()  # waiting jobs for which operators let running work be moved
    lost_card_seconds: int = 0  # work that stopping leases for others has cost in the last hour
    prepaid: Balances = field(default_factory=dict)  # of cities that pay in advance
    held: frozenset[JobId] = frozenset()  # waiting jobs for which their quotes hold the money already
    pinned: Mapping[JobId, int] = field(default_factory=dict)  # micro-yuan per card-hour, of waiting quoted jobs


class Arrived(NamedTuple):
    """Jobs that wait and were not looked at yet, by id."""

    rows: tuple[WaitingRow, ...]  # all of them, or of each kind the oldest
    shapes: Mapping[int, Mapping[str, Any]]  # as of a view
    last: JobId  # up to which all are there, or one of their kind is
    more: bool  # there may be others behind them


_PRIORITIES: Final = {member.value: member for member in PriorityClass}

ONE_VIEW: Final[LiteralString] = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"

MODELS: Final[LiteralString] = """
    SELECT model, stack, origin, fp16_programme_milli_tflops, fp16_nameplate_milli_tflops, fp16_measured_milli_tflops
      FROM accelerator_models ORDER BY model
"""
HUBS: Final[LiteralString] = "SELECT hub FROM hubs ORDER BY hub"
CITIES: Final[LiteralString] = "SELECT city, weight_ppm FROM cities ORDER BY city"
ROUND_TRIPS: Final[LiteralString] = "SELECT city, hub, micros FROM round_trips"
POOLS: Final[LiteralString] = """
    SELECT p.pool_id, p.cluster, p.pool, c.hub, p.model, c.owner
      FROM pools p JOIN clusters c USING (cluster) ORDER BY p.cluster, p.pool
"""
_NODES: Final[LiteralString] = """
    WITH used AS (
        SELECT ln.node_id,
               sum(ln.tasks::bigint * (s.requirement->>'cpu_milli_per_task')::bigint) AS cpu_milli,
               sum(ln.tasks::bigint * (s.requirement->>'memory_mib_per_task')::bigint) AS memory_mib
          FROM :LIVE JOIN jobs j USING (job_id) JOIN shapes s USING (shape_id)
         WHERE l.state <> 'ended'
         GROUP BY ln.node_id
    ), held AS (
        SELECT node_id, bit_or(1::bigint << card) AS cards FROM held_cards
         WHERE node_id :AMONG GROUP BY node_id
    ), shared AS (
        SELECT node_id, card, sum(milli)::int AS milli, sum(tasks)::int AS tasks FROM held_cards
         WHERE milli < 1000 AND node_id :AMONG GROUP BY node_id, card
    ), split AS (  -- cards of which new work may have a share: not those that strangers use as well
        SELECT node_id, jsonb_agg(jsonb_build_array(s.card, s.milli, s.tasks) ORDER BY s.card) AS cards
          FROM shared s JOIN nodes n USING (node_id)
         WHERE s.milli < 1000 AND s.card < n.cards AND NOT s.card = ANY(n.foreign_cards) GROUP BY node_id
    ), closing AS (
        SELECT DISTINCT ON (n.node_id) n.node_id, w.starts_at, w.ends_at
          FROM maintenance_windows w JOIN nodes n ON n.cluster = w.cluster
               AND (w.pool_id IS NULL OR n.pool_id = w.pool_id) AND (w.nodes = '{}' OR n.node = ANY(w.nodes))
         WHERE w.cancelled_at IS NULL AND w.ends_at > $1 AND n.node_id :AMONG
         ORDER BY n.node_id, w.starts_at, w.ends_at DESC
    )
    SELECT n.pool_id, min(p.model) AS model, array_agg(n.node_id) AS node_id, array_agg(n.node) AS node,
           array_agg(n.domain::text) AS domain, array_agg(n.cards) AS cards,
           array_agg(n.cpu_milli) AS cpu_milli, array_agg(n.memory_mib) AS memory_mib,
           array_agg(n.mode = 'open' AND n.present AND NOT n.down AND c.agent_state = 'live'
                     AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters))
                     AND (w.starts_at IS NULL OR w.starts_at > $1)) AS open,
           array_agg(coalesce(h.cards, 0) | CASE WHEN n.foreign_cards = '{}' THEN 0 ELSE
                     (SELECT bit_or(1::bigint << f) FROM unnest(n.foreign_cards) AS f) END) AS taken,
           array_agg(coalesce(u.cpu_milli, 0)::bigint) AS used_cpu_milli,
           array_agg(coalesce(u.memory_mib, 0)::bigint) AS used_memory_mib,
           jsonb_object_agg(n.node_id, s.cards) FILTER (WHERE s.cards IS NOT NULL) AS split,
           array_agg(n.node_id) FILTER (WHERE w.starts_at IS NOT NULL) AS closing,
           array_agg(w.starts_at) FILTER (WHERE w.starts_at IS NOT NULL) AS starts_at,
           array_agg(w.ends_at) FILTER (WHERE w.starts_at IS NOT NULL) AS ends_at
      FROM nodes n JOIN clusters c USING (cluster) JOIN pools p USING (pool_id)
      LEFT JOIN used u USING (node_id) LEFT JOIN held h USING (node_id) LEFT JOIN split s USING (node_id)
      LEFT JOIN closing w USING (node_id)
     WHERE (n.present OR h.cards IS NOT NULL) AND n.node_id :AMONG
     GROUP BY n.pool_id
"""
NODES: Final[LiteralString] = _NODES.replace(":AMONG", "IS NOT NULL").replace(
    ":LIVE", "leases l JOIN lease_nodes ln USING (lease_id)"
)
# What is held leads to the leases of these nodes, however many others live: each lease holds a card wherever it is.
NODES_NAMED: Final[LiteralString] = _NODES.replace(":AMONG", "= ANY($2)").replace(
    ":LIVE",
    """(SELECT DISTINCT lease_id, node_id FROM held_cards WHERE node_id = ANY($2)) AS here
               JOIN lease_nodes ln USING (lease_id, node_id) JOIN leases l USING (lease_id)""",
)
# What a decision goes by: jobs that are equal in it have the same choices, and of those the oldest counts for most.
# Quotes alone know more of a job: that its money is held, and what it pays.
_KIND: Final[LiteralString] = """
    city, shape_id, priority, ceiling_micro_yuan_per_pflops_hour, walltime_seconds, enterprise, finish_by,
    grace_seconds, ceiling_micro_yuan_per_job, vouchers, funds_wanted_micro_yuan, funds_refused_at
"""
_OF_WAITING: Final[LiteralString] = "SELECT job_id, submitted_at, " + _KIND
WAITING: Final[LiteralString] = (
    _OF_WAITING
    + """
      FROM jobs j
     WHERE state = 'pending' AND (start_by IS NULL OR start_by > $1)
       AND (earliest_start IS NULL OR earliest_start <= $1 OR job_id = ANY($3)) AND NOT upstreams_open AND """
    + NOT_PAUSED
    + """
     ORDER BY job_id = ANY($3) DESC, array_position(ARRAY['emergency', 'urgent', 'standard', 'deferrable'], priority),
              job_id
     LIMIT $2
"""
)
ANYBODY: Final[LiteralString] = """
    SELECT EXISTS (SELECT FROM jobs
                    WHERE state = 'pending' AND (start_by IS NULL OR start_by > $1)
                      AND (earliest_start IS NULL OR earliest_start <= $1) AND NOT upstreams_open)
"""
_ARRIVED: Final[LiteralString] = (
    _OF_WAITING
    + """
      FROM jobs j
     WHERE state = 'pending' AND (start_by IS NULL OR start_by > $2)
       AND (earliest_start IS NULL OR earliest_start <= $2) AND NOT upstreams_open
       AND NOT EXISTS (SELECT FROM promises p WHERE p.job_id = j.job_id) AND """
    + NOT_PAUSED
)
# In two parts, each by its index: with an OR every job that waits is passed by to come to those that are new.
ARRIVED: Final[LiteralString] = (
    "SELECT * FROM (("
    + _ARRIVED
    + " AND job_id > $1 ORDER BY job_id LIMIT $3) UNION ALL ("
    + _ARRIVED
    + " AND job_id <= $1 AND job_id = ANY($4) ORDER BY job_id LIMIT $3)) AS found ORDER BY job_id LIMIT $3"
)
_ALONE: Final[LiteralString] = "CASE WHEN job_id = ANY($5) THEN job_id END"
ARRIVED_BY_KIND: Final[LiteralString] = (
    "SELECT min(job_id) AS job_id, min(submitted_at) AS submitted_at, "
    + _KIND
    + ", max(job_id) AS last, count(*) AS jobs FROM ("
    + ARRIVED
    + ") AS arrived GROUP BY "
    + _KIND
    + ", "
    + _ALONE
    + " ORDER BY 1"
)
ONE_WAITING: Final[LiteralString] = _OF_WAITING + " FROM jobs WHERE job_id = $1"
MAKE_ROOM: Final[LiteralString] = (
    "SELECT job_id FROM jobs j WHERE make_room AND state = 'pending' AND " + NOT_PAUSED + " ORDER BY job_id"
)
SHAPES: Final[LiteralString] = "SELECT shape_id, requirement FROM shapes WHERE shape_id = ANY($1)"


async def read(tx: Connection, now: datetime, jobs_max: int) -> WorldView:
    """Return the world with the waiting jobs; of more than `jobs_max`, those of the highest class and the oldest.

    Those that are promised a start are always among them: no promise goes because the queue is long, or because it is
    for a window that has not begun. Must be the first
    thing in a transaction of the hub's role, which it turns into one consistent view.
    """
    await tx.execute(ONE_VIEW)
    promised = await promises.read(tx)
    view = await _view(tx, await tx.fetch(WAITING, now, jobs_max, [row.job for row in promised]), now)
    return replace(
        view,
        leases=await occupancy.read(tx, now),
        promises=promised,
        make_room_for=tuple(JobId(r["job_id"]) for r in await tx.fetch(MAKE_ROOM)),
        lost_card_seconds=await stops.lost_card_seconds(tx, now),
    )


async def anybody_waits(tx: Connection, now: datetime) -> bool:
    """Tell whether there is a waiting job whose time has come."""
    return bool(await tx.fetchval(ANYBODY, now))


async def read_for(tx: Connection, job: JobId, now: datetime, *, with_leases: bool = False) -> WorldView:
    """Return the world with this job as the only waiting one, whatever its state; with none when it does not exist.

    With what is promised to others; leases, which take longest, only when they are asked for. Must be the first thing
    in a transaction of the hub's role.
    """
    await tx.execute(ONE_VIEW)
    view = await _view(tx, await tx.fetch(ONE_WAITING, job), now)
    leases = await occupancy.read(tx, now) if with_leases else NOTHING_HELD
    return replace(view, leases=leases, promises=await promises.read(tx))


async def read_nodes(tx: Connection, node_ids: list[int], now: datetime) -> dict[int, NodeRow]:
    """Return these nodes as they are now, by id."""
    return {row.node_id: row for row in _table(await tx.fetch(NODES_NAMED, now, node_ids))}


async def arrived(tx: Connection, after: JobId, now: datetime, jobs_max: int, again: Collection[JobId] = ()) -> Arrived:
    """Return the first waiting jobs with ids above `after` or in `again`, each of them.

    Those that are promised a start are left to the rounds: they start where it was promised, and it is told.
    """
    rows = tuple(map(_waiting, await tx.fetch(ARRIVED, after, now, jobs_max, list(again))))
    last = rows[-1].job if rows else after
    return Arrived(rows, await _shapes(tx, rows), last, more=len(rows) == jobs_max)


async def arrived_by_kind(
    tx: Connection,
    after: JobId,
    now: datetime,
    jobs_max: int,
    again: Collection[JobId] = (),
    *,
    alone: Collection[JobId] = (),
    kinds_max: int,
) -> Arrived:
    """Return of the jobs that `arrived` would the oldest of each kind, with the first time that one of it came.

    Jobs of one kind differ in nothing that a decision goes by but their age: where the oldest finds no room, neither
    do the others at that time. Thousands that come together have some dozen kinds.

    Args:
        alone: jobs that are each a kind of their own.
        kinds_max: of more the first, and `last` is before the others.
    """
    found = await tx.fetch(ARRIVED_BY_KIND, after, now, jobs_max, list(again), list(alone))
    rows = tuple(_waiting(r[:-2]) for r in found[:kinds_max])
    if len(found) > kinds_max:  # whoever is before the first of the others is one of these
        return Arrived(rows, await _shapes(tx, rows), JobId(found[kinds_max]["job_id"] - 1), more=True)
    last = JobId(max((r["last"] for r in found), default=after))
    return Arrived(rows, await _shapes(tx, rows), last, more=sum(r["jobs"] for r in found) == jobs_max)


async def _shapes(tx: Connection, rows: Collection[WaitingRow]) -> dict[int, Mapping[str, Any]]:
    """Return the requirements of these jobs, by shape_id."""
    shape_ids = sorted({row.shape_id for row in rows})
    return {r["shape_id"]: r["requirement"] for r in await tx.fetch(SHAPES, shape_ids)} if rows else {}


async def _view(tx: Connection, waiting: list[Any], now: datetime) -> WorldView:
    rows = await asyncio.to_thread(_by_id, waiting)  # of a hundred thousand a tenth of a second: calls go on
    return WorldView(
        models=tuple(ModelRow(*r.values()) for r in await tx.fetch(MODELS)),
        hubs=tuple(r["hub"] for r in await tx.fetch(HUBS)),
        cities=tuple((r["city"], r["weight_ppm"]) for r in await tx.fetch(CITIES)),
        round_trips={(r["city"], r["hub"]): r["micros"] for r in await tx.fetch(ROUND_TRIPS)},
        pools=await _pools(tx, now),
        nodes=_table(await tx.fetch(NODES, now)),
        shapes=await _shapes(tx, rows),
        waiting=rows,
        rules=await rules.read(tx, now),
        prepaid=await prepaid.balances(tx),
        held=await quotes.held(tx),
        pinned=await quotes.pinned(tx),
    )


async def _pools(tx: Connection, now: datetime) -> tuple[PoolRow, ...]:
    asks = await rates.asks_at(tx, now)
    found = []
    for r in await tx.fetch(POOLS):
        pool_id, cluster, pool, hub, model, owner = r.values()
        ask = asks.get((cluster, model), NO_ASK)
        asked = ask.micro_yuan_per_card_hour
        found.append(PoolRow(pool_id, cluster, pool, hub, model, asked, owner, ask.version, ask.since))
    return tuple(found)


def _waiting(r: Any) -> WaitingRow:
    """Return the row of a statement that selects `_OF_WAITING`."""
    job, at, city, shape_id, priority, *between, vouchers, wanted, refused_at = r
    first = (job, at, city, shape_id, _PRIORITIES[priority])
    return WaitingRow._make((*first, *between, tuple(vouchers), wanted or 0, refused_at))


def _by_id(records: Sequence[Any]) -> tuple[WaitingRow, ...]:
    return tuple(map(_waiting, sorted(records, key=itemgetter("job_id"))))


def _table(pools: Sequence[Any]) -> NodeTable:
    """Return the nodes of rows that have a pool's nodes each, in arrays."""
    node_id = _joined(pools, "node_id", np.int64)
    cpu_milli, memory_mib = _joined(pools, "cpu_milli", np.int64), _joined(pools, "memory_mib", np.int64)
    at = (
        {node: at for at, node in enumerate(node_id.tolist())} if any(r["split"] or r["closing"] for r in pools) else {}
    )
    return NodeTable(
        node_id=node_id,
        node=tuple(chain.from_iterable(r["node"] for r in pools)),
        domain=tuple(chain.from_iterable(r["domain"] for r in pools)),
        pool_id=np.repeat(np.array([r["pool_id"] for r in pools], np.int64), [len(r["node"]) for r in pools]),
        model={r["pool_id"]: r["model"] for r in pools},
        open=_joined(pools, "open", np.bool_),
        cards=_joined(pools, "cards", np.int64),
        taken=_joined(pools, "taken", np.int64).view(np.uint64),
        cpu_milli=cpu_milli,
        free_cpu_milli=np.maximum(0, cpu_milli - _joined(pools, "used_cpu_milli", np.int64)),
        memory_mib=memory_mib,
        free_memory_mib=np.maximum(0, memory_mib - _joined(pools, "used_memory_mib", np.int64)),
        split={
            at[int(node)]: {card: SplitCard(1000 - milli, tasks) for card, milli, tasks in cards}
            for r in pools
            for node, cards in (r["split"] or {}).items()
        },
        window={
            at[node]: (starts_at, ends_at)
            for r in pools
            for node, starts_at, ends_at in zip(
                r["closing"] or (), r["starts_at"] or (), r["ends_at"] or (), strict=True
            )
        },
    )


def _joined(pools: Sequence[Any], column: str, dtype: type[Any]) -> NDArray[Any]:
    return np.array(list(chain.from_iterable(r[column] for r in pools)), dtype=dtype)
