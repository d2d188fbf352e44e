"""Leases of jobs that come from an accepted quote pay the quote's price."""

from collections.abc import Sequence
from dataclasses import replace

from broker.job import LeasePrice
from broker.store import quotes
from broker.store.database import Connection
from broker.store.quotes import Pinned
from broker.store.rounds import LeaseDraft


async def at_quoted_prices(tx: Connection, drafts: Sequence[LeaseDraft]) -> list[LeaseDraft]:
    """Return the leases that are to be made, those of quoted jobs with the price that was quoted.

    In another pool than the quote's, where such a job starts when its promise could not be kept, it pays what is less.
    """
    pinned = await quotes.of_jobs(tx, [draft.job for draft in drafts]) if drafts else {}
    if not pinned:
        return list(drafts)
    return [
        replace(draft, price=_price(draft, pinned[draft.job])) if draft.job in pinned else draft for draft in drafts
    ]


def _price(draft: LeaseDraft, pinned: Pinned) -> LeasePrice:
    if draft.price is None or draft.pool_id == pinned.pool_id:
        return pinned.price
    return min(draft.price, pinned.price, key=_per_card_hour)


def _per_card_hour(price: LeasePrice) -> int:
    return price.ask_micro_yuan_per_card_hour + price.scarcity_micro_yuan_per_card_hour
