"""What the page of a month shows of parks and growth: energy, racks, vouchers, more cards, rounds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from markupsafe import Markup

from broker.papers.hub_month import FURTHER_CARDS, HubMonth, HubPart, ModelMonth, ParkFigures, summed
from broker.papers.month import Month
from broker.papers.month_view import (
    JOULES_PER_MWH,
    MICRO,
    NOTHING,
    Bar,
    Say,
    day_labels,
    days_of,
    moment,
    number,
    ppm,
    share,
    span,
    waited,
    whole_yuan,
)
from broker.papers.plots import Curve, Policy, Series, columns, curves, meter

JOULES_PER_GWH: Final = 1000 * JOULES_PER_MWH
RANKED_MAX: Final = 15
"""Models that the ranking of growth shows."""
DAYS_DIFFER_PPM: Final = 1000
"""Days that add up to less or more than a thousandth beside the count are worth a word."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure of a park against its line: `kept` is None where there is no line, or no figure."""

    label: str
    figure: str
    below: str
    line: str
    kept: bool | None
    bar: Markup


@dataclass(frozen=True, slots=True)
class ParkView:
    """What is shown of one hub."""

    title: str
    capacity: list[tuple[str, str]]
    energy_days: Markup
    green_days: Markup
    burn: Markup
    energy: list[tuple[str, str]]
    ahead: bool | None
    differs: str
    gauges: list[Gauge]
    rate_months: Markup
    pue_months: Markup
    entered: str


def park(month: HubMonth, hub: HubPart, words: Say) -> ParkView:
    """Return what is shown of a hub."""
    entered = hub.entered(month.month)
    used, pace = _used_and_pace(month, hub)
    return ParkView(
        title=words.hub(hub.hub),
        capacity=_capacity(hub, entered, words),
        energy_days=_energy_days(month, hub, words),
        green_days=_green_days(month, hub, words),
        burn=_burn(month, hub, words),
        energy=_energy_rows(hub, used, pace, words),
        ahead=used > pace if hub.quota_joules else None,
        differs=_differs(month, hub, words),
        gauges=_gauges(hub, entered, words),
        rate_months=_months(
            [(f.month, f.rack_ppm / 10_000) for f in hub.figures if f.rack_ppm is not None],
            month.month,
            label=words("park.rate.months"),
            policy=Policy(hub.rack_line_ppm / 10_000, f"≥ {ppm(hub.rack_line_ppm)}") if hub.rack_line_ppm else None,
            high=100.0,
        ),
        pue_months=_months(
            [(f.month, f.pue_milli / 1000) for f in hub.figures if f.pue_milli is not None],
            month.month,
            label=words("park.pue.months"),
            policy=Policy(hub.pue_line_milli / 1000, f"≤ {hub.pue_line_milli / 1000:g}")
            if hub.pue_line_milli
            else None,
            low=1.0,
            high=1.4,
            digits=2,
        ),
        entered=_entered(hub, entered, month.month, words),
    )


def _capacity(hub: HubPart, entered: ParkFigures | None, words: Say) -> list[tuple[str, str]]:
    three = (hub.nameplate_milli_tflops, hub.programme_milli_tflops, hub.measured_milli_tflops)
    rows = [
        (words("capacity.cards"), number(hub.cards)),
        (words("capacity.three"), " / ".join(number(each / MICRO, 1) if each else NOTHING for each in three)),
    ]
    racks = words("capacity.racks")
    if entered is not None and entered.racks is not None:
        rows.append((f"{racks}, {words('capacity.entered')}", number(entered.racks)))
    if hub.reported_racks:
        rows.append((f"{racks}, {words('capacity.reported', day=hub.reported_on)}", number(hub.reported_racks)))
    return rows


