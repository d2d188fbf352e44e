"""Every error that a caller can see. The docstring is the message; an interceptor turns it into a gRPC status.

BrokerError
├─ INVALID_ARGUMENT     InvalidRequest
├─ NOT_FOUND            JobNotFound, ClusterNotFound, NodeNotFound, LeaseNotFound, RoundNotFound, KeyNotFound,
│                       CityNotFound, HubNotFound, LogsNotFound, QuotaNotFound, WindowNotFound, PoolNotFound,
│                       OwnerNotFound, AccountNotFound, HoldNotFound, QuoteNotFound, ProgrammeNotFound,
│                       EnterpriseNotFound, ApplicationNotFound, VoucherNotFound
├─ ALREADY_EXISTS       IdempotencyConflict, ClusterExists, AlreadyAttached, RateCardOverlaps, PostingConflict,
│                       EnterpriseSplit, ContractClaimed, ApplicationConflict
├─ FAILED_PRECONDITION  NoPoolCanHold, JobNotWaiting, LeaseNotLost, RoundNotReplayable, QuotaHasChildren,
│                       AskOutOfBounds, AccountClosed, AccountNotEmpty, BalanceTooLarge, InsufficientCredit,
│                       HoldEnded, HoldStillSettles, SettlementOver, CaptureBeyondHold, VoucherRefused, QuoteExpired,
│                       QuoteTaken, QuoteBeyondCeiling, CapacityGone, NothingToQuote, RelatedParty,
│                       GrantBeyondCap, BudgetLowered, VoucherStepRefused, QueuePaused
├─ OUT_OF_RANGE         CursorInFuture
├─ UNAUTHENTICATED      KeyRefused
├─ PERMISSION_DENIED    RoleRefused, ClusterMismatch
├─ RESOURCE_EXHAUSTED   TooManyCalls, TooManyPending, TooManyStreams
├─ ABORTED              StaleSession
└─ UNAVAILABLE          AgentUnreachable, DatabaseUnavailable
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request, and what would be right."""

    field: str
    description: str


class BrokerError(Exception):
    """Base of all errors that callers see.

    Attributes:
        code: name of the gRPC status code.
        reason: stable reason for programs, in google.rpc.ErrorInfo.
        fields: problems by field, in google.rpc.BadRequest.
        retry_after_seconds: in google.rpc.RetryInfo; None where trying again does not help.
        metadata: further facts for programs, in google.rpc.ErrorInfo.
    """

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self, *, fields: Sequence[FieldProblem] = (), retry_after_seconds: float | None = None, **facts: object
    ) -> None:
        self.fields = tuple(fields)
        self.retry_after_seconds = retry_after_seconds
        self.metadata = {name: str(value) for name, value in facts.items()}
        super().__init__((type(self).__doc__ or "").split("\n", 1)[0].format(**self.metadata))


class InvalidRequest(BrokerError):
    """The request is not valid: {summary}."""

    code, reason = "INVALID_ARGUMENT", "INVALID_REQUEST"

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__(fields=problems, summary="; ".join(f"{p.field}: {p.description}" for p in problems[:5]))


def invalid(field: str, description: str) -> InvalidRequest:
    """Return the error for one wrong field."""
    return InvalidRequest(FieldProblem(field, description))


class JobNotFound(BrokerError):
    """There is no job {job} that you may see: check the id with `xisuan jobs`."""

    code, reason = "NOT_FOUND", "JOB_NOT_FOUND"


class ClusterNotFound(BrokerError):
    """There is no cluster {cluster}: see `xisuan clusters`."""

    code, reason = "NOT_FOUND", "CLUSTER_NOT_FOUND"


class NodeNotFound(BrokerError):
    """Cluster {cluster} has no node {node}: see `xisuan nodes {cluster}`."""

    code, reason = "NOT_FOUND", "NODE_NOT_FOUND"


class LeaseNotFound(BrokerError):
    """There is no lease {lease}: see `xisuan admin leases`."""

    code, reason = "NOT_FOUND", "LEASE_NOT_FOUND"


