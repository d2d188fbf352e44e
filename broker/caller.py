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
    ENTERPRISE = "enterprise"  # jobs, accounts and vouchers of one enterprise of a city


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose key was verified.

    Attributes:
        key_id: public id of the key, for logs and the record of operators' acts.
        role: what it allows.
        subject: the city, "CITY/ENTERPRISE", cluster or owner it is for; empty for those who see all.
    """

    key_id: str
    role: Role
    subject: str = ""

    @property
    def city(self) -> str:
        """The city that it is of: the city itself, or an enterprise of it; empty for everybody else."""
        return self.subject.partition("/")[0] if self.role in (Role.CITY, Role.ENTERPRISE) else ""

    @property
    def enterprise(self) -> str:
        """The one enterprise of its city whose rows it sees; empty for everybody else, the city too."""
        return self.subject.partition("/")[2] if self.role is Role.ENTERPRISE else ""
