"""The month of a hub, or of all: figures of use, money, energy, entries and prices, out of one consistent view."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Final

from broker.caller import Caller, Role
from broker.errors import HubNotFound, RoleRefused, invalid
from broker.market.energy_report import total
from broker.market.growth import Worth, by_model, worth
from broker.papers.hub_month import HubMonth, HubPart, ModelMonth, ParkFigures, Total, YearEnergy, summed
from broker.papers.month import Month
from broker.store import catalogue, energy_counts, month_facts, month_use, park_figures, prices, use_report
from broker.store.database import Connection, Database

FIGURES_MONTHS: Final = 12
"""For so many months up to the one asked for entries are shown."""


class HubMonths:
    """Use cases of the month of a hub."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def month(self, caller: Caller, month: Month, hub: str, *, now: datetime) -> HubMonth:
        """Return a month of a hub; an empty hub: of all together.

        Raises: InvalidRequest: the month has not begun. HubNotFound. RoleRefused: only operators and auditors see the
            money of everybody.
        """
        if caller.role not in (Role.OPERATOR, Role.AUDITOR):
            raise RoleRefused(role=caller.role, needed="months of hubs are for auditors and operators")
        if month.begins_at > now:
            raise invalid("month", f"{month.text} has not begun: it begins at {month.begins_at.isoformat()}")
        async with self._database.hub() as tx:
            await month_use.take_one_view(tx)
            if hub and not await catalogue.hub_exists(tx, hub):
                raise HubNotFound(hub=hub)
            return await _month(tx, month, hub, now)


async def _month(tx: Connection, month: Month, hub: str, now: datetime) -> HubMonth:
    use = tuple(await use_report.use_rows(tx, month, None, now, hub))
    used, jobs = await month_use.by_model(tx, month, now)
    models = await _models(tx, month, used, now)
    counted = await energy_counts.counted(tx)
    here = [row for row in models if hub in ("", row.hub)]
    money = await month_use.money_by_day(tx, month, hub)
    earned = await month_use.earned(tx, month, hub)
    kept = await month_facts.kept(tx, month, hub)
    told = Total(
        jobs=jobs.get(hub, 0),
        **{name: summed(use, name) for name in _SUMMED},
        capacity_milli_card_seconds=summed(here, "capacity_milli_card_seconds"),
        owners_micro_yuan=earned.owners,
        fee_micro_yuan=earned.fee,
        credited_micro_yuan=earned.credited,
        **asdict(kept),
    )
    return HubMonth(
        month=month.text,
        hub=hub,
        begins_at=month.begins_at,
        ends_at=month.ends_at,
        provisional_at=None if month.is_closed(now) else now,
        energy_counted_until=None if counted is None else counted[1],
        total=told,
        use=use,
        titles=await month_facts.titles(tx, (row.city for row in use)),
        days=await month_use.by_day(tx, month, hub, now),
        money=money,
        energy=() if counted is None else tuple(await month_facts.energy_by_day(tx, month, hub, counted)),
        models=tuple(models),
        hubs=tuple(await _hubs(tx, month, hub)),
        programmes=await month_facts.programmes(tx, month, hub),
        rounds=await month_facts.rounds(tx, month),
    )


_SUMMED: Final = (
    "leases", "milli_card_seconds", "nameplate_micro_pflops_hours", "programme_micro_pflops_hours",
    "measured_micro_pflops_hours", "micro_yuan", "voucher_micro_yuan", "borne_micro_yuan",
)  # fmt: skip
"""Figures of the month that are sums of those by city and sector."""


async def _models(
    tx: Connection, month: Month, used: Mapping[tuple[str, str], month_use.ModelUse], now: datetime
) -> list[ModelMonth]:
    """Return models of all hubs, by hub and model."""
    waits, cards = await month_facts.waits(tx, month), await month_facts.cards(tx)
    worths = await _worths(tx, month)
    seconds = int((min(now, month.ends_at) - month.begins_at).total_seconds())
    found = []
    for hub, model in sorted(used.keys() | waits.keys() | cards.keys() | worths.keys()):
        there, programme = cards.get((hub, model), (0, 0))
        use, wait = used.get((hub, model), month_use.ModelUse()), waits.get((hub, model), month_facts.Waits())
        found.append(
            ModelMonth(
                hub=hub,
                model=model,
                cards=there,
                programme_milli_tflops=programme,
                capacity_milli_card_seconds=1000 * there * seconds,
                **asdict(use),
                waits=wait.count,
                wait_p50_seconds=wait.p50_seconds,
                wait_p90_seconds=wait.p90_seconds,
                **asdict(worths.get((hub, model), Worth())),
            )
        )
    return found


async def _worths(tx: Connection, month: Month) -> Mapping[tuple[str, str], Worth]:
    """Return by hub and model what a further card would have been worth, in the hours that are summed up."""
    until = await prices.rolled_up_until(tx)
    end = month.ends_at if until is None else min(month.ends_at, until)
    if until is None or end <= month.begins_at:
        return {}
    places = {place.pool_id: (place.hub, place.model) for place in await prices.pools(tx)}
    hours = await prices.hours_of_all(tx, month.begins_at, end)
    found = {pool_id: worth(rows, month.begins_at, end) for pool_id, rows in hours.items()}
    known = {pool_id: each for pool_id, each in found.items() if each.priced_seconds}
    return by_model(places, await month_facts.pool_cards(tx), known)


async def _hubs(tx: Connection, month: Month, hub: str) -> list[HubPart]:
    first = date(month.year, month.number, 1)
    ago = month.year * 12 + month.number - FIGURES_MONTHS
    entered: dict[str, list[ParkFigures]] = {}
    for each in reversed(await park_figures.standing(tx, hub, date(ago // 12, ago % 12 + 1, 1), first)):
        entered.setdefault(each.hub, []).append(each)
    drawn = {n: await _drawn(tx, month.year, n, hub) for n in range(1, month.number + 1)}
    found = []
    for part in await month_facts.hubs(tx, hub, month):
        own = {n: total(s.drawn for s in sums if s.hub == part.hub) for n, sums in drawn.items()}
        found.append(
            replace(
                part,
                **asdict(own[month.number]),
                months=tuple(YearEnergy(Month(month.year, n).text, d.meter_joules) for n, d in own.items()),
                figures=tuple(entered.get(part.hub, ())),
            )
        )
    return found


async def _drawn(tx: Connection, year: int, number: int, hub: str) -> list[energy_counts.Sum]:
    first = date(year, number, 1)
    return await energy_counts.sums(tx, first, (first + timedelta(days=31)).replace(day=1), hub)