class RoundNotFound(BrokerError):
    """There is no round {round}: see `xisuan rounds list`."""

    code, reason = "NOT_FOUND", "ROUND_NOT_FOUND"


class KeyNotFound(BrokerError):
    """There is no API key with id {key_id}: see `xisuan admin keys list`."""

    code, reason = "NOT_FOUND", "KEY_NOT_FOUND"


class CityNotFound(BrokerError):
    """There is no city {city} in the catalogue: see `xisuan world show`."""

    code, reason = "NOT_FOUND", "CITY_NOT_FOUND"


class HubNotFound(BrokerError):
    """There is no hub {hub} in the catalogue: see `xisuan world show`."""

    code, reason = "NOT_FOUND", "HUB_NOT_FOUND"


class LogsNotFound(BrokerError):
    """There are no logs for that: {why}."""

    code, reason = "NOT_FOUND", "LOGS_NOT_FOUND"


class QuotaNotFound(BrokerError):
    """There is no quota {quota}: see `xisuan admin quota list`."""

    code, reason = "NOT_FOUND", "QUOTA_NOT_FOUND"


class IdempotencyConflict(BrokerError):
    """Request key {request_key} was used for another body (job {job}); it differs in {differs}. Use a new key."""

    code, reason = "ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"


class ClusterExists(BrokerError):
    """Cluster {cluster} is registered already, and differently: {differs}. Choose another name or apply a world."""

    code, reason = "ALREADY_EXISTS", "CLUSTER_EXISTS"


class AlreadyAttached(BrokerError):
    """Another agent ({instance}) speaks or has leases on {cluster}: start that one again, or stop it and end those."""

    code, reason = "ALREADY_EXISTS", "ALREADY_ATTACHED"


class NoPoolCanHold(BrokerError):
    """No pool could ever run this job: {why}."""

    code, reason = "FAILED_PRECONDITION", "NO_POOL_CAN_HOLD"


class JobNotWaiting(BrokerError):
    """Job {job} is {state}; only a waiting job can be changed."""

    code, reason = "FAILED_PRECONDITION", "JOB_NOT_WAITING"


class LeaseNotLost(BrokerError):
    """Lease {lease} is {state}; only a lost lease can be written off. Cancel its job instead."""

    code, reason = "FAILED_PRECONDITION", "LEASE_NOT_LOST"


class RoundNotReplayable(BrokerError):
    """The input of round {round} is no longer kept: only the last {kept} rounds can be replayed."""

    code, reason = "FAILED_PRECONDITION", "ROUND_NOT_REPLAYABLE"


class QuotaHasChildren(BrokerError):
    """Quota {quota} has {children} below it, such as {first}: remove those first."""

    code, reason = "FAILED_PRECONDITION", "QUOTA_HAS_CHILDREN"


class CursorInFuture(BrokerError):
    """Cursor {cursor} lies beyond the last event {last} of {city}: it is from another city or another broker."""

    code, reason = "OUT_OF_RANGE", "CURSOR_IN_FUTURE"


class KeyRefused(BrokerError):
    """The API key is missing, unknown or revoked: send `authorization: Bearer <key>`."""

    code, reason = "UNAUTHENTICATED", "KEY_REFUSED"


class RoleRefused(BrokerError):
    """A key of role {role} may not do that: {needed}."""

    code, reason = "PERMISSION_DENIED", "ROLE_REFUSED"


class ClusterMismatch(BrokerError):
    """The key is for cluster {own}, not for {cluster}."""

    code, reason = "PERMISSION_DENIED", "CLUSTER_MISMATCH"


class TooManyCalls(BrokerError):
    """{city} makes more than {calls_per_second_max} calls a second: slow down."""

    code, reason = "RESOURCE_EXHAUSTED", "TOO_MANY_CALLS"


class TooManyPending(BrokerError):
    """{city} has {pending} jobs waiting, of {pending_jobs_max} allowed: wait for some to start, or cancel some."""

    code, reason = "RESOURCE_EXHAUSTED", "TOO_MANY_PENDING"


class TooManyStreams(BrokerError):
    """{city} has {open} streams of {method} open, which is all that it may: end one of them first."""

    code, reason = "RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS"


