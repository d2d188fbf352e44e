"""Quotas: what a hub, a city there or an enterprise of it is guaranteed, and what is used, borrowed and lent of it."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from broker.caller import Caller
from broker.errors import (
    CityNotFound,
    FieldProblem,
    HubNotFound,
    InvalidRequest,
    QuotaHasChildren,
    QuotaNotFound,
)
from broker.market.snapshot_rules import MILLI_TFLOPS_PER_MILLI_PFLOPS, used_by_quota
from broker.store import acts, catalogue, quotas, rules
from broker.store.database import Connection, Database
from broker.store.rules import RulesView
from broker.worlds.quotas import LEVELS, QuotaRow, guaranteed_to_children, tree_problems


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """A quota and how it stands now, in thousandths of a TFLOPS."""

    quota: QuotaRow
    used: int  # by live leases, its children's included
    borrowed: int  # what of that goes beyond the guarantee
    lent: int  # what of the guarantee others beside it use meanwhile


class Quotas:
    """Use cases of quotas. `wake` lets the next round see a change at once."""

    def __init__(self, database: Database, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def set(self, caller: Caller, wanted: QuotaRow, *, now: datetime) -> QuotaUse:
        """Add a quota or change it, and return how it stands. What is set already stays, without an act.

        Raises:
            HubNotFound, CityNotFound: the catalogue has no such hub or city.
            InvalidRequest: its parent has no quota, or guarantees would not fit into one another.
        """
        async with self._database.hub() as tx:
            in_force_at = await rules.lock(tx, now)
            before = await check_quota(tx, wanted)
            if before != wanted:
                await quotas.put(tx, [wanted])
                await rules.change(tx)
                detail = {
                    "before": None if before is None else asdict(before),
                    "after": asdict(wanted),
                    "in_force_at": in_force_at.isoformat(),
                }
                await acts.record(
                    tx, at=now, key_id=caller.key_id, act="set_quota", subject=wanted.quota, detail=detail
                )
        if before != wanted:
            self._wake()
        return (await self._standing(now))[wanted.quota]

    async def list(self, hub: str, *, now: datetime) -> list[QuotaUse]:
        """Return the quotas of a hub, or of all, parents before children. Raise HubNotFound."""
        if hub:
            async with self._database.hub() as tx:
                await _check_names(tx, QuotaRow(hub, 0))
        return [use for use in (await self._standing(now)).values() if not hub or use.quota.place[0] == hub]

    async def remove(self, caller: Caller, quota: str, *, now: datetime, dry_run: bool = False) -> QuotaUse:
        """Remove a quota that has no children, and return how it stood: its use counts to its parent from then on.

        Raises: QuotaNotFound, QuotaHasChildren.
        """
        standing = await self._standing(now)
        async with self._database.hub() as tx:
            in_force_at = await rules.lock(tx, now)
            stored = {row.quota: row for row in await quotas.all_quotas(tx)}
            found = stored.get(quota)
            if found is None:
                raise QuotaNotFound(quota=quota)
            children = [row.quota for row in stored.values() if row.parent == quota]
            if children:
                raise QuotaHasChildren(quota=quota, children=len(children), first=min(children))
            if not dry_run:
                await quotas.remove(tx, quota)
                await rules.change(tx)
                detail = {"before": asdict(found), "in_force_at": in_force_at.isoformat()}
                await acts.record(tx, at=now, key_id=caller.key_id, act="remove_quota", subject=quota, detail=detail)
        if not dry_run:
            self._wake()
        return standing.get(quota, QuotaUse(found, 0, 0, 0))  # set by somebody else only now: nothing runs under it

    async def _standing(self, now: datetime) -> dict[str, QuotaUse]:
        async with self._database.hub() as tx:
            return standing(await rules.read_alone(tx, now))


def standing(view: RulesView) -> dict[str, QuotaUse]:
    """Return how every quota stands.

    What the children of one parent borrow, and what is used of the parent directly, comes first out of what the
    parent has not guaranteed to any child; the rest is lent by the children that have something to lend, each in
    proportion to that.
    """
    rows = {row.quota: row for row in view.quotas}
    used = used_by_quota(view)
    borrowed = {q: max(0, used[q] - _milli_tflops(row.guaranteed_milli_pflops)) for q, row in rows.items()}
    lent = _lent(rows, used, borrowed)
    return {q: QuotaUse(row, used[q], borrowed[q], lent[q]) for q, row in rows.items()}


def _lent(rows: Mapping[str, QuotaRow], used: Mapping[str, int], borrowed: Mapping[str, int]) -> defaultdict[str, int]:
    promised = guaranteed_to_children(rows)
    children = defaultdict[str, list[str]](list)
    for quota, row in rows.items():
        if row.parent:
            children[row.parent].append(quota)
    lent = defaultdict[str, int](int)
    for parent, below in children.items():
        lendable = {q: _lendable(rows[q], used[q]) for q in below}
        direct = used[parent] - sum(used[q] for q in below)
        spare = _milli_tflops(rows[parent].guaranteed_milli_pflops - promised[parent])
        wanted = max(0, direct + sum(borrowed[q] for q in below) - spare)
        total = sum(lendable.values())
        for quota, most in lendable.items():
            lent[quota] = min(most, wanted * most // total) if total else 0
    return lent


def _lendable(row: QuotaRow, used: int) -> int:
    unused = max(0, _milli_tflops(row.guaranteed_milli_pflops) - used)
    return unused if row.lend_milli_pflops is None else min(unused, _milli_tflops(row.lend_milli_pflops))


async def check_quota(tx: Connection, wanted: QuotaRow) -> QuotaRow | None:
    """Return the quota as it is set now, None where there is none.

    Raises:
        HubNotFound, CityNotFound: the catalogue has no such hub or city.
        InvalidRequest: its parent has no quota, or guarantees would not fit into one another.
    """
    await _check_names(tx, wanted)
    stored = {row.quota: row for row in await quotas.all_quotas(tx)}
    before = stored.get(wanted.quota)
    problems = list(tree_problems({**stored, wanted.quota: wanted}, [wanted.quota])) if before != wanted else []
    if problems:
        raise InvalidRequest(*(FieldProblem(_on_the_wire(wanted, field), why) for _, field, why in problems))
    return before


def _on_the_wire(row: QuotaRow, field: str) -> str:
    """Return the field of the request that a problem of the tree is about: what lacks a parent is the last name."""
    name = LEVELS[row.quota.count("/")] if field == "quota" else field
    return f"quota.{name}"


def _milli_tflops(milli_pflops: int) -> int:
    return milli_pflops * MILLI_TFLOPS_PER_MILLI_PFLOPS


async def _check_names(tx: Connection, row: QuotaRow) -> None:
    hub, city, _ = row.place
    if not await catalogue.hub_exists(tx, hub):
        raise HubNotFound(hub=hub)
    if city is not None and not await catalogue.city_exists(tx, city):
        raise CityNotFound(city=city)
