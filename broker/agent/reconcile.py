"""Compare what is with what should be, and say what to do. Pure: data in, data out.

Rules
    (1) A lease is started once: not when the engine has a trace of it, and not when its job was seen at this epoch
        or a later one. Then the order is a late copy of an old one, or the trace is gone (as after a power failure):
        it is answered that the lease has vanished, or it would be ordered for ever. A broker that knows better
        fences that answer by the epoch.
    (2) No job runs twice: while an older lease of the job lives here, it is ended first, and the order waits. Orders
        are repeated as long as the lease is not reported, so waiting costs nothing.
    (3) A lease to be ended is told so once. One without a trace is told too: the engine then records that it never
        ran, which is the answer that the broker waits for, and which keeps a late order from starting it.
    (4) A lease is settled when it has ended here and the broker has recorded that; never before.

Whatever an action leads to, the next observation shows it; with nothing new, a second comparison does nothing.
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from broker.agent.orders import Desired, LeaseKey, LeaseSeen, Order, Phase, Refusal
from broker.ids import JobId


@dataclass(frozen=True, slots=True)
class StartLease:
    """Start this gang."""

    order: Order


@dataclass(frozen=True, slots=True)
class RefuseLease:
    """Record this order as a start that failed."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class LoseLease:
    """Record that nothing is left of this lease, which was taken once."""

    key: LeaseKey
    job: JobId


@dataclass(frozen=True, slots=True)
class StopLease:
    """End this lease."""

    key: LeaseKey
    grace_seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class SettleLease:
    """Forget this lease."""

    key: LeaseKey


Action = StartLease | RefuseLease | LoseLease | StopLease | SettleLease

STALE_EPOCH = "STALE_EPOCH"
"""Reason of a stop that the agent gives by itself: a later attempt of the job is due here."""


def reconcile(seen: Iterable[LeaseSeen], desired: Desired, latest_epoch: Callable[[JobId], int]) -> list[Action]:
    """Return what to do, in order: ends before starts, because they free cards.

    Args:
        seen: every lease of which the engine has a trace.
        desired: the broker's last word.
        latest_epoch: highest epoch of a job that was ever taken here, 0 when none was.
    """
    leases = {lease.key: lease for lease in seen}
    stops = _stops(leases, desired)
    starts: list[Action] = []
    new, passed = _sorted_orders(desired, leases.keys() | stops.keys() | desired.settled, latest_epoch)
    living = [lease for lease in leases.values() if lease.phase is not Phase.ENDED]
    for order in new:
        older = [lease for lease in living if lease.job == order.job]
        for lease in older:
            if not lease.stopping:
                stops.setdefault(lease.key, StopLease(lease.key, 0, STALE_EPOCH))
        if not older:
            starts.append(StartLease(order) if isinstance(order, Order) else RefuseLease(order))
    busy = {lease.job for lease in living}
    starts += [LoseLease(order.key, order.job) for order in passed if order.job not in busy]
    settles = [
        SettleLease(key) for key, lease in leases.items() if key in desired.settled and lease.phase is Phase.ENDED
    ]
    return [*settles, *stops.values(), *starts]


def _stops(leases: dict[LeaseKey, LeaseSeen], desired: Desired) -> dict[LeaseKey, StopLease]:  # (3)
    stops: dict[LeaseKey, StopLease] = {}
    for stop in desired.stop:
        lease = leases.get(stop.key)
        if stop.key in desired.settled:  # its end is recorded: nothing is left to be ended
            continue
        if lease is None or (lease.phase is not Phase.ENDED and not lease.stopping):
            stops[stop.key] = StopLease(stop.key, stop.grace_seconds, stop.reason)
    return stops


def _sorted_orders(
    desired: Desired, known: Set[LeaseKey], latest_epoch: Callable[[JobId], int]
) -> tuple[list[Order | Refusal], list[Order | Refusal]]:  # (1)
    """Return the orders that were never taken, of each job the latest only, and those whose time has passed.

    An order of which there is a trace is in neither, and no lease is for two jobs.
    """
    unknown: dict[LeaseKey, Order | Refusal] = {}
    every: list[Order | Refusal] = [*desired.start, *desired.refused]
    for order in every:
        if order.key not in known:
            unknown.setdefault(order.key, order)
    latest: dict[JobId, Order | Refusal] = {}
    for order in unknown.values():
        rival = latest.get(order.job)
        if order.key.epoch > (latest_epoch(order.job) if rival is None else rival.key.epoch):
            latest[order.job] = order
    new = {order.key for order in latest.values()}
    return list(latest.values()), [order for order in unknown.values() if order.key not in new]
