"""Read what a round is planned on: one consistent view of queue, nodes, leases, catalogue and rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import JobId
from broker.job import PriorityClass
from broker.store import occupancy, prepaid, promises, quotes, rates, rules, stops
from broker.store.database import Connection
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


@dataclass(frozen=True, slots=True)
class SplitCard:
    """A card that leases hold shares of: what is left of it, and how many tasks are on it."""

    free_milli: int
    tasks: int


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node with what is free on it now.

    `free_cards` are the indices that are neither held by a lease nor in foreign use, whether or not the node is open;
    `split` are cards that shares are held of and something is left of, by index. `window` is the next maintenance
    window, from and until, or the one that is now: then it is not open.
    """

    node_id: int
    node: str
    pool_id: int
    model: str
    open: bool
    cards: int
    free_cards: tuple[int, ...]
    cpu_milli: int
    free_cpu_milli: int
    memory_mib: int
    free_memory_mib: int
    split: Mapping[int, SplitCard] = field(default_factory=dict)
    window: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A job that waits."""

    job: JobId
    city: str
    shape_id: int
    priority: PriorityClass
    ceiling_micro_yuan_per_pflops_hour: int
    submitted_at: datetime
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
    nodes: tuple[NodeRow, ...]  # sorted by pool, then name
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
NODES: Final[LiteralString] = """
    WITH used AS (
        SELECT ln.node_id,
               sum(ln.tasks::bigint * (s.requirement->>'cpu_milli_per_task')::bigint) AS cpu_milli,
               sum(ln.tasks::bigint * (s.requirement->>'memory_mib_per_task')::bigint) AS memory_mib
          FROM leases l JOIN lease_nodes ln USING (lease_id) JOIN jobs j USING (job_id) JOIN shapes s USING (shape_id)
         WHERE l.state <> 'ended' AND ($1::int[] IS NULL OR ln.node_id = ANY($1))
         GROUP BY ln.node_id
    ), held AS (
        SELECT node_id, array_agg(card) AS cards FROM held_cards
         WHERE $1::int[] IS NULL OR node_id = ANY($1) GROUP BY node_id
    ), shared AS (
        SELECT node_id, card, sum(milli)::int AS milli, sum(tasks)::int AS tasks FROM held_cards
         WHERE milli < 1000 AND ($1::int[] IS NULL OR node_id = ANY($1)) GROUP BY node_id, card
    ), split AS (
        SELECT node_id, array_agg(card) AS cards, array_agg(milli) AS milli, array_agg(tasks) AS tasks
          FROM shared WHERE milli < 1000 GROUP BY node_id
    ), closing AS (
        SELECT DISTINCT ON (n.node_id) n.node_id, w.starts_at, w.ends_at
          FROM maintenance_windows w JOIN nodes n ON n.cluster = w.cluster
               AND (w.pool_id IS NULL OR n.pool_id = w.pool_id) AND (w.nodes = '{}' OR n.node = ANY(w.nodes))
         WHERE w.cancelled_at IS NULL AND w.ends_at > $2 AND ($1::int[] IS NULL OR n.node_id = ANY($1))
         ORDER BY n.node_id, w.starts_at, w.ends_at DESC
    )
    SELECT n.node_id, n.node, n.pool_id, p.model, n.cards, n.cpu_milli, n.memory_mib, n.foreign_cards,
           n.mode = 'open' AND n.present AND NOT n.down AND c.agent_state = 'live'
           AND c.cluster <> ALL (ARRAY(SELECT cluster::text FROM paused_clusters))
           AND (w.starts_at IS NULL OR w.starts_at > $2) AS open, w.starts_at, w.ends_at,
           coalesce(h.cards, '{}') AS held_cards,
           s.cards AS split_cards, s.milli AS split_milli, s.tasks AS split_tasks,
           coalesce(u.cpu_milli, 0)::bigint AS used_cpu_milli, coalesce(u.memory_mib, 0)::bigint AS used_memory_mib
      FROM nodes n JOIN clusters c USING (cluster) JOIN pools p USING (pool_id)
      LEFT JOIN used u USING (node_id) LEFT JOIN held h USING (node_id) LEFT JOIN split s USING (node_id)
      LEFT JOIN closing w USING (node_id)
     WHERE (n.present OR h.cards IS NOT NULL) AND ($1::int[] IS NULL OR n.node_id = ANY($1))
     ORDER BY p.cluster, p.pool, n.node
