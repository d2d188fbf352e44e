"""Between the wire and the domain: what agents say in (all checks of cluster_service.proto), what they are told out.

An agent holds a key, yet it stands at somebody else's site: whatever it sends is checked like any outside input.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, TypeVar

from google.protobuf.message import Message

from broker.errors import invalid
from broker.ids import NODE_NAME, job_text, lease_text
from broker.job import Ending
from broker.lifecycle import EndReason
from broker.market.clusters import Terms
from broker.market.logs import PIECE_BYTES_MAX, LogPiece, LogProblem, LogRequest, LogStream
from broker.market.reports import Desired, Hello, LeasePhase, LeaseSeen, LeaseStop, Report, by_ref
from broker.rpc import convert_usage
from broker.rpc.convert import build_to_wire, node_cards_to_wire, policy_to_wire
from broker.rpc.convert_checks import EPOCH, Checks, shown
from broker.rpc.convert_enums import END_REASON, IF_LOST
from broker.store.clusters import NodeCondition, NodeInventory, PoolInventory
from broker.store.leases import LeaseRef
from broker.store.orders import LeaseOrder
from broker.wire.v1 import cluster_service_pb2 as pb
from broker.wire.v1 import job_pb2, job_service_pb2

POOLS_MAX: Final = 64
NODES_MAX: Final = 20_000
CLUSTER_NODES_MAX: Final = 50_000
"""Nodes in all pools: the whole programme has some 45,000, and one cluster must not fill every round."""

CARDS_MAX: Final = 64
LEASES_MAX: Final = 200_000
NAME_CHARACTERS_MAX: Final = 64
DOMAIN_CHARACTERS_MAX: Final = 63
NODE_DETAIL_CHARACTERS_MAX: Final = 256
END_DETAIL_CHARACTERS_MAX: Final = 1024
SIGNAL_MAX: Final = 64
INT_MAX: Final = 2**31 - 1
CLOCK_UNTIL: Final = datetime(2200, 1, 1, tzinfo=UTC)

DESIRED_BYTES_MAX: Final = 3 * 1024 * 1024
"""Orders in one Desired, in bytes: peers refuse messages over 4 MiB unless told otherwise."""

# What an agent may say of an end; the others are the broker's own words. LOST: killed by the agent's terms.
AGENTS_REASONS: Final = frozenset(EndReason) - {EndReason.WRITTEN_OFF, EndReason.EXPIRED}

PHASES: Final = {
    pb.LEASE_PHASE_STARTING: LeasePhase.STARTING,
    pb.LEASE_PHASE_RUNNING: LeasePhase.RUNNING,
    pb.LEASE_PHASE_ENDED: LeasePhase.ENDED,
}
STREAMS: Final = {
    LogStream.STDOUT: job_service_pb2.LOG_STREAM_STDOUT,
    LogStream.STDERR: job_service_pb2.LOG_STREAM_STDERR,
}


def hello(wire: pb.Hello) -> Hello:
    """Return who the agent is and what it has. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    pools = checks.count("hello.pools", wire.pools, 0, POOLS_MAX)
    total = sum(len(pool.nodes) for pool in wire.pools)
    if total > CLUSTER_NODES_MAX:
        raise invalid("hello.pools", f"have {total} nodes together, must have at most {CLUSTER_NODES_MAX}")
    found = Hello(
        cluster=checks.slug("hello.cluster", wire.cluster),
        instance=checks.printable_ascii("hello.instance", wire.instance, NAME_CHARACTERS_MAX),
        agent_version=checks.printable_ascii("hello.agent_version", wire.agent_version or "-", NAME_CHARACTERS_MAX),
        engine=checks.printable_ascii("hello.engine", wire.engine, NAME_CHARACTERS_MAX),
        pools=tuple(_pool(checks, f"hello.pools[{i}]", wire.pools[i]) for i in range(pools)),
        meters_usage=wire.meters_usage,
    )
    _each_once(checks, "hello.pools[{}].pool", [pool.pool for pool in found.pools])
    places = [(i, k) for i, pool in enumerate(found.pools) for k in range(len(pool.nodes))]
    nodes = [node.node for pool in found.pools for node in pool.nodes]
    _each_once(checks, "hello.pools[{}].nodes[{}].node", nodes, places)
    checks.done()
    return found


def _pool(checks: Checks, path: str, wire: pb.PoolInventory) -> PoolInventory:
    nodes = checks.count(f"{path}.nodes", wire.nodes, 0, NODES_MAX)
    return PoolInventory(
        pool=checks.slug(f"{path}.pool", wire.pool),
        model=checks.slug(f"{path}.model", wire.model),
        nodes=tuple(_node(checks, f"{path}.nodes[{i}]", wire.nodes[i]) for i in range(nodes)),
    )


