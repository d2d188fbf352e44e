"""What the page of a hub's month shows: figures as text, tables, and plots. Pure; the template lays it out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from markupsafe import Markup

from broker.papers.fen import rounded, spread, yuan
from broker.papers.hub_month import HubMonth, summed
from broker.papers.month import PROGRAMME_TIME, Month
from broker.papers.plots import Series, columns, meter
from broker.papers.use import UseRow, by_city, by_sector, merged
from broker.papers.words import say, texts, title

MICRO: Final = 1_000_000
MILLI_CARD_SECONDS: Final = 1000 * 3600
"""In a card-hour."""
DAY_MILLI_CARD_SECONDS: Final = 1000 * 86_400
JOULES_PER_MWH: Final = 3_600_000_000
WIDE: Final = 1040
"""Units of a plot over the whole width; the others have half."""
CITIES_DRAWN: Final = 7
"""So many cities have a colour of their own; the others are drawn together."""
NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure of the headline: what it is, the figure, and what is said below."""

    label: str
    figure: str
    below: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a table with a bar in it: its name and the kind of its colour, cells, and the bar."""

    name: str
    kind: str
    cells: tuple[str, ...]
    bar: Markup


class Say:
    """Says texts of a language: `say("key", fact=...)`."""

    def __init__(self, language: str, month: HubMonth) -> None:
        self.language = language
        self._titles: Mapping[tuple[str, str], str] = {
            (each.kind, each.name): title(each.title, language) for each in month.titles
        }

    def __call__(self, key: str, /, **facts: object) -> str:
        """Return a text with its facts put in."""
        return say(self.language, key, **facts)

    def sector(self, name: str) -> str:
        """Return what people call a sector; one that is newer than the texts is called as it is."""
        return texts(self.language).get(f"sector.{name or 'none'}", name)

    def city(self, name: str) -> str:
        """Return what people call a city."""
        return self._titles.get(("city", name), name)

    def hub(self, name: str) -> str:
        """Return what people call a hub."""
        return self._titles.get(("hub", name), name)


def number(value: float, digits: int = 0) -> str:
    """Return a number with its thousands parted."""
    return f"{value:,.{digits}f}"


def share(part: float, whole: float, digits: int = 1) -> str:
    """Return a share in percent; a dash where there is no whole."""
    return f"{100 * part / whole:.{digits}f} %" if whole else NOTHING


def ppm(value: int) -> str:
    """Return millionths in percent, without zeros behind the point."""
    return f"{value / 10_000:.2f}".rstrip("0").rstrip(".") + " %"


def moment(at: datetime) -> str:
    """Return day and minute of UTC+8."""
    return at.astimezone(PROGRAMME_TIME).strftime("%Y-%m-%d %H:%M")


def span(seconds: int) -> str:
    """Return a length of time in its largest units."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 86_400 * 3 else f"{seconds / 86_400:,.1f} d"


def whole_yuan(micro_yuan: int) -> str:
    """Return yuan without fen, rounded for reading."""
    return number(micro_yuan / MICRO)


def days_of(month: str) -> list[str]:
    """Return the days of a month of UTC+8."""
    found = Month.parse(month)
    count = round((found.ends_at - found.begins_at) / timedelta(days=1))
    return [date(found.year, found.number, day).isoformat() for day in range(1, count + 1)]


def day_labels(days: Sequence[str], *, every: int = 1) -> list[str]:
    """Return what stands below days: the number of each, or of the first and of every fifth or so."""
    return [str(n) if n == 1 or n % every == 0 else "" for n in (int(day[-2:]) for day in days)]


