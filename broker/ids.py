"""Distinct types for ids, and how they are written for people and on the wire ("job-42")."""

import re
from typing import Final, NewType

JobId = NewType("JobId", int)
LeaseId = NewType("LeaseId", int)
RoundId = NewType("RoundId", int)
WindowId = NewType("WindowId", int)
TransactionId = NewType("TransactionId", int)
QuoteId = NewType("QuoteId", int)
HoldId = NewType("HoldId", int)
"""A hold has the number of the transaction that made it."""

SLUG: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""Names of cities, hubs, clusters, pools, models, owners, stacks and job sets (match it whole)."""

NODE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}")

LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A slug that may begin with a digit, such as the name of a voucher."""
"""Names of nodes, as engines use them (match it whole)."""

JOB: Final = re.compile(r"job-([1-9][0-9]{0,17})")
"""Ids of jobs, as they are written on the wire (match it whole)."""

_APPLICATION: Final = re.compile(r"application-([1-9][0-9]{0,17})")
_LEASE: Final = re.compile(r"lease-([1-9][0-9]{0,17})")
_WINDOW: Final = re.compile(r"window-([1-9][0-9]{0,17})")
_QUOTE: Final = re.compile(r"quote-([1-9][0-9]{0,17})")


def job_text(job: JobId) -> str:
    """Return the id as it is written on the wire."""
    return f"job-{job}"


def lease_text(lease: LeaseId) -> str:
    """Return the id as it is written on the wire."""
    return f"lease-{lease}"


def parse_job(text: str) -> JobId | None:
    """Return the id that `text` names, None when it names none."""
    found = JOB.fullmatch(text)
    return JobId(int(found[1])) if found else None


def parse_lease(text: str) -> LeaseId | None:
    """Return the id that `text` names, None when it names none."""
    found = _LEASE.fullmatch(text)
    return LeaseId(int(found[1])) if found else None


def window_text(window: WindowId) -> str:
    """Return the id as it is written on the wire."""
    return f"window-{window}"


def parse_window(text: str) -> WindowId | None:
    """Return the id that `text` names, None when it names none."""
    found = _WINDOW.fullmatch(text)
    return WindowId(int(found[1])) if found else None


def transaction_text(transaction: TransactionId) -> str:
    """Return the id as it is written on the wire."""
    return f"transaction-{transaction}"


def hold_text(hold: HoldId) -> str:
    """Return the id as it is written on the wire."""
    return f"hold-{hold}"


def quote_text(quote: QuoteId) -> str:
    """Return the id as it is written on the wire."""
    return f"quote-{quote}"


def parse_quote(text: str) -> QuoteId | None:
    """Return the id that `text` names, None when it names none."""
    found = _QUOTE.fullmatch(text)
    return QuoteId(int(found[1])) if found else None


def application_text(application: int) -> str:
    """Return the id of an application for a voucher as it is written on the wire."""
    return f"application-{application}"


def parse_application(text: str) -> int | None:
    """Return the number of the application that `text` names, None when it names none."""
    found = _APPLICATION.fullmatch(text)
    return int(found[1]) if found else None
