"""The page of errors: status, reason, when, and the way out."""

from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Final

from broker.errors import BrokerError
from broker.reference import markdown as md

WHEN: Final[Mapping[str, str]] = {
    "INVALID_REQUEST": "Any call: a field is beyond its limit or makes no sense. All wrong fields are named at once.",
    "JOB_NOT_FOUND": "Any call with a job id. Another city's job looks the same as none.",
    "CLUSTER_NOT_FOUND": "Calls about a cluster or its nodes; an agent's Hello.",
    "NODE_NOT_FOUND": "CordonNodes, DrainNodes, UncordonNodes: one of the names is unknown; nothing changes.",
    "LEASE_NOT_FOUND": "WriteOffLease.",
    "ROUND_NOT_FOUND": "GetRound, GetRoundRecord.",
    "KEY_NOT_FOUND": "RevokeKey.",
    "CITY_NOT_FOUND": "Calls for a city that the catalogue does not have.",
    "HUB_NOT_FOUND": "RegisterCluster, SetQuota, SetHubPower, GetHubPower; ListClusters and ListQuotas with a filter.",
    "LOGS_NOT_FOUND": "ReadLogs: not placed yet, no such task or attempt, or no longer kept by the agent.",
    "QUOTA_NOT_FOUND": "RemoveQuota.",
    "IDEMPOTENCY_CONFLICT": "SubmitJob, SubmitJobs: the city has used the request key before, for another job.",
    "CLUSTER_EXISTS": "RegisterCluster with facts that differ from those known. The same again is no error.",
    "ALREADY_ATTACHED": "An agent's Hello while another one with the same key is heard, or has live leases.",
    "NO_POOL_CAN_HOLD": "SubmitJob, SubmitJobs: even empty, no pool that the job may use could hold the gang.",
    "JOB_NOT_WAITING": "UpdateJob of a job that was placed or is final. (Cancelling a final job is no error.)",
    "LEASE_NOT_LOST": "WriteOffLease of a lease whose agent speaks.",
    "ROUND_NOT_REPLAYABLE": "GetRoundRecord of an old round (setting `round_records_kept`), or one that failed.",
    "QUOTA_HAS_CHILDREN": "RemoveQuota of a quota that others stand below.",
    "CURSOR_IN_FUTURE": "WatchJobs with a cursor that was never handed out.",
    "KEY_REFUSED": "Every call but health and reflection from this machine. Revoked keys end within 5 s.",
    "ROLE_REFUSED": "A method, a city or a priority class that the key's role does not allow; see the [wire](wire.md).",
    "CLUSTER_MISMATCH": "Sync with the key of another cluster.",
    "TOO_MANY_CALLS": "Any call of a city beyond its `calls_per_second_max`. Messages of SubmitJobs wait instead.",
    "TOO_MANY_PENDING": "SubmitJob, SubmitJobs beyond the city's `pending_jobs_max`.",
    "TOO_MANY_STREAMS": "SubmitJobs, WatchJobs, ReadLogs beyond the streams that one city may have open at one broker.",
    "STALE_SESSION": "Sync, on the older of two streams of one cluster.",
    "AGENT_UNREACHABLE": "ReadLogs while the agent is away; the output is kept there.",
    "WINDOW_NOT_FOUND": "CancelWindow.",
    "POOL_NOT_FOUND": "ListPriceHistory.",
    "RATE_CARD_OVERLAPS": "SetRates: two cards begin at the same time, or two with an end meet; nothing changes.",
    "ASK_OUT_OF_BOUNDS": "SetRates, ApplyWorld, RegisterCluster: an ask below its model's floor or above its cap.",
    "OWNER_NOT_FOUND": "CreateKey for an owner; a capture for an owner who has no cluster.",
    "ACCOUNT_NOT_FOUND": "Calls about an account, holds on one. Another city's account looks the same as none.",
    "HOLD_NOT_FOUND": "Captures and releases; PostCreditNote for what nothing was held for.",
    "POSTING_CONFLICT": "Whatever moves money: the request key was used before, for another request of that kind.",
    "ACCOUNT_CLOSED": "Whatever moves money, where an account was closed; holds, where all were. Nothing is posted.",
    "ACCOUNT_NOT_EMPTY": "Closing an account.",
    "BALANCE_TOO_LARGE": "Deposit, and whatever brings money to an account. Nothing is posted.",
    "INSUFFICIENT_CREDIT": "Holds and grants. Nothing is posted; the same key may be used again.",
    "HOLD_ENDED": "Captures and releases of a hold that was captured whole, released, or has expired.",
    "HOLD_STILL_SETTLES": "Expiry of a hold before its settlement window is over.",
    "SETTLEMENT_OVER": "Captures after the settlement window, where the platform is not told to bear them.",
    "CAPTURE_BEYOND_HOLD": "Captures of more than is open, where the platform is not told to bear the excess.",
    "VOUCHER_REFUSED": "SubmitJob, SubmitJobs, AcceptQuote of a job with a voucher that can pay for it nowhere.",
    "QUOTE_NOT_FOUND": "AcceptQuote. Another city's quote looks the same as none.",
    "QUOTE_EXPIRED": "AcceptQuote after the quote's `valid_until` (setting `quote_valid_seconds`). Nothing is posted.",
    "QUOTE_TAKEN": "AcceptQuote of a quote that was accepted with another request key. The same key is no error.",
    "QUOTE_BEYOND_CEILING": "AcceptQuote of an option that is not `within_ceiling`.",
    "CAPACITY_GONE": "AcceptQuote: nothing is booked or held. `fresh_quote` names a new quote where there is one.",
    "NOTHING_TO_QUOTE": "GetQuote: closed, promised or taken until after the window, or too small for ever.",
    "QUEUE_PAUSED": "GetQuote, AcceptQuote while the queue of the city is paused. Submissions are taken and wait.",
    "PROGRAMME_NOT_FOUND": "Calls about a voucher programme, applications for one.",
    "ENTERPRISE_NOT_FOUND": "Applications, grants and keys for an enterprise that the office has not registered.",
    "APPLICATION_NOT_FOUND": "Reviews, grants, withdrawals. Another city's or enterprise's looks the same as none.",
    "VOUCHER_NOT_FOUND": "Calls about a voucher. Another city's or enterprise's looks the same as none.",
    "ENTERPRISE_SPLIT": "SetEnterprise, where registration number or plant (spacing and case aside) are another one's.",
    "CONTRACT_CLAIMED": "Applications: a contract is claimed once over all programmes, by demand or by supply side.",
    "APPLICATION_CONFLICT": "Applications with the request key of another one.",
    "RELATED_PARTY": "Applications and grants for a contract between related parties. Payment refuses them as well.",
    "GRANT_BEYOND_CAP": "Grants beyond the cap of the enterprise and year, or of one grant. Nothing is posted.",
    "BUDGET_LOWERED": "SetProgrammes with a smaller budget or another hub than the programme has.",
    "VOUCHER_STEP_REFUSED": "Steps of applications and vouchers that their state does not allow.",
    "DATABASE_UNAVAILABLE": "Any call while PostgreSQL is away. What was acknowledged is safe.",
}
"""When each reason is given; a reason without an entry fails the generator."""

