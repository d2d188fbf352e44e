"""What is charged of a lease: the minutes that are known, at the price of its start, out of what is held for it.

Charged is always the difference between what all known minutes cost and what was charged before, so however often and
in whatever parts it is charged, it ends the same, to the micro-yuan. Minutes that become known after the end was
charged are late: they are rated anew and paid from the hold as long as it lasts, then by the platform, never by the
city. Work that the platform itself threw away, by stopping a lease for others, is paid to its owner and given back to
its payer, by a credit note that the platform bears.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from broker.ids import LeaseId, lease_text
from broker.ledger.accounts import PLATFORM_LOSS, AccountKind, AccountName
from broker.ledger.holds import Capture, Hold, HoldState, apportioned, captured, released
from broker.ledger.money import AMOUNT_MICRO_YUAN_MAX
from broker.ledger.transactions import Posting, Transaction, TransactionKind, full_key
from broker.ledger.usage import Usage, merged, of_times
from broker.ledger.work import work_micro_yuan

WHOLE_MILLI: Final = 1000


@dataclass(frozen=True, slots=True)
class Charged:
    """What of a lease was charged so far: minutes, their seconds, and micro-yuan.

    Attributes:
        credited: of that given back because the work was thrown away for others.
        end: whether the end was charged: what comes now is late.
        settled: nothing of the hold is open any more.
    """

    minutes: int = 0
    seconds: int = 0
    micro_yuan: int = 0
    credited: int = 0
    end: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class ChargedLease:
    """A lease that money is held for, as far as charging is concerned.

    Attributes:
        owner: of its cluster, who is paid.
        per_card_hour: micro-yuan, fixed at its start.
        seconds_max: by walltime and grace.
        lost_card_seconds: of a lease that was stopped for other work: what has to be done again.
        active: it runs, as far as anybody knows; not while it is lost.
        unused: it has ended and never ran: it could not be started, or was rejected.
        proved: its times can stand for usage that nobody sends: its end was seen.
        agent_meters: its agent sends usage.
    """

    lease: LeaseId
    owner: str
    per_card_hour: int
    milli_cards: int
    seconds_max: int
    started_at: datetime | None
    ended_at: datetime | None
    active: bool
    unused: bool
    proved: bool
    agent_meters: bool
    usage: Usage
    charged: Charged
    lost_card_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at a lease does.

    Attributes:
        usage, charged: as they are after it.
        hold: the hold as it is after it.
        transactions: to be written, in order: a capture, a credit note, a release.
        minutes: that the capture pays for; 0 where there is none.
        late: whether they became known after the end was charged.
        due_at: when to look again; None: only when something new is told.
    """

    usage: Usage
    charged: Charged
    hold: Hold
    transactions: tuple[Transaction, ...]
    minutes: int
    late: bool
    due_at: datetime | None


def step(lease: ChargedLease, hold: Hold, now: datetime, *, interval: timedelta, fee_ppm: int) -> Step:
    """Charge what is known and not charged yet, and let go of the hold when nothing more can come.

    Args:
        lease: as it is now.
        hold: what is held for it.
        now: the time of the transactions.
        interval: between two looks while it runs.
        fee_ppm: of what is charged, in millionths: the exchange's fee.
    """
    usage = _with_stand_in(lease, now)
    ended = lease.ended_at is not None
    charged, hold_after, made = lease.charged, hold, list[Transaction]()
    seconds, count = usage.seconds(lease.seconds_max), usage.count
    cost = work_micro_yuan(lease.per_card_hour, lease.milli_cards, seconds)
    news = 0
    if cost > charged.micro_yuan:
        hold_after, capture = captured(hold, _capture(lease, hold, seconds, cost - charged.micro_yuan, fee_ppm), now)
        made.append(capture)
        news = count - charged.minutes
        charged = replace(charged, minutes=count, seconds=seconds, micro_yuan=cost)
    if ended and lease.lost_card_seconds:
        charged, credit = _credited(lease, hold_after, charged, now)
        made += credit
    if ended and usage.whole and hold_after.state is HoldState.OPEN:
        hold_after, release = released(hold_after, lease_text(lease.lease), now)
        made.append(release)
    settled = hold_after.state is not HoldState.OPEN
    return Step(
        usage=usage,
        charged=replace(charged, end=ended, settled=settled),
        hold=hold_after,
        transactions=tuple(made),
        minutes=news,
        late=bool(news) and lease.charged.end,
        due_at=_due_at(now, interval, hold_after, ended=ended, settled=settled),
    )


def _with_stand_in(lease: ChargedLease, now: datetime) -> Usage:
    """Return what is known, with what the times of the lease say where no agent sends usage, or nothing was used."""
    if lease.ended_at is not None and (lease.unused or lease.started_at is None):
        return merged(lease.usage, Usage(complete=True))
    if lease.agent_meters or lease.started_at is None:
        return lease.usage
    if lease.ended_at is not None and lease.proved:
        return merged(lease.usage, of_times(lease.started_at, lease.ended_at, ended=True))
    if lease.active:
        return merged(lease.usage, of_times(lease.started_at, now, ended=False))
    return lease.usage


def _capture(lease: ChargedLease, hold: Hold, seconds: int, micro_yuan: int, fee_ppm: int) -> Capture:
    return Capture(
        request_key=f"{lease_text(lease.lease)}/{seconds}",
        hold=hold.hold,
        owner=AccountName(AccountKind.OWNER, (lease.owner,)).text,
        micro_yuan=micro_yuan,
        fee_ppm=fee_ppm,
        excess_to_loss=True,
    )


def _credited(lease: ChargedLease, hold: Hold, charged: Charged, now: datetime) -> tuple[Charged, list[Transaction]]:
    """Give back what work that was thrown away has cost, as far as the payer's money paid for it."""
    lost = work_micro_yuan(lease.per_card_hour, WHOLE_MILLI, lease.lost_card_seconds)
    credit = min(lost, hold.captured, AMOUNT_MICRO_YUAN_MAX) - charged.credited
    if credit <= 0:
        return charged, []
    name, total = lease_text(lease.lease), charged.credited + credit
    return replace(charged, credited=total), [
        Transaction(
            kind=TransactionKind.CREDIT_NOTE,
            request_key=full_key(TransactionKind.CREDIT_NOTE, f"{name}/stopped/{total}"),
            body={"lease": name, "micro_yuan": credit, "hold": hold.hold},
            reference=name,
            at=now,
            postings=(Posting(PLATFORM_LOSS.text, -credit), *_given_back(hold, charged.credited, credit)),
            hold=hold.hold,
        )
    ]


def _given_back(hold: Hold, before: int, credit: int) -> Sequence[Posting]:
    """Return what each part gets of a credit: as it would not have been captured."""
    paid = apportioned(hold.captured - before, hold.parts)
    stays = apportioned(hold.captured - before - credit, hold.parts)
    return [
        Posting(part.account, was - left) for part, was, left in zip(hold.parts, paid, stays, strict=True) if was > left
    ]


def _due_at(now: datetime, interval: timedelta, hold: Hold, *, ended: bool, settled: bool) -> datetime | None:
    if not ended:
        return now + interval
    return None if settled else max(now, hold.settles_until) + interval  # expired by then, and nothing is left to do
