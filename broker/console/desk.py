"""What the pages stand on: the use cases, and the answers that all share."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from broker.clock import Clock
from broker.console.cards import CardMaps, card_maps
from broker.console.fresh import Fresh
from broker.market.capacity import Capacity
from broker.market.energy import HubEnergy, PowerUse
from broker.market.explain import Explain
from broker.market.identity import Identity
from broker.market.jobs import Jobs
from broker.market.logs import Logs
from broker.market.operations import Operations, Overview
from broker.market.pauses import Pause, Paused, Pauses
from broker.market.previews import Previews
from broker.market.prices import Prices
from broker.market.round_opened import RoundsOpened
from broker.market.rounds import RoundsReader
from broker.market.standing import Flow, Standing
from broker.market.voucher_office import VoucherOffice
from broker.market.vouchers import Vouchers
from broker.market.worlds import Worlds
from broker.worlds.catalogue import CapacityRow

SHARED_SECONDS = 1.0
MAPS_SECONDS = 3.0
SELDOM_SECONDS = 10.0


@dataclass(frozen=True)
class UseCases:
    """All that the console may ask and do."""

    identity: Identity
    jobs: Jobs
    explain: Explain
    logs: Logs
    operations: Operations
    energy: HubEnergy
    worlds: Worlds
    rounds: RoundsReader
    opened: RoundsOpened
    pauses: Pauses
    previews: Previews
    prices: Prices
    capacity: Capacity
    standing: Standing
    vouchers: Vouchers
    office: VoucherOffice


@dataclass(frozen=True)
class Titles:
    """Names for people, by the names for programs."""

    hubs: dict[str, str]
    cities: dict[str, str]
    clusters: dict[str, str]


@dataclass
class Desk:
    """The use cases with the clock, and what is read at most once a second for all who look."""

    ask: UseCases
    clock: Clock
    overview: Fresh[Overview] = field(init=False)
    flows: Fresh[list[Flow]] = field(init=False)
    power: Fresh[dict[str, PowerUse]] = field(init=False)
    titles: Fresh[Titles] = field(init=False)
    reported: Fresh[dict[str, CapacityRow]] = field(init=False)
    maps: Fresh[CardMaps] = field(init=False)
    pauses: Fresh[list[Pause]] = field(init=False)

    def __post_init__(self) -> None:
        """Hang up the shared answers."""
        self.overview = Fresh(lambda: self.ask.operations.overview(self.now), seconds=SHARED_SECONDS)
        self.flows = Fresh(lambda: self.ask.standing.flows(), seconds=SHARED_SECONDS)
        self.power = Fresh(self._power, seconds=SELDOM_SECONDS / 5)
        self.titles = Fresh(self._titles, seconds=SELDOM_SECONDS)
        self.reported = Fresh(self._reported, seconds=SELDOM_SECONDS)
        self.maps = Fresh(self._maps, seconds=MAPS_SECONDS)
        self.pauses = Fresh(lambda: self.ask.pauses.list(), seconds=SHARED_SECONDS)

    @property
    def now(self) -> datetime:
        """The edge's time."""
        return self.clock.now()

    async def pause_of(self, what: Paused, name: str) -> Pause | None:
        """Return the pause of a queue or cluster; None while it is not paused."""
        return next((each for each in await self.pauses() if (each.what, each.name) == (what, name)), None)

    async def paused(self, what: Paused) -> frozenset[str]:
        """Return the names of what is paused."""
        return frozenset(each.name for each in await self.pauses() if each.what is what)

    async def _power(self) -> dict[str, PowerUse]:
        now = self.now
        return {hub: await self.ask.energy.get(hub, now=now) for hub in (await self.titles()).hubs}

    async def _maps(self) -> CardMaps:
        return await asyncio.to_thread(card_maps, await self.ask.standing.cards(self.now))

    async def _reported(self) -> dict[str, CapacityRow]:
        """Return what was last reported of each hub that says anything, plans left out."""
        found = await self.ask.worlds.catalogue(self.now)
        past = {name: [row for row in hub.capacity if not row.planned] for name, hub in found.hubs.items()}
        return {name: rows[-1] for name, rows in past.items() if rows}

    async def _titles(self) -> Titles:
        found = await self.ask.worlds.catalogue(self.now)
        return Titles(
            {name: row.title for name, row in found.hubs.items()},
            {name: row.title for name, row in found.cities.items()},
            {name: row.title for name, row in found.clusters.items()},
        )
