"""Where a further card would have paid: shadow prices of pools, summed up over hours. Pure.

A round's scarcity price is what others would pay beyond the ask for one more card. Summed over a month it says what
that card would have earned beyond the ask, at the price of the first: more cards lower it, so a thousand times it is a
ceiling, and right as an order of models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.store.prices import HOUR, BySize, HourRow
from scheduler.spot import Size

SECONDS: Final = 3600
_LARGEST_FIRST: Final = (Size.NODE, Size.EIGHT, Size.FOUR, Size.TWO, Size.ONE)
"""New cards come as whole nodes; where nobody dealt in these, the largest size that was dealt in stands for them."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a further card would have been worth.

    Attributes:
        priced_seconds: for which prices are known.
        short_seconds: of these, with a price beyond the ask.
        card_micro_yuan: beyond the ask, summed over hours, of a card of a whole node.
        single_micro_yuan: the same of a card alone.
        spot_micro_yuan: ask and scarcity together, summed over the hours that were short.
    """

    priced_seconds: int = 0
    short_seconds: int = 0
    card_micro_yuan: int = 0
    single_micro_yuan: int = 0
    spot_micro_yuan: int = 0

    def __add__(self, other: "Worth") -> "Worth":
        """Return both spans together."""
        return Worth(*(a + b for a, b in zip(_figures(self), _figures(other), strict=True)))


def worth(rows: Sequence[HourRow], begin: datetime, end: datetime) -> Worth:
    """Return what a further card of a pool would have been worth from `begin` to `end`, full hours both.

    Args:
        rows: its hours by time, none after the end, with the last one before the begin; between two of them what the
            first one closed with holds on. Before the first nothing is known, nor where a release before wrote no
            scarcity.
    """
    total, ends = Worth(), [row.hour for row in rows[1:]] + [end]
    for row, following in zip(rows, ends, strict=False):  # without rows there is an end too many
        if row.hour >= begin:
            total += _of(row.mean, row.mean_scarcity, SECONDS)
        held_from, held_until = max(begin, row.hour + HOUR), min(end, following)
        if held_until > held_from:
            total += _of(row.closing, row.closing_scarcity, int((held_until - held_from).total_seconds()))
    return total


def by_cards(pools: Iterable[tuple[int, Worth]]) -> Worth:
    """Return the mean of pools by their cards, rounded down; where none has any, each weighs the same."""
    found = list(pools)
    weights = [cards for cards, _ in found]
    if not any(weights):
        weights = [1] * len(found)
    columns = zip(*(_figures(each) for _, each in found), strict=True)
    return Worth(*(sum(w * v for w, v in zip(weights, column, strict=True)) // sum(weights) for column in columns))


def by_model(
    places: Mapping[int, tuple[str, str]], cards: Mapping[int, int], found: Mapping[int, Worth]
) -> dict[tuple[str, str], Worth]:
    """Return what a further card would have been worth by hub and model.

    Args:
        places: hub and model of each pool.
        cards: of each pool, where it has any.
        found: of each pool, where its prices are known.
    """
    pools: dict[tuple[str, str], list[tuple[int, Worth]]] = {}
    for pool_id, each in found.items():
        pools.setdefault(places[pool_id], []).append((cards.get(pool_id, 0), each))
    return {place: by_cards(each) for place, each in pools.items()}


def _of(spot: BySize, scarcity: BySize | None, seconds: int) -> Worth:
    size = next((s for s in _LARGEST_FIRST if scarcity is not None and scarcity[s] is not None), None)
    if scarcity is None or size is None:
        return Worth()
    beyond, together, single = scarcity[size] or 0, spot[size] or 0, scarcity[Size.ONE] or 0
    short = seconds if beyond else 0
    return Worth(seconds, short, beyond * seconds // SECONDS, single * seconds // SECONDS, together * short // SECONDS)


def _figures(each: Worth) -> tuple[int, ...]:
    return (
        each.priced_seconds, each.short_seconds, each.card_micro_yuan, each.single_micro_yuan, each.spot_micro_yuan,
    )  # fmt: skip
