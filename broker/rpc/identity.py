"""Who may call what. Every method needs an API key of a role that the table lists; what is not listed is refused."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

from broker.caller import Caller, Role
from broker.clock import Clock
from broker.errors import DatabaseUnavailable, KeyRefused, RoleRefused
from broker.market.identity import Identity
from broker.rpc.interceptor import Context, Guard

JOBS_READ: Final = frozenset({Role.CITY, Role.ENTERPRISE, Role.OPERATOR, Role.OBSERVER, Role.AUDITOR})
JOBS_CHANGE: Final = frozenset({Role.CITY, Role.ENTERPRISE, Role.OPERATOR})
CLUSTER: Final = frozenset({Role.AGENT})
ADMIN_READ: Final = frozenset({Role.OPERATOR, Role.OBSERVER, Role.AUDITOR})
ADMIN_CHANGE: Final = frozenset({Role.OPERATOR})
KEYS_READ: Final = ADMIN_READ | {Role.CITY}  # those of its enterprises
KEYS_CHANGE: Final = ADMIN_CHANGE | {Role.CITY}
RATES_READ: Final = frozenset({Role.OPERATOR, Role.OBSERVER, Role.AUDITOR, Role.OWNER})
PRICES_READ: Final = frozenset({Role.CITY, Role.ENTERPRISE, Role.OPERATOR, Role.OBSERVER, Role.AUDITOR, Role.OWNER})
ENERGY_READ: Final = PRICES_READ - {Role.ENTERPRISE}  # it is told by city
RATES_CHANGE: Final = frozenset({Role.OPERATOR, Role.OWNER})
BOOKS_READ: Final = frozenset({Role.CITY, Role.ENTERPRISE, Role.OWNER, Role.OPERATOR, Role.AUDITOR})
INVOICES_READ: Final = frozenset({Role.CITY, Role.ENTERPRISE, Role.OPERATOR, Role.AUDITOR})
USE_REPORTS_READ: Final = INVOICES_READ - {Role.ENTERPRISE}  # they are of whole cities
STATEMENTS_READ: Final = frozenset({Role.OWNER, Role.OPERATOR, Role.AUDITOR})
VOUCHERS_READ: Final = frozenset({Role.CITY, Role.ENTERPRISE, Role.VOUCHER_OFFICE, Role.OPERATOR, Role.AUDITOR})
BUDGETS_READ: Final = frozenset({Role.VOUCHER_OFFICE, Role.OPERATOR, Role.AUDITOR})
VOUCHERS_CHANGE: Final = frozenset({Role.VOUCHER_OFFICE})
VOUCHERS_APPLY: Final = frozenset({Role.CITY, Role.ENTERPRISE})
BOOKS_READ_WHOLE: Final = frozenset({Role.OPERATOR, Role.AUDITOR})

MAY_CALL: Final[Mapping[str, frozenset[Role]]] = {
    "/broker.wire.v1.JobService/SubmitJob": JOBS_CHANGE,
    "/broker.wire.v1.JobService/SubmitJobs": JOBS_CHANGE,
    "/broker.wire.v1.JobService/GetJob": JOBS_READ,
    "/broker.wire.v1.JobService/ListJobs": JOBS_READ,
    "/broker.wire.v1.JobService/WatchJobs": JOBS_READ,
    "/broker.wire.v1.JobService/CancelJob": JOBS_CHANGE,
    "/broker.wire.v1.JobService/CancelJobSet": JOBS_CHANGE,
    "/broker.wire.v1.JobService/UpdateJob": JOBS_CHANGE,
    "/broker.wire.v1.JobService/ExplainJob": JOBS_READ,
    "/broker.wire.v1.JobService/ReadLogs": JOBS_READ,
    "/broker.wire.v1.ClusterService/Sync": CLUSTER,
    "/broker.wire.v1.AdminService/ApplyWorld": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/GetCatalogue": ADMIN_READ,
    "/broker.wire.v1.AdminService/GetOverview": ADMIN_READ,
    "/broker.wire.v1.AdminService/RegisterCluster": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/ListClusters": ADMIN_READ,
    "/broker.wire.v1.AdminService/ListNodes": ADMIN_READ,
    "/broker.wire.v1.AdminService/CordonNodes": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/DrainNodes": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/UncordonNodes": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/ListLeases": ADMIN_READ,
    "/broker.wire.v1.AdminService/WriteOffLease": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/ListRounds": ADMIN_READ,
    "/broker.wire.v1.AdminService/GetRound": ADMIN_READ,
    "/broker.wire.v1.AdminService/GetRoundRecord": ADMIN_READ,
    "/broker.wire.v1.AdminService/SetQuota": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/ListQuotas": ADMIN_READ,
    "/broker.wire.v1.AdminService/RemoveQuota": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/SetHubPower": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/GetHubPower": ADMIN_READ,
    "/broker.wire.v1.AdminService/CreateKey": KEYS_CHANGE,
    "/broker.wire.v1.AdminService/ListKeys": KEYS_READ,
    "/broker.wire.v1.AdminService/RevokeKey": KEYS_CHANGE,
    "/broker.wire.v1.AdminService/CreateWindow": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/ListWindows": ADMIN_READ,
    "/broker.wire.v1.AdminService/CancelWindow": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/Pause": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/Resume": ADMIN_CHANGE,
    "/broker.wire.v1.AdminService/ListPauses": ADMIN_READ,
    "/broker.wire.v1.AdminService/GetPreview": ADMIN_READ,
    "/broker.wire.v1.AdminService/ListPromises": ADMIN_READ,
    "/broker.wire.v1.AdminService/ListMoves": ADMIN_READ,
    "/broker.wire.v1.AdminService/MakeRoom": ADMIN_CHANGE,
    "/broker.wire.v1.MarketService/SetRates": RATES_CHANGE,
    "/broker.wire.v1.MarketService/ListRates": RATES_READ,
    "/broker.wire.v1.MarketService/ListPrices": PRICES_READ,
    "/broker.wire.v1.MarketService/ListPriceHistory": PRICES_READ,
    "/broker.wire.v1.MarketService/GetCapacity": PRICES_READ,
    "/broker.wire.v1.MeasureService/GetEnergy": ENERGY_READ,
    "/broker.wire.v1.MeasureService/GetJobEnergy": JOBS_READ,
    "/broker.wire.v1.MeasureService/ListReliability": PRICES_READ,
    "/broker.wire.v1.MeasureService/RecordProbe": ADMIN_CHANGE,
    "/broker.wire.v1.MeasureService/ListProbes": PRICES_READ,
    "/broker.wire.v1.MeasureService/GetHubMonth": BOOKS_READ_WHOLE,
    "/broker.wire.v1.MeasureService/SetParkFigures": ADMIN_CHANGE,
    "/broker.wire.v1.MeasureService/ListParkFigures": ADMIN_READ,
    "/broker.wire.v1.MarketService/GetQuote": JOBS_CHANGE,
    "/broker.wire.v1.MarketService/AcceptQuote": JOBS_CHANGE,
    "/broker.wire.v1.MarketService/ListQuotes": JOBS_READ,
    "/broker.wire.v1.AccountService/ListAccounts": BOOKS_READ,
    "/broker.wire.v1.AccountService/GetAccount": BOOKS_READ,
    "/broker.wire.v1.AccountService/ListPostings": BOOKS_READ,
    "/broker.wire.v1.AccountService/SetBilling": ADMIN_CHANGE,
    "/broker.wire.v1.AccountService/ListUsage": BOOKS_READ,
    "/broker.wire.v1.AccountService/ListHolds": BOOKS_READ,
    "/broker.wire.v1.AccountService/Deposit": ADMIN_CHANGE,
    "/broker.wire.v1.AccountService/ExportLedger": BOOKS_READ_WHOLE,
    "/broker.wire.v1.AccountService/GetInvoice": INVOICES_READ,
    "/broker.wire.v1.AccountService/GetStatement": STATEMENTS_READ,
    "/broker.wire.v1.AccountService/PostCreditNote": ADMIN_CHANGE,
    "/broker.wire.v1.AccountService/ListCreditNotes": BOOKS_READ,
    "/broker.wire.v1.AccountService/GetUseReport": USE_REPORTS_READ,
    "/broker.wire.v1.VoucherService/SetProgrammes": VOUCHERS_CHANGE,
    "/broker.wire.v1.VoucherService/ListProgrammes": VOUCHERS_READ,
    "/broker.wire.v1.VoucherService/SetEnterprise": VOUCHERS_CHANGE,
    "/broker.wire.v1.VoucherService/ListEnterprises": VOUCHERS_READ,
    "/broker.wire.v1.VoucherService/ApplyForVoucher": VOUCHERS_APPLY,
    "/broker.wire.v1.VoucherService/WithdrawApplication": VOUCHERS_APPLY,
    "/broker.wire.v1.VoucherService/ListApplications": VOUCHERS_READ,
    "/broker.wire.v1.VoucherService/ReviewApplication": VOUCHERS_CHANGE,
    "/broker.wire.v1.VoucherService/GrantVoucher": VOUCHERS_CHANGE,
    "/broker.wire.v1.VoucherService/ListVouchers": VOUCHERS_READ,
    "/broker.wire.v1.VoucherService/DeliverPapers": VOUCHERS_CHANGE,
    "/broker.wire.v1.VoucherService/ChangeVoucher": VOUCHERS_CHANGE,
    "/broker.wire.v1.VoucherService/ListStory": VOUCHERS_READ,
    "/broker.wire.v1.VoucherService/GetForecast": BUDGETS_READ,
    "/broker.wire.v1.VoucherService/GetEvidence": VOUCHERS_READ,
}

OPEN_ON_LOOPBACK: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
"""Open for callers on this machine, for probes and tools; from elsewhere any key will do."""

SCHEME: Final = "bearer "

KEY_RECHECK_SECONDS: Final = 5.0
"""A call that runs for longer has its key looked at again this often: streams live for days, and keys are revoked."""

_CALL: Final[ContextVar[tuple[Context, Caller]]] = ContextVar("call")


def caller_of(context: Context) -> Caller:
    """Return who makes the call, as `RequireKey` found out. Raise LookupError for a call that it has not seen."""
    call, caller = _CALL.get()
    if call is not context:
        raise LookupError("this is another call's context: ask in the task that serves the call")
    return caller


def current_caller() -> Caller | None:
    """Return who makes the call that this task serves; None in a call that needs no key."""
    call = _CALL.get(None)
    return call and call[1]


class RequireKey(Guard):
    """Lets nobody in without a key of a role that may call the method, and nobody stay whose key was revoked."""

    def __init__(self, identity: Identity, clock: Clock, *, recheck_seconds: float = KEY_RECHECK_SECONDS) -> None:
        super().__init__()
        self._identity = identity
        self._clock = clock
        self._recheck_seconds = recheck_seconds

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Find the caller out. Raise KeyRefused (also in mid-call), RoleRefused or DatabaseUnavailable."""
        if method.startswith(OPEN_ON_LOOPBACK) and is_on_this_machine(context.peer()):
            yield
            return
        key = _api_key(context)
        caller = await self._identity.caller(key, self._clock.now())
        _check_role(method, caller)
        _CALL.set((context, caller))  # each call is served by a task of its own
        try:
            async with asyncio.timeout(None) as fuse, self._looked_after(key, fuse):
                yield
        except TimeoutError:
            if fuse.expired():
                raise KeyRefused from None
            raise

    @asynccontextmanager
    async def _looked_after(self, key: str, fuse: asyncio.Timeout) -> AsyncIterator[None]:
        """Blow the fuse when the key is no longer good. A short call costs a timer, no task."""
        loop = asyncio.get_running_loop()
        looking: list[asyncio.Task[None]] = []
        timer = loop.call_later(
            self._recheck_seconds, lambda: looking.append(asyncio.create_task(self._look_after(key, fuse)))
        )
        try:
            yield
        finally:
            timer.cancel()
            for task in looking:
                task.cancel()

    async def _look_after(self, key: str, fuse: asyncio.Timeout) -> None:
        try:
            while True:
                with suppress(DatabaseUnavailable):  # then nobody can be told to go, either
                    await self._identity.caller(key, self._clock.now())
                await asyncio.sleep(self._recheck_seconds)
        except KeyRefused:
            fuse.reschedule(asyncio.get_running_loop().time())


def is_on_this_machine(peer: str) -> bool:
    """Tell whether a peer, as gRPC writes it ("ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711"), comes over loopback."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return kind == "unix"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _check_role(method: str, caller: Caller) -> None:
    if method.startswith(OPEN_ON_LOOPBACK):
        return
    roles = MAY_CALL.get(method, frozenset())
    if caller.role not in roles:
        needed = " or ".join(sorted(roles)) or "nobody"
        raise RoleRefused(role=caller.role, needed=f"{method.rpartition('/')[2]} is for role {needed}")


def _api_key(context: Context) -> str:
    """Return what stands after "Bearer". Raise KeyRefused when there is nothing, or more than one answer."""
    given = [value for name, value in context.invocation_metadata() or () if name == "authorization"]
    if len(given) != 1 or not isinstance(given[0], str) or not given[0].lower().startswith(SCHEME):
        raise KeyRefused
    return given[0][len(SCHEME) :].strip()
