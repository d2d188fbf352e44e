"""Use cases of the energy report: by hub against quota and lines, by city, and of one job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from broker.caller import Caller, Role
from broker.errors import HubNotFound, RoleRefused
from broker.ids import JobId
from broker.market import access
from broker.store import catalogue, energy_counts, jobs
from broker.store.database import Database
from broker.store.energy_counts import Drawn, HubLines, LeaseEnergy, Sum
from broker.store.rules import JOULES_PER_KILOWATT_HOUR
from broker.worlds.green import PPM, month_of, start_of


@dataclass(frozen=True, slots=True)
class Period:
    """A month or a year of UTC+8: its first month, and the first one after it."""

    first: date
    end: date

    @classmethod
    def month(cls, at: datetime) -> "Period":
        """Return the month that a moment lies in."""
        first = month_of(at)
        return cls(first, (first + timedelta(days=31)).replace(day=1))

    def __str__(self) -> str:
        return f"{self.first:%Y}" if (self.end - self.first).days > 31 else f"{self.first:%Y-%m}"

    def of_year(self, quota_joules: int) -> int:
        """Return what the period may use of the quota of its year when that is spread evenly, rounded down."""
        year, following = date(self.first.year, 1, 1), date(self.first.year + 1, 1, 1)
        spans = (start_of(self.end) - start_of(self.first), start_of(following) - start_of(year))
        return quota_joules * spans[0].days // spans[1].days


@dataclass(frozen=True, slots=True)
class HubReport:
    """A hub's energy in a period."""

    lines: HubLines
    drawn: Drawn

    @property
    def quota_joules(self) -> int:
        """The year's quota at the meter; 0: none."""
        return self.lines.quota_kilowatt_hours * JOULES_PER_KILOWATT_HOUR


@dataclass(frozen=True, slots=True)
class EnergyReport:
    """Energy of a period; `whole`: the caller may see all of it."""

    period: Period
    hubs: Sequence[HubReport]
    parts: Sequence[Sum]
    counted: tuple[datetime, datetime] | None
    whole: bool


class EnergyReports:
    """What was drawn, as far as the caller may see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, caller: Caller, hub: str, city: str, period: Period) -> EnergyReport:
        """Return the energy of a period. A city sees its own part, an owner that of the own clusters.

        Raises: HubNotFound, RoleRefused: a city asks for another one's, or an enterprise for any.
        """
        if caller.role is Role.ENTERPRISE:
            raise RoleRefused(role=caller.role, needed="energy is told by city: of your jobs, ask for each one's")
        if caller.role is Role.CITY:
            city = access.city_to_read(caller, city) or ""
        async with self._database.hub() as tx:
            if hub and not await catalogue.hub_exists(tx, hub):
                raise HubNotFound(hub=hub)
            lines = await energy_counts.lines(tx, hub)
            everything = await energy_counts.sums(tx, period.first, period.end, hub)
            counted = await energy_counts.counted(tx)
        parts = everything
        if caller.role is Role.CITY:  # read again, with the role that cannot see more
            async with self._database.city(caller.subject) as tx:
                parts = await energy_counts.sums(tx, period.first, period.end, hub)
        elif caller.role is Role.OWNER:
            parts = [part for part in everything if part.owner == caller.subject]
        hubs = [HubReport(each, total(p.drawn for p in everything if p.hub == each.hub)) for each in lines]
        return EnergyReport(
            period,
            hubs,
            [part for part in parts if city in ("", part.city)],
            counted,
            whole=caller.role not in (Role.CITY, Role.OWNER),
        )

    async def of_job(self, caller: Caller, job: JobId, *, now: datetime) -> list[LeaseEnergy]:
        """Return what each attempt of a job has drawn. Raise JobNotFound, also for another city's; RoleRefused."""
        async with access.transaction_of(self._database, caller) as tx:
            await jobs.get(tx, job)
            return await energy_counts.of_job(tx, job, now)


def total(parts: Iterable[Drawn]) -> Drawn:
    """Return all together."""
    found = list(parts)
    return Drawn(
        sum(d.it_joules for d in found), sum(d.meter_joules for d in found), sum(d.green_joules for d in found)
    )


def green_ppm(drawn: Drawn) -> int | None:
    """Return the green part of what was drawn at the meter, in millionths, rounded down; None: nothing was."""
    return drawn.green_joules * PPM // drawn.meter_joules if drawn.meter_joules else None
