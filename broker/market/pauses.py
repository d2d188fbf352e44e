"""Use cases of operators: pauses of queues and clusters. Each act is one transaction, recorded with its key.

A pause is a limit like a quota: it comes into force between two commits, and what is planned by the world before it is
not committed. What runs goes on, and so do the jobs of accepted quotes, whose starts are sold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.caller import Caller
from broker.errors import CityNotFound, ClusterNotFound, QueuePaused
from broker.store import acts, catalogue, nodes, pauses, rules
from broker.store.database import Connection, Database
from broker.store.pauses import Pause, Paused

HELD_BACK_AT_ONCE: Final = 20_000

__all__ = ["Pause", "PauseDone", "Paused", "Pauses", "refuse_paused"]


@dataclass(frozen=True, slots=True)
class PauseDone:
    """What an act did, or would do.

    Attributes:
        pause: that stands, or that has ended; None when there was none to end.
        changed: whether this act changed anything, or would.
        waiting: jobs that wait in the queue and that a pause keeps from starting; 0 of a cluster.
    """

    pause: Pause | None
    changed: bool
    waiting: int = 0


class Pauses:
    """What operators do about pauses. `wake` lets the next round see it at once."""

    def __init__(self, database: Database, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def list(self) -> list[Pause]:
        """Return what is paused, clusters before queues, by name."""
        async with self._database.hub() as tx:
            return await pauses.all_pauses(tx)

    async def pause(
        self, caller: Caller, what: Paused, name: str, reason: str, *, now: datetime, dry_run: bool = False
    ) -> PauseDone:
        """Let nothing start from a city's queue, or on a cluster. What is paused stays as it is, with its reason.

        Raises: CityNotFound, ClusterNotFound.
        """
        async with self._database.hub() as tx:
            in_force_at = await rules.lock(tx, now)
            await _must_exist(tx, what, name)
            found = await pauses.get(tx, what, name)
            changed = found is None
            if found is None:
                found = Pause(what, name, reason, in_force_at, caller.key_id)
                if not dry_run:
                    await pauses.add(tx, found)
                    await rules.change(tx)
                    detail = {"what": what, "reason": reason, "in_force_at": in_force_at.isoformat()}
                    await acts.record(tx, at=now, key_id=caller.key_id, act="pause", subject=name, detail=detail)
            waiting = await pauses.waiting(tx, name) if what is Paused.QUEUE else 0
        if changed and not dry_run:
            await hold_back(self._database, now)
            self._wake()
        return PauseDone(found, changed, waiting)

    async def resume(
        self, caller: Caller, what: Paused, name: str, *, now: datetime, dry_run: bool = False
    ) -> PauseDone:
        """Let a queue or cluster go on; one that is not paused stays as it is. Raise CityNotFound, ClusterNotFound."""
        async with self._database.hub() as tx:
            in_force_at = await rules.lock(tx, now)
            await _must_exist(tx, what, name)
            found = await pauses.get(tx, what, name)
            waiting = await pauses.waiting(tx, name) if what is Paused.QUEUE else 0
            if found is not None and not dry_run:
                await pauses.remove(tx, what, name)
                await rules.change(tx)
                if what is Paused.QUEUE:
                    await pauses.let_go(tx, name)
                detail = {
                    "what": what,
                    "reason": found.reason,
                    "paused_at": found.paused_at.isoformat(),
                    "in_force_at": in_force_at.isoformat(),
                }
                await acts.record(tx, at=now, key_id=caller.key_id, act="resume", subject=name, detail=detail)
        if found is not None and not dry_run:
            self._wake()
        return PauseDone(found, found is not None, waiting)


async def hold_back(database: Database, now: datetime) -> None:
    """Tell the jobs of paused queues why they wait; in batches, so that no submission waits long for a row."""
    told = HELD_BACK_AT_ONCE
    while told == HELD_BACK_AT_ONCE:
        async with database.hub() as tx:
            told = await pauses.hold_back(tx, now, HELD_BACK_AT_ONCE)


async def refuse_paused(tx: Connection, city: str) -> None:
    """Raise QueuePaused when the city's queue is paused: nothing is promised from it."""
    found = await pauses.get(tx, Paused.QUEUE, city)
    if found is not None:
        raise QueuePaused(city=city, why=found.reason)


async def _must_exist(tx: Connection, what: Paused, name: str) -> None:
    if what is Paused.QUEUE:
        if not await catalogue.city_exists(tx, name):
            raise CityNotFound(city=name)
    elif not await nodes.cluster_exists(tx, name):
        raise ClusterNotFound(cluster=name)
