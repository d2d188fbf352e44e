"""Offers of changes as sentences, in the reader's language. Pure."""

from datetime import UTC, datetime
from typing import Final

from broker.console import formats
from broker.console.words import say, say_name
from broker.market.verdicts import ChangeOffer

NO_LIMIT: Final = -1
_MICRO: Final = 1_000_000
_PRIORITIES: Final = ("deferrable", "standard", "urgent", "emergency")


def offer(language: str, change: ChangeOffer) -> tuple[str, str]:
    """Return (what to change, what happens then). A lever that is newer than the texts speaks for itself."""
    place = f"{change.cluster}/{change.pool}"
    then = say(
        language,
        f"effect.{change.effect}",
        place=place,
        others=change.instead_of_jobs,
        at=formats.moment(change.starts_at),
    )
    if change.lever == "WITHIN":
        return change.detail.partition(":")[0] if language == "en" else say(language, "lever.WITHIN"), then
    what = say(
        language,
        f"lever.{change.lever}" if change.after != NO_LIMIT else f"lever.{change.lever}.none",
        before=_amount(language, change.lever, change.before),
        after=_amount(language, change.lever, change.after),
        name=change.name,
        extra=formats.yuan(change.extra_micro_yuan_per_hour),
    )
    return what, then


def _amount(language: str, lever: str, value: int) -> str:
    """Return a value of a lever with its unit."""
    if lever == "ROUND_TRIP":
        return f"{value / 1000:,.1f} ms"
    if lever in ("TRANSFER", "WALLTIME"):
        return formats.span(value)
    if lever == "FINISH_BY":
        return formats.moment(datetime.fromtimestamp(max(0, value), UTC))
    if lever == "CEILING":
        return formats.yuan(value)
    if lever == "QUOTA":
        return f"{value / _MICRO:,.2f}"
    if lever == "PRIORITY" and 0 <= value < len(_PRIORITIES):
        return say_name(language, "priority", _PRIORITIES[value])
    return f"{value:,}"
