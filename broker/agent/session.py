"""One stream to the broker: report what is, hear what should be, do it, report again.

Reports go out at the broker's interval, and at once when something has changed. The broker's word is taken whole and
repeated by it until it is fulfilled, so nothing here is remembered from one message to the next but the time at which
each report was sent: from that, not from the arrival of its answer, the terms of `if_lost: restart` count. An answer
may have waited long on its way, and the broker's own clock runs from when it last heard us.
"""

import asyncio
import contextlib
from collections import deque
from dataclasses import replace
from typing import Any, Final

import grpc
from structlog.typing import FilteringBoundLogger

from broker.agent import convert
from broker.agent.engines.processes import boottime_ns
from broker.agent.engines.protocol import Engine, UnknownLog
from broker.agent.metering import Meter
from broker.agent.orders import Desired, LeaseKey, LogWish, Observation, Phase, PoolStock, Terms, Used
from broker.agent.policy import PolicyGate
from broker.agent.probe_command import ProbeCommands
from broker.agent.reconcile import Action, LoseLease, RefuseLease, SettleLease, StartLease, StopLease, reconcile
from broker.clock import Clock
from broker.wire.v1 import cluster_service_pb2 as wire

WELCOME_SECONDS_MAX: Final = 10.0
"""How long the broker may take to answer the Hello."""

GATHER_SECONDS: Final = 0.01
"""Changes within this time go out in one report: a hundred starting gangs are not worth a hundred reports."""

REST_SECONDS: Final = 0.1
"""After a report the next one waits for so long at least: each costs the broker a transaction, however short it is."""

REST_SECONDS_MAX: Final = 1.0
"""A broker that answers slowly is busy: it gets as much rest as its answer took, but never more than this.

What we did ourselves before we came to read the answer counts as well: a hundred starting gangs are one report.
"""

_REPORTS_REMEMBERED: Final = 1024
_WISHES_MAX: Final = 64


def rest_seconds(answer_seconds: float, interval_seconds: float) -> float:
    """Return how long after a report the next one may go out, when its answer took so long.

    Never longer than the interval at which the broker wants to hear from us.
    """
    return min(max(REST_SECONDS, answer_seconds + min(answer_seconds, REST_SECONDS_MAX)), interval_seconds)


class BrokerSilent(Exception):
    """The broker did not answer in time, although the stream stands."""


class UntrustedBroker(Exception):
    """The broker signs no placement policies, or with a key that the configuration does not name."""


