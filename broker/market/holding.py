"""Hold money for leases in the transaction that makes them: what its payer cannot pay is not leased.

Of each lease as much is held as its whole walltime and grace cost at its price, until the end of a settlement window.
Whoever commits has locked jobs and nodes by now; holds of quotes come after these, by number, then balances, by account
(see store/ledger.py). A quote's hold pays for its job's first lease where a hold of that lease could be the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from broker.errors import BrokerError, InsufficientCredit
from broker.ids import JobId, lease_text, quote_text
from broker.ledger.accounts import AccountKind
from broker.ledger.holds import HoldDraft
from broker.ledger.work import Payer, sources, work_micro_yuan
from broker.market.funding import accounts
from broker.market.paying import payers
from broker.store import holds, ledger, prepaid, quotes, rounds
from broker.store.database import Connection
from broker.store.holds import Held
from broker.store.prepaid import Balances, Work
from broker.store.quotes import Booked
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
        jobs = [draft.job for _, draft in fitting]
        works, booked = await prepaid.works(tx, jobs), await quotes.lock_held(tx, jobs)
        if not works and not booked:
            return list(fitting)
        costs = {draft.job: _cost(draft, works[draft.job]) for _, draft in fitting if draft.job in works}
        covered, of_no_use = {}, dict(booked)
        for _, draft in fitting:
            if draft.job in booked and self._pays(booked[draft.job], draft, works.get(draft.job), costs, now):
                covered[draft.job] = replace(draft, hold=of_no_use.pop(draft.job).hold.hold)
        asked = [draft for _, draft in fitting if costs.get(draft.job) and draft.job not in covered]
        held, lacks = await self._held(tx, asked, list(of_no_use.values()), works, costs, now)
        covered |= held
        left = {draft.job for draft in asked} - covered.keys()
        if left:
            there = await prepaid.balances(tx)
            wanted = {job: max(costs[job], _stands(works[job], there) + lacks[job]) for job in left}
            await prepaid.note_refused(tx, wanted, now)
        return [(each, covered.get(draft.job, draft)) for each, draft in fitting if draft.job not in left]

    def _pays(
        self, booked: Booked, draft: LeaseDraft, work: Work | None, costs: Mapping[JobId, int], now: datetime
    ) -> bool:
        """Tell whether what is held for a quote pays for the lease that is to be made: as what is held for it would.

        A quote's job whose promise was broken starts in another pool, where vouchers may not pay, or much later.
        """
        hold = booked.hold
        if booked.pool_id != draft.pool_id and any(_is_voucher(part.account) for part in hold.parts):
            return False
        if work is None:  # its city pays in advance no more: what is held pays on, as of leases that are there
            return True
        return hold.held >= costs[draft.job] and hold.settles_until >= now + timedelta(seconds=work.seconds)

    async def _held(
        self,
        tx: Connection,
        asked: Sequence[LeaseDraft],
        of_no_use: Sequence[Booked],
        works: dict[JobId, Work],
        costs: dict[JobId, int],
        now: datetime,
    ) -> tuple[dict[JobId, LeaseDraft], dict[JobId, int]]:
        """Release what is of no use for leases, and hold what these are to be paid with.

        Return those that are paid for, and what the payers of the others lack, in micro-yuan.
        """
        there = await prepaid.enterprise_accounts(tx, sorted({draft.city for draft in asked})) if asked else set()
        place_of = await prepaid.places(tx, {draft.pool_id for draft in asked}) if asked else {}
        payer_of = await payers(tx, [(works[draft.job], place_of[draft.pool_id]) for draft in asked], now)
        numbers = await rounds.new_lease_ids(tx, len(asked)) if asked else []
        numbered = [replace(draft, lease=lease) for draft, lease in zip(asked, numbers, strict=True)]
        wanted = [
            self._draft(draft, payer_of[draft.job], there, costs[draft.job], works[draft.job].seconds, now)
            for draft in numbered
        ]
        if of_no_use:  # all balances at once: whoever locks them twice may wait for who waits for him
            given = {part.account for each in of_no_use for part in each.hold.parts}
            await ledger.lock(tx, given | {source.account for draft in wanted for source in draft.sources})
        for each in of_no_use:
            await holds.release(tx, each.hold.hold, quote_text(each.quote), now)
        outcomes = await holds.place(tx, wanted, now) if wanted else []
        found, lacks = {}, dict(costs)
        for draft, outcome in zip(numbered, outcomes, strict=True):
            if isinstance(outcome, Held):
                found[draft.job] = replace(draft, hold=outcome.hold)
                continue
            assert isinstance(outcome, BrokerError)  # noqa: S101  # whatever it is, this payer does not pay
            if isinstance(outcome, InsufficientCredit):
                lacks[draft.job] -= int(outcome.metadata["usable_micro_yuan"])
        return found, lacks

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


def _stands(work: Work, there: Balances) -> int:
    """Return what stands on all accounts that pay for a job, as the reading of a world counts it.

    A voucher gives a part only, or nothing, whatever stands on it: that is known when a hold is refused. So what is
    noted is how much there must be on all accounts together, and the job is left out until so much has come in.
    """
    return sum(there[work.city].get(account, 0) for account in accounts(work.city, work.enterprise, work.vouchers))


def _is_voucher(account: str) -> bool:
    return account.startswith(f"{AccountKind.VOUCHER}/")
