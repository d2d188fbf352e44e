"""The month of a hub, or of all hubs: what was used and earned, drawn and entered, and where more cards would pay.

Figures in, one canonical text out; nothing here draws or asks. Days and months are those of UTC+8. Money is micro-yuan,
energy joules at the hub's meter unless it says IT, FP16 work millionths of a PFLOPS-hour, time on cards thousandths of
a card times seconds.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from broker.papers.paper import moment_text
from broker.papers.use import UseRow

FORM: Final = 1
"""Of the canonical text; a form that says more gets another number."""

FURTHER_CARDS: Final = 1000
"""For so many the planning of growth is told."""

PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Total:
    """The month in one row.

    Attributes:
        jobs, leases: that had cards.
        milli_card_seconds: that were used.
        capacity_milli_card_seconds: of the cards that are there now, over the part of the month that has passed.
        nameplate_micro_pflops_hours, programme_micro_pflops_hours, measured_micro_pflops_hours: of what was used.
        micro_yuan: what cities paid for work, vouchers included: the sums of their invoices before credit notes.
        voucher_micro_yuan: of this: out of vouchers.
        borne_micro_yuan: what the exchange paid, for no hold covered it.
        owners_micro_yuan, fee_micro_yuan: who got both: owners of clusters, and the exchange.
        credited_micro_yuan: given back by credit notes.
        quotes_accepted, quotes_kept, quotes_missed: of accepted quotes; kept and missed by when it was found.
        missed_credit_micro_yuan: of the credit notes: for missed quotes.
        starts_kept, starts_late, starts_moved, starts_broken: what became of starts promised by rounds; of all hubs.
    """

    jobs: int = 0
    leases: int = 0
    milli_card_seconds: int = 0
    capacity_milli_card_seconds: int = 0
    nameplate_micro_pflops_hours: int = 0
    programme_micro_pflops_hours: int = 0
    measured_micro_pflops_hours: int = 0
    micro_yuan: int = 0
    voucher_micro_yuan: int = 0
    borne_micro_yuan: int = 0
    owners_micro_yuan: int = 0
    fee_micro_yuan: int = 0
    credited_micro_yuan: int = 0
    quotes_accepted: int = 0
    quotes_kept: int = 0
    quotes_missed: int = 0
    missed_credit_micro_yuan: int = 0
    starts_kept: int = 0
    starts_late: int = 0
    starts_moved: int = 0
    starts_broken: int = 0


@dataclass(frozen=True, slots=True)
class Title:
    """What people call a city or a hub."""

    kind: str  # "city" or "hub"
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class DayUse:
    """What was used on a day, by one sector or one city: the other name is empty."""

    day: str
    workload_class: str
    city: str
    milli_card_seconds: int


@dataclass(frozen=True, slots=True)
class DayMoney:
    """What cities paid on a day, by captures."""

    day: str
    micro_yuan: int
    voucher_micro_yuan: int


@dataclass(frozen=True, slots=True)
class DayEnergy:
    """What a hub drew on a day, computed from leases at the watts and the PUE of now."""

    day: str
    hub: str
    it_joules: int
    meter_joules: int
    green_joules: int


@dataclass(frozen=True, slots=True)
class ModelMonth:
    """A model of cards in a hub.

    Attributes:
        hub, model: which.
        cards: of it that are there now.
        programme_milli_tflops: FP16 of a card as the programme counts.
        milli_card_seconds: that were used.
        capacity_milli_card_seconds: that could have been.
        programme_micro_pflops_hours: of what was used.
        micro_yuan: what cities paid for it.
        waits: first leases of jobs, offered in the month.
        wait_p50_seconds, wait_p90_seconds: how long those had waited since they could start.
        priced_seconds: of the month in which prices of its pools are known.
        short_seconds: of these, in which a card of a whole node had a price beyond the ask.
        card_micro_yuan: what one further card of a whole node would have been worth beyond the ask, summed over the
            priced seconds: the shadow price of its pools, by cards.
        single_micro_yuan: the same of a card alone.
        spot_micro_yuan: ask and scarcity together, summed over the short seconds: what its owner would have got.
    """

    hub: str
    model: str
    cards: int = 0
    programme_milli_tflops: int = 0
    milli_card_seconds: int = 0
    capacity_milli_card_seconds: int = 0
    programme_micro_pflops_hours: int = 0
    micro_yuan: int = 0
    waits: int = 0
    wait_p50_seconds: int = 0
    wait_p90_seconds: int = 0
    priced_seconds: int = 0
    short_seconds: int = 0
    card_micro_yuan: int = 0
    single_micro_yuan: int = 0
    spot_micro_yuan: int = 0

    @property
    def growth_micro_yuan(self) -> int:
        """What a thousand further cards would have been worth beyond the ask at the price of the first."""
        return FURTHER_CARDS * self.card_micro_yuan


@dataclass(frozen=True, slots=True)
class ParkFigures:
    """What a park said of itself in a month, as it was entered; None: not entered.

    Attributes:
        hub, month: whose, such as "2026-10".
        version: counts up; the highest stands.
        racks: standard racks of 2.5 kW that could be used.
        racks_used: of these, with machines in them.
        pue_milli: measured, the mean of the month, in thousandths.
        recovered_heat_kilowatt_hours: heat that others used.
        source: where it is from.
        set_at: when it was entered, aware UTC.
        set_by: id of the key.
    """

    hub: str
    month: str
    version: int
    racks: int | None
    racks_used: int | None
    pue_milli: int | None
    recovered_heat_kilowatt_hours: int | None
    source: str
    set_at: datetime
    set_by: str

    @property
    def rack_ppm(self) -> int | None:
        """The rack-up rate in millionths, rounded down; None: not known, or there are no racks."""
        if not self.racks or self.racks_used is None:
            return None
        return PPM * self.racks_used // self.racks


@dataclass(frozen=True, slots=True)
class YearEnergy:
    """What a hub drew at the meter in a month of the year."""

    month: str
    meter_joules: int


@dataclass(frozen=True, slots=True)
class HubPart:
    """A hub: its capacity, energy and racks against quota and lines.

    Attributes:
        hub, title: which, and its name for people.
        cards: that are there now.
        nameplate_milli_tflops, programme_milli_tflops, measured_milli_tflops: FP16 of them; 0 where none is known.
        reported_racks, reported_on: newest racks of the catalogue up to the month, and of which day; 0: none.
        rack_line_ppm, pue_line_milli, green_line_ppm: policy lines; 0: none. Their sources beside them.
        pue_milli: that is set for the hub, by which energy is counted; 0: not known.
        quota_joules: of the year at the meter; 0: none.
        it_joules, meter_joules, green_joules: counted in the month, as `xisuan energy` tells it.
        months: of the year up to this one, at the meter.
        figures: newest versions as entered of this month and the eleven before, by month.
    """

    hub: str
    title: str
    cards: int = 0
    nameplate_milli_tflops: int = 0
    programme_milli_tflops: int = 0
    measured_milli_tflops: int = 0
    reported_racks: int = 0
    reported_on: str = ""
    rack_line_ppm: int = 0
    rack_line_source: str = ""
    pue_line_milli: int = 0
    pue_line_source: str = ""
    green_line_ppm: int = 0
    green_line_source: str = ""
    pue_milli: int = 0
    quota_joules: int = 0
    it_joules: int = 0
    meter_joules: int = 0
    green_joules: int = 0
    months: tuple[YearEnergy, ...] = ()
    figures: tuple[ParkFigures, ...] = ()

    def entered(self, month: str) -> ParkFigures | None:
        """Return what was entered of a month; None: nothing."""
        return next((each for each in self.figures if each.month == month), None)


@dataclass(frozen=True, slots=True)
class ProgrammeMonth:
    """A voucher programme of the month's year: what was granted out of its budget, and what vouchers paid."""

    programme: str
    hub: str
    year: int
    budget_micro_yuan: int
    granted_micro_yuan: int
    granted_before_micro_yuan: int  # in the year, before the month
    used_micro_yuan: int
    used_before_micro_yuan: int
    vouchers: int  # granted in the month


