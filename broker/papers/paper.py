"""Invoices and statements: sums of ledger lines of one party and month, in one canonical text with one hash.

An invoice has what the accounts of a city, or of one of its enterprises, paid for each lease; a statement has what an
owner's account got. Nothing is in them that the ledger's lines do not say, so the paper of a closed month is the same
text each time.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

FORM: Final = 1
"""Of the canonical text; a form that says more gets another number."""

VOUCHER: Final = "voucher/"
"""What the names of vouchers' accounts begin with."""

_MILLI_CARD_MINUTES: Final = 1000 * 60
"""In a card-hour."""


class PaperKind(StrEnum):
    """What a paper is."""

    INVOICE = "invoice"  # what a city or an enterprise paid for work
    STATEMENT = "statement"  # what an owner of clusters earned by it


@dataclass(frozen=True, slots=True)
class Part:
    """What one account paid for a line (invoice) or got by it (statement), in micro-yuan."""

    account: str
    micro_yuan: int


@dataclass(frozen=True, slots=True)
class WorkLine:
    """A lease and what was captured for it in the month.

    Attributes:
        reference: the lease, such as "lease-7"; what the hold was for where no lease was charged. The facts of the
            lease are then empty and zero.
        job: of the lease, such as "job-7".
        city: whose job.
        enterprise: of the city, for which the job ran; empty: the city itself. Statements leave it out.
        workload_class: the sector of the job.
        hub, cluster, model: where it ran, and on what.
        milli_cards: thousandths of cards that it holds.
        minutes: that were charged in the month.
        late_minutes: of these: became known after the end of the lease was charged.
        micro_yuan_per_card_hour: its price, fixed at its start.
        rate_card_version: of the owner's ask in it.
        nameplate_micro_pflops_hours, programme_micro_pflops_hours, measured_micro_pflops_hours: FP16 of the minutes by
            the three figures of the model; 0 where a figure is not known.
        policy: where its job allowed it, as the broker signed it; empty: anywhere.
        parts: who paid, or got, how much.
        fee_micro_yuan: of a statement: what the exchange kept of the price.
        borne_micro_yuan: of a statement: what the exchange paid of the price, for no hold covered it.
    """

    reference: str
    job: str = ""
    city: str = ""
    enterprise: str = ""
    workload_class: str = ""
    hub: str = ""
    cluster: str = ""
    model: str = ""
    milli_cards: int = 0
    minutes: int = 0
    late_minutes: int = 0
    micro_yuan_per_card_hour: int = 0
    rate_card_version: int = 0
    nameplate_micro_pflops_hours: int = 0
    programme_micro_pflops_hours: int = 0
    measured_micro_pflops_hours: int = 0
    policy: str = ""
    parts: tuple[Part, ...] = ()
    fee_micro_yuan: int = 0
    borne_micro_yuan: int = 0

    @property
    def micro_yuan(self) -> int:
        """What all parts are together."""
        return sum(part.micro_yuan for part in self.parts)

    @property
    def voucher_micro_yuan(self) -> int:
        """What vouchers paid of it."""
        return sum(part.micro_yuan for part in self.parts if part.account.startswith(VOUCHER))


@dataclass(frozen=True, slots=True)
class CreditNote:
    """Money that was given back.

    Attributes:
        number: its transaction, such as "transaction-9".
        at: when, aware UTC.
        reference: what for.
        hold: whose use it compensates, such as "hold-5"; empty: none.
        account: who got it.
        payer: who gave it.
        micro_yuan: how much, above zero.
    """

    number: str
    at: datetime
    reference: str
    hold: str
    account: str
    payer: str
    micro_yuan: int


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """What one account paid (invoice) or got (statement) by a paper, in micro-yuan."""

    account: str
    work: int
    credited: int  # by credit notes: back to the payer of an invoice, from the owner of a statement

    @property
    def total(self) -> int:
        """Work less credit notes."""
        return self.work - self.credited


