"""The report of use: what was used in a month, by sector (workload class) and city, and what was paid for it."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from broker.papers.paper import moment_text

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
        milli_card_seconds: cards in thousandths, times seconds of the month that the lease used: by the minutes that
            its agent told, each in the month in which it began; by the times of the lease where nobody told any.
        nameplate_micro_pflops_hours, programme_micro_pflops_hours, measured_micro_pflops_hours: FP16 of these by the
            three figures of the model; 0 where a figure is not known.
        micro_yuan: what was captured for work from the city's accounts and those of its enterprises, vouchers included:
            the sums of its invoice. Captures without a lease are of no sector: their class is empty.
        voucher_micro_yuan: of this: out of vouchers.
        borne_micro_yuan: what the exchange paid, for no hold covered it; 0 for cities, whose business it is not.
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


@dataclass(frozen=True, slots=True)
class UseReport:
    """What was used in a month.

    Attributes:
        month: such as "2026-11".
        city: whose; empty: all cities.
        provisional_at: as of when, aware UTC, while the month is open. Minutes that an agent tells after the end of a
            month still count in it, so that the report of a closed month may grow; its money does not.
        rows: by city and sector.
    """

    month: str
    city: str
    provisional_at: datetime | None
    rows: tuple[UseRow, ...]

    @property
    def number(self) -> str:
        """Names the report: month and city."""
        return "/".join(filter(None, ("use", self.month, self.city)))

    def text(self) -> str:
        """Return the canonical text: JSON with sorted keys and without spaces. One report has exactly one."""
        listed = merged(self.rows, each)
        data: dict[str, Any] = {
            "form": FORM,
            "number": self.number,
            "month": self.month,
            "city": self.city,
            "currency": "CNY",
            "provisional_at": None if self.provisional_at is None else moment_text(self.provisional_at),
            "rows": [asdict(row) for row in listed],
            "totals": [asdict(row) for row in merged(listed, together)],
        }
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def sha256(self) -> str:
        """Return the hash of the canonical text in UTF-8, in hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()
