"""Use cases of operators: maintenance windows. Each act is one transaction, recorded in it with the key that did it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from broker.caller import Caller
from broker.errors import ClusterNotFound, FieldProblem, InvalidRequest, WindowNotFound
from broker.ids import JobId, WindowId, window_text
from broker.job import Lease
from broker.store import acts, nodes, windows
from broker.store.database import Connection, Database
from broker.store.windows import NodePlace, Window, WindowDraft

SHOWN_MAX: Final = 1000
"""Leases, and jobs, that an answer lists; windows too."""


@dataclass(frozen=True, slots=True)
class Created:
    """What a window is, or would be, and whom it meets.

    Attributes:
        window: None when it was only tried.
        nodes: the present nodes that it closes, by name.
        leases: that may still run there when it begins, the oldest SHOWN_MAX.
        barred: waiting jobs that do not start on these nodes because they would run into it, the oldest SHOWN_MAX.
        barred_count: how many of those there are.
    """

    window: Window | None
    nodes: tuple[str, ...]
    leases: tuple[Lease, ...]
    barred: tuple[JobId, ...]
    barred_count: int


class Windows:
    """What operators do about windows. `wake` lets the next round see it at once."""

    def __init__(self, database: Database, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def create(self, caller: Caller, draft: WindowDraft, *, now: datetime, dry_run: bool = False) -> Created:
        """Close nodes from one time to another; the same again changes nothing.

        No job that may not be stopped starts there from now on if its walltime crosses the window, and nothing starts
        inside. What runs there goes on: the answer says what may still run when it begins.

        Raises: ClusterNotFound; InvalidRequest that names every node, or the pool, that the cluster does not have.
        """
        async with self._database.hub() as tx:
            closed = await _closed(tx, draft)
            # Locked as a drain does: a round that is being committed there is waited for, and a later one sees it.
            await nodes.lock_modes(tx, draft.cluster, [place.node for place in closed])
            found = None if dry_run else await self._stored(tx, caller, draft, now)
            running = await windows.crossing(tx, [p.node_id for p in closed], now, draft.starts_at, SHOWN_MAX)
            waiting = await windows.barred(tx, now, draft.starts_at, draft.ends_at)
        barred = sorted(j for group in waiting if may_use(group.requirement, closed) for j in group.jobs)
        if found is not None:
            self._wake()
        return Created(found, tuple(p.node for p in closed), tuple(running), tuple(barred[:SHOWN_MAX]), len(barred))

    async def list(self, cluster: str, *, now: datetime, past: bool = False) -> list[Window]:
        """Return the first SHOWN_MAX windows by their begin, of all clusters for "". Raise ClusterNotFound."""
        async with self._database.hub() as tx:
            found = await windows.list_all(tx, cluster, now, SHOWN_MAX, past=past)
            if not found and cluster:
                await _must_exist(tx, cluster)
        return found

    async def cancel(self, caller: Caller, window: WindowId, *, now: datetime) -> Window:
        """Take a window back, in the midst of it too; one that is cancelled stays so. Raise WindowNotFound."""
        async with self._database.hub() as tx:
            news = await windows.cancel(tx, window, now, caller.key_id)
            found = await windows.get(tx, window)
            if found is None:
                raise WindowNotFound(window=window_text(window))
            if news:
                await _record(tx, caller, "cancel_window", found, now)
        self._wake()
        return found

    async def _stored(self, tx: Connection, caller: Caller, draft: WindowDraft, now: datetime) -> Window:
        window = await windows.same(tx, draft)
        news = window is None
        found = await windows.get(tx, window or await windows.insert(tx, draft, now, caller.key_id))
        if found is None:
            raise AssertionError("a window that was stored in this transaction is there")
        if news:
            await _record(tx, caller, "create_window", found, now)
        return found


def may_use(requirement: Mapping[str, Any], places: Iterable[NodePlace]) -> bool:
    """Tell whether a job may run on one of these nodes, by what it asks of their pools (`JobSpec.requirement`)."""
    kinds = {(p.hub, p.owner, p.model, p.stack, p.origin) for p in places}
    return any(_allows(requirement, *kind) for kind in kinds)


def _allows(requirement: Mapping[str, Any], hub: str, owner: str, model: str, stack: str, origin: str) -> bool:
    if requirement["allowed_hubs"] and hub not in requirement["allowed_hubs"]:
        return False
    if requirement.get("allowed_owners") and owner not in requirement["allowed_owners"]:
        return False
    if requirement.get("domestic_only") and origin != "domestic":
        return False
    return any(b["stack"] == stack and (not b["models"] or model in b["models"]) for b in requirement["builds"])


async def _closed(tx: Connection, draft: WindowDraft) -> Sequence[NodePlace]:
    places = await windows.places(tx, draft.cluster)
    if not places:
        await _must_exist(tx, draft.cluster)
    of_pool = [place for place in places if draft.pool in ("", place.pool)]
    where = f"pool {draft.cluster}/{draft.pool}" if draft.pool else f"cluster {draft.cluster}"
    problems = []
    if draft.pool and not of_pool:
        problems.append(FieldProblem("pool", f"cluster {draft.cluster} has no pool {draft.pool} with nodes"))
    else:
        known = {place.node for place in of_pool}
        problems += [
            FieldProblem("nodes", f"{where} has no node {name}: see `xisuan nodes {draft.cluster}`")
            for name in draft.nodes
            if name not in known
        ]
    if problems:
        raise InvalidRequest(*problems[:SHOWN_MAX])
    return [place for place in of_pool if not draft.nodes or place.node in draft.nodes]


async def _must_exist(tx: Connection, cluster: str) -> None:
    if not await nodes.cluster_exists(tx, cluster):
        raise ClusterNotFound(cluster=cluster)


async def _record(tx: Connection, caller: Caller, act: str, window: Window, now: datetime) -> None:
    detail = {
        "cluster": window.cluster,
        "pool": window.pool,
        "nodes": list(window.nodes),
        "starts_at": window.starts_at.isoformat(),
        "ends_at": window.ends_at.isoformat(),
        "reason": window.reason,
    }
    subject = window_text(window.window)
    await acts.record(tx, at=now, key_id=caller.key_id, act=act, subject=subject, detail=detail)
