"""The report of use: what was used in a month, by sector (workload class) and city, and what was paid for it."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

FORM: Final = 1
EVERYTHING: Final = "all"


@dataclass(frozen=True, slots=True)
class UseRow:
    """What one city used for one sector in a month.

    Attributes:
        city: whose jobs.
        workload_class: the sector.
        jobs: that had cards.
        leases: by which they had them.
        milli_card_seconds: cards in thousandths, times seconds in which the lease ran in the month.
        nameplate_micro_pflops_hours, programme_micro_pflops_hours, measured_micro_pflops_hours: FP16 of these by the
            three figures of the model; 0 where a figure is not known.
        micro_yuan: what was captured for work from the city's accounts and those of its enterprises, vouchers included.
        voucher_micro_yuan: of this: out of vouchers.
        borne_micro_yuan: what the exchange paid, for no hold covered it.
    """

    city: str
    workload_class: str
    jobs: int = 0
    leases: int = 0
    milli_card_seconds: int = 0
    nameplate_micro_pflops_hours: int = 0
    programme_micro_pflops_hours: int = 0
    measured_micro_pflops_hours: int = 0
    micro_yuan: int = 0
    voucher_micro_yuan: int = 0
    borne_micro_yuan: int = 0


FIGURES: Final = tuple(f.name for f in fields(UseRow) if f.type is int)


def merged(rows: Iterable[UseRow], key: Callable[[UseRow], tuple[str, str]]) -> list[UseRow]:
    """Return sums of rows, by (city, sector) as `key` gives them, sorted. A job has one city and one sector."""
    sums = dict[tuple[str, str], list[int]]()
    for row in rows:
        own = sums.setdefault(key(row), [0] * len(FIGURES))
        for i, name in enumerate(FIGURES):
            own[i] += getattr(row, name)
    return [UseRow(*names, *figures) for names, figures in sorted(sums.items())]


def each(row: UseRow) -> tuple[str, str]:
    """Group by city and sector."""
    return row.city, row.workload_class


def by_sector(row: UseRow) -> tuple[str, str]:
    """Group by sector alone."""
    return EVERYTHING, row.workload_class


def by_city(row: UseRow) -> tuple[str, str]:
    """Group by city alone."""
    return row.city, EVERYTHING


def together(_: UseRow) -> tuple[str, str]:
    """Group everything."""
    return EVERYTHING, EVERYTHING


def report_text(month: str, rows: Iterable[UseRow]) -> str:
    """Return the canonical text of a report: JSON with sorted keys and without spaces."""
    listed = merged(rows, each)
    data: dict[str, Any] = {
        "form": FORM,
        "number": f"use/{month}",
        "month": month,
        "currency": "CNY",
        "rows": [asdict(row) for row in listed],
        "totals": [asdict(row) for row in merged(listed, together)],
    }
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_of(text: str) -> str:
    """Return the hash of a canonical text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