def _energy_days(month: HubMonth, hub: HubPart, words: Say) -> Markup:
    days = days_of(month.month)
    drawn = {row.day: row for row in month.energy if row.hub == hub.hub}
    if not drawn:
        return Markup("")
    green = [drawn[day].green_joules / JOULES_PER_MWH if day in drawn else 0.0 for day in days]
    all_ = [drawn[day].meter_joules / JOULES_PER_MWH if day in drawn else 0.0 for day in days]
    rest = [max(0.0, a - g) for a, g in zip(all_, green, strict=True)]
    series = [Series("green", words("energy.green"), green), Series("other", words("energy.rest"), rest)]
    return columns(day_labels(days, every=5), series, label=words("energy.days"))


def _green_days(month: HubMonth, hub: HubPart, words: Say) -> Markup:
    days = days_of(month.month)
    drawn = {row.day: row for row in month.energy if row.hub == hub.hub and row.meter_joules}
    if not drawn:
        return Markup("")
    points = [
        (float(i), 100 * drawn[day].green_joules / drawn[day].meter_joules)
        for i, day in enumerate(days, 1)
        if day in drawn
    ]
    line = hub.green_line_ppm
    policy = Policy(line / 10_000, words("energy.line", line=f"≥ {ppm(line)}")) if line else None
    marks = [(float(i), str(i)) for i in (1, 5, 10, 15, 20, 25, len(days))]
    return curves(
        [Curve("green", words("energy.share"), points)],
        label=words("energy.share"), x_labels=marks, high=100.0, policy=policy,
    )  # fmt: skip


def _used_and_pace(month: HubMonth, hub: HubPart) -> tuple[int, int]:
    """Return what the year has used up to the end of the month, or now, and what an even pace would have used."""
    year = Month.parse(month.month).year
    begin, end = Month(year, 1).begins_at, Month(year, 12).ends_at
    until = min(month.ends_at, month.provisional_at or month.ends_at)
    return summed(hub.months, "meter_joules"), int(hub.quota_joules * ((until - begin) / (end - begin)))


def _burn(month: HubMonth, hub: HubPart, words: Say) -> Markup:
    """Return what is left of the quota: at the ends of months, and day by day in this one."""
    if not hub.quota_joules:
        return Markup("")
    at = Month.parse(month.month)
    begin = date(at.year, 1, 1)
    year_days = (date(at.year + 1, 1, 1) - begin).days
    left, points = hub.quota_joules, [(0.0, hub.quota_joules / JOULES_PER_GWH)]
    for each in hub.months[:-1]:
        left -= each.meter_joules
        number_ = Month.parse(each.month).number
        points.append((float((date(at.year, number_ + 1, 1) - begin).days), left / JOULES_PER_GWH))
    drawn = {row.day: row.meter_joules for row in month.energy if row.hub == hub.hub}
    whole = sum(drawn.values())
    for day in sorted(drawn):  # of the count: days are computed, and may be a little beside it
        left_part = sum(amount for other, amount in drawn.items() if other <= day)
        spent = hub.meter_joules * left_part // whole if whole else 0
        x = float((date.fromisoformat(day) - begin).days + 1)
        points.append((x, (left - spent) / JOULES_PER_GWH))
    pace = Curve("pace", words("energy.pace"), [(0.0, hub.quota_joules / JOULES_PER_GWH), (float(year_days), 0.0)])
    marks = [(float((date(at.year, m, 1) - begin).days), f"{m:02d}") for m in range(1, 13)]
    marks.append((float(year_days), ""))
    return curves([pace, Curve("s0", words("energy.left"), points)], label=words("energy.burn"), x_labels=marks)


def _energy_rows(hub: HubPart, used: int, pace: int, words: Say) -> list[tuple[str, str]]:
    rows = [
        (words("energy.meter"), f"{number(hub.meter_joules / JOULES_PER_MWH, 2)} MWh"),
        (words("energy.it"), f"{number(hub.it_joules / JOULES_PER_MWH, 2)} MWh"),
        (words("energy.green"), share(hub.green_joules, hub.meter_joules)),
    ]
    if hub.quota_joules:
        rows += [
            (words("energy.quota"), f"{number(hub.quota_joules / JOULES_PER_MWH)} MWh"),
            (words("energy.used"), f"{number(used / JOULES_PER_MWH, 1)} MWh · {share(used, hub.quota_joules)}"),
            (words("energy.month_pace"), f"{number(pace / JOULES_PER_MWH, 1)} MWh · {share(pace, hub.quota_joules)}"),
        ]
    return rows


