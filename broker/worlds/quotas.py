"""Quotas as a tree: hub > city > enterprise, named by paths such as "qingyang/ganzhou/acme". Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

LEVELS: Final = ("hub", "city", "enterprise")


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """A quota of programme-counted FP16, in thousandths of a PFLOPS."""

    quota: str  # "hub", "hub/city" or "hub/city/enterprise"
    guaranteed_milli_pflops: int
    borrow_milli_pflops: int | None = None  # how much more it may use; None: no limit
    lend_milli_pflops: int | None = None  # how much of it others may use meanwhile; None: all

    @property
    def place(self) -> tuple[str, str | None, str | None]:
        """Hub, city and enterprise; None where the quota stands above that level."""
        hub, city, enterprise, *_ = (*self.quota.split("/"), None, None)
        assert hub is not None  # noqa: S101 - split never returns nothing
        return hub, city, enterprise

    @property
    def parent(self) -> str:
        """Path of the quota above; empty for a hub's."""
        return parent_of(self.quota)

    @property
    def limit_milli_pflops(self) -> int | None:
        """The most that it may use; None: no limit."""
        return None if self.borrow_milli_pflops is None else self.guaranteed_milli_pflops + self.borrow_milli_pflops


def parent_of(quota: str) -> str:
    """Return the path of the quota above; empty for a hub's."""
    return quota.rpartition("/")[0]


def tree_problems(quotas: Mapping[str, QuotaRow], changed: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield what would be wrong about quotas of a tree, as (quota, field, description).

    Args:
        quotas: the whole tree by path, as it would be with the changes.
        changed: the quotas that are added or changed.
    """
    promised = guaranteed_to_children(quotas)
    for quota in changed:
        row = quotas[quota]
        if row.parent and row.parent not in quotas:
            yield quota, "quota", f"{row.parent} has no quota: set that first"
            continue
        guaranteed, lend = row.guaranteed_milli_pflops, row.lend_milli_pflops
        if lend is not None and lend > guaranteed:
            why = f"is {lend}, more than the {guaranteed} that are guaranteed: leave it out to lend all"
            yield quota, "lend_milli_pflops", why
        if promised[quota] > guaranteed:
            why = f"is {guaranteed}, its children are guaranteed {promised[quota]}: lower theirs first"
            yield quota, "guaranteed_milli_pflops", why
        if row.parent and promised[row.parent] > (above := quotas[row.parent].guaranteed_milli_pflops):
            others = promised[row.parent] - guaranteed
            why = f"is {guaranteed}, {row.parent} is guaranteed {above} of which others have {others}: raise that first"
            yield quota, "guaranteed_milli_pflops", why


def guaranteed_to_children(quotas: Mapping[str, QuotaRow]) -> defaultdict[str, int]:
    """Return by quota what the quotas right below it are guaranteed together; 0 where there are none."""
    sums: defaultdict[str, int] = defaultdict(int)
    for row in quotas.values():
        sums[row.parent] += row.guaranteed_milli_pflops
    return sums
