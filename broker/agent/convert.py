"""Between the wire and the agent's words. The broker is not trusted blindly: whatever it says is checked here."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.agent.engines.visible import ALL_VISIBLE_DEVICES
from broker.agent.orders import (
    Desired,
    End,
    EndReason,
    LeaseKey,
    LeaseSeen,
    LogStream,
    LogWish,
    NodeSeen,
    Observation,
    Order,
    Phase,
    PoolStock,
    Refusal,
    Stop,
    TaskPlace,
    Terms,
    UsageAnswer,
    Used,
)
from broker.ids import NODE_NAME, JobId, lease_text, parse_job, parse_lease
from broker.policy.keys import SignedPolicy
from broker.wire.v1 import cluster_service_pb2 as wire
from broker.wire.v1 import job_pb2, job_service_pb2

_EPOCH_MAX: Final = 2**31 - 1
_TASKS_MAX: Final = 10_000
_CARDS_MAX: Final = 64
_WHOLE_MILLI: Final = 1000
_COMMAND_WORDS_MAX: Final = 256
_COMMAND_BYTES_MAX: Final = 65_536
_ENVIRONMENT_MAX: Final = 256
_ENVIRONMENT_BYTES_MAX: Final = 131_072
_WALLTIME_SECONDS_MAX: Final = 31_536_000
_GRACE_SECONDS_MAX: Final = 3_600
_LOG_BYTES_MAX: Final = 262_144
_DETAIL_MAX: Final = 1_024
_VARIABLE: Final = re.compile(r"[^=\0]+")

_PHASES: Final = {
    Phase.STARTING: wire.LEASE_PHASE_STARTING,
    Phase.RUNNING: wire.LEASE_PHASE_RUNNING,
    Phase.ENDED: wire.LEASE_PHASE_ENDED,
}
_REASONS: Final = {
    EndReason.COMPLETED: job_pb2.END_REASON_COMPLETED,
    EndReason.EXIT_CODE: job_pb2.END_REASON_EXIT_CODE,
    EndReason.SIGNAL: job_pb2.END_REASON_SIGNAL,
    EndReason.WALLTIME: job_pb2.END_REASON_WALLTIME,
    EndReason.CANCELLED: job_pb2.END_REASON_CANCELLED,
    EndReason.START_FAILED: job_pb2.END_REASON_START_FAILED,
    EndReason.LOST: job_pb2.END_REASON_LOST,
    EndReason.VANISHED: job_pb2.END_REASON_VANISHED,
    EndReason.POLICY_REJECTED: job_pb2.END_REASON_POLICY_REJECTED,
}
_STREAMS: Final = {
    job_service_pb2.LOG_STREAM_UNSPECIFIED: LogStream.STDOUT,
    job_service_pb2.LOG_STREAM_STDOUT: LogStream.STDOUT,
    job_service_pb2.LOG_STREAM_STDERR: LogStream.STDERR,
}


class BadMessage(ValueError):
    """The broker sent something that makes no sense; the message names the field."""


class _BadOrder(ValueError):
    """An order cannot be carried out; the message names the field."""


def terms(message: wire.Welcome) -> Terms:
    """Return the broker's terms. Raise BadMessage when they cannot be kept."""
    millis = (message.report_interval_millis, message.suspect_after_millis, message.kill_after_millis)
    if not all(0 < one <= 86_400_000 for one in millis):
        raise BadMessage(
            "welcome: report_interval_millis, suspect_after_millis and kill_after_millis must be 1 to 86400000"
        )
    return Terms(
        session_epoch=message.session_epoch,
        report_interval_seconds=message.report_interval_millis / 1000,
        suspect_after_seconds=message.suspect_after_millis / 1000,
        kill_after_seconds=message.kill_after_millis / 1000,
        usage_interval_seconds=message.usage_interval_millis / 1000,
        policy_key_id=_printable(message.policy_key_id)[:64],
    )


