"""What work costs, and whose money pays for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from broker.ledger.accounts import AccountKind, AccountName
from broker.ledger.holds import Source

_MILLI_CARD_SECONDS: Final = 1000 * 3600
"""In a card-hour."""


class Billing(StrEnum):
    """How a city pays for what it uses."""

    METERED = "metered"  # its use is known and costs nobody anything
    PREPAID = "prepaid"  # out of what stands on its accounts: nothing starts that they do not cover


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays for a job.

    Attributes:
        city: whose accounts are drawn on.
        enterprise: of the city, whose account goes before the city's; empty: the city itself.
        vouchers: which go first, each up to its ratio.
    """

    city: str
    enterprise: str = ""
    vouchers: tuple[Source, ...] = ()


def sources(payer: Payer, there: Sequence[str]) -> tuple[Source, ...]:
    """Return what a hold for the payer's work draws on, in order.

    Args:
        payer: who pays.
        there: accounts that have been opened: an enterprise without one is paid for by its city.
    """
    found = list(payer.vouchers)
    if payer.enterprise:
        own = AccountName(AccountKind.ENTERPRISE, (payer.city, payer.enterprise)).text
        found += [Source(own)] if own in there else []
    return (*found, Source(AccountName(AccountKind.CITY, (payer.city,)).text))


def work_micro_yuan(per_card_hour_micro_yuan: int, milli_cards: int, seconds: int) -> int:
    """Return what work costs from its start until then, rounded down.

    What is charged in parts is the difference of two such sums, so parts add up to the whole, to the micro-yuan.
    """
    return per_card_hour_micro_yuan * milli_cards * seconds // _MILLI_CARD_SECONDS
