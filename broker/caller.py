"""Who calls, as the identity interceptor found out from the API key."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key allows."""

    CITY = "city"  # jobs of one city
    AGENT = "agent"  # Sync of one cluster
    OPERATOR = "operator"  # everything
    OBSERVER = "observer"  # everything that only reads, but no money
    AUDITOR = "auditor"  # everything that only reads, all money too
    OWNER = "owner"  # rate cards of one owner's clusters, and its accounts
    VOUCHER_OFFICE = "voucher_office"  # programmes, enterprises, applications and vouchers of all cities


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose key was verified.

    Attributes:
        key_id: public id of the key, for logs and the record of operators' acts.
        role: what it allows.
        subject: the city, cluster or owner it is for; empty for those who see all.
    """

    key_id: str
    role: Role
    subject: str = ""
