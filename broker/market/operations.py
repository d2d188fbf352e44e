"""Use cases of operators. Each act is one transaction, and is recorded in it with the key that did it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from broker.api_key import ApiKey
from broker.caller import Caller, Role
from broker.errors import (
    ClusterExists,
    ClusterNotFound,
    FieldProblem,
    HubNotFound,
    InvalidRequest,
    KeyNotFound,
    LeaseNotFound,
    NodeNotFound,
    RoleRefused,
)
from broker.ids import LeaseId, lease_text
from broker.job import Lease
from broker.lifecycle import JobState, LeaseState, NodeMode
from broker.market.identity import Identity, issue
from broker.market.rates import refuse_outside
from broker.store import acts, catalogue, keys, leases, nodes, rates
from broker.store.database import Connection, Database
from broker.store.keys import StoredKey
from broker.store.nodes import ClusterUse, Node, NodeModeRow
from broker.worlds.catalogue import Catalogue, ClusterRow
from broker.worlds.schema import suggestion

LEASES_SHOWN_MAX: Final = 1000
"""Leases that the answer to a drain lists; `leases` pages through all of them."""

LIVE: Final = tuple(state for state in LeaseState if state is not LeaseState.ENDED)

MODE_SOURCES: Final[Mapping[NodeMode, frozenset[NodeMode]]] = {
    NodeMode.CORDONED: frozenset({NodeMode.OPEN}),  # a node that is being emptied is closed already
    NodeMode.DRAINING: frozenset({NodeMode.OPEN, NodeMode.CORDONED}),
    NodeMode.OPEN: frozenset({NodeMode.CORDONED, NodeMode.DRAINING, NodeMode.DRAINED}),
}
"""From which modes an operator can bring a node into a mode; in others it stays as it is. Draining ends by itself."""

_ACTS: Final = {NodeMode.CORDONED: "cordon", NodeMode.DRAINING: "drain", NodeMode.OPEN: "uncordon"}


@dataclass(frozen=True, slots=True)
class Overview:
    """The hub at a glance."""

    at: datetime
    jobs: Mapping[tuple[str, JobState], int]
    clusters: tuple[ClusterUse, ...]
    events: int


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did, or would do."""

    nodes: tuple[str, ...]  # that changed
    leases: tuple[Lease, ...]  # that run on the named nodes, the oldest LEASES_SHOWN_MAX