def _node(checks: Checks, path: str, wire: pb.NodeInventory) -> NodeInventory:
    return NodeInventory(
        node=_node_name(checks, f"{path}.node", wire.node),
        cards=checks.within(f"{path}.cards", wire.cards, 0, CARDS_MAX),
        cpu_milli=checks.within(f"{path}.cpu_milli", wire.cpu_milli, 0, INT_MAX),
        memory_mib=checks.within(f"{path}.memory_mib", wire.memory_mib, 0, INT_MAX),
        domain=_domain(checks, f"{path}.domain", wire.domain),
    )


def _domain(checks: Checks, path: str, name: str) -> str:
    if name and (len(name) > DOMAIN_CHARACTERS_MAX or NODE_NAME.fullmatch(name) is None):
        checks.wrong(path, f"must be at most 63 characters of a-z, A-Z, 0-9, '-', '_' and '.', not {shown(name)}")
        return ""
    return name


Wire = TypeVar("Wire", bound=Message)
Found = TypeVar("Found")


class Reports:
    """Reads the reports of one stream. Each is complete, so most of it was said before: that is not judged again."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, NodeCondition] = {}  # of the last report, by the bytes that said it
        self._leases: dict[bytes, LeaseSeen] = {}

    def read(self, wire: pb.Report) -> Report:
        """Return what is true on the cluster. Raise InvalidRequest that names every wrong field."""
        checks = Checks()
        nodes = self._read(checks, "report.nodes", wire.nodes, CLUSTER_NODES_MAX, self._nodes, _condition)
        leases = self._read(checks, "report.leases", wire.leases, LEASES_MAX, self._leases, _lease)
        found = Report(
            sequence=checks.within("report.sequence", wire.sequence, 1, 2**64 - 1),
            measured_at=_moment(checks, "report.at", wire, "at"),
            nodes=tuple([each for _, each in nodes]),
            leases=by_ref([each for _, each in leases]),
            usage=convert_usage.usage(checks, wire),
        )
        _each_once(checks, "report.nodes[{}].node", [each.node for each in found.nodes])
        _each_once(checks, "report.leases[{}].lease_id", [each.ref.lease for _, each in leases])
        checks.done()
        self._nodes, self._leases = dict(nodes), dict(leases)
        return found

    def _read(
        self,
        checks: Checks,
        path: str,
        wires: Sequence[Wire],
        most: int,
        before: dict[bytes, Found],
        read: Callable[[Checks, str, Wire], Found],
    ) -> list[tuple[bytes, Found]]:
        """Return what is said of each, beside the bytes that say it."""
        said = [wire.SerializeToString() for wire in wires[: checks.count(path, wires, 0, most)]]
        known = before.get
        return [
            (each, found if (found := known(each)) is not None else read(checks, f"{path}[{at}]", wires[at]))
            for at, each in enumerate(said)
        ]


def _condition(checks: Checks, path: str, wire: pb.NodeReport) -> NodeCondition:
    cards = tuple(wire.foreign_cards[: checks.count(f"{path}.foreign_cards", wire.foreign_cards, 0, CARDS_MAX)])
    if any(a >= b for a, b in pairwise(cards)):
        checks.wrong(f"{path}.foreign_cards", "must be ascending, each card once")
    return NodeCondition(
        node=_node_name(checks, f"{path}.node", wire.node),
        down=wire.down,
        foreign_cards=cards,
        detail=_words(checks, f"{path}.detail", wire.detail, NODE_DETAIL_CHARACTERS_MAX),
    )


def _lease(checks: Checks, path: str, wire: pb.LeaseReport) -> LeaseSeen:
    phase = PHASES.get(wire.phase)
    if phase is None:
        checks.wrong(f"{path}.phase", f"must be starting, running or ended, not {wire.phase or 'unspecified'}")
    ended = phase is LeasePhase.ENDED
    if ended and not wire.HasField("end"):
        checks.wrong(f"{path}.end", "must be set when the phase is LEASE_PHASE_ENDED")
    return LeaseSeen(
        ref=LeaseRef(
            checks.lease_id(f"{path}.lease_id", wire.lease_id), checks.within(f"{path}.epoch", wire.epoch, 1, INT_MAX)
        ),
        phase=phase or LeasePhase.STARTING,
        started_at=_moment(checks, f"{path}.started_at", wire, "started_at"),
        ended_at=_moment(checks, f"{path}.ended_at", wire, "ended_at"),
        ending=_ending(checks, f"{path}.end", wire.end) if ended and wire.HasField("end") else None,
        data_ready=wire.data_ready,
    )


def _ending(checks: Checks, path: str, wire: job_pb2.End) -> Ending:
    reason = END_REASON.read(checks, f"{path}.reason", wire.reason)
    if reason not in AGENTS_REASONS:
        checks.wrong(f"{path}.reason", f"{reason} is for the broker to say")
    return Ending(
        reason=reason,
        exit_code=wire.exit_code,
        signal=checks.within(f"{path}.signal", wire.signal, 0, SIGNAL_MAX),
        detail=_words(checks, f"{path}.detail", wire.detail, END_DETAIL_CHARACTERS_MAX),
    )


def log_piece(wire: pb.LogChunk) -> LogPiece:
    """Return a piece of output. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    if len(wire.data) > PIECE_BYTES_MAX:
        checks.wrong("log_chunk.data", f"has {len(wire.data)} bytes, at most {PIECE_BYTES_MAX} were asked for")
    problem = None
    if wire.error:
        if wire.error in set(LogProblem):
            problem = LogProblem(wire.error)
        else:
            checks.wrong("log_chunk.error", f"must be one of {', '.join(LogProblem)}, not {shown(wire.error)}")
    checks.done()
    return LogPiece(data=wire.data, complete=wire.complete, problem=problem)