class StaleSession(BrokerError):
    """A newer stream of cluster {cluster} has taken over: this one is closed."""

    code, reason = "ABORTED", "STALE_SESSION"


class AgentUnreachable(BrokerError):
    """The agent of cluster {cluster} is not connected now: its jobs run on, try again later."""

    code, reason = "UNAVAILABLE", "AGENT_UNREACHABLE"


class DatabaseUnavailable(BrokerError):
    """The broker cannot reach its database now: try again, with the same request key."""

    code, reason = "UNAVAILABLE", "DATABASE_UNAVAILABLE"


class WindowNotFound(BrokerError):
    """There is no maintenance window {window}: see `xisuan window list --past`."""

    code, reason = "NOT_FOUND", "WINDOW_NOT_FOUND"


class RateCardOverlaps(BrokerError):
    """A rate card of {cluster} for {model} overlaps another ({other}): none is ever changed, choose other times."""

    code, reason = "ALREADY_EXISTS", "RATE_CARD_OVERLAPS"


class AskOutOfBounds(BrokerError):
    """An ask for {model} {why}: ask within what `xisuan rates list` shows, or let an operator set other bounds."""

    code, reason = "FAILED_PRECONDITION", "ASK_OUT_OF_BOUNDS"


class PoolNotFound(BrokerError):
    """Cluster {cluster} has no pool {pool}: see `xisuan clusters`."""

    code, reason = "NOT_FOUND", "POOL_NOT_FOUND"


class OwnerNotFound(BrokerError):
    """No cluster has the owner {owner}: see `xisuan clusters`."""

    code, reason = "NOT_FOUND", "OWNER_NOT_FOUND"


class AccountNotFound(BrokerError):
    """There is no account {account} that you may see: see `xisuan ledger accounts`."""

    code, reason = "NOT_FOUND", "ACCOUNT_NOT_FOUND"


class HoldNotFound(BrokerError):
    """There is no hold {hold}: nothing was held for that."""

    code, reason = "NOT_FOUND", "HOLD_NOT_FOUND"


class PostingConflict(BrokerError):
    """Request key {request_key} was used for another request ({kind}, {transaction}): use a new key."""

    code, reason = "ALREADY_EXISTS", "POSTING_CONFLICT"


class AccountClosed(BrokerError):
    """Account {account} is closed: use another one."""

    code, reason = "FAILED_PRECONDITION", "ACCOUNT_CLOSED"


class AccountNotEmpty(BrokerError):
    """Account {account} has {available_micro_yuan} micro-yuan available and {held_micro_yuan} held: empty it first."""

    code, reason = "FAILED_PRECONDITION", "ACCOUNT_NOT_EMPTY"


class BalanceTooLarge(BrokerError):
    """Account {account} would have {micro_yuan} micro-yuan, and {micro_yuan_max} is the most: use a second account."""

    code, reason = "FAILED_PRECONDITION", "BALANCE_TOO_LARGE"


class InsufficientCredit(BrokerError):
    """{accounts} can give {usable_micro_yuan} of {wanted_micro_yuan} micro-yuan: top one up, or ask for less."""

    code, reason = "FAILED_PRECONDITION", "INSUFFICIENT_CREDIT"


class HoldEnded(BrokerError):
    """Hold {hold} is {state}, nothing of it is open: let the platform bear what came too late."""

    code, reason = "FAILED_PRECONDITION", "HOLD_ENDED"


class HoldStillSettles(BrokerError):
    """Hold {hold} can be captured until {settles_until}: release it, or let it expire after that."""

    code, reason = "FAILED_PRECONDITION", "HOLD_STILL_SETTLES"


class SettlementOver(BrokerError):
    """Hold {hold} could be captured until {settles_until}: let the platform bear what came after."""

    code, reason = "FAILED_PRECONDITION", "SETTLEMENT_OVER"


class CaptureBeyondHold(BrokerError):
    """{hold} has {open_micro_yuan} micro-yuan open, not {wanted_micro_yuan}: let the platform bear what is beyond."""

    code, reason = "FAILED_PRECONDITION", "CAPTURE_BEYOND_HOLD"