def tiles(month: HubMonth, words: Say) -> list[Tile]:
    """Return the headline."""
    t = month.total
    meter_joules, green = summed(month.hubs, "meter_joules"), summed(month.hubs, "green_joules")
    decided = t.quotes_kept + t.quotes_missed
    lines = {hub.green_line_ppm for hub in month.hubs}
    line = lines.pop() if len(lines) == 1 else 0
    below_line = line and meter_joules and green * MICRO < line * meter_joules
    return [
        Tile(
            words("tile.utilisation"),
            share(t.milli_card_seconds, t.capacity_milli_card_seconds),
            words("tile.utilisation.of", cards=number(summed(month.hubs, "cards"))),
        ),
        Tile(
            words("tile.pflops"),
            number(t.programme_micro_pflops_hours / MICRO),
            words(
                "tile.pflops.of",
                nameplate=_known(t.nameplate_micro_pflops_hours),
                measured=_known(t.measured_micro_pflops_hours),
            ),
        ),
        Tile(words("tile.jobs"), number(t.jobs), words("tile.jobs.of", leases=number(t.leases))),
        Tile(
            words("tile.money"),
            whole_yuan(t.micro_yuan),
            words("tile.money.of", voucher=whole_yuan(t.voucher_micro_yuan)),
        ),
        Tile(
            words("tile.promises"),
            share(t.quotes_kept, decided),
            words("tile.promises.of", of=number(decided), accepted=number(t.quotes_accepted)),
            "warn" if t.quotes_missed else "",
        ),
        Tile(
            words("tile.misses"),
            whole_yuan(t.missed_credit_micro_yuan),
            words("tile.misses.of", missed=number(t.quotes_missed)),
            "warn" if t.quotes_missed else "",
        ),
        Tile(
            words("tile.energy"),
            number(meter_joules / JOULES_PER_MWH, 1),
            words("tile.energy.of", it=number(summed(month.hubs, "it_joules") / JOULES_PER_MWH, 1)),
        ),
        Tile(
            words("tile.green"),
            share(green, meter_joules),
            words("tile.green.of", line=ppm(line)) if line else words("tile.green.none"),
            "warn" if below_line else "",
        ),
    ]


def use_days(month: HubMonth, words: Say, which: str) -> tuple[Markup, list[tuple[str, str]]]:
    """Return columns of cards in use by day, and their legend.

    Args: which: "workload_class" or "city".
    """
    days = days_of(month.month)
    rows = [row for row in month.days if getattr(row, which)]
    names = _by_size([(getattr(row, which), row.milli_card_seconds) for row in rows])
    drawn = names if which == "workload_class" else names[:CITIES_DRAWN]
    called = words.sector if which == "workload_class" else words.city
    amounts = {name: dict.fromkeys(days, 0.0) for name in [*drawn, ""]}
    for row in rows:
        name = getattr(row, which)
        amounts[name if name in drawn else ""][row.day] += row.milli_card_seconds / DAY_MILLI_CARD_SECONDS
    series = [Series(f"s{i}", called(name), list(amounts[name].values())) for i, name in enumerate(drawn)]
    if len(drawn) < len(names):
        series.append(Series("rest-of", words("others"), list(amounts[""].values())))
    label = words("use.days.sector" if which == "workload_class" else "use.days.city")
    plot = columns(day_labels(days), series, label=label, width=WIDE)
    return plot, [(each.kind, each.label) for each in series]


def use_table(month: HubMonth, words: Say, which: str) -> tuple[list[Bar], Bar]:
    """Return use by sector or by city, most card-hours first, and its total; money is fen that add up."""
    sector = which == "workload_class"
    rows = merged(month.use, by_sector if sector else by_city)
    rows.sort(key=lambda row: (-row.milli_card_seconds, -row.micro_yuan, getattr(row, which)))
    called: Callable[[str], str] = words.sector if sector else words.city
    most = max((row.milli_card_seconds for row in rows), default=0)
    # Coloured as in the plot, which has no colour for what used nothing, and for cities beyond the first few.
    coloured = sum(row.milli_card_seconds > 0 for row in rows)
    coloured = coloured if sector else min(coloured, CITIES_DRAWN)
    paid, by_voucher = (_fen(rows, name) for name in ("micro_yuan", "voucher_micro_yuan"))
    whole = summed(rows, "milli_card_seconds")
    bars = []
    for i, row in enumerate(rows):
        kind = f"s{i}" if i < coloured else "rest-of"
        name = called(getattr(row, which))
        bars.append(
            Bar(
                name,
                kind,
                (*_use_cells(row, whole), paid[i], by_voucher[i]),
                meter([(kind, row.milli_card_seconds)], most, label=name),
            )
        )
    everything = UseRow("", "", month.total.jobs, *(summed(rows, name) for name in _TOTALLED))
    total = Bar(words("total"), "", (*_use_cells(everything, whole), paid[-1], by_voucher[-1]), Markup(""))
    return bars, total