"""
WAITING: Final[LiteralString] = (
    """
    SELECT job_id, city, shape_id, priority, ceiling_micro_yuan_per_pflops_hour, submitted_at, walltime_seconds,
           enterprise, finish_by, grace_seconds, ceiling_micro_yuan_per_job, vouchers, funds_wanted_micro_yuan,
           funds_refused_at
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
ARRIVED: Final[LiteralString] = (
    """
    SELECT job_id, city, shape_id, priority, ceiling_micro_yuan_per_pflops_hour, submitted_at, walltime_seconds,
           enterprise, finish_by, grace_seconds, ceiling_micro_yuan_per_job, vouchers, funds_wanted_micro_yuan,
           funds_refused_at
      FROM jobs j
     WHERE state = 'pending' AND job_id > $1 AND (start_by IS NULL OR start_by > $2)
       AND (earliest_start IS NULL OR earliest_start <= $2) AND NOT upstreams_open AND """
    + NOT_PAUSED
    + """
     ORDER BY job_id LIMIT $3
"""
)
ONE_WAITING: Final[LiteralString] = """
    SELECT job_id, city, shape_id, priority, ceiling_micro_yuan_per_pflops_hour, submitted_at, walltime_seconds,
           enterprise, finish_by, grace_seconds, ceiling_micro_yuan_per_job, vouchers, funds_wanted_micro_yuan,
           funds_refused_at
      FROM jobs WHERE job_id = $1
"""
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
    return {row.node_id: row for row in map(_node, await tx.fetch(NODES, node_ids, now))}


async def arrived(
    tx: Connection, after: JobId, now: datetime, jobs_max: int
) -> tuple[tuple[WaitingRow, ...], Mapping[int, Mapping[str, Any]]]:
    """Return the first waiting jobs with ids above `after`, and the requirements of their shapes by shape_id."""
    rows = tuple(map(_waiting, await tx.fetch(ARRIVED, after, now, jobs_max)))
    shape_ids = sorted({row.shape_id for row in rows})
    return rows, {r["shape_id"]: r["requirement"] for r in await tx.fetch(SHAPES, shape_ids)} if rows else {}


async def _view(tx: Connection, waiting: list[Any], now: datetime) -> WorldView:
    rows = tuple(map(_waiting, sorted(waiting, key=lambda r: int(r["job_id"]))))
    shape_ids = sorted({row.shape_id for row in rows})
    return WorldView(
        models=tuple(ModelRow(*r.values()) for r in await tx.fetch(MODELS)),
        hubs=tuple(r["hub"] for r in await tx.fetch(HUBS)),
        cities=tuple((r["city"], r["weight_ppm"]) for r in await tx.fetch(CITIES)),
        round_trips={(r["city"], r["hub"]): r["micros"] for r in await tx.fetch(ROUND_TRIPS)},
        pools=await _pools(tx, now),
        nodes=tuple(_node(r) for r in await tx.fetch(NODES, None, now)),
        shapes={r["shape_id"]: r["requirement"] for r in await tx.fetch(SHAPES, shape_ids)},
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
        found.append(PoolRow(pool_id, cluster, pool, hub, model, ask.micro_yuan_per_card_hour, owner, ask.version))
    return tuple(found)


def _waiting(r: Any) -> WaitingRow:
    return WaitingRow(
        JobId(r["job_id"]),
        r["city"],
        r["shape_id"],
        PriorityClass(r["priority"]),
        r["ceiling_micro_yuan_per_pflops_hour"],
        r["submitted_at"],
        r["walltime_seconds"],
        r["enterprise"],
        r["finish_by"],
        r["grace_seconds"],
        r["ceiling_micro_yuan_per_job"],
        tuple(r["vouchers"]),
        r["funds_wanted_micro_yuan"] or 0,
        r["funds_refused_at"],
    )


def _node(r: Any) -> NodeRow:
    taken = {*r["held_cards"], *r["foreign_cards"]}
    return NodeRow(
        node_id=r["node_id"],
        node=r["node"],
        pool_id=r["pool_id"],
        model=r["model"],
        open=r["open"],
        cards=r["cards"],
        free_cards=tuple(card for card in range(r["cards"]) if card not in taken),
        cpu_milli=r["cpu_milli"],
        free_cpu_milli=max(0, r["cpu_milli"] - r["used_cpu_milli"]),
        memory_mib=r["memory_mib"],
        free_memory_mib=max(0, r["memory_mib"] - r["used_memory_mib"]),
        split={} if r["split_cards"] is None else _split(r),
        window=None if r["starts_at"] is None else (r["starts_at"], r["ends_at"]),
    )


def _split(r: Any) -> dict[int, SplitCard]:
    """Return the split cards of which new work may have a share: not those that strangers use as well."""
    rows = sorted(zip(r["split_cards"], r["split_milli"], r["split_tasks"], strict=True))
    return {
        card: SplitCard(1000 - milli, tasks)
        for card, milli, tasks in rows
        if card not in r["foreign_cards"] and card < r["cards"]
    }
