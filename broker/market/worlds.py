"""Take a world over: compare it with the stored catalogue, say what changes, write it in one transaction."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from broker.caller import Caller
from broker.errors import FieldProblem, InvalidRequest
from broker.market.rates import refuse_outside
from broker.store import acts, catalogue, rates, rules
from broker.store.database import Connection, Database
from broker.worlds.catalogue import Catalogue, ClusterRow, Difference, catalogue_of, differences
from broker.worlds.loader import load
from broker.worlds.quotas import tree_problems
from broker.worlds.rates import Curve
from broker.worlds.schema import World


class Worlds:
    """Use cases of the catalogue."""

    def __init__(self, database: Database, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def catalogue(self, now: datetime) -> Catalogue:
        """Return hubs, accelerator models, cities and clusters as stored, with the asks that stand at `now`."""
        async with self._database.hub() as tx:
            return await catalogue.read(tx, now)

    async def apply(self, caller: Caller, document: str, *, now: datetime, dry_run: bool = False) -> list[str]:
        """Make the stored catalogue say what the world says. Return one line for each difference; wakes the rounds.

        Nothing is removed, as jobs, leases and keys refer to names: a line says what the world does not name. The
        second time nothing changes.

        Raises:
            InvalidRequest: the document is not valid, a cluster with live leases would change its hub or owner, or
                quotas do not fit in with stored ones.
            AskOutOfBounds: an ask leaves the floor or cap of its model.
        """
        world = await asyncio.to_thread(load, document)  # up to a second for the largest document
        wanted = catalogue_of(world)
        async with self._database.hub() as tx:
            await catalogue.lock(tx)
            in_force_at = await rules.lock(tx, now)
            stored = await catalogue.read(tx, now)
            found = differences(stored, wanted)
            await _refuse_moves(tx, world, stored, found)
            _refuse_quotas(stored, wanted)
            refuse_outside(await rates.bounds(tx), _asks(world, stored))
            rows = [difference.row for difference in found if difference.row is not None]
            if rows and not dry_run:
                await catalogue.write(tx, rows, now=now, key_id=caller.key_id, source=f"world {world.world}")
                detail = {
                    "sha256": hashlib.sha256(document.encode()).hexdigest(),
                    "changes": [difference.line for difference in found if difference.row is not None],
                    "in_force_at": in_force_at.isoformat(),
                }
                await acts.record(
                    tx, at=now, key_id=caller.key_id, act="apply_world", subject=world.world, detail=detail
                )
        if rows and not dry_run:
            self._wake()
        return [difference.line for difference in found]


async def _refuse_moves(tx: Connection, world: World, stored: Catalogue, found: Sequence[Difference]) -> None:
    """Raise InvalidRequest when a cluster on which leases live would get another hub or owner."""
    moved = {row.cluster: row for row in _moved(stored, found)}
    if not moved:
        return
    busy = set(await catalogue.busy(tx, list(moved)))
    problems = [
        FieldProblem(
            f"clusters[{i}].{'hub' if stored.clusters[name].hub != moved[name].hub else 'owner'}",
            f"cannot change while leases live on {name}: drain its nodes first",
        )
        for i, name in enumerate(cluster.cluster for cluster in world.clusters)
        if name in busy
    ]
    if problems:
        raise InvalidRequest(*problems)


def _refuse_quotas(stored: Catalogue, wanted: Catalogue) -> None:
    """Raise InvalidRequest when quotas would not fit in with those that are kept because the world names them not."""
    place = {quota: i for i, quota in enumerate(wanted.quotas)}
    problems = [
        FieldProblem(f"quotas[{place[quota]}].{field}", description)
        for quota, field, description in tree_problems({**stored.quotas, **wanted.quotas}, wanted.quotas)
    ]
    if problems:
        raise InvalidRequest(*problems)


def _asks(world: World, stored: Catalogue) -> Iterator[tuple[str, str, Curve]]:
    """Yield field, model and curve of the asks that change what stands."""
    for i, cluster in enumerate(world.clusters):
        stands = stored.clusters[cluster.cluster].asks if cluster.cluster in stored.clusters else {}
        for model, ask in cluster.asks.items():
            if stands.get(model) != ask.curve:
                yield f"clusters[{i}].asks.{model}", model, ask.curve


def _moved(stored: Catalogue, found: Sequence[Difference]) -> Iterator[ClusterRow]:
    for difference in found:
        row = difference.row
        if isinstance(row, ClusterRow) and row.cluster in stored.clusters:
            old = stored.clusters[row.cluster]
            if (old.hub, old.owner) != (row.hub, row.owner):
                yield row
