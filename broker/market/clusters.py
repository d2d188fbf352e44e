"""Use cases of agents: attach, report, and be told what should be. One transaction each.

Level-triggered: every report is the whole truth, every answer to one the whole of what should be; news between two
reports name what is new in it. A report that says nothing
new costs one small write, or none.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from broker.caller import Caller, Role
from broker.errors import ClusterMismatch, FieldProblem, InvalidRequest, RoleRefused, invalid
from broker.lifecycle import AgentState
from broker.market import usage
from broker.market.policies import close_what_rejects, tell_of_rejections
from broker.market.reports import (
    Desired,
    Hello,
    Report,
    UsageAnswer,
    changes,
    not_live,
    to_start,
    to_stop,
)
from broker.store import clusters, leases, orders
from broker.store.clusters import PoolInventory
from broker.store.database import Connection, Database
from broker.store.leases import LeaseRef
from broker.store.orders import LeaseOrder, LiveLease, LiveLeases

ORDERS_MAX: Final = 256
"""Orders in one Desired; a build's command and environment make them large. The next ones follow the next report."""

WHOLE: Final = timedelta(seconds=60)
"""A stream reads what has changed of what should be, and so often all of it: so that no mistake lasts."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the broker and its agents hold each other to; all in seconds.

    Attributes:
        report_interval_seconds: longest time between two reports.
        suspect_after_seconds: silence after which an agent gets no new work, nor any word that could renew a lease.
        lost_after_seconds: silence after which its leases are LOST.
        kill_after_seconds: time after the broker's last word by which an agent has killed `if_lost: restart` leases.
        kill_margin_seconds: time beyond `lost_after_seconds` that the broker still waits before it restarts them.
        heartbeat_seconds: an unchanged report is noted at most this often; with short terms, more often.
        reread_seconds: what has changed of what should be is read at least this often, as other brokers change it too.
        restarts_max: restarts of a job for reasons that are not its own fault.
        usage_interval_seconds: time between two reports of the usage of what runs.
        usage_skew_seconds: how far minutes that agents tell may be ahead of our clock.
    """

    report_interval_seconds: float = 2.0
    suspect_after_seconds: float = 10.0
    lost_after_seconds: float = 60.0
    kill_after_seconds: float = 45.0
    kill_margin_seconds: float = 15.0
    heartbeat_seconds: float = 1.0
    reread_seconds: float = 5.0
    restarts_max: int = 20
    usage_interval_seconds: float = 300.0
    usage_skew_seconds: int = 120

    def __post_init__(self) -> None:
        if not 0 < self.report_interval_seconds < self.suspect_after_seconds < self.lost_after_seconds:
            raise ValueError("needs 0 < report_interval_seconds < suspect_after_seconds < lost_after_seconds")
        if not 0 < self.kill_after_seconds < self.lost_after_seconds:
            raise ValueError("needs 0 < kill_after_seconds < lost_after_seconds: killed before restarted elsewhere")

    @property
    def suspect_after(self) -> timedelta:
        """`suspect_after_seconds` as a span."""
        return timedelta(seconds=self.suspect_after_seconds)

    @property
    def lost_after(self) -> timedelta:
        """`lost_after_seconds` as a span."""
        return timedelta(seconds=self.lost_after_seconds)

    @property
    def heartbeat(self) -> timedelta:
        """Span within which an unchanged report need not be noted again: never so long that it looks like silence."""
        return timedelta(seconds=min(self.heartbeat_seconds, self.suspect_after_seconds / 4))

    @property
    def reread(self) -> timedelta:
        """`reread_seconds` as a span."""
        return timedelta(seconds=self.reread_seconds)

    @property
    def restart_after(self) -> timedelta:
        """Silence after which `if_lost: restart` leases end without their agent's word."""
        return timedelta(seconds=self.lost_after_seconds + self.kill_margin_seconds)


class ClusterSignals:
    """Tells the streams in this process that what should be on a cluster may have changed."""

    def __init__(self, elsewhere: Callable[[str], None] = lambda _: None) -> None:
        """`elsewhere` tells the other processes of this broker, each of which calls `heard`."""
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._elsewhere = elsewhere

    def wake(self, cluster: str) -> None:
        """Let the cluster's agent be told at once, whichever process of this broker it is connected to."""
        self.heard(cluster)
        self._elsewhere(cluster)

    def heard(self, cluster: str) -> None:
        """Let the cluster's agent be told at once. Costs nothing when it is not connected here."""
        for signal in self._waiting.get(cluster, ()):
            signal.set()

    def subscribe(self, cluster: str) -> asyncio.Event:
        """Return an event that is set by every `wake` of the cluster; its reader clears it."""
        signal = asyncio.Event()
        self._waiting.setdefault(cluster, set()).add(signal)
        return signal

    def subscribed(self) -> list[str]:
        """Return the clusters whose agents are connected here."""
        return list(self._waiting)

    def unsubscribe(self, cluster: str, signal: asyncio.Event) -> None:
        """Forget the event."""
        waiting = self._waiting.get(cluster, set())
        waiting.discard(signal)
        if not waiting:
            self._waiting.pop(cluster, None)