class Session:
    """The life of one stream. Ends by raising: it broke, or the broker is silent, not trusted, or makes no sense."""

    def __init__(
        self,
        engine: Engine,
        *,
        cluster: str,
        instance: str,
        version: str,
        clock: Clock,
        log: FilteringBoundLogger,
        gate: PolicyGate | None = None,
        meter: Meter | None = None,
        probes: ProbeCommands | None = None,
    ) -> None:
        """Speak for an engine.

        Args:
            gate: checks placement policies; without one they are not checked.
            meter: of the agent's usage.
            probes: what probes run here.
        """
        self._meter = meter or Meter()
        self._gate = gate
        self._probes = probes
        self._engine = engine
        self._cluster = cluster
        self._instance = instance
        self._version = version
        self._clock = clock
        self._log = log
        self._terms: Terms | None = None
        self._sequence = 0
        self._sent_ns: deque[tuple[int, int]] = deque(maxlen=_REPORTS_REMEMBERED)  # report's sequence, boot time
        self._said: tuple[PoolStock, ...] = ()  # inventory of the last Hello
        self._wishes: asyncio.Queue[LogWish] = asyncio.Queue(_WISHES_MAX)
        self._writing = asyncio.Lock()
        self._due = asyncio.Event()
        self._answered = asyncio.Event()  # the last report
        self._answer_seconds = 0.0  # that the last answer took
        self._welcome = asyncio.Event()

    @property
    def welcomed(self) -> bool:
        """Whether the broker has answered our Hello on this stream."""
        return self._terms is not None

    async def hold(self, call: Any) -> None:
        """Work until the stream breaks. Raise grpc.aio.AioRpcError, BrokerSilent, UntrustedBroker or BadMessage."""
        await self._say_hello(call)
        tasks = [
            asyncio.create_task(work)
            for work in (self._read(call), self._report(call), self._watch(), self._answer_wishes(call))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- hear ----------------------------------------------------------------------------------------------------

    async def _read(self, call: Any) -> None:
        while True:
            patience = WELCOME_SECONDS_MAX if self._terms is None else self._terms.suspect_after_seconds
            try:
                async with asyncio.timeout(patience):  # not wait_for, which can swallow a cancellation
                    message = await call.read()
            except TimeoutError:
                raise BrokerSilent(f"the broker said nothing for {patience:g} s") from None
            if message is grpc.aio.EOF:
                raise BrokerSilent("the broker closed the stream")
            await self._hear(message)

    async def _hear(self, message: wire.SyncResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "welcome":
            terms = convert.terms(message.welcome)
            self._check_trusted(terms.policy_key_id)
            self._terms = terms
            self._meter.begin(terms.usage_interval_seconds)
            self._log.info("attached", session_epoch=self._terms.session_epoch)
            self._welcome.set()
        elif kind == "desired" and self._terms is not None:
            await self._obey(convert.desired(message.desired), self._terms)
        elif kind == "log_request":
            try:
                self._wishes.put_nowait(convert.log_wish(message.log_request))
            except asyncio.QueueFull:
                self._log.warning("too many log requests at once: one is not answered", most=_WISHES_MAX)

    def _check_trusted(self, key_id: str) -> None:
        """Raise UntrustedBroker rather than refuse every order: the broker would give each to us again and again."""
        if self._gate is None or self._gate.trusts(key_id):
            return
        if key_id:
            raise UntrustedBroker(
                f"the broker signs placement policies with key {key_id}, which is not among policy_keys: compare it "
                "with the broker's keys/policy-signing.pub and add that line to the agent's configuration"
            )
        raise UntrustedBroker(
            "the broker signs no placement policies, it is of an older release: upgrade it, or take policy_keys out of "
            "the agent's configuration to run jobs without that check"
        )

    async def _obey(self, desired: Desired, terms: Terms) -> None:
        await self._renew(desired.report_sequence, terms)
        if self._gate is not None:
            desired = self._gate.screen(desired)
        for refusal in self._meter.answered(desired.usage):
            self._log.error("the broker does not take usage", lease=str(refusal.key), why=refusal.refused)
        if self._probes is not None:
            desired = self._probes.filled_in(desired)
        observation = await self._engine.observe()
        desired = replace(desired, settled=await self._all_told(desired.settled))
        for action in reconcile(observation.leases, desired, self._engine.latest_epoch):
            try:
                await self._act(action)
            except OSError as error:  # a full disk, no more processes: the broker repeats itself, and we try again
                self._log.error("an action failed", action=type(action).__name__, why=str(error))

    async def _all_told(self, settled: frozenset[LeaseKey]) -> frozenset[LeaseKey]:
        """Return those of the settled leases whose use the broker knows: the others are not forgotten yet."""
        unsure = {key for key in settled if not self._meter.is_settled(key)}
        return settled - (unsure & {one.key for one in await self._engine.used()}) if unsure else settled

    async def _renew(self, report_sequence: int, terms: Terms) -> None:
        while self._sent_ns and self._sent_ns[0][0] <= report_sequence:
            sequence, sent_ns = self._sent_ns.popleft()
            if sequence == self._sequence:
                self._answer_seconds = (boottime_ns() - sent_ns) / 1e9
                self._answered.set()
            if sequence == report_sequence:
                try:
                    await self._engine.renew(sent_ns + round(terms.kill_after_seconds * 1e9))
                except OSError as error:  # a full disk: what lives by renewals will end by its terms
                    self._log.error("the broker's word cannot be renewed", why=str(error))

    async def _act(self, action: Action) -> None:
        match action:
            case StartLease(order):
                self._log.info(
                    "start", lease=str(order.key), job=f"job-{order.job}", tasks=len(order.tasks), name=order.name
                )
                await self._engine.start(order)
            case RefuseLease(refusal):
                self._log.warning("refuse", lease=str(refusal.key), job=f"job-{refusal.job}", why=refusal.why)
                await self._engine.refuse(refusal)
            case LoseLease(key, job):
                self._log.warning(
                    "an order comes again whose lease has left no trace", lease=str(key), job=f"job-{job}"
                )
                await self._engine.lose(key, job)
            case StopLease(key, grace_seconds, reason):
                self._log.info("stop", lease=str(key), grace_seconds=grace_seconds, reason=reason)
                await self._engine.stop(key, grace_seconds=grace_seconds, reason=reason)
            case SettleLease(key):
                await self._engine.settle(key)

    # --- say -----------------------------------------------------------------------------------------------------

    async def _say_hello(self, call: Any) -> None:
        self._said = self._engine.inventory()
        hello = convert.hello(
            cluster=self._cluster,
            instance=self._instance,
            version=self._version,
            engine=self._engine.name,
            pools=self._said,
        )
        await self._write(call, hello)

    async def _watch(self) -> None:
        while True:
            await self._engine.wait_changed()
            self._due.set()

    async def _report(self, call: Any) -> None:
        await self._welcome.wait()
        while self._terms is not None:
            self._due.clear()
            if self._engine.inventory() != self._said:
                await self._say_hello(call)
            observation = await self._engine.observe()
            self._sequence += 1
            self._answered.clear()
            self._sent_ns.append((self._sequence, boottime_ns()))  # before it is sent: the terms must end too early
            usage = await self._usage(observation)
            report = convert.report(observation, sequence=self._sequence, at=self._clock.now(), usage=usage)
            await self._write(call, report)
            sent_at = asyncio.get_running_loop().time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._terms.report_interval_seconds):
                    await self._due.wait()
                    await self._answered.wait()  # a broker that is busy gets one report of many changes
                rested_at = sent_at + rest_seconds(self._answer_seconds, self._terms.report_interval_seconds)
                await asyncio.sleep(max(GATHER_SECONDS, rested_at - asyncio.get_running_loop().time()))

    async def _usage(self, observation: Observation) -> list[Used]:
        """Return what is to be told of the use of leases; nothing while the engine's record cannot be read."""
        ended = [lease.key for lease in observation.leases if lease.phase is Phase.ENDED and lease.started_at]
        if not self._meter.is_due(ended, boottime_ns()):
            return []
        try:
            return self._meter.due(await self._engine.used(), boottime_ns())
        except OSError as error:  # a full disk: what cannot be kept must not be told either
            self._log.error("usage cannot be told", why=str(error))
            return []

    async def _answer_wishes(self, call: Any) -> None:
        while True:
            wish = await self._wishes.get()
            await self._write(call, wire.SyncRequest(log_chunk=await self._chunk(wish)))

    async def _chunk(self, wish: LogWish) -> wire.LogChunk:
        try:
            piece = await self._engine.read_log(wish.key, wish.task, wish.stream, wish.offset, wish.length_max)
        except UnknownLog as error:
            return wire.LogChunk(request_id=wish.request_id, complete=True, error=error.code)
        return wire.LogChunk(request_id=wish.request_id, data=piece.data, complete=piece.complete)

    async def _write(self, call: Any, message: wire.SyncRequest) -> None:
        async with self._writing:
            try:
                await call.write(message)
            except asyncio.InvalidStateError:
                raise BrokerSilent("the stream had ended") from None
