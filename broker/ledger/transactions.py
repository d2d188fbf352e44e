"""Transactions: balanced, immutable postings with a kind, a reference and a key that makes a retry harmless."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from broker.errors import FieldProblem, InvalidRequest
from broker.ids import HoldId
from broker.ledger.accounts import (
    CREDIT_NOTE_PAYERS,
    DEPOSITABLE,
    EXTERNAL,
    NEVER_BELOW_ZERO,
    AccountKind,
    AccountName,
    Pocket,
    account_name,
)
from broker.ledger.money import amount_problem, yuan_only

KEY_CHARACTERS_MAX: Final = 160
REFERENCE_CHARACTERS_MAX: Final = 160


class TransactionKind(StrEnum):
    """What happened to the money."""

    DEPOSIT = "deposit"  # it came from outside
    GRANT = "grant"  # out of a budget into a voucher
    HOLD = "hold"  # it is kept for work that is to come
    CAPTURE = "capture"  # held money paid for work done; what nobody holds is the platform's loss
    RELEASE = "release"  # what was not used is free again
    EXPIRY = "expiry"  # the same, because the settlement window is over
    CREDIT_NOTE = "credit_note"  # it was given back, for the reason in the reference
    RETURN = "return"  # what an expired voucher had left, back to its budget


def full_key(kind: TransactionKind, request_key: str) -> str:
    """Return the key under which a request is written: each kind has keys of its own."""
    return f"{kind}/{request_key}"


def body_sha256(kind: TransactionKind, body: Mapping[str, object]) -> bytes:
    """Return the hash by which a retry is told from another request with the same key."""
    text = json.dumps([kind, body], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: money that comes to an account (positive) or leaves it (negative), in micro-yuan."""

    account: str
    micro_yuan: int
    pocket: Pocket = Pocket.AVAILABLE


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is not written yet. Raise ValueError where it is not balanced: that is a fault of the code.

    Attributes:
        kind: what happened.
        request_key: a `full_key`; the same key with the same `body` is the same transaction.
        body: what was asked for, plain JSON values; its hash tells a retry from another request.
        reference: what it is about, such as "lease-7", for people and papers.
        at: when, aware UTC.
        postings: at least two, none of them zero, adding up to zero.
        hold: the hold that it captures, releases or compensates.
    """

    kind: TransactionKind
    request_key: str
    body: Mapping[str, object]
    reference: str
    at: datetime
    postings: tuple[Posting, ...]
    hold: HoldId | None = None

    def __post_init__(self) -> None:
        total = sum(p.micro_yuan for p in self.postings)
        if total or len(self.postings) < 2 or not all(p.micro_yuan for p in self.postings):
            raise ValueError(f"{self.kind} {self.request_key} is not balanced by {total} micro-yuan: {self.postings}")

    @property
    def body_sha256(self) -> bytes:
        """Hash of kind and body."""
        return body_sha256(self.kind, self.body)

    def accounts(self) -> list[str]:
        """Return the names of the accounts that it touches."""
        return list(dict.fromkeys(p.account for p in self.postings))


@dataclass(frozen=True, slots=True)
class Move:
    """Money that is to go from one account to another as it is: a deposit, a grant or a credit note.

    Attributes:
        request_key: makes a retry harmless.
        account: name of the account that gets it.
        micro_yuan: how much.
        reference: what for.
        payer: name of the account that gives it; of a deposit always `external`.
        currency: "CNY", or empty for the same.
        hold: for a credit note: the hold whose use it compensates.
    """

    request_key: str
    account: str
    micro_yuan: int
    reference: str
    payer: str = EXTERNAL.text
    currency: str = ""
    hold: HoldId | None = None


def deposit(move: Move, at: datetime) -> Transaction:
    """Return the transaction of money that comes from outside. Raise InvalidRequest."""
    return _moved(TransactionKind.DEPOSIT, move, at, payers=(AccountKind.EXTERNAL,), takers=DEPOSITABLE)


def grant(move: Move, at: datetime) -> Transaction:
    """Return the transaction of a grant out of a budget into a voucher. Raise InvalidRequest."""
    return _moved(TransactionKind.GRANT, move, at, payers=(AccountKind.BUDGET,), takers=(AccountKind.VOUCHER,))


def credit_note(move: Move, at: datetime) -> Transaction:
    """Return the transaction that gives a city, enterprise or voucher money back. Raise InvalidRequest."""
    takers = NEVER_BELOW_ZERO - {AccountKind.BUDGET}
    return _moved(TransactionKind.CREDIT_NOTE, move, at, payers=CREDIT_NOTE_PAYERS, takers=takers)


def text_problems(key: str, reference: str) -> list[FieldProblem]:
    """Return what is wrong with the texts of a request."""
    limits = (("request_key", key, KEY_CHARACTERS_MAX), ("reference", reference, REFERENCE_CHARACTERS_MAX))
    return [
        FieldProblem(field, f"must be 1 to {most} printable characters")
        for field, text, most in limits
        if not (1 <= len(text) <= most and text.isprintable())
    ]


def _moved(
    kind: TransactionKind,
    move: Move,
    at: datetime,
    *,
    payers: Sequence[AccountKind] | frozenset[AccountKind],
    takers: Sequence[AccountKind] | frozenset[AccountKind],
) -> Transaction:
    yuan_only("currency", move.currency)
    payer, taker = account_name("payer", move.payer), account_name("account", move.account)
    problems = text_problems(move.request_key, move.reference)
    wrong_amount = amount_problem("micro_yuan", move.micro_yuan)
    problems += [wrong_amount] if wrong_amount else []
    problems += _kind_problems(kind, "payer", payer, payers) + _kind_problems(kind, "account", taker, takers)
    if problems:
        raise InvalidRequest(*problems)
    return Transaction(
        kind=kind,
        request_key=full_key(kind, move.request_key),
        body={
            "account": taker.text,
            "payer": payer.text,
            "micro_yuan": move.micro_yuan,
            "reference": move.reference,
            "hold": move.hold,
        },
        reference=move.reference,
        at=at,
        postings=(Posting(payer.text, -move.micro_yuan), Posting(taker.text, move.micro_yuan)),
        hold=move.hold,
    )


def _kind_problems(
    kind: TransactionKind, field: str, name: AccountName, allowed: Sequence[AccountKind] | frozenset[AccountKind]
) -> list[FieldProblem]:
    if name.kind in allowed:
        return []
    return [FieldProblem(field, f"{name.text} cannot be in a {kind}: name an account of {', '.join(sorted(allowed))}")]
