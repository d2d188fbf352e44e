"""Accounts: whose money it is, by kind; a name says it all ("city/ganzhou", "voucher/ganzhou/2026-7", "fee")."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from broker.errors import invalid
from broker.ids import LABEL, SLUG


class AccountKind(StrEnum):
    """Whose money an account holds."""

    CITY = "city"  # prepaid by a city
    ENTERPRISE = "enterprise"  # prepaid by an enterprise of a city
    VOUCHER = "voucher"  # granted out of a budget, to be used by a city's enterprises
    BUDGET = "budget"  # of a voucher programme: drawn at the grant, not at each hold
    OWNER = "owner"  # what owners of clusters have earned
    FEE = "fee"  # what the exchange has earned
    PLATFORM_LOSS = "platform_loss"  # what the exchange pays because nobody else has to
    EXTERNAL = "external"  # money from outside: minus all that came in


class Pocket(StrEnum):
    """Which part of an account's money: what is free, or what is held for somebody."""

    AVAILABLE = "available"
    HELD = "held"


NEVER_BELOW_ZERO: Final = frozenset({AccountKind.CITY, AccountKind.ENTERPRISE, AccountKind.VOUCHER, AccountKind.BUDGET})
"""These have a balance row that is locked by whoever draws on it. Every other balance is a sum, and nobody waits."""

OF_A_CITY: Final = frozenset({AccountKind.CITY, AccountKind.ENTERPRISE, AccountKind.VOUCHER})

HOLDABLE: Final = (AccountKind.VOUCHER, AccountKind.ENTERPRISE, AccountKind.CITY)
"""What a hold may draw on, in the order in which it does."""

DEPOSITABLE: Final = frozenset({AccountKind.CITY, AccountKind.ENTERPRISE, AccountKind.BUDGET})

CREDIT_NOTE_PAYERS: Final = frozenset({AccountKind.OWNER, AccountKind.FEE, AccountKind.PLATFORM_LOSS})

_PARTS: Final[Mapping[AccountKind, int]] = {
    AccountKind.CITY: 1,
    AccountKind.ENTERPRISE: 2,
    AccountKind.VOUCHER: 2,
    AccountKind.BUDGET: 2,
    AccountKind.OWNER: 1,
    AccountKind.FEE: 0,
    AccountKind.PLATFORM_LOSS: 0,
    AccountKind.EXTERNAL: 0,
}
_KINDS: Final[Mapping[str, AccountKind]] = {kind.value: kind for kind in AccountKind}
_FORMS: Final = (
    "city/CITY, enterprise/CITY/NAME, voucher/CITY/NAME, budget/HUB/NAME, owner/OWNER, fee, platform_loss or external"
)


@dataclass(frozen=True, slots=True)
class AccountName:
    """The name of an account, taken apart.

    Attributes:
        kind: whose money.
        parts: what stands behind the kind: a city, owner or hub first.
    """

    kind: AccountKind
    parts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The name as it is written."""
        return "/".join((self.kind, *self.parts))

    @property
    def city(self) -> str | None:
        """The city that it belongs to, if it is one's."""
        return self.parts[0] if self.kind in OF_A_CITY else None

    @property
    def owner(self) -> str | None:
        """The owner of clusters that it belongs to, if it is one's."""
        return self.parts[0] if self.kind is AccountKind.OWNER else None

    @property
    def hub(self) -> str | None:
        """The hub whose budget it is, if it is one."""
        return self.parts[0] if self.kind is AccountKind.BUDGET else None


FEE: Final = AccountName(AccountKind.FEE)
PLATFORM_LOSS: Final = AccountName(AccountKind.PLATFORM_LOSS)
EXTERNAL: Final = AccountName(AccountKind.EXTERNAL)
STANDING: Final = (FEE, PLATFORM_LOSS, EXTERNAL)
"""Accounts that are always there."""


def parse_account(text: str) -> AccountName | None:
    """Return the account that a text names, None when it names none."""
    word, *parts = text.split("/", 3)
    kind = _KINDS.get(word)
    if kind is None or len(parts) != _PARTS[kind]:
        return None
    if not all((LABEL if i else SLUG).fullmatch(part) for i, part in enumerate(parts)):
        return None
    return AccountName(kind, tuple(parts))


def account_name(field: str, text: str) -> AccountName:
    """Return the account that a text names. Raise InvalidRequest with the forms that there are."""
    found = parse_account(text)
    if found is None:
        raise invalid(field, f"{text[:80]!r} names no account: write {_FORMS}")
    return found
