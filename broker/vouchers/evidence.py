"""What an auditor is handed for a voucher: its use lease by lease, power, proof of service, story. JSON and CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

_MILLI_PFLOPS_HOURS: Final = 60 * 10**6
"""Milli-cards times milli-TFLOPS times minutes in a thousandth of a PFLOPS-hour."""


@dataclass(frozen=True, slots=True)
class LeaseUse:
    """A lease that a voucher paid for in part.

    Attributes:
        milli_cards: cards that it held, in thousandths.
        minutes: of the lease, that captures paid for with the voucher's help.
        milli_tflops: of a card, programme-counted FP16.
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
    text = json.dumps(whole, ensure_ascii=False, indent=2, sort_keys=True, default=_plain)
    columns = list(_row(uses[0])) if uses else []
    return (
        Document(f"{name}.json", f"{text}\n".encode()),
        Document(f"{name}-use.csv", _csv(columns, rows)),
        Document(f"{name}-story.csv", _csv(["at", "event", "officer", "key_id", "note"], story)),
    )


def _row(use: LeaseUse) -> dict[str, Any]:
    return asdict(use) | {"milli_pflops_hours": use.milli_pflops_hours, "joules": use.joules}


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV in UTF-8; a text that a spreadsheet would take for a formula is quoted by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[column]) for column in columns] for row in rows)
    return out.getvalue().encode("utf-8-sig")  # the mark tells spreadsheets that it is UTF-8


def _cell(value: Any) -> Any:
    text = _plain(value) if isinstance(value, datetime) else "" if value is None else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@") else text


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