class Operations:
    """What operators do to clusters, nodes, leases and keys. `wake` lets the next round see it at once."""

    def __init__(self, database: Database, identity: Identity, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._identity = identity
        self._wake = wake

    async def overview(self, now: datetime) -> Overview:
        """Return the numbers that a live display shows."""
        async with self._database.hub() as tx:
            return Overview(
                at=now,
                jobs=await nodes.job_counts(tx),
                clusters=tuple(await nodes.clusters(tx, now)),
                events=await nodes.events_numbered(tx),
            )

    async def register_cluster(self, caller: Caller, cluster: ClusterRow, *, now: datetime) -> ApiKey:
        """Make a cluster known and return a key for its agent; what is registered equally just gets another key.

        An empty title stands for the cluster's name, and for whatever is stored already; so do empty asks.

        Raises:
            HubNotFound: the catalogue has no such hub.
            InvalidRequest: an ask names an unknown accelerator model.
            AskOutOfBounds: an ask leaves the floor or cap of its model.
            ClusterExists: it is registered with another hub, owner, title or other asks.
        """
        async with self._database.hub() as tx:
            await catalogue.lock(tx)
            stored = await catalogue.read(tx, now)
            _check_names(stored, cluster)
            known = stored.clusters.get(cluster.cluster)
            if known is None:
                title = cluster.title or cluster.cluster
                refuse_outside(
                    await rates.bounds(tx),
                    ((f"ask_micro_yuan_per_card_hour[{model}]", model, curve) for model, curve in cluster.asks.items()),
                )
                row = ClusterRow(cluster.cluster, cluster.hub, cluster.owner, title, cluster.asks)
                await catalogue.write(tx, [row], now=now, key_id=caller.key_id, source="registration")
            elif different := _different(known, cluster):
                raise ClusterExists(cluster=cluster.cluster, differs=", ".join(different))
            key = await issue(tx, Role.AGENT, cluster.cluster, "agent", now)
            detail = {
                "hub": cluster.hub,
                "owner": cluster.owner,
                "title": cluster.title,
                "asks": {model: str(curve) for model, curve in cluster.asks.items()},
                "new": known is None,
                "agent_key_id": key.key_id,
            }
            await self._record(tx, caller, "register_cluster", cluster.cluster, detail, now)
        return key

    async def clusters(self, hub: str = "", *, now: datetime) -> list[ClusterUse]:
        """Return the clusters of a hub, or of all, with the use of their cards. Raise HubNotFound."""
        async with self._database.hub() as tx:
            found = await nodes.clusters(tx, now, hub)
            if not found and hub and not await catalogue.hub_exists(tx, hub):
                raise HubNotFound(hub=hub)
            return found

    async def node_page(self, cluster: str, after: str, limit: int) -> list[Node]:
        """Return nodes of a cluster by name, from the first one after `after`. Raise ClusterNotFound."""
        async with self._database.hub() as tx:
            found = await nodes.node_page(tx, cluster, after, limit)
            if not found:
                await _must_exist(tx, cluster)
            return found

    async def cordon(
        self, caller: Caller, cluster: str, names: Sequence[str], reason: str, *, now: datetime, dry_run: bool = False
    ) -> list[str]:
        """Give no new work to open nodes, all of the cluster when none is named. Return those that changed.

        Raises: ClusterNotFound, NodeNotFound.
        """
        async with self._database.hub() as tx:
            _, changed = await self._bring(tx, caller, cluster, names, NodeMode.CORDONED, reason, now, dry_run)
        return changed

    async def drain(
        self, caller: Caller, cluster: str, names: Sequence[str], reason: str, *, now: datetime, dry_run: bool = False
    ) -> Drained:
        """Empty open and cordoned nodes, all of the cluster when none is named: no new work, DRAINED when empty.

        Raises: ClusterNotFound, NodeNotFound.
        """
        async with self._database.hub() as tx:
            rows, changed = await self._bring(tx, caller, cluster, names, NodeMode.DRAINING, reason, now, dry_run)
            running = await nodes.leases_on(tx, [row.node_id for row in rows], LEASES_SHOWN_MAX)
        return Drained(tuple(changed), tuple(running))

    async def uncordon(
        self, caller: Caller, cluster: str, names: Sequence[str], *, now: datetime, dry_run: bool = False
    ) -> list[str]:
        """Give work to nodes again, to all of the cluster when none is named. Return those that changed.

        Raises: ClusterNotFound, NodeNotFound.
        """
        async with self._database.hub() as tx:
            _, changed = await self._bring(tx, caller, cluster, names, NodeMode.OPEN, "", now, dry_run)
        if changed and not dry_run:
            self._wake()
        return changed

    async def leases(self, states: Sequence[LeaseState], cluster: str, after: LeaseId, limit: int) -> list[Lease]:
        """Return live leases, oldest first, from the first one after `after`.

        Args:
            states: only these; empty means every live one.
            cluster: only this one; empty means all.
            after: lease after which the page begins, 0 for the first page.
            limit: how many at most.
        Raises: ClusterNotFound.
        """
        async with self._database.hub() as tx:
            found = await nodes.live_leases(tx, states or LIVE, cluster, after, limit)
            if not found and cluster:
                await _must_exist(tx, cluster)
            return found

    async def write_off(self, caller: Caller, lease: LeaseId, reason: str, *, now: datetime) -> Lease:
        """End a LOST lease because the operator vouches that nothing of it runs: its cards are free, its job goes on.

        Raises: LeaseNotFound, LeaseNotLost.
        """
        async with self._database.hub() as tx:
            ended = await leases.write_off(tx, lease, now, detail=reason)
            found = await nodes.lease(tx, lease)
            if found is None:
                raise LeaseNotFound(lease=lease_text(lease))
            detail = {"reason": reason, "job": ended.job, "epoch": ended.ref.epoch, "city": found.city}
            await self._record(tx, caller, "write_off_lease", lease_text(lease), detail, now)
        self._wake()
        return found

    async def create_key(self, caller: Caller, role: Role, subject: str, note: str, *, now: datetime) -> ApiKey:
        """Make a key. A city makes those of its own enterprises.

        Raise RoleRefused, CityNotFound, EnterpriseNotFound, ClusterNotFound, OwnerNotFound or InvalidRequest.
        """
        if caller.city and (role is not Role.ENTERPRISE or subject.partition("/")[0] != caller.city):
            needed = f"a city makes keys of its enterprises: role enterprise, subject {caller.city}/ENTERPRISE"
            raise RoleRefused(role=caller.role, needed=needed)
        async with self._database.hub() as tx:
            key = await issue(tx, role, subject, note, now)
            detail = {"role": role, "subject": subject, "note": note}
            await self._record(tx, caller, "create_key", key.key_id, detail, now)
        return key

    async def revoke_key(self, caller: Caller, key_id: str, *, now: datetime) -> None:
        """End a key: here at once, in other brokers within seconds. Raise KeyNotFound, for a city also for others'."""
        async with self._database.hub() as tx:
            if not await keys.revoke(tx, key_id, now, caller.city):
                raise KeyNotFound(key_id=key_id)
            await self._record(tx, caller, "revoke_key", key_id, {}, now)
        self._identity.forget(key_id)

    async def keys(self, caller: Caller) -> list[StoredKey]:
        """Return all keys, newest first; to a city those of its enterprises."""
        return await self._identity.list(caller.city)

    async def _bring(
        self,
        tx: Connection,
        caller: Caller,
        cluster: str,
        names: Sequence[str],
        mode: NodeMode,
        reason: str,
        now: datetime,
        dry_run: bool,
    ) -> tuple[list[NodeModeRow], list[str]]:
        """Bring nodes into a mode. Return all that were named, and the names of those that changed."""
        rows = await nodes.lock_modes(tx, cluster, names)
        missing = set(names) - {row.node for row in rows}
        if missing or not rows:
            await _must_exist(tx, cluster)
        if missing:
            raise NodeNotFound(cluster=cluster, node=min(missing))
        changing = [row for row in rows if row.mode in MODE_SOURCES[mode]]
        changed = sorted(row.node for row in changing)
        if changing and not dry_run:
            await nodes.set_mode(tx, [row.node_id for row in changing], mode, reason)
            await self._record(tx, caller, _ACTS[mode], cluster, {"nodes": changed, "reason": reason}, now)
        return rows, changed

    async def _record(
        self, tx: Connection, caller: Caller, act: str, subject: str, detail: Mapping[str, Any], now: datetime
    ) -> None:
        await acts.record(tx, at=now, key_id=caller.key_id, act=act, subject=subject, detail=detail)


async def _must_exist(tx: Connection, cluster: str) -> None:
    if not await nodes.cluster_exists(tx, cluster):
        raise ClusterNotFound(cluster=cluster)


def _check_names(stored: Catalogue, cluster: ClusterRow) -> None:
    if cluster.hub not in stored.hubs:
        raise HubNotFound(hub=cluster.hub)
    problems = [
        FieldProblem(
            f"ask_micro_yuan_per_card_hour[{model}]",
            f"there is no accelerator model '{model}': {suggestion(model, stored.models)}",
        )
        for model in cluster.asks
        if model not in stored.models
    ]
    if problems:
        raise InvalidRequest(*problems)


def _different(known: ClusterRow, given: ClusterRow) -> list[str]:
    """Return in what the registered cluster differs from the one that is given; what is left empty does not count."""
    found = [
        f"{name} is {mine}, not {other}"
        for name, mine, other in (("hub", known.hub, given.hub), ("owner", known.owner, given.owner))
        if mine != other
    ]
    if given.title and given.title != known.title:
        found.append(f"title is {known.title}")
    if given.asks and dict(given.asks) != dict(known.asks):
        found.append("asks are others")
    return found