def desired(message: wire.Desired) -> Desired:
    """Return what should be. Raise BadMessage when a lease or a job is not even named; other faults become refusals."""
    start: list[Order] = []
    refused: list[Refusal] = []
    for index, order in enumerate(message.start):
        field = f"desired.start[{index}]"
        key = _key(order.lease_id, order.epoch, field)
        job = parse_job(order.job_id)
        if job is None:
            raise BadMessage(f"{field}.job_id: {order.job_id[:80]!r} is no job")
        try:
            start.append(_order(order, key, job))
        except _BadOrder as error:
            refused.append(Refusal(key, job, f"the order makes no sense to the agent: {error}"))
    return Desired(
        report_sequence=message.report_sequence,
        start=tuple(start),
        refused=tuple(refused),
        stop=tuple(
            Stop(
                _key(stop.lease.lease_id, stop.lease.epoch, f"desired.stop[{index}].lease"),
                min(stop.grace_seconds, _GRACE_SECONDS_MAX),
                _printable(stop.reason)[:64] or "CANCELLED",
            )
            for index, stop in enumerate(message.stop)
        ),
        settled=frozenset(
            _key(one.lease_id, one.epoch, f"desired.settled[{index}]") for index, one in enumerate(message.settled)
        ),
        usage=tuple(
            UsageAnswer(
                _key(one.lease.lease_id, one.lease.epoch, f"desired.usage_settled[{index}].lease"),
                one.minutes_end,
                one.complete,
                _printable(one.refused)[:64],
            )
            for index, one in enumerate(message.usage_settled)
        ),
    )


def log_wish(message: wire.LogRequest) -> LogWish:
    """Return what somebody wants to read. Raise BadMessage when it names no lease or no stream."""
    if message.stream not in _STREAMS:
        raise BadMessage(f"log_request.stream: {message.stream} is none that this agent knows")
    return LogWish(
        request_id=message.request_id,
        key=_key(message.lease.lease_id, message.lease.epoch, "log_request.lease"),
        task=message.task,
        stream=_STREAMS[message.stream],
        offset=message.offset,
        length_max=min(message.length_max, _LOG_BYTES_MAX),
    )


def hello(*, cluster: str, instance: str, version: str, engine: str, pools: tuple[PoolStock, ...]) -> wire.SyncRequest:
    """Return who the agent is and what it has."""
    return wire.SyncRequest(
        hello=wire.Hello(
            cluster=cluster,
            instance=instance,
            agent_version=version,
            engine=engine,
            meters_usage=True,
            pools=[
                wire.PoolInventory(
                    pool=pool.pool,
                    model=pool.model,
                    nodes=[
                        wire.NodeInventory(
                            node=node.node,
                            cards=node.cards,
                            cpu_milli=node.cpu_milli,
                            memory_mib=node.memory_mib,
                            domain=node.domain,
                        )
                        for node in pool.nodes
                    ],
                )
                for pool in pools
            ],
        )
    )


def report(observation: Observation, *, sequence: int, at: datetime, usage: Sequence[Used] = ()) -> wire.SyncRequest:
    """Return what is true now, complete."""
    return wire.SyncRequest(
        report=wire.Report(
            sequence=sequence,
            nodes=[_node_report(node) for node in observation.nodes],
            leases=[_lease_report(lease) for lease in observation.leases],
            at=_timestamp(at),
            usage=[_usage_report(used) for used in usage],
        )
    )


def _node_report(node: NodeSeen) -> wire.NodeReport:
    return wire.NodeReport(
        node=node.node, down=node.down, foreign_cards=sorted(node.foreign_cards), detail=_printable(node.detail)[:256]
    )


def _lease_report(lease: LeaseSeen) -> wire.LeaseReport:
    return wire.LeaseReport(
        lease_id=lease_text(lease.key.lease),
        epoch=lease.key.epoch,
        phase=_PHASES[lease.phase],
        started_at=_timestamp(lease.started_at),
        ended_at=_timestamp(lease.ended_at),
        end=None if lease.end is None else _end(lease.end),
        data_ready=lease.data_ready,
    )


def _usage_report(used: Used) -> wire.UsageReport:
    return wire.UsageReport(
        lease_id=lease_text(used.key.lease),
        epoch=used.key.epoch,
        minutes=[wire.MinuteRange(first=0, last=used.minutes - 1)] if used.minutes else [],
        cut_seconds=used.cut_seconds,
        milli_cards=used.milli_cards,
        joules=used.joules,
        complete=used.complete,
    )


def _end(end: End) -> job_pb2.End:
    return job_pb2.End(
        reason=_REASONS[end.reason],
        exit_code=end.exit_code,
        signal=end.signal,
        detail=_printable(end.detail)[:_DETAIL_MAX],
    )


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def _printable(text: str) -> str:
    """Return the text without what would break a terminal, a log line or UTF-8."""
    return "".join(one if one.isprintable() else " " for one in text)


def _key(lease_id: str, epoch: int, field: str) -> LeaseKey:
    lease = parse_lease(lease_id)
    if lease is None:
        raise BadMessage(f"{field}.lease_id: {lease_id[:80]!r} is no lease")
    if not 0 < epoch <= _EPOCH_MAX:
        raise BadMessage(f"{field}.epoch: {epoch} is none")
    return LeaseKey(lease, epoch)