_TOTALLED: Final = (
    "leases",
    "milli_card_seconds",
    "nameplate_micro_pflops_hours",
    "programme_micro_pflops_hours",
)


def _use_cells(row: UseRow, whole: int) -> tuple[str, ...]:
    return (
        number(row.jobs),
        number(row.milli_card_seconds / MILLI_CARD_SECONDS, 1),
        share(row.milli_card_seconds, whole),
        number(row.programme_micro_pflops_hours / MICRO, 1),
    )


def _fen(rows: Sequence[Any], name: str) -> list[str]:
    """Return one figure of rows in yuan and fen that add up, with its sum behind them."""
    exact = [getattr(row, name) for row in rows]
    whole = rounded(sum(exact))
    return [yuan(each) for each in (*spread(exact, whole), whole)]


def models(month: HubMonth, words: Say) -> list[Bar]:
    """Return the models of the hubs, most cards first."""
    rows = sorted(month.here, key=lambda row: (-row.cards, row.hub, row.model))
    return [
        Bar(
            f"{words.hub(row.hub)} · {row.model}" if not month.hub else row.model,
            "s0",
            (
                number(row.cards),
                number(row.cards * row.programme_milli_tflops / MICRO, 1),
                share(row.milli_card_seconds, row.capacity_milli_card_seconds),
                waited(row.waits, row.wait_p50_seconds, row.wait_p90_seconds),
                number(row.programme_micro_pflops_hours / MICRO, 1),
                whole_yuan(row.micro_yuan),
            ),
            meter([("s0", row.milli_card_seconds)], row.capacity_milli_card_seconds, label=row.model),
        )
        for row in rows
    ]


def waited(count: int, p50_seconds: int, p90_seconds: int) -> str:
    """Return how long was waited: the median and nine of ten; a dash where nobody did."""
    return f"{span(p50_seconds)} / {span(p90_seconds)}" if count else NOTHING


def money_days(month: HubMonth, words: Say) -> tuple[Markup, list[tuple[str, str]]]:
    """Return columns of what cities paid by day, and their legend."""
    days = days_of(month.month)
    paid = {row.day: row for row in month.money}
    thousand = partial(_amounts, days, paid, 1000 * MICRO)
    series = [
        Series("s0", words("money.own"), thousand(lambda row: row.micro_yuan - row.voucher_micro_yuan)),
        Series("s3", words("money.voucher"), thousand(lambda row: row.voucher_micro_yuan)),
    ]
    plot = columns(day_labels(days, every=5), series, label=words("money.days"))
    return plot, [(each.kind, each.label) for each in series]


def _amounts(days: Sequence[str], rows: Mapping[str, Any], unit: int, read: Callable[[Any], int]) -> list[float]:
    return [read(rows[day]) / unit if day in rows else 0.0 for day in days]


def money_table(month: HubMonth, words: Say) -> list[tuple[str, str]]:
    """Return what was paid and who got it, in yuan and fen."""
    t = month.total
    return [
        (words("money.paid"), yuan(rounded(t.micro_yuan))),
        (words("money.borne"), yuan(rounded(t.borne_micro_yuan))),
        (words("money.owners"), yuan(rounded(t.owners_micro_yuan))),
        (words("money.fee"), yuan(rounded(t.fee_micro_yuan))),
        (words("money.credited"), yuan(rounded(t.credited_micro_yuan))),
    ]


def _by_size(rows: Sequence[tuple[str, int]]) -> list[str]:
    """Return names by how much they have together, most first."""
    sums: dict[str, int] = {}
    for name, amount in rows:
        sums[name] = sums.get(name, 0) + amount
    return sorted(sums, key=lambda name: (-sums[name], name))


def _known(micro: int) -> str:
    return number(micro / MICRO) if micro else NOTHING
