"""What the fast lane goes by: a world as a round read it, and what was leased in it since."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from broker.ids import JobId, RoundId
from broker.market.fitting import CardName
from broker.market.lead import Lead
from broker.market.recent import Recent
from broker.market.snapshot import Prepared, zones
from scheduler.decide import within_power
from scheduler.decided import Decided
from scheduler.ground import DoesNotFit
from scheduler.placer import Placer, large_gangs
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice, Policy
from scheduler.snapshot import Snapshot
from scheduler.zones import Zoned

GANGS_SET_ASIDE: Final = 8
GANGS_JUDGED_MAX: Final = 2_000


@dataclass(slots=True)
class View:
    """A world as a round read it, with what the fast lane of this broker leased since: here."""

    lead: Lead
    round: RoundId  # the last one committed: leases refer to it
    source: Prepared  # the world as the round has it
    world: Prepared  # the same, cut into zones
    zoned: Zoned  # what the positions of the one are in the other
    digest: str  # of the world
    placer: Placer
    prices: tuple[OpeningPrice, ...]  # that the placer goes by
    named: dict[CardName, int] = field(default_factory=dict)  # cards that were split here
    leased: list[tuple[Snapshot, Placement]] = field(default_factory=list)  # here, as in `source`, and of which jobs
    leases: list[str] = field(default_factory=list)  # of each of them its lease
    full: bool = False  # nobody of a whole step found room, and nobody since: the oldest of each kind are looked at
    over: bool = False  # it leases nothing more; what it leased still counts in the commit of the round beside it

    @property
    def rules_version(self) -> int:
        """Of the limits that it keeps; once they are others it can commit nothing more."""
        return self.source.rules_version

    @property
    def promised(self) -> list[JobId]:
        """Jobs that were promised a start when the world was read: the view leaves their nodes alone."""
        return [row.job for row in self.source.view.promises]

    @property
    def begun(self) -> set[str]:
        """Jobs that were leased here; the round that is planned beside it may have them in its world."""
        return {placement.job_id for _, placement in self.leased}

    def within_limits(self, decided: Decided, margin_seconds: int) -> Sequence[Placement]:
        """Return those of a round's placements that keep power and quotas beside what was leased here.

        Power that is promised for later is kept as well. `margin_seconds`: of the policy.
        """
        if not self.leased:
            return decided.placements
        source, begun = self.source, self.begun
        placements: Sequence[Placement] = [each for each in decided.placements if each.job_id not in begun]
        placements = within_power(
            source.snapshot, source.horizon, decided.promises, self.leased, placements, margin_seconds
        )
        zone = np.searchsorted(self.zoned.pool_of, [each.pool for each in placements]).tolist()  # any zone of the pool
        there = [each._replace(pool=at) for each, at in zip(placements, zone, strict=True)]
        within = {each.job_id for each in self.placer.within_limits(self.world.snapshot, there)}
        return [each for each in placements if each.job_id in within]


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the fast lane stood when somebody began to read the world."""

    view: View | None
    leased: int  # by the view until then
    judged: JobId | None  # jobs up to here had been looked at; None: none were
    again: frozenset[JobId]  # of these, those that were to be looked at once more


def take_over(view: View, mark: Mark) -> bool:
    """Count in a new view what the one before has leased since the mark; return whether that can be told and fits.

    What has ended since counts until the next view. Leases that the new world shows were made before it was read.
    """
    if (before := mark.view) is None:
        return True
    shown = set(view.source.horizon.lease_id)
    since = zip(before.leases[mark.leased :], before.leased[mark.leased :], strict=True)
    late = [(lease, each) for lease, each in since if lease not in shown]
    if not late:
        return True
    same_rules = before.rules_version == view.rules_version  # else its leases may count to other quotas
    if not (same_rules and view.world is view.source and _same_places(before.source.snapshot, view.source.snapshot)):
        return False
    if any(placement.cards for _, (_, placement) in late):
        return False  # cards that were split since have no name in the new world
    view.placer.lift()
    try:
        for _, (jobs, placement) in late:
            view.placer.take(jobs, [placement])
    except DoesNotFit:
        return False
    _set_aside(view.placer, view.world.snapshot)
    view.leases, view.leased = [lease for lease, _ in late], [each for _, each in late]
    return True


def _same_places(one: Snapshot, other: Snapshot) -> bool:
    """Tell whether pools and nodes have the same names at the same positions."""
    nodes = one.node_names == other.node_names and np.array_equal(one.node_pool, other.node_pool)
    return nodes and one.pool_names == other.pool_names


def _set_aside(placer: Placer, world: Snapshot) -> None:
    placer.set_aside(large_gangs(world, GANGS_JUDGED_MAX), GANGS_SET_ASIDE)


def placer_of(
    world: Prepared, policy: Policy, prices: Sequence[OpeningPrice], recent: Recent
) -> tuple[Prepared, Zoned, Placer]:
    """Return a round's world cut into zones, what its positions were before, and a placer with room set aside in it."""
    cut, zoned = zones(world, policy.lease_end_margin_seconds)
    placer = Placer(cut.snapshot, policy, prices, recent.mix(cut.snapshot))
    placer.warm()
    _set_aside(placer, cut.snapshot)
    return cut, zoned, placer