class VoucherRefused(BrokerError):
    """Voucher {voucher} pays nothing of this job ({refusal}): {sentence}."""

    code, reason = "FAILED_PRECONDITION", "VOUCHER_REFUSED"


class QuoteNotFound(BrokerError):
    """There is no quote {quote} that you may see: open ones are forgotten a day after their time; ask for a new one."""

    code, reason = "NOT_FOUND", "QUOTE_NOT_FOUND"


class QuoteExpired(BrokerError):
    """{quote} was valid until {valid_until}: ask for a new one."""

    code, reason = "FAILED_PRECONDITION", "QUOTE_EXPIRED"


class QuoteTaken(BrokerError):
    """{quote} was accepted under another request key and is {job}: ask for a new quote to run it once more."""

    code, reason = "FAILED_PRECONDITION", "QUOTE_TAKEN"


class QuoteBeyondCeiling(BrokerError):
    """{quote} costs more than the job's ceilings allow: ask for a quote with a higher one, or take another option."""

    code, reason = "FAILED_PRECONDITION", "QUOTE_BEYOND_CEILING"


class CapacityGone(BrokerError):
    """Others took what {quote} was for, and nothing was booked: {fresh}."""

    code, reason = "FAILED_PRECONDITION", "CAPACITY_GONE"


class NothingToQuote(BrokerError):
    """No pool is sure to start this job within the window: {why}."""

    code, reason = "FAILED_PRECONDITION", "NOTHING_TO_QUOTE"


class QueuePaused(BrokerError):
    """Operators have paused the queue of {city} ({why}): submit the job, it waits, or ask again when it is resumed."""

    code, reason = "FAILED_PRECONDITION", "QUEUE_PAUSED"


class ProgrammeNotFound(BrokerError):
    """There is no voucher programme {programme}: see `xisuan voucher programme list`."""

    code, reason = "NOT_FOUND", "PROGRAMME_NOT_FOUND"


class EnterpriseNotFound(BrokerError):
    """{city} has no registered enterprise {enterprise}: let the voucher office register it."""

    code, reason = "NOT_FOUND", "ENTERPRISE_NOT_FOUND"


class ApplicationNotFound(BrokerError):
    """There is no application {application} that you may see: see `xisuan voucher applications`."""

    code, reason = "NOT_FOUND", "APPLICATION_NOT_FOUND"


class VoucherNotFound(BrokerError):
    """There is no voucher {voucher} that you may see: see `xisuan voucher list`."""

    code, reason = "NOT_FOUND", "VOUCHER_NOT_FOUND"


class EnterpriseSplit(BrokerError):
    """That {what} is registered for another enterprise: one that is split is not subsidised, register it once."""

    code, reason = "ALREADY_EXISTS", "ENTERPRISE_SPLIT"


class ContractClaimed(BrokerError):
    """Contract {contract} with {provider} is claimed already: each is subsidised once, whoever claims it, anywhere."""

    code, reason = "ALREADY_EXISTS", "CONTRACT_CLAIMED"


class ApplicationConflict(BrokerError):
    """Request key {request_key} was used for another application ({application}): use a new key."""

    code, reason = "ALREADY_EXISTS", "APPLICATION_CONFLICT"


class RelatedParty(BrokerError):
    """{enterprise} and {owner} are related parties: no voucher pays a contract between them."""

    code, reason = "FAILED_PRECONDITION", "RELATED_PARTY"


class GrantBeyondCap(BrokerError):
    """A grant of {micro_yuan} micro-yuan is beyond what {cap} leaves, {left_micro_yuan}: grant less."""

    code, reason = "FAILED_PRECONDITION", "GRANT_BEYOND_CAP"


class BudgetLowered(BrokerError):
    """The budget of {programme} is {budget_micro_yuan} micro-yuan and may only grow: what is paid in stays."""

    code, reason = "FAILED_PRECONDITION", "BUDGET_LOWERED"


class VoucherStepRefused(BrokerError):
    """{subject} is {state}, and {step} is not possible then: {why}."""

    code, reason = "FAILED_PRECONDITION", "VOUCHER_STEP_REFUSED"