def _differs(month: HubMonth, hub: HubPart, words: Say) -> str:
    days = sum(row.meter_joules for row in month.energy if row.hub == hub.hub)
    if abs(days - hub.meter_joules) * MICRO <= DAYS_DIFFER_PPM * max(days, hub.meter_joules):
        return ""
    told = (number(each / JOULES_PER_MWH, 2) for each in (days, hub.meter_joules))
    return words("energy.differs", **dict(zip(("days", "counted"), told, strict=True)))


def _gauges(hub: HubPart, entered: ParkFigures | None, words: Say) -> list[Gauge]:
    rate = None if entered is None else entered.rack_ppm
    pue = None if entered is None else entered.pue_milli
    heat = None if entered is None else entered.recovered_heat_kilowatt_hours
    racks_below = NOTHING
    if entered is not None and rate is not None:
        racks_below = words("park.racks.of", used=number(entered.racks_used or 0), racks=number(entered.racks or 0))
    counted = words("park.counted", pue=f"{hub.pue_milli / 1000:g}" if hub.pue_milli else words("unknown"))
    drawn_kwh = hub.meter_joules * 1000 / JOULES_PER_MWH
    return [
        Gauge(
            words("park.rate"),
            NOTHING if rate is None else ppm(rate),
            racks_below,
            words("park.line.least", line=ppm(hub.rack_line_ppm), source=hub.rack_line_source or words("unknown"))
            if hub.rack_line_ppm
            else words("park.line.none"),
            None if rate is None or not hub.rack_line_ppm else rate >= hub.rack_line_ppm,
            meter([("s0", rate or 0)], MICRO, label=words("park.rate"), line=hub.rack_line_ppm or None),
        ),
        Gauge(
            words("park.pue"),
            NOTHING if pue is None else f"{pue / 1000:.3f}",
            counted,
            words(
                "park.line.most", line=f"{hub.pue_line_milli / 1000:g}", source=hub.pue_line_source or words("unknown")
            )
            if hub.pue_line_milli
            else words("park.line.none"),
            None if pue is None or not hub.pue_line_milli else pue <= hub.pue_line_milli,
            meter(
                [("s0", min(1000, (pue or 1000) - 1000))], 1000, label=words("park.pue"),
                line=min(1000, hub.pue_line_milli - 1000) if hub.pue_line_milli else None,
            ),
        ),
        Gauge(
            words("park.heat"),
            NOTHING if heat is None else number(heat / 1000, 1),
            words("park.heat.above" if (heat or 0) > drawn_kwh else "park.heat.of", share=share(heat or 0, drawn_kwh)),
            words("park.line.none"),
            None,
            meter([("s0", min(heat or 0, drawn_kwh))], drawn_kwh, label=words("park.heat")),
        ),
    ]  # fmt: skip


def _months(
    found: Sequence[tuple[str, float]],
    last: str,
    *,
    label: str,
    policy: Policy | None,
    low: float = 0.0,
    high: float = 0.0,
    digits: int = 0,
) -> Markup:
    """Return a line over the twelve months up to one; nothing where only one month or none was entered."""
    if len(found) < 2:
        return Markup("")
    end = Month.parse(last)
    marks = []
    for back in range(11, -1, -1):
        index = end.year * 12 + end.number - 1 - back
        marks.append((float(index), f"{index // 12 % 100:02d}-{index % 12 + 1:02d}" if back % 3 == 0 else ""))
    points = [(float(m.year * 12 + m.number - 1), value) for m, value in ((Month.parse(t), v) for t, v in found)]
    return curves([Curve("s0", label, points)], label=label, x_labels=marks, low=low, high=high, digits=digits,
                  policy=policy)  # fmt: skip


