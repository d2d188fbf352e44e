"""Holds: money that is kept for work to come. Hold, then capture, then release or expire; held = captured + released
+ open, for the whole and for the part of each account.

A hold draws on its accounts in order: vouchers first, each up to its ratio of the hold, then the enterprise, then the
city; each gives what it has, a closed one nothing, and all together must have enough. What is captured falls on the
parts by one function of the sum captured so far (`apportioned`), so that many small captures and one large one end the
same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from broker.errors import (
    AccountClosed,
    AccountNotFound,
    BrokerError,
    CaptureBeyondHold,
    FieldProblem,
    HoldEnded,
    HoldStillSettles,
    InsufficientCredit,
    InvalidRequest,
    SettlementOver,
    invalid,
)
from broker.ids import HoldId, hold_text
from broker.ledger.accounts import FEE, HOLDABLE, PLATFORM_LOSS, AccountKind, Pocket, parse_account
from broker.ledger.funds import Funds, after
from broker.ledger.money import WHOLE_PPM, amount, amount_problem, proportion_down, share_down
from broker.ledger.transactions import Posting, Transaction, TransactionKind, full_key, text_problems

SOURCES_MAX: Final = 8


class HoldState(StrEnum):
    """Where a hold is. Only an open one has anything open, and every other state is final."""

    OPEN = "open"
    CAPTURED = "captured"  # all of it was used
    RELEASED = "released"  # what was not used is free again
    EXPIRED = "expired"  # the same, when its settlement window was over


@dataclass(frozen=True, slots=True)
class Source:
    """An account that a hold may draw on, and the most that it pays of the hold, in millionths."""

    account: str
    ratio_ppm: int = WHOLE_PPM


@dataclass(frozen=True, slots=True)
class HoldDraft:
    """A hold that is asked for.

    Attributes:
        request_key: the same key with the same body is the same hold.
        city: whose accounts it draws on.
        reference: what for, such as "lease-7".
        micro_yuan: how much.
        sources: what it draws on: vouchers, then an enterprise, then the city.
        settles_until: end of the settlement window, aware UTC: until then captures are paid from it.
    """

    request_key: str
    city: str
    reference: str
    micro_yuan: int
    sources: tuple[Source, ...]
    settles_until: datetime

    @property
    def key(self) -> str:
        """The key under which it is written."""
        return full_key(TransactionKind.HOLD, self.request_key)

    @property
    def body(self) -> dict[str, object]:
        """What is asked for, as plain JSON values: the same for a retry, whatever the accounts have by then."""
        return {
            "city": self.city,
            "reference": self.reference,
            "micro_yuan": self.micro_yuan,
            "sources": [[s.account, s.ratio_ppm] for s in self.sources],
            "settles_until": self.settles_until.astimezone(UTC).isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Part:
    """What one account gives to a hold, in micro-yuan."""

    account: str
    held: int
    captured: int = 0
    released: int = 0

    @property
    def open(self) -> int:
        """What is neither captured nor released."""
        return self.held - self.captured - self.released


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as it stands."""

    hold: HoldId
    city: str
    reference: str
    state: HoldState
    settles_until: datetime
    parts: tuple[Part, ...]

    @property
    def held(self) -> int:
        """What was held at first, in micro-yuan."""
        return sum(p.held for p in self.parts)

    @property
    def captured(self) -> int:
        """What was captured so far, in micro-yuan."""
        return sum(p.captured for p in self.parts)

    @property
    def open(self) -> int:
        """What can still be captured, in micro-yuan."""
        return sum(p.open for p in self.parts)


@dataclass(frozen=True, slots=True)
class Capture:
    """Work that was done and is to be paid for.

    Attributes:
        request_key: makes a retry harmless.
        hold: what pays for it, as far as it goes.
        owner: name of the account of the owner who gets it.
        micro_yuan: the price of the work.
        fee_ppm: of the price: the exchange's fee, in millionths.
        excess_to_loss: what the hold does not cover (beyond it, or after its window) is the platform's loss, never the
            city's; without it such a capture is refused.
    """

    request_key: str
    hold: HoldId
    owner: str
    micro_yuan: int
    fee_ppm: int = 0
    excess_to_loss: bool = False

    @property
    def key(self) -> str:
        """The key under which it is written."""
        return full_key(TransactionKind.CAPTURE, self.request_key)

    @property
    def body(self) -> dict[str, object]:
        """What is asked for, as plain JSON values."""
        return {
            "hold": self.hold,
            "owner": self.owner,
            "micro_yuan": self.micro_yuan,
            "fee_ppm": self.fee_ppm,
            "excess_to_loss": self.excess_to_loss,
        }


