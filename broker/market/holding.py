"""Hold money for leases in the transaction that makes them: what its payer cannot pay is not leased.

Of each lease as much is held as its whole walltime and grace cost at its price, until the end of a settlement window.
Whoever commits has locked jobs and nodes by now; balances come after these, by account (see store/ledger.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from broker.errors import BrokerError
from broker.ids import JobId, lease_text
from broker.ledger.holds import HoldDraft
from broker.ledger.work import Payer, sources, work_micro_yuan
from broker.market.paying import hold_of, payers
from broker.store import holds, prepaid, rounds
from broker.store.database import Connection
from broker.store.holds import Held
from broker.store.prepaid import Work
from broker.store.rounds import LeaseDraft

P = TypeVar("P")

SETTLEMENT_WINDOW: Final = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Holding:
    """Covers leases.

    Attributes:
        settlement_window: how long after its latest end a lease can still be charged.
    """

    settlement_window: timedelta = SETTLEMENT_WINDOW

    async def cover(
        self, tx: Connection, fitting: Sequence[tuple[P, LeaseDraft]], now: datetime
    ) -> list[tuple[P, LeaseDraft]]:
        """Return the leases that are paid for, each with its hold where its city pays in advance.

        In order: what one lease gets the next of its payer does not have. Jobs whose payers have too little wait on,
        and why is noted with them.
        """
        works = await prepaid.works(tx, [draft.job for _, draft in fitting])
        if not works:
            return list(fitting)
        given = await hold_of(tx, list(works))
        costs = {draft.job: _cost(draft, works[draft.job]) for _, draft in fitting if draft.job in works}
        asked = [draft for _, draft in fitting if costs.get(draft.job) and draft.job not in given]
        covered = {draft.job: replace(draft, hold=given[draft.job]) for _, draft in fitting if draft.job in given}
        covered |= await self._held(tx, asked, works, costs, now)
        left = {draft.job for draft in asked} - covered.keys()
        await prepaid.note_refused(tx, {job: costs[job] for job in left}, now)
        return [(each, covered.get(draft.job, draft)) for each, draft in fitting if draft.job not in left]

    async def _held(
        self,
        tx: Connection,
        asked: Sequence[LeaseDraft],
        works: dict[JobId, Work],
        costs: dict[JobId, int],
        now: datetime,
    ) -> dict[JobId, LeaseDraft]:
        if not asked:
            return {}
        there = await prepaid.enterprise_accounts(tx, sorted({draft.city for draft in asked}))
        place_of = await prepaid.places(tx, {draft.pool_id for draft in asked})
        payer_of = await payers(tx, [(works[draft.job], place_of[draft.pool_id]) for draft in asked], now)
        numbers = await rounds.new_lease_ids(tx, len(asked))
        numbered = [replace(draft, lease=lease) for draft, lease in zip(asked, numbers, strict=True)]
        wanted = [
            self._draft(draft, payer_of[draft.job], there, costs[draft.job], works[draft.job].seconds, now)
            for draft in numbered
        ]
        outcomes = await holds.place(tx, wanted, now)
        found = {}
        for draft, outcome in zip(numbered, outcomes, strict=True):
            if isinstance(outcome, Held):
                found[draft.job] = replace(draft, hold=outcome.hold)
            else:
                assert isinstance(outcome, BrokerError)  # noqa: S101  # whatever it is, this payer does not pay
        return found

    def _draft(
        self, draft: LeaseDraft, payer: Payer, there: set[str], micro_yuan: int, seconds: int, now: datetime
    ) -> HoldDraft:
        assert draft.lease is not None  # noqa: S101  # it was numbered
        name = lease_text(draft.lease)
        return HoldDraft(
            request_key=name,
            city=payer.city,
            reference=name,
            micro_yuan=micro_yuan,
            sources=sources(payer, sorted(there)),
            settles_until=now + timedelta(seconds=seconds) + self.settlement_window,
        )


STANDARD: Final = Holding()


def _cost(draft: LeaseDraft, work: Work) -> int:
    """Return what the whole walltime and grace cost, in micro-yuan; 0 where nothing is asked for the cards."""
    price = draft.price
    if price is None:
        return 0
    per_card_hour = price.ask_micro_yuan_per_card_hour + price.scarcity_micro_yuan_per_card_hour
    return work_micro_yuan(per_card_hour, draft.milli_cards, work.seconds)