INTRODUCTION: Final = """\
A refused call ends with a gRPC status and `google.rpc` details: `ErrorInfo` (domain `xisuan`, the reason, and the facts
of the message as metadata), `BadRequest` with the path of each wrong field, and `RetryInfo` where trying again helps.
Items of `SubmitJobs` get the same facts as a `Problem`. Reasons are stable: programs compare them, never the text."""

OUTSIDE: Final = """\
## Not in the table

* `INTERNAL`: the broker failed, through no fault of the caller. The message carries an incident number, which the
  broker's log has too.
* Statuses without a reason of ours come from gRPC itself: `RESOURCE_EXHAUSTED` for a message beyond 16 MiB,
  `UNIMPLEMENTED` for an unknown method, `UNAVAILABLE` for a broker that does not answer.
* The Python client adds `CONNECTION_BROKE` and `WAIT_TIMEOUT` (`Unavailable`), `BAD_SETTINGS`, `BAD_JOB_FILE`, and
  `DATA_LOSS` (`StreamGap`): see `broker/client/errors.py`."""


def page() -> str:
    """Return the page."""
    lines = md.generated("Errors", "`broker/errors.py` and `broker/reference/errors.py`", INTRODUCTION)
    rows = [_row(kind) for kind in sorted(all_errors(), key=lambda kind: (kind.code, kind.reason))]
    lines += md.table(["status", "reason", "when", "message: what is wrong, and the way out", "facts"], rows)
    return md.text([*lines, OUTSIDE])


def all_errors() -> Iterator[type[BrokerError]]:
    """Yield every error that callers can see."""
    yield from BrokerError.__subclasses__()


def _row(kind: type[BrokerError]) -> tuple[str, ...]:
    message = (kind.__doc__ or "").split("\n", 1)[0]
    if kind.reason not in WHEN or not message:
        raise ValueError(f"{kind.__name__}: say in broker/reference/errors.py when {kind.reason} is given")
    facts = sorted({name for _, name, _, _ in Formatter().parse(message) if name} - {"summary"})
    return kind.code, md.code(kind.reason), WHEN[kind.reason], md.prose(message), ", ".join(map(md.code, facts))