def check_draft(draft: HoldDraft) -> None:
    """Raise InvalidRequest with everything that is wrong with a hold, as far as it can be told for ever.

    That its window is over is no such thing: it may have been placed in time, and be sent again.
    """
    problems = text_problems(draft.request_key, draft.reference)
    wrong_amount = amount_problem("micro_yuan", draft.micro_yuan)
    problems += [wrong_amount] if wrong_amount else []
    if draft.settles_until.tzinfo is None:
        problems.append(FieldProblem("settles_until", "must be a time with its zone"))
    problems += _source_problems(draft.sources, draft.city)
    if problems:
        raise InvalidRequest(*problems)


def _source_problems(sources: Sequence[Source], city: str) -> list[FieldProblem]:
    if not 1 <= len(sources) <= SOURCES_MAX:
        return [FieldProblem("sources", f"has {len(sources)} entries, must have 1 to {SOURCES_MAX}")]
    problems, place = [], 0
    for i, source in enumerate(sources):
        field, name = f"sources[{i}].account", parse_account(source.account)
        if name is None or name.kind not in HOLDABLE:
            problems.append(FieldProblem(field, "must be an account of a city, an enterprise or a voucher"))
            continue
        if name.city != city:
            problems.append(FieldProblem(field, f"must be an account of {city}, not of {name.city}"))
        if HOLDABLE.index(name.kind) < place or source.account in [s.account for s in sources[:i]]:
            problems.append(FieldProblem(field, "must come once, vouchers first, then the enterprise, then the city"))
        place = max(place, HOLDABLE.index(name.kind))
        most = source.ratio_ppm
        if not 1 <= most <= WHOLE_PPM or (most < WHOLE_PPM and name.kind is not AccountKind.VOUCHER):
            rule = f"must be 1 to {WHOLE_PPM} millionths, and all of them but for vouchers"
            problems.append(FieldProblem(f"sources[{i}].ratio_ppm", rule))
    return problems


def planned_parts(draft: HoldDraft, funds: Mapping[str, Funds], at: datetime) -> tuple[Part, ...]:
    """Return what each account gives to a hold that `check_draft` let pass; accounts that give nothing are left out.

    Args:
        draft: what is asked for.
        funds: by name of the account: what is there now, under its lock.
        at: now.
    Raises:
        InvalidRequest: its settlement window is over already.
        AccountNotFound: one of the sources is not there.
        AccountClosed: all of them were closed.
        InsufficientCredit: those that are open do not have enough together.
    """
    if draft.settles_until <= at:
        raise invalid("settles_until", f"is {draft.settles_until.isoformat()}, must be later than now")
    parts, rest, opened = [], draft.micro_yuan, list[str]()
    for source in draft.sources:
        found = funds.get(source.account)
        if found is None:
            raise AccountNotFound(account=source.account)
        if found.closed:  # it is empty, and stays so: who stands behind it pays
            continue
        opened.append(source.account)
        gives = min(rest, found.available, share_down(draft.micro_yuan, source.ratio_ppm))
        if gives:
            parts.append(Part(source.account, gives))
            rest -= gives
    if not opened:
        raise AccountClosed(account=draft.sources[0].account)
    if rest:
        raise InsufficientCredit(
            accounts=" and ".join(opened),
            usable_micro_yuan=draft.micro_yuan - rest,
            wanted_micro_yuan=draft.micro_yuan,
        )
    return tuple(parts)


def decide(
    drafts: Sequence[HoldDraft], funds: Mapping[str, Funds], at: datetime
) -> list[tuple[Part, ...] | BrokerError]:
    """Return the parts of each hold, or why it is refused. In order, each alone: what one gets the next does not have.

    A refused one takes nothing, so a smaller one behind it may still fit.
    """
    left, outcomes = dict(funds), list[tuple[Part, ...] | BrokerError]()
    for draft in drafts:
        try:
            parts = planned_parts(draft, left, at)
            left |= after(left, _hold_postings(parts))
        except BrokerError as refusal:
            outcomes.append(refusal)
        else:
            outcomes.append(parts)
    return outcomes


def hold_transaction(draft: HoldDraft, parts: Sequence[Part], at: datetime) -> Transaction:
    """Return the transaction that moves the parts from what is available to what is held."""
    return Transaction(
        kind=TransactionKind.HOLD,
        request_key=draft.key,
        body=draft.body,
        reference=draft.reference,
        at=at,
        postings=_hold_postings(parts),
    )


def _hold_postings(parts: Sequence[Part]) -> tuple[Posting, ...]:
    return tuple(
        Posting(part.account, sign * part.held, pocket)
        for part in parts
        for sign, pocket in ((-1, Pocket.AVAILABLE), (1, Pocket.HELD))
    )


def apportioned(captured: int, parts: Sequence[Part]) -> list[int]:
    """Return what falls on each part when so much of the hold is captured in all.

    A voucher pays its proportion of what the parts before it leave, rounded down; then the enterprise pays until its
    part is used up, then the city. No part is ever less when more is captured, none pays beyond itself, and a hold
    that is captured whole takes every part whole.
    """
    falls, rest, whole = [], captured, sum(p.held for p in parts)
    for part in parts:
        if part.account.startswith(f"{AccountKind.VOUCHER}/"):
            pays = proportion_down(rest, part.held, whole)
        else:
            pays = min(rest, part.held)
        falls.append(pays)
        rest, whole = rest - pays, whole - part.held
    return falls