def _node_name(checks: Checks, path: str, name: str) -> str:
    if NODE_NAME.fullmatch(name) is None:
        checks.wrong(path, f"must be 1 to 253 characters of a-z, A-Z, 0-9, '-', '_' and '.', not {shown(name)}")
    return name


def _words(checks: Checks, path: str, text: str, characters_max: int) -> str:
    """Return a sentence for people. Operating systems put anything in it; what cannot be shown is replaced."""
    if len(text) > characters_max:
        checks.wrong(path, f"has {len(text)} characters, must have at most {characters_max}")
        return ""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _moment(checks: Checks, path: str, wire: pb.Report | pb.LeaseReport, name: str) -> datetime | None:
    if not wire.HasField(name):
        return None
    return checks.moment(path, getattr(wire, name), after=EPOCH, until=CLOCK_UNTIL)


def _each_once(
    checks: Checks, path: str, names: Sequence[object], places: Sequence[tuple[int, ...]] | None = None
) -> None:
    """Check that no name comes twice. `places`: what to put into the path for each of them; None: its number."""
    if len(set(names)) == len(names):
        return
    seen: set[object] = set()
    for at, name in enumerate(names):
        if name in seen:
            checks.wrong(path.format(*(places[at] if places else (at,))), f"{shown(str(name))} is named twice")
        seen.add(name)


def welcome(terms: Terms, session_epoch: int, policy_key_id: str = "") -> pb.SyncResponse:
    """Return the broker's terms as an answer to Hello; the key signs placement policies, empty when none does."""
    return pb.SyncResponse(
        welcome=pb.Welcome(
            session_epoch=session_epoch,
            report_interval_millis=round(terms.report_interval_seconds * 1000),
            suspect_after_millis=round(terms.suspect_after_seconds * 1000),
            lost_after_millis=round(terms.lost_after_seconds * 1000),
            kill_after_millis=round(terms.kill_after_seconds * 1000),
            policy_key_id=policy_key_id,
            usage_interval_millis=round(terms.usage_interval_seconds * 1000),
        )
    )


def desired_to_wire(desired: Desired) -> pb.SyncResponse:
    """Return what should be; orders that would make the message too large follow after the next report."""
    message = pb.Desired(
        report_sequence=desired.report_sequence,
        stop=map(_stop_to_wire, desired.stop),
        settled=map(_ref_to_wire, desired.settled),
        usage_settled=map(convert_usage.answer_to_wire, desired.usage),
    )
    size = 0
    for order in desired.start:
        wire = _order_to_wire(order)
        size += wire.ByteSize()
        if size > DESIRED_BYTES_MAX and message.start:
            break
        message.start.append(wire)
    return pb.SyncResponse(desired=message)


def log_request_to_wire(request: LogRequest) -> pb.SyncResponse:
    """Return the wish for a piece of output."""
    return pb.SyncResponse(
        log_request=pb.LogRequest(
            request_id=request.request,
            lease=_ref_to_wire(request.ref),
            task=request.task,
            stream=STREAMS[request.stream],
            offset=request.offset,
            length_max=request.length_max,
        )
    )


def _order_to_wire(order: LeaseOrder) -> pb.LeaseOrder:
    return pb.LeaseOrder(
        lease_id=lease_text(order.ref.lease),
        epoch=order.ref.epoch,
        job_id=job_text(order.job),
        city=order.city,
        name=order.name,
        build=build_to_wire(order.build),
        pool=order.pool,
        nodes=map(node_cards_to_wire, order.nodes),
        cards_per_task=order.cards_per_task,
        walltime_seconds=order.walltime_seconds,
        grace_seconds=order.grace_seconds,
        if_lost=IF_LOST.to_wire(order.if_lost),
        policy=None if order.policy is None else policy_to_wire(order.policy),
    )


def _stop_to_wire(stop: LeaseStop) -> pb.LeaseStop:
    return pb.LeaseStop(lease=_ref_to_wire(stop.ref), grace_seconds=stop.grace_seconds, reason=stop.reason)


def _ref_to_wire(ref: LeaseRef) -> pb.LeaseRef:
    return pb.LeaseRef(lease_id=lease_text(ref.lease), epoch=ref.epoch)