@dataclass(slots=True)
class Session:
    """One stream of one agent: its fence, and what was said on it last.

    Attributes:
        epoch: the fence; a newer stream of the cluster has a higher one.
        signal: set when what should be may have changed.
        cards: cards of each node, as the agent's last Hello says.
        heard_at: when the last report came.
    """

    cluster: str
    instance: str
    epoch: int
    signal: asyncio.Event
    cards: dict[str, int]
    heard_at: datetime
    _noted_at: datetime
    _read_at: datetime
    _read_whole_at: datetime
    _live: LiveLeases = field(default_factory=LiveLeases)
    _report: Report | None = None
    _desired: Desired = field(default_factory=Desired)
    _orders: dict[LeaseRef, LeaseOrder] = field(default_factory=dict)  # to start: an order never changes
    _told: set[LeaseRef] = field(default_factory=set)  # orders on this stream since the last report
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one exchange at a time


class Clusters:
    """What agents may ask for.

    Args:
        signals: where rounds and cancellations call.
        capacity_freed: called after a commit that may have let waiting jobs start.
    """

    def __init__(
        self, database: Database, terms: Terms, signals: ClusterSignals, *, capacity_freed: Callable[[], None]
    ) -> None:
        self._database = database
        self._terms = terms
        self._signals = signals
        self._capacity_freed = capacity_freed

    async def attach(self, caller: Caller, hello: Hello, now: datetime) -> Session:
        """Open a session for the agent and take over its inventory; sessions of older streams are stale from now on.

        Raises:
            RoleRefused, ClusterMismatch: the key is not that cluster's agent's.
            ClusterNotFound: it was never registered.
            AlreadyAttached: another agent speaks for the cluster.
            InvalidRequest: the inventory does not fit the catalogue.
        """
        _check_may_speak(caller, hello.cluster)
        async with self._database.hub() as tx:
            epoch = await clusters.attach(
                tx, hello.cluster, hello.instance, hello.engine, now, heard_before=now - self._terms.suspect_after
            )
            await clusters.put_inventory(tx, hello.cluster, hello.pools)
            await clusters.note_metering(tx, hello.cluster, meters=hello.meters_usage)
        self._capacity_freed()
        return Session(
            cluster=hello.cluster,
            instance=hello.instance,
            epoch=epoch,
            signal=self._signals.subscribe(hello.cluster),
            cards=_cards(hello.pools),
            heard_at=now,
            _noted_at=now,
            _read_at=now,
            _read_whole_at=now,
        )

    async def change_inventory(self, session: Session, hello: Hello, now: datetime) -> None:
        """Take over what a further Hello on the stream says. Raise as `attach` does, or StaleSession."""
        if (hello.cluster, hello.instance) != (session.cluster, session.instance):
            raise invalid("hello.instance", f"this stream is {session.instance}'s of {session.cluster}: open another")
        async with session._turn:
            async with self._database.hub() as tx:
                await clusters.heard(tx, session.cluster, session.epoch, now)
                news = await clusters.put_inventory(tx, session.cluster, hello.pools)
            session.cards = _cards(hello.pools)
            session.heard_at = session._noted_at = now
            session._report = None  # the next report is judged anew: conditions of changed nodes were reset
        if news:
            self._capacity_freed()

    async def detach(self, session: Session) -> None:
        """Note that the stream has ended: the cluster's agent may come back at once, also as another process."""
        self._signals.unsubscribe(session.cluster, session.signal)
        async with self._database.hub() as tx:
            await clusters.detach(tx, session.cluster, session.epoch)

    async def report(self, session: Session, report: Report, now: datetime) -> Desired:
        """Take over what is, and answer what should be.

        A report whose number is not higher than the last one's is a repeat: it is answered and changes nothing.

        Raises:
            StaleSession: a newer stream of the cluster has taken over.
            InvalidRequest: it names nodes or cards that the agent's own inventory does not have.
        """
        async with session._turn:
            session.heard_at = now
            last = session._report
            if last is not None and report.sequence <= last.sequence:
                return replace(session._desired, report_sequence=report.sequence)
            answers: tuple[UsageAnswer, ...] = ()
            if last is None or not report.says_the_same_as(last):
                _check_conditions(session, report)
                answers = await self._exchange(session, report, now)
            elif session.signal.is_set() or not _lately(session._read_at, now, self._terms.reread):
                await self._exchange(session, report, now)
            else:
                await self._note(session, report, now)
            return replace(session._desired, report_sequence=report.sequence, usage=answers)

    async def refresh(self, session: Session, now: datetime) -> Desired | None:
        """Return what should be now, None when the agent was told exactly that. Each order comes once.

        What the agent has not begun by its next report comes again with the answer to that.

        An agent that was not heard of late is told nothing: a word that reached it late would renew leases that the
        broker is about to give up.

        Raises: StaleSession: a newer stream of the cluster has taken over.
        """
        async with session._turn:
            session.signal.clear()
            if session._report is None or now - session.heard_at >= self._terms.suspect_after:
                return None
            async with self._database.hub() as tx:
                await clusters.check_speaks(tx, session.cluster, session.epoch)
                live = await session._live.read(tx, session.cluster)
                desired = await self._desired(tx, session, live, session._report)
            before, session._desired = session._desired, desired
            untold = {order.ref for order in desired.start} - session._told
            if not untold and (desired.stop, desired.settled) == (before.stop, before.settled):
                return None
            session._told |= untold
            untold |= {stop.ref for stop in set(desired.stop).difference(before.stop)}  # a stop alone may say nothing
            return replace(desired, start=tuple(order for order in desired.start if order.ref in untold))

    async def _note(self, session: Session, report: Report, now: datetime) -> None:
        """Write no more than that the agent was heard, and not even that when it was noted a moment ago."""
        session._report = report
        if _lately(session._noted_at, now, self._terms.heartbeat):
            return
        async with self._database.hub_once() as tx:
            was = await clusters.heard(tx, session.cluster, session.epoch, now)
        session._noted_at = now
        if was is not AgentState.LIVE:
            self._capacity_freed()
            await self._exchange(session, report, now)  # its leases may have become LOST meanwhile

    async def _exchange(self, session: Session, report: Report, now: datetime) -> tuple[UsageAnswer, ...]:
        session.signal.clear()
        last, whole = session._report, not _lately(session._read_whole_at, now, WHOLE)
        async with self._database.hub() as tx:
            was = await clusters.heard(tx, session.cluster, session.epoch, now)
            news = (last is None or report.nodes != last.nodes) and await clusters.put_conditions(
                tx, session.cluster, report.nodes
            )
            live = await session._live.read(tx, session.cluster, whole=whole)
            due = changes(live, report, now)
            await leases.started(tx, session.cluster, due.started, now)
            ready = await leases.data_ready(tx, session.cluster, due.ready, now)
            ended = await leases.stopped(tx, session.cluster, due.stopped, now, restarts_max=self._terms.restarts_max)
            rejected = await close_what_rejects(tx, due.stopped, ended)
            answers = await usage.take(
                tx, session.cluster, report.usage, now, skew_seconds=self._terms.usage_skew_seconds
            )
            if ended:
                gone = {e.ref for e in ended}
                live = {ref: lease for ref, lease in live.items() if ref not in gone}
            desired = await self._desired(tx, session, live, report)
        tell_of_rejections(session.cluster, rejected)
        usage.tell_of_refusals(session.cluster, answers)
        session._report, session._desired = replace(report, usage=()), desired
        session._told = {order.ref for order in desired.start}
        session._noted_at = session._read_at = now
        if whole:
            session._read_whole_at = now
        if news or ended or ready or was is not AgentState.LIVE:
            self._capacity_freed()
        return answers

    async def _desired(
        self, tx: Connection, session: Session, live: Mapping[LeaseRef, LiveLease], report: Report
    ) -> Desired:
        unknown, settled = not_live(live, report)
        known = await orders.known(tx, session.cluster, {ref.lease for ref in unknown})
        start = to_start(live, report)[:ORDERS_MAX]
        unread = [ref.lease for ref in start if ref not in session._orders]
        read = {order.ref: order for order in await orders.orders(tx, unread)}
        session._orders = {ref: order for ref in start if (order := read.get(ref) or session._orders.get(ref))}
        return Desired(
            start=tuple(session._orders.values()),
            stop=tuple(to_stop(live, unknown, known)),
            settled=settled,
        )


