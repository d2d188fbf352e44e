"""What the fast lane says to the commit of the round beside it, and hears of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from broker.ids import RoundId
from broker.market.lead import Lead
from broker.market.placing_view import View
from broker.market.promising import Leased, without
from broker.market.snapshot import Prepared
from scheduler.decided import Decided
from scheduler.ground import DoesNotFit
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice


@dataclass(frozen=True, slots=True)
class Settled:
    """What the last committed round leaves to the views after it."""

    lead: Lead
    round: RoundId
    prices: tuple[OpeningPrice, ...]


class Beside:
    """What the fast lane says to a round's commit, and hears of it."""

    def __init__(
        self,
        world: Prepared,
        decided: Decided,
        prices: tuple[OpeningPrice, ...],
        within: Sequence[Placement],
        view: View | None,
    ) -> None:
        self.within_limits = within
        """The round's placements that keep power and quotas beside what the fast lane leased meanwhile."""
        self.leased: Leased = () if view is None else tuple(view.leased)
        self.decided = without_begun(decided, view)
        """The decision without what it promises jobs that the fast lane leased meanwhile, and stops for them."""
        self.settled: Settled | None = None
        self.view: View | None = None
        self.outdated = False
        self.overtaken = False  # quotes were accepted while the round was planned
        self._world, self._prices, self._before = world, prices, view

    async def settle(self, lead: Lead, round_id: RoundId, started: Sequence[Placement]) -> None:
        """Take over what was committed: leases, prices, the round's number."""
        plan = self.decided.plan
        last = plan.tiers[-1].name
        self.settled = Settled(lead, round_id, tuple(price for price in self._prices if price.tier == last))
        view = self._before
        if view is None or view.over or self.overtaken or self._cut(view):
            self.outdated = True
            return
        try:
            await asyncio.to_thread(view.placer.settle, self._world.snapshot, plan, started)
        except DoesNotFit:  # a card that was split here is another one in the round
            self.outdated = True
            return
        view.round = round_id
        view.digest = ""  # what was started since is in no world that was read
        view.prices = self.settled.prices
        view.leased.clear()
        view.leases.clear()
        view.full = False  # room that was set aside for the round may be left
        self.view = view

    def _cut(self, view: View) -> bool:
        """Tell whether the view's world or the round's had zones or promises: one does not stand for the other then."""
        promises = bool(self.decided.promises) or bool(self._world.horizon.promises)
        return promises or view.world is not view.source or self.decided.zones != self._world.snapshot.pool_names


def without_begun(decided: Decided, view: View | None) -> Decided:
    """Return the decision without promises to jobs that the view has leased: they wait for nothing more."""
    return decided if view is None or not view.leased else without(decided, view.begun)
