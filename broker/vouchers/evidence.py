"""What an auditor is handed for a voucher: its use lease by lease, power, proof of service, story. JSON, CSV, PDF."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from broker.papers.csv_text import csv_text
from broker.vouchers.evidence_pdf import evidence_pdf

_MILLI_PFLOPS_HOURS: Final = 60 * 10**6
"""Milli-cards times milli-TFLOPS times minutes in a thousandth of a PFLOPS-hour."""


@dataclass(frozen=True, slots=True)
class LeaseUse:
    """A lease that a voucher paid for in part.

    Attributes:
        milli_cards: cards that it held, in thousandths.
        minutes: of the lease, that captures paid for with the voucher's help.
        milli_tflops: of a card, programme-counted FP16; this, watts and PUE as they were when it was offered.
        watts: of a card and its share of the host.
        pue_milli: of the hub; 0 where it is not known: then what the cards draw is all that is counted.
        micro_yuan: what the voucher paid.
        policy: the placement policy that the broker signed for the lease: what was to run where, for whom.
        signature: of it, in hexadecimal; both are empty for leases that are older than policies.
    """

    lease: str
    job: str
    cluster: str
    owner: str
    hub: str
    model: str
    started_at: datetime | None
    ended_at: datetime | None
    milli_cards: int
    minutes: int
    milli_tflops: int
    watts: int
    pue_milli: int
    micro_yuan: int
    policy: str
    signature: str

    @property
    def milli_pflops_hours(self) -> int:
        """Programme-counted FP16 P-hours, in thousandths, rounded down."""
        return self.milli_cards * self.milli_tflops * self.minutes // _MILLI_PFLOPS_HOURS

    @property
    def joules(self) -> int:
        """Energy at the hub's meter, as the hub's account counts it, rounded up."""
        return -(-self.milli_cards * self.watts * self.minutes * 60 * (self.pue_milli or 1000) // 10**6)


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the pack."""

    name: str
    content: bytes


def pack(
    voucher: Mapping[str, Any], uses: Sequence[LeaseUse], story: Sequence[Mapping[str, Any]]
) -> tuple[Document, ...]:
    """Return the files of the pack; equal input, equal bytes."""
    name = voucher["voucher"]
    rows = [_row(use) for use in uses]
    totals = {key: sum(row[key] for row in rows) for key in ("minutes", "micro_yuan", "milli_pflops_hours", "joules")}
    whole = {"voucher": voucher, "totals": totals, "use": rows, "story": list(story)}
    content = f"{json.dumps(whole, ensure_ascii=False, indent=2, sort_keys=True, default=_plain)}\n".encode()
    columns = list(_row(uses[0])) if uses else []
    return (
        Document(f"{name}.json", content),
        Document(f"{name}-use.csv", _csv(columns, rows)),
        Document(f"{name}-story.csv", _csv(["at", "event", "officer", "key_id", "note"], story)),
        Document(f"{name}.pdf", evidence_pdf(voucher, uses, story, hashlib.sha256(content).hexdigest())),
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one voucher: its terms, its use by lease, and its story."""

    voucher: Mapping[str, Any]
    uses: Sequence[LeaseUse]
    story: Sequence[Mapping[str, Any]]

    def documents(self) -> tuple[Document, ...]:
        """Return its pack."""
        return pack(self.voucher, self.uses, self.story)


_SUMS: Final = ("leases", "minutes", "micro_yuan", "milli_pflops_hours", "joules")
_HEAD: Final = ("voucher", "city", "programme", "state", "granted_micro_yuan", "granted_at", "valid_until", *_SUMS)


def packs(enterprise: str, year: int, vouchers: Sequence[Evidence]) -> tuple[Document, ...]:
    """Return a table of the vouchers that an enterprise has of a year, with their sum, then the pack of each."""
    rows = [
        {name: one.voucher[name] for name in _HEAD if name not in _SUMS}
        | {"leases": len(one.uses)}
        | {name: sum(getattr(use, name) for use in one.uses) for name in _SUMS[1:]}
        for one in vouchers
    ]
    added = ("granted_micro_yuan", *_SUMS)
    total = dict.fromkeys(_HEAD, "") | {"voucher": "total"} | {name: sum(row[name] for row in rows) for name in added}
    table = Document(f"{enterprise}-{year}.csv", _csv(_HEAD, [*rows, total]))
    return (table, *(document for one in vouchers for document in one.documents()))


def _row(use: LeaseUse) -> dict[str, Any]:
    return asdict(use) | {"milli_pflops_hours": use.milli_pflops_hours, "joules": use.joules}


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV in UTF-8, with the mark that tells spreadsheets so."""
    return csv_text([columns, *([_text(row[column]) for column in columns] for row in rows)]).encode("utf-8-sig")


def _text(value: Any) -> Any:
    return _plain(value) if isinstance(value, datetime) else "" if value is None else value


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
