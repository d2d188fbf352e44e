"""How figures and times look on a page. Pure. Times are those of the programme, UTC+8."""

from datetime import UTC, datetime
from typing import Final

from broker.papers.words import title
from broker.worlds.rates import PROGRAMME_TIME

__all__ = ["clock", "decimal", "heat", "integer", "moment", "percent", "ppm", "span", "title", "yuan"]

MICRO: Final = 1_000_000
NOTHING: Final = "–"


def integer(value: float | None) -> str:
    """Return a whole number with its thousands parted; a dash for None."""
    return NOTHING if value is None else f"{round(value):,}"


def decimal(value: float | None, digits: int = 1) -> str:
    """Return a number with so many digits after the point."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def percent(part: float, whole: float, digits: int = 1) -> str:
    """Return a share in percent; a dash when there is no whole."""
    return NOTHING if not whole else f"{100 * part / whole:.{digits}f} %"


def yuan(micro_yuan: int | None, digits: int = 2) -> str:
    """Return yuan, rounded for reading."""
    return NOTHING if micro_yuan is None else f"{micro_yuan / MICRO:,.{digits}f}"


def ppm(value: int) -> str:
    """Return millionths in percent."""
    return f"{value / 10_000:.2f} %"


def clock(at: datetime | None) -> str:
    """Return the time of day."""
    return NOTHING if at is None else at.astimezone(PROGRAMME_TIME).strftime("%H:%M:%S")


def moment(at: datetime | None) -> str:
    """Return day and time, to the second."""
    return NOTHING if at is None else at.astimezone(PROGRAMME_TIME).strftime("%m-%d %H:%M:%S")


def epoch(seconds: int | None) -> str:
    """Return day and time of seconds since 1970."""
    return NOTHING if seconds is None else moment(datetime.fromtimestamp(seconds, UTC))


def day(at: datetime | None) -> str:
    """Return the day, with its year."""
    return NOTHING if at is None else at.astimezone(PROGRAMME_TIME).strftime("%Y-%m-%d")


def span(seconds: float | None) -> str:
    """Return a length of time in its two largest units."""
    if seconds is None:
        return NOTHING
    left = max(0, round(seconds))
    for size, unit, lower, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if left >= size:
            return f"{left // size}{unit} {left % size // lower:02d}{small}"
    return f"{left}s"


def racks(milli: int) -> str:
    """Return standard racks; a dash for 0: the watts of the cards are not known."""
    return NOTHING if not milli else f"{milli / 1000:,.{1 if milli < 100_000 else 0}f}"


def heat(part: float, whole: float) -> int:
    """Return a step of colour for a share: 0 for nothing, 1 to 9 for more."""
    return 0 if not whole or part <= 0 else min(9, 1 + int(9 * part / whole))
