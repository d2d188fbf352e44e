"""Maintenance windows: when nodes are closed, what would still run then, and which waiting jobs they bar."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from broker.ids import JobId, WindowId
from broker.job import Lease
from broker.store import nodes
from broker.store.database import Connection
from broker.store.occupancy import OVERDUE


@dataclass(frozen=True, slots=True)
class WindowDraft:
    """A window to be created."""

    cluster: str
    pool: str  # empty: every pool
    nodes: tuple[str, ...]  # ascending; empty: every node there, those that come later too
    starts_at: datetime
    ends_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Window:
    """A window that was created."""

    window: WindowId
    cluster: str
    pool: str
    nodes: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class NodePlace:
    """A node of a cluster, with what a job asks about its pool."""

    node_id: int
    node: str
    pool: str
    hub: str
    owner: str
    model: str
    stack: str
    origin: str


@dataclass(frozen=True, slots=True)
class Barred:
    """Waiting jobs of one shape that would still run when a window begins."""

    requirement: Mapping[str, Any]
    jobs: tuple[JobId, ...]


COLUMNS: Final[LiteralString] = """
    w.window_id, w.cluster, coalesce(p.pool, '') AS pool, w.nodes, w.starts_at, w.ends_at, w.reason, w.created_at,
    w.created_by, w.cancelled_at
"""
INSERT: Final[LiteralString] = """
    INSERT INTO maintenance_windows (cluster, pool_id, nodes, starts_at, ends_at, reason, created_at, created_by)
    VALUES ($1::text, (SELECT pool_id FROM pools WHERE cluster = $1::text AND pool = $2), $3, $4, $5, $6, $7, $8)
    RETURNING window_id
"""
SAME: Final[LiteralString] = """
    SELECT w.window_id FROM maintenance_windows w LEFT JOIN pools p USING (pool_id)
     WHERE w.cancelled_at IS NULL AND w.cluster = $1 AND coalesce(p.pool, '') = $2 AND w.nodes = $3
       AND w.starts_at = $4 AND w.ends_at = $5 ORDER BY w.window_id LIMIT 1
"""
GET: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM maintenance_windows w LEFT JOIN pools p USING (pool_id) WHERE w.window_id = $1"
)
LIST: Final[LiteralString] = (
    "SELECT "
    + COLUMNS
    + """
      FROM maintenance_windows w LEFT JOIN pools p USING (pool_id)
     WHERE ($1 = '' OR w.cluster = $1) AND ($3 OR w.cancelled_at IS NULL AND w.ends_at > $2)
     ORDER BY w.starts_at, w.window_id LIMIT $4
"""
)
CANCEL: Final[LiteralString] = """
    UPDATE maintenance_windows SET cancelled_at = $2, cancelled_by = $3
     WHERE window_id = $1 AND cancelled_at IS NULL RETURNING window_id
"""
PLACES: Final[LiteralString] = """
    SELECT n.node_id, n.node, p.pool, c.hub, c.owner, p.model, m.stack, m.origin
      FROM nodes n JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = n.cluster
      JOIN accelerator_models m USING (model)
     WHERE n.cluster = $1 AND n.present ORDER BY n.node
"""
CROSSING: Final[LiteralString] = """
    SELECT l.lease_id, l.job_id, l.city, l.state, l.offered_at, l.started_at FROM leases l JOIN jobs j USING (job_id)
     WHERE l.state <> 'ended' AND l.lease_id IN (SELECT lease_id FROM held_cards WHERE node_id = ANY($1))
       AND greatest($5, least(coalesce(l.started_at, $2), $2)
                        + (j.walltime_seconds + j.grace_seconds) * interval '1 second') > $3
     ORDER BY l.lease_id LIMIT $4
"""
BARRED: Final[LiteralString] = """
    WITH crossing AS (
        SELECT job_id, shape_id FROM jobs, greatest(earliest_start, $1) AS starts
         WHERE state = 'pending' AND NOT preemptible AND starts < $3
           AND starts + walltime_seconds * interval '1 second' > $2
    )
    SELECT s.requirement, array_agg(c.job_id ORDER BY c.job_id) AS jobs
      FROM crossing c JOIN shapes s USING (shape_id) GROUP BY s.shape_id
"""


async def insert(tx: Connection, draft: WindowDraft, at: datetime, key_id: str) -> WindowId:
    """Store a window. The caller has locked its nodes and knows that the pool is there."""
    given = (draft.cluster, draft.pool, list(draft.nodes), draft.starts_at, draft.ends_at, draft.reason)
    return WindowId(await tx.fetchval(INSERT, *given, at, key_id))


async def same(tx: Connection, draft: WindowDraft) -> WindowId | None:
    """Return the window, not cancelled, that closes the same nodes at the same times; None when there is none."""
    given = (draft.cluster, draft.pool, list(draft.nodes), draft.starts_at, draft.ends_at)
    found: int | None = await tx.fetchval(SAME, *given)
    return None if found is None else WindowId(found)


async def get(tx: Connection, window: WindowId) -> Window | None:
    """Return one window, None when there is none."""
    row = await tx.fetchrow(GET, window)
    return None if row is None else _window(row)


async def list_all(tx: Connection, cluster: str, now: datetime, limit: int, *, past: bool) -> list[Window]:
    """Return windows by their begin, of all clusters for ""; with `past` also those that are over or cancelled."""
    return [_window(row) for row in await tx.fetch(LIST, cluster, now, past, limit)]


async def cancel(tx: Connection, window: WindowId, at: datetime, key_id: str) -> bool:
    """Cancel a window; tell whether that was news."""
    return await tx.fetchval(CANCEL, window, at, key_id) is not None


async def places(tx: Connection, cluster: str) -> list[NodePlace]:
    """Return the present nodes of a cluster, by name."""
    return [NodePlace(*r.values()) for r in await tx.fetch(PLACES, cluster)]


async def crossing(
    tx: Connection, node_ids: Collection[int], now: datetime, starts_at: datetime, limit: int
) -> list[Lease]:
    """Return live leases on these nodes that by walltime and grace may still run at `starts_at`, oldest first.

    Those that are overdue may run for `OVERDUE` from now.
    """
    rows = await tx.fetch(CROSSING, list(node_ids), now, starts_at, limit, now + OVERDUE)
    return await nodes.leases_of(tx, rows)


async def barred(tx: Connection, now: datetime, starts_at: datetime, ends_at: datetime) -> Sequence[Barred]:
    """Return waiting jobs that may not be stopped and, started as soon as they may, would run into the window."""
    rows = await tx.fetch(BARRED, now, starts_at, ends_at)
    return [Barred(r["requirement"], tuple(map(JobId, r["jobs"]))) for r in rows]


def _window(row: Any) -> Window:
    values = dict(row)
    return Window(WindowId(values.pop("window_id")), **(values | {"nodes": tuple(values["nodes"])}))