@dataclass(frozen=True, slots=True)
class Paper:
    """An invoice or a statement.

    Attributes:
        kind: which of them.
        party: whose: "city/CITY", "enterprise/CITY/NAME" or "owner/OWNER".
        month: such as "2026-11", UTC+8.
        provisional_at: as of when, while its month is open; None: the month is closed and the paper final.
        lines: by lease.
        credit_notes: by transaction.
    """

    kind: PaperKind
    party: str
    month: str
    provisional_at: datetime | None
    lines: tuple[WorkLine, ...]
    credit_notes: tuple[CreditNote, ...]

    @property
    def number(self) -> str:
        """Its number: the same for the same kind, party and month."""
        return f"{self.kind}/{self.party}/{self.month}"

    def side(self, note: CreditNote) -> str:
        """Return the account of this paper that a credit note moves."""
        return note.account if self.kind is PaperKind.INVOICE else note.payer

    def totals(self) -> list[AccountTotal]:
        """Return what each account paid or got, by name."""
        work, credited = dict[str, int](), dict[str, int]()
        for line in self.lines:
            for part in line.parts:
                work[part.account] = work.get(part.account, 0) + part.micro_yuan
        for note in self.credit_notes:
            credited[self.side(note)] = credited.get(self.side(note), 0) + note.micro_yuan
        return [AccountTotal(a, work.get(a, 0), credited.get(a, 0)) for a in sorted(work.keys() | credited.keys())]

    @property
    def micro_yuan(self) -> int:
        """What all is together: work less credit notes."""
        return sum(total.total for total in self.totals())

    def text(self) -> str:
        """Return the canonical text: JSON with sorted keys and without spaces. One paper has exactly one."""
        return json.dumps(self._data(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def sha256(self) -> str:
        """Return the hash of the canonical text in UTF-8, in hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def _data(self) -> dict[str, Any]:
        return {
            "form": FORM,
            "number": self.number,
            "kind": self.kind.value,
            "party": self.party,
            "month": self.month,
            "currency": "CNY",
            "provisional_at": None if self.provisional_at is None else moment_text(self.provisional_at),
            "lines": [_line_data(line) for line in self.lines],
            "credit_notes": [asdict(note) | {"at": moment_text(note.at)} for note in self.credit_notes],
            "totals": {
                "accounts": [asdict(total) | {"total": total.total} for total in self.totals()],
                "micro_yuan": self.micro_yuan,
                "voucher_micro_yuan": sum(line.voucher_micro_yuan for line in self.lines),
                "fee_micro_yuan": sum(line.fee_micro_yuan for line in self.lines),
                "borne_micro_yuan": sum(line.borne_micro_yuan for line in self.lines),
                **{name: sum(getattr(line, name) for line in self.lines) for name in PFLOPS_HOURS},
            },
        }


PFLOPS_HOURS: Final = (
    "nameplate_micro_pflops_hours",
    "programme_micro_pflops_hours",
    "measured_micro_pflops_hours",
)


def _line_data(line: WorkLine) -> dict[str, Any]:
    return {
        **{name: getattr(line, name) for name in _LINE_FIELDS},
        "parts": [[part.account, part.micro_yuan] for part in line.parts],
    }


_LINE_FIELDS: Final = tuple(name for name in WorkLine.__slots__ if name != "parts")


def moment_text(at: datetime) -> str:
    """Return a time as papers write it for programs: UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def micro_pflops_hours(milli_tflops: int, milli_cards: int, minutes: int) -> int:
    """Return the FP16 work of cards over minutes in millionths of a PFLOPS-hour, rounded down."""
    return milli_tflops * milli_cards * minutes // _MILLI_CARD_MINUTES


def policy_text(*, domestic_only: bool, hubs: Iterable[str], owners: Iterable[str]) -> str:
    """Return where a job may run, for people; empty: anywhere."""
    said = ["domestic only"] if domestic_only else []
    said += [f"{what} {' '.join(sorted(names))}" for what, names in (("hubs", hubs), ("owners", owners)) if names]
    return "; ".join(said)