def captured(hold: Hold, capture: Capture, at: datetime) -> tuple[Hold, Transaction]:
    """Return the hold after a capture, and the transaction that pays the owner.

    Raises:
        InvalidRequest: amount, fee or owner cannot be.
        HoldEnded, SettlementOver, CaptureBeyondHold: the hold does not cover it, and the platform is not to bear it.
    """
    _check_capture(capture)
    coverable = hold.open if hold.state is HoldState.OPEN and at <= hold.settles_until else 0
    paid = min(coverable, capture.micro_yuan)
    if paid < capture.micro_yuan and not capture.excess_to_loss:
        raise _not_covered(hold, capture, at)
    falls = apportioned(hold.captured + paid, hold.parts) if paid else [p.captured for p in hold.parts]
    parts = tuple(replace(p, captured=falls_on) for p, falls_on in zip(hold.parts, falls, strict=True))
    used_up = bool(paid) and paid == hold.open
    hold_after = replace(hold, parts=parts, state=HoldState.CAPTURED if used_up else hold.state)
    fee = share_down(capture.micro_yuan, capture.fee_ppm)
    postings = [
        *(
            Posting(new.account, old.captured - new.captured, Pocket.HELD)
            for old, new in zip(hold.parts, parts, strict=True)
        ),
        Posting(PLATFORM_LOSS.text, paid - capture.micro_yuan),
        Posting(capture.owner, capture.micro_yuan - fee),
        Posting(FEE.text, fee),
    ]
    return hold_after, Transaction(
        kind=TransactionKind.CAPTURE,
        request_key=capture.key,
        body=capture.body,
        reference=hold.reference,
        at=at,
        postings=tuple(p for p in postings if p.micro_yuan),
        hold=hold.hold,
    )


def released(hold: Hold, request_key: str, at: datetime, *, expire: bool = False) -> tuple[Hold, Transaction]:
    """Return the hold after what is open was given back, and the transaction that does it.

    Args:
        hold: the hold.
        request_key: makes a retry harmless.
        at: now.
        expire: because its settlement window is over.
    Raises:
        HoldEnded: nothing of it is open.
        HoldStillSettles: it is to expire before its window is over.
    """
    if problems := text_problems(request_key, hold.reference):
        raise InvalidRequest(*problems)
    if hold.state is not HoldState.OPEN:
        raise HoldEnded(hold=hold_text(hold.hold), state=hold.state)
    if expire and at <= hold.settles_until:
        raise HoldStillSettles(hold=hold_text(hold.hold), settles_until=hold.settles_until.isoformat())
    hold_after = replace(
        hold,
        state=HoldState.EXPIRED if expire else HoldState.RELEASED,
        parts=tuple(replace(p, released=p.held - p.captured) for p in hold.parts),
    )
    kind = TransactionKind.EXPIRY if expire else TransactionKind.RELEASE
    return hold_after, Transaction(
        kind=kind,
        request_key=full_key(kind, request_key),
        body=release_body(hold.hold),
        reference=hold.reference,
        at=at,
        postings=tuple(
            Posting(p.account, sign * p.open, pocket)
            for p in hold.parts
            if p.open
            for sign, pocket in ((-1, Pocket.HELD), (1, Pocket.AVAILABLE))
        ),
        hold=hold.hold,
    )


def release_body(hold: HoldId) -> dict[str, object]:
    """Return what was asked for, as plain JSON values."""
    return {"hold": hold}


def _check_capture(capture: Capture) -> None:
    amount("micro_yuan", capture.micro_yuan)
    problems = text_problems(capture.request_key, "-")
    owner = parse_account(capture.owner)
    if owner is None or owner.kind is not AccountKind.OWNER:
        wrong = f"must be the account of an owner, such as owner/longdong, not {capture.owner[:80]!r}"
        problems.append(FieldProblem("owner", wrong))
    if not 0 <= capture.fee_ppm <= WHOLE_PPM:
        problems.append(FieldProblem("fee_ppm", f"is {capture.fee_ppm}, must be 0 to {WHOLE_PPM} millionths"))
    if problems:
        raise InvalidRequest(*problems)


def _not_covered(hold: Hold, capture: Capture, at: datetime) -> HoldEnded | SettlementOver | CaptureBeyondHold:
    name = hold_text(hold.hold)
    if hold.state is not HoldState.OPEN:
        return HoldEnded(hold=name, state=hold.state)
    if at > hold.settles_until:
        return SettlementOver(hold=name, settles_until=hold.settles_until.isoformat())
    return CaptureBeyondHold(hold=name, open_micro_yuan=hold.open, wanted_micro_yuan=capture.micro_yuan)