def _order(message: wire.LeaseOrder, key: LeaseKey, job: JobId) -> Order:
    _within("walltime_seconds", message.walltime_seconds, 1, _WALLTIME_SECONDS_MAX)
    _within("grace_seconds", message.grace_seconds, 0, _GRACE_SECONDS_MAX)
    _within("cards_per_task", message.cards_per_task, 1, _CARDS_MAX)
    return Order(
        key=key,
        job=job,
        city=_printable(message.city)[:63],
        name=_printable(message.name)[:128],
        stack=message.build.stack,
        command=_command(message.build),
        environment=_environment(message.build),
        tasks=_tasks(message),
        walltime_seconds=message.walltime_seconds,
        grace_seconds=message.grace_seconds,
        renewed=message.if_lost == job_pb2.IF_LOST_RESTART,
        share_milli=_share(message),
        policy=_policy(message),
    )


def _policy(message: wire.LeaseOrder) -> SignedPolicy | None:
    if not message.HasField("policy"):
        return None
    return SignedPolicy(message.policy.statement, message.policy.signature)


def _within(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise _BadOrder(f"{field}: {value} is not within {least} and {most}")


def _command(build: job_pb2.Build) -> tuple[str, ...]:
    words = tuple(build.command)
    _within("build.command", len(words), 1, _COMMAND_WORDS_MAX)
    _within("bytes of build.command", sum(len(word.encode()) for word in words), 1, _COMMAND_BYTES_MAX)
    if not words[0] or any("\0" in word for word in words):
        raise _BadOrder("build.command: the program is empty, or a word holds a zero byte")
    return words


def _environment(build: job_pb2.Build) -> dict[str, str]:
    """Return the job's own variables without those that only the agent sets."""
    _within("build.environment", len(build.environment), 0, _ENVIRONMENT_MAX)
    size = sum(len(name.encode()) + len(value.encode()) for name, value in build.environment.items())
    _within("bytes of build.environment", size, 0, _ENVIRONMENT_BYTES_MAX)
    for name, value in build.environment.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise _BadOrder(
                f"build.environment: {name[:80]!r} cannot be the name of a variable, or its value holds a zero byte"
            )
    return {
        name: value
        for name, value in build.environment.items()
        if not name.startswith("XISUAN_") and name not in ALL_VISIBLE_DEVICES
    }


def _share(message: wire.LeaseOrder) -> int:
    """Return what each task may use of its card in thousandths, 0 when cards are whole."""
    shares = {node.share_milli for node in message.nodes}
    if len(shares) > 1:
        raise _BadOrder("nodes: share_milli must be the same on all of them")
    share = max(shares, default=0)
    _within("share_milli", share, 0, _WHOLE_MILLI - 1)
    if share and message.cards_per_task != 1:
        raise _BadOrder(f"cards_per_task: {message.cards_per_task} shares for each task; must be 1")
    return share


def _tasks(message: wire.LeaseOrder) -> tuple[TaskPlace, ...]:
    """Give each task its own cards of its node, in the order of the message."""
    tasks: list[TaskPlace] = []
    nodes: set[str] = set()
    for index, node in enumerate(message.nodes):
        cards = tuple(node.cards)
        field = f"nodes[{index}]"
        if not NODE_NAME.fullmatch(node.node) or node.node in nodes:
            raise _BadOrder(f"{field}.node: {node.node[:80]!r} is no name of a node, or named twice")
        if list(cards) != sorted(cards) or (cards and cards[-1] >= _CARDS_MAX):
            raise _BadOrder(f"{field}.cards: must be ascending card numbers below {_CARDS_MAX}")
        if any(count * (node.share_milli or _WHOLE_MILLI) > _WHOLE_MILLI for count in Counter(cards).values()):
            raise _BadOrder(f"{field}.cards: a card is named for more than there is of it")
        if node.tasks < 1 or node.tasks * message.cards_per_task != len(cards):
            raise _BadOrder(
                f"{field}: {node.tasks} tasks of {message.cards_per_task} cards do not use {len(cards)} cards"
            )
        nodes.add(node.node)
        step = message.cards_per_task
        tasks.extend(TaskPlace(node.node, cards[first : first + step]) for first in range(0, len(cards), step))
    _within("tasks", len(tasks), 1, _TASKS_MAX)
    return tuple(tasks)