@dataclass(frozen=True, slots=True)
class GapBucket:
    """Committed rounds whose plan was at most so far from its bound, and farther than the bucket before."""

    gap_ppm_max: int  # 0: the farthest of all, without a limit
    rounds: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """Rounds of the month, which plan all hubs together."""

    committed: int = 0
    other: int = 0  # rejected or failed
    placed: int = 0
    gap_p50_ppm: int = 0
    gap_p95_ppm: int = 0
    millis_p50: int = 0
    millis_p95: int = 0
    gaps: tuple[GapBucket, ...] = ()


@dataclass(frozen=True, slots=True)
class HubMonth:
    """The month of a hub.

    Attributes:
        month: such as "2026-10".
        hub: which; empty: all together.
        begins_at, ends_at: of the month; aware UTC.
        provisional_at: as of when, while the month is open; None: it is closed.
        energy_counted_until: up to when energy is counted; None: it is not yet.
        total: in one row.
        use: by city and sector, as `xisuan report use` tells it.
        titles: of the cities in it, and of all hubs.
        days: by sector and by city.
        money: by day.
        energy: by hub and day.
        models: of all hubs, for growth is planned over all of them; by hub and model.
        hubs: that it is about.
        programmes: of these hubs.
        rounds: of the exchange.
    """

    month: str
    hub: str
    begins_at: datetime
    ends_at: datetime
    provisional_at: datetime | None
    energy_counted_until: datetime | None
    total: Total = field(default_factory=Total)
    use: tuple[UseRow, ...] = ()
    titles: tuple[Title, ...] = ()
    days: tuple[DayUse, ...] = ()
    money: tuple[DayMoney, ...] = ()
    energy: tuple[DayEnergy, ...] = ()
    models: tuple[ModelMonth, ...] = ()
    hubs: tuple[HubPart, ...] = ()
    programmes: tuple[ProgrammeMonth, ...] = ()
    rounds: Rounds = field(default_factory=Rounds)

    @property
    def number(self) -> str:
        """Names the report: month and hub."""
        return "/".join(filter(None, ("month", self.month, self.hub)))

    @property
    def here(self) -> list[ModelMonth]:
        """Models of the hubs that it is about."""
        return [row for row in self.models if self.hub in ("", row.hub)]

    def ranked(self) -> list[ModelMonth]:
        """Return models by what a further card would have been worth, the best first; unpriced ones are left out."""
        priced = (row for row in self.models if row.priced_seconds)
        return sorted(priced, key=lambda row: (-row.card_micro_yuan, -row.short_seconds, row.hub, row.model))

    def text(self) -> str:
        """Return the canonical text: JSON with sorted keys and without spaces. One report has exactly one."""
        data = {**asdict(self), "form": FORM, "number": self.number, "currency": "CNY"}
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_told)

    def sha256(self) -> str:
        """Return the hash of the canonical text in UTF-8, in hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def summed(rows: Iterable[Any], name: str) -> int:
    """Return the sum of one figure over rows."""
    return sum(getattr(row, name) for row in rows)


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return moment_text(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")