def _entered(hub: HubPart, entered: ParkFigures | None, month: str, words: Say) -> str:
    if entered is None:
        return words("park.missing", hub=hub.hub, month=month)
    return words(
        "park.version", version=entered.version, at=moment(entered.set_at), key=entered.set_by, source=entered.source
    )


def vouchers(month: HubMonth) -> list[Bar]:
    """Return voucher programmes: granted and used in the month and the year, against the budget."""
    found = []
    for p in month.programmes:
        granted, used = p.granted_before_micro_yuan + p.granted_micro_yuan, p.used_before_micro_yuan + p.used_micro_yuan
        cells = (
            whole_yuan(p.budget_micro_yuan),
            number(p.vouchers),
            whole_yuan(p.granted_micro_yuan),
            f"{whole_yuan(granted)} · {share(granted, p.budget_micro_yuan)}",
            whole_yuan(p.used_micro_yuan),
            whole_yuan(used),
            whole_yuan(max(0, p.budget_micro_yuan - granted)),
        )
        parts = [("s1", p.granted_before_micro_yuan), ("s0", p.granted_micro_yuan)]
        found.append(Bar(p.programme, "s0", cells, meter(parts, p.budget_micro_yuan, label=p.programme)))
    return found


def growth(month: HubMonth, words: Say) -> list[Bar]:
    """Return models by what further cards would have been worth, the best first."""
    ranked = [row for row in month.ranked() if row.card_micro_yuan][:RANKED_MAX]
    most = max((row.growth_micro_yuan for row in ranked), default=0)
    return [_growth_row(row, most, words) for row in ranked]


def _growth_row(row: ModelMonth, most: int, words: Say) -> Bar:
    name = f"{words.hub(row.hub)} · {row.model}"
    return Bar(
        name,
        "s0",
        (
            whole_yuan(row.growth_micro_yuan),
            number(row.card_micro_yuan / MICRO, 2),
            number(row.single_micro_yuan / MICRO, 2),
            whole_yuan(FURTHER_CARDS * row.spot_micro_yuan),
            f"{span(row.short_seconds)} · {share(row.short_seconds, row.priced_seconds, 0)}",
            number(FURTHER_CARDS * row.programme_milli_tflops / MICRO, 1) if row.programme_milli_tflops else NOTHING,
            share(row.milli_card_seconds, row.capacity_milli_card_seconds),
            waited(row.waits, row.wait_p50_seconds, row.wait_p90_seconds),
        ),
        meter([("s0", row.growth_micro_yuan)], most, label=name),
    )


def growth_coverage(month: HubMonth) -> str:
    """Return of how much of the month prices are known, at the best known model; a dash where of nothing."""
    known = max((row.priced_seconds for row in month.models), default=0)
    return share(known, (month.ends_at - month.begins_at) / timedelta(seconds=1)) if known else NOTHING


def rounds(month: HubMonth, words: Say) -> tuple[Markup, list[tuple[str, str]]]:
    """Return columns of rounds by gap, and figures of rounds and promised starts."""
    r, t = month.rounds, month.total
    places = [ppm(each.gap_ppm_max) if each.gap_ppm_max else words("rounds.more") for each in r.gaps]
    plot = columns(
        places, [Series("s0", words("rounds.gaps"), [float(each.rounds) for each in r.gaps])],
        label=words("rounds.gaps"),
    )  # fmt: skip
    rows = [
        (words("rounds.committed"), number(r.committed)),
        (words("rounds.other"), number(r.other)),
        (words("rounds.placed"), number(r.placed)),
        (words("rounds.gap"), f"{ppm(r.gap_p50_ppm)} / {ppm(r.gap_p95_ppm)}"),
        (words("rounds.time"), f"{r.millis_p50 / 1000:.2f} / {r.millis_p95 / 1000:.2f}"),
        (words("starts.kept"), number(t.starts_kept)),
        (words("starts.late"), number(t.starts_late)),
        (words("starts.moved"), number(t.starts_moved)),
        (words("starts.broken"), number(t.starts_broken)),
    ]
    return plot if r.committed else Markup(""), rows
