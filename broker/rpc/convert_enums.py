"""Enums of the wire and of the domain, mapped by name: an enum that gains a value on one side only fails at import."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from broker import caller, job, lifecycle
from broker.ledger import accounts, holds, transactions, work
from broker.market import logs
from broker.rpc.convert_checks import Checks
from broker.vouchers import programme, states
from broker.wire.v1 import (
    account_service_pb2,
    admin_service_pb2,
    job_pb2,
    job_service_pb2,
    market_service_pb2,
    voucher_service_pb2,
)

E = TypeVar("E", bound=StrEnum)


class EnumMap(Generic[E]):
    """Both directions between one protobuf enum and one StrEnum.

    Args:
        wire: the generated enum; its names are `<prefix>_<NAME of the member>`, 0 is `<prefix>_UNSPECIFIED`.
        domain: the StrEnum.
        prefix: what the wire's names begin with.
    Raises: ValueError: a value is missing on one side.
    """

    def __init__(self, wire: EnumTypeWrapper, domain: type[E], prefix: str) -> None:
        names: Mapping[str, int] = dict(wire.items())
        expected = {f"{prefix}_{member.name}" for member in domain} | {f"{prefix}_UNSPECIFIED"}
        if set(names) != expected:
            raise ValueError(f"{prefix} and {domain.__name__} differ in {sorted(set(names) ^ expected)}")
        self.domain = domain
        self._to_wire: Mapping[E, int] = {member: names[f"{prefix}_{member.name}"] for member in domain}
        self._from_wire: Mapping[int, E] = {number: member for member, number in self._to_wire.items()}
        self._allowed = ", ".join(f"{prefix}_{member.name}" for member in domain)

    def to_wire(self, member: E) -> Any:
        """Return the number on the wire."""
        return self._to_wire[member]

    def read(self, checks: Checks, field: str, number: int, default: E | None = None) -> E:
        """Return the member for a number. `default` stands for 0; without one 0 is a problem, as is any unknown."""
        found = self._from_wire.get(number)
        if found is not None:
            return found
        if number == 0 and default is not None:
            return default
        checks.wrong(field, f"must be one of {self._allowed}, not {number or 'unspecified'}")
        return next(iter(self._from_wire.values()))


PRIORITY: Final = EnumMap(job_pb2.PriorityClass, job.PriorityClass, "PRIORITY_CLASS")
WORKLOAD: Final = EnumMap(job_pb2.WorkloadClass, job.WorkloadClass, "WORKLOAD_CLASS")
IF_LOST: Final = EnumMap(job_pb2.IfLost, job.IfLost, "IF_LOST")
WITHIN: Final = EnumMap(job_pb2.Within, job.Within, "WITHIN")
GREEN: Final = EnumMap(job_pb2.GreenPreference, job.GreenPreference, "GREEN_PREFERENCE")
JOB_STATE: Final = EnumMap(job_pb2.JobState, lifecycle.JobState, "JOB_STATE")
END_REASON: Final = EnumMap(job_pb2.EndReason, lifecycle.EndReason, "END_REASON")
JOB_EVENT: Final = EnumMap(job_service_pb2.JobEventKind, lifecycle.JobEvent, "JOB_EVENT_KIND")
LOG_STREAM: Final = EnumMap(job_service_pb2.LogStream, logs.LogStream, "LOG_STREAM")
ROLE: Final = EnumMap(admin_service_pb2.Role, caller.Role, "ROLE")
AGENT_STATE: Final = EnumMap(admin_service_pb2.AgentState, lifecycle.AgentState, "AGENT_STATE")
NODE_MODE: Final = EnumMap(admin_service_pb2.NodeMode, lifecycle.NodeMode, "NODE_MODE")
ACCOUNT_KIND: Final = EnumMap(account_service_pb2.AccountKind, accounts.AccountKind, "ACCOUNT_KIND")
POCKET: Final = EnumMap(account_service_pb2.Pocket, accounts.Pocket, "POCKET")
BILLING: Final = EnumMap(account_service_pb2.Billing, work.Billing, "BILLING")
HOLD_STATE: Final = EnumMap(account_service_pb2.HoldState, holds.HoldState, "HOLD_STATE")
TRANSACTION_KIND: Final = EnumMap(account_service_pb2.TransactionKind, transactions.TransactionKind, "TRANSACTION_KIND")
LEASE_STATE: Final = EnumMap(admin_service_pb2.LeaseState, lifecycle.LeaseState, "LEASE_STATE")
QUOTE_STATE: Final = EnumMap(market_service_pb2.QuoteState, lifecycle.QuoteState, "QUOTE_STATE")
CLAIM_SIDE: Final = EnumMap(voucher_service_pb2.ClaimSide, programme.ClaimSide, "CLAIM_SIDE")
APPLICANT_TYPE: Final = EnumMap(voucher_service_pb2.ApplicantType, programme.ApplicantType, "APPLICANT_TYPE")
APPLICATION_STATE: Final = EnumMap(voucher_service_pb2.ApplicationState, states.ApplicationState, "APPLICATION_STATE")
VOUCHER_STATE: Final = EnumMap(voucher_service_pb2.VoucherState, states.VoucherState, "VOUCHER_STATE")
STORY_EVENT: Final = EnumMap(voucher_service_pb2.StoryEvent, states.StoryEvent, "STORY_EVENT")
