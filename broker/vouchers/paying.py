"""May a voucher pay for this work, and which part of it? One function, asked whenever money is to be held.

The state in the database may be behind the clock, for a loop moves it: expiry and the committed date of papers are
judged by `now` here, so no hold is placed in between.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from broker.ledger.accounts import AccountKind, AccountName
from broker.ledger.holds import Source
from broker.vouchers.states import VoucherState


class Refusal(StrEnum):
    """Why a voucher does not pay. Stable: programs read it."""

    NOT_FOUND = "VOUCHER_NOT_FOUND"
    FOREIGN_CITY = "VOUCHER_OF_ANOTHER_CITY"
    OTHER_ENTERPRISE = "VOUCHER_OF_ANOTHER_ENTERPRISE"
    OTHER_HUB = "VOUCHER_OF_ANOTHER_HUB"
    EXPIRED = "VOUCHER_EXPIRED"
    SUSPENDED = "VOUCHER_SUSPENDED"
    ENDED = "VOUCHER_ENDED"
    WORKLOAD_CLASS = "VOUCHER_NOT_FOR_THIS_WORK"
    RELATED_PARTY = "VOUCHER_RELATED_PARTY"
    BELOW_MINIMUM_SCALE = "VOUCHER_BELOW_MINIMUM_SCALE"
    CONDITIONAL_LIMIT = "VOUCHER_CONDITIONAL_LIMIT"


@dataclass(frozen=True, slots=True)
class Refused:
    """A voucher that does not pay, and why."""

    voucher: str
    reason: Refusal
    sentence: str


@dataclass(frozen=True, slots=True)
class Work:
    """Work that is to be paid for.

    Attributes:
        city: whose job it is.
        enterprise: for which it runs; empty: the city itself.
        workload_class: the sector, such as "training".
        domestic: whether it runs on accelerators of domestic origin.
        owner: of the cluster.
        hub: of the cluster.
    """

    city: str
    enterprise: str
    workload_class: str
    domestic: bool
    owner: str
    hub: str


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher as it stands, with the terms that were fixed at its grant.

    Attributes:
        voucher: its name; its account is "voucher/CITY/NAME".
        related_owners: owners of clusters to which the enterprise is related, as the registry says now.
        scale_milli_pflops: of the contract, programme-counted FP16.
        minimum_milli_pflops: what the programme asks for now; 0: nothing.
        papers_due: the committed date of missing papers, aware UTC; None: none is missing.
        available_micro_yuan: what it can still give to holds.
        valid_until: it pays for nothing from then on, aware UTC.
    """

    voucher: str
    city: str
    enterprise: str
    programme: str
    hub: str
    state: VoucherState
    workload_classes: frozenset[str]
    domestic_ppm: int
    other_ppm: int
    related_owners: frozenset[str]
    scale_milli_pflops: int
    minimum_milli_pflops: int
    papers_due: datetime | None
    available_micro_yuan: int
    valid_until: datetime

    @property
    def account(self) -> str:
        """The name of its account."""
        return voucher_account(self.city, self.voucher)


def voucher_account(city: str, voucher: str) -> str:
    """Return the account from which a voucher pays."""
    return AccountName(AccountKind.VOUCHER, (city, voucher)).text


def rest_account(city: str, voucher: str) -> str:
    """Return the account with what a voucher may not pay with before its papers are complete.

    Its name is no voucher's: those end with a number. So nobody can hold what lies there, and a limit is kept by the
    ledger itself.
    """
    return AccountName(AccountKind.VOUCHER, (city, f"{voucher}-rest")).text


def paying(voucher: Voucher | None, work: Work, now: datetime, *, named: str = "") -> Source | Refused:
    """Return what a hold for the work may draw on, or why this voucher gives nothing.

    Args:
        voucher: as `store.vouchers.for_payment` has it; None: there is none of that name.
        work: what is to be paid for.
        now: aware UTC.
        named: the name that was asked for, for the refusal of one that is not there.
    """
    if voucher is None or voucher.city != work.city:
        # To a city a foreign voucher looks the same as none, but for the reason, which its officers see.
        reason = Refusal.NOT_FOUND if voucher is None else Refusal.FOREIGN_CITY
        name = named if voucher is None else voucher.voucher
        return Refused(name, reason, f"{work.city} has no voucher {name}: see `xisuan voucher list`")
    for reason, refuses in _CHECKS:
        told = refuses(voucher, work, now)
        if told:
            return Refused(voucher.voucher, reason, f"voucher {voucher.voucher} {told}")
    return Source(voucher.account, voucher.domestic_ppm if work.domestic else voucher.other_ppm)


def _other_enterprise(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if voucher.enterprise == work.enterprise:
        return ""
    return f"is for enterprise {voucher.enterprise}, not for {work.enterprise or 'the city itself'}: name the right one"


def _other_hub(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    return "" if voucher.hub == work.hub else f"pays in hub {voucher.hub}, not in {work.hub}: allow that hub only"


def _expired(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if voucher.state is not VoucherState.EXPIRED and now < voucher.valid_until:
        return ""
    return f"was valid until {voucher.valid_until.isoformat()}: apply for a new one"


def _suspended(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if voucher.state is VoucherState.SUSPENDED:
        return "is suspended: hand in what is missing, or ask its officer (`xisuan voucher story`)"
    if voucher.papers_due is not None and now >= voucher.papers_due:
        return f"is suspended, for papers were due on {voucher.papers_due.isoformat()}: hand them in"
    return ""


def _ended(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if voucher.state in (VoucherState.USED_UP, VoucherState.REDEEMED):
        return f"is {voucher.state.replace('_', ' ')}: apply for a new one"
    return ""


def _workload_class(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if work.workload_class in voucher.workload_classes:
        return ""
    return f"pays for {', '.join(sorted(voucher.workload_classes))}, not for {work.workload_class}"


def _related_party(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if work.owner not in voucher.related_owners:
        return ""
    return f"may not pay {work.owner}, a party related to {voucher.enterprise}: allow other owners"


def _below_minimum_scale(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if voucher.scale_milli_pflops >= voucher.minimum_milli_pflops:
        return ""
    return (
        f"is for a contract of {voucher.scale_milli_pflops} milli-P FP16, its programme asks for"
        f" {voucher.minimum_milli_pflops}: extend the contract"
    )


def _conditional_limit(voucher: Voucher, work: Work, now: datetime) -> str:  # noqa: ARG001
    if voucher.state is VoucherState.CONDITIONAL and voucher.available_micro_yuan <= 0:
        return "has reached the limit that holds while papers are missing: hand them in"
    return ""


_CHECKS: Final[tuple[tuple[Refusal, Callable[[Voucher, Work, datetime], str]], ...]] = (
    (Refusal.OTHER_ENTERPRISE, _other_enterprise),
    (Refusal.EXPIRED, _expired),
    (Refusal.SUSPENDED, _suspended),
    (Refusal.ENDED, _ended),
    (Refusal.OTHER_HUB, _other_hub),
    (Refusal.WORKLOAD_CLASS, _workload_class),
    (Refusal.RELATED_PARTY, _related_party),
    (Refusal.BELOW_MINIMUM_SCALE, _below_minimum_scale),
    (Refusal.CONDITIONAL_LIMIT, _conditional_limit),
)
"""In the order in which they are asked; each returns what is wrong, or nothing."""
