"""Power and energy of hubs: what operators set, and where a hub stands."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from broker.caller import Caller
from broker.errors import HubNotFound
from broker.market.snapshot_rules import pace, used_watts
from broker.store import acts, catalogue, energy, rules
from broker.store.catalogue import HubPower
from broker.store.database import Database
from broker.store.energy import year_of
from broker.store.rules import JOULES_PER_KILOWATT_HOUR, Energy, RulesView


@dataclass(frozen=True, slots=True)
class PowerChange:
    """What to change of a hub's power; None leaves it as it is, 0 takes a limit or a price away."""

    hub: str
    power_kilowatts_max: int | None = None
    pue_milli: int | None = None
    energy_kilowatt_hours_per_year: int | None = None
    micro_yuan_per_kilowatt_hour: int | None = None
    used_kilowatt_hours: int | None = None  # what the meter says that this year has used so far


@dataclass(frozen=True, slots=True)
class PowerUse:
    """Power and energy of a hub: what is set, and where it stands. Watts and joules are at the hub's meter."""

    hub: str
    power: HubPower
    used_watts: int
    pace_watts: int | None  # None: no energy quota
    year: int  # calendar year of UTC+8
    energy: Energy | None  # None: no energy quota


class HubEnergy:
    """Use cases of power and energy. `wake` lets the next round see a change at once."""

    def __init__(self, database: Database, *, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def set(self, caller: Caller, change: PowerChange, *, now: datetime) -> PowerUse:
        """Change what is given, and return where the hub stands. What is so already stays, without an act.

        Raises: HubNotFound.
        """
        async with self._database.hub() as tx:
            in_force_at = await rules.lock(tx, now)
            before = await catalogue.hub_power(tx, change.hub)
            if before is None:
                raise HubNotFound(hub=change.hub)
            after = HubPower(
                *(
                    old if new is None else new
                    for old, new in (
                        (before.power_kilowatts_max, change.power_kilowatts_max),
                        (before.pue_milli, change.pue_milli),
                        (before.energy_kilowatt_hours_per_year, change.energy_kilowatt_hours_per_year),
                        (before.micro_yuan_per_kilowatt_hour, change.micro_yuan_per_kilowatt_hour),
                    )
                )
            )
            reading = change.used_kilowatt_hours
            changed = before != after or reading is not None
            if changed:
                await catalogue.put_hub_power(tx, change.hub, after)
                if reading is not None:
                    await energy.put_reading(tx, change.hub, reading * JOULES_PER_KILOWATT_HOUR, now)
                await rules.change(tx)
                detail = {
                    "before": asdict(before),
                    "after": asdict(after),
                    "used_kilowatt_hours": reading,
                    "in_force_at": in_force_at.isoformat(),
                }
                await acts.record(
                    tx, at=now, key_id=caller.key_id, act="set_hub_power", subject=change.hub, detail=detail
                )
        if changed:
            self._wake()
        return await self.get(change.hub, now=now)

    async def get(self, hub: str, *, now: datetime) -> PowerUse:
        """Return where a hub stands. Raise HubNotFound."""
        async with self._database.hub() as tx:
            view = await rules.read_alone(tx, now)
            power = await catalogue.hub_power(tx, hub)
            if power is None:
                raise HubNotFound(hub=hub)
            return _standing(hub, power, view)


def _standing(hub: str, power: HubPower, view: RulesView) -> PowerUse:
    return PowerUse(
        hub=hub,
        power=power,
        used_watts=used_watts(view, hub),
        pace_watts=pace(view, hub),
        year=year_of(view.at).number,
        energy=view.hubs[hub].energy,
    )