def _check_may_speak(caller: Caller, cluster: str) -> None:
    if caller.role is not Role.AGENT:
        raise RoleRefused(role=caller.role, needed="only a cluster's agent speaks for it")
    if caller.subject != cluster:
        raise ClusterMismatch(own=caller.subject, cluster=cluster)


def _lately(then: datetime, now: datetime, span: timedelta) -> bool:
    """Tell whether `then` was less than a span ago; a time to come is none, as the clock was set back since."""
    return timedelta(0) <= now - then < span


def _cards(pools: tuple[PoolInventory, ...]) -> dict[str, int]:
    return {node.node: node.cards for pool in pools for node in pool.nodes}


def _check_conditions(session: Session, report: Report) -> None:
    problems = []
    for i, condition in enumerate(report.nodes):
        cards = session.cards.get(condition.node)
        if cards is None:
            problems.append(
                FieldProblem(f"report.nodes[{i}].node", f"{condition.node!r} is not in the inventory: say Hello again")
            )
        elif condition.foreign_cards and condition.foreign_cards[-1] >= cards:
            problems.append(
                FieldProblem(
                    f"report.nodes[{i}].foreign_cards", f"card {condition.foreign_cards[-1]}: the node has {cards}"
                )
            )
    if problems:
        raise InvalidRequest(*problems[:20])
