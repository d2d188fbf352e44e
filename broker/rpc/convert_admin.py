"""Between the wire and the domain: requests of AdminService in (all checks of its proto), everything it shows out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from broker.caller import Role
from broker.ids import NODE_NAME, LeaseId, RoundId, job_text, parse_lease
from broker.job import Lease
from broker.lifecycle import LeaseState
from broker.market.operations import Overview
from broker.rpc.convert import placement_to_wire, timestamp
from broker.rpc.convert_checks import Checks, shown
from broker.rpc.convert_enums import AGENT_STATE, JOB_STATE, LEASE_STATE, NODE_MODE, ROLE
from broker.store.keys import StoredKey
from broker.store.nodes import ClusterUse, Node, PoolUse
from broker.store.rounds import RoundReport
from broker.wire.v1 import admin_service_pb2 as pb
from broker.worlds.capacity import racks_milli
from broker.worlds.catalogue import Catalogue, CityRow, ClusterRow, HubRow, ModelRow
from broker.worlds.rates import ASK_MICRO_YUAN_MAX, Curve

PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_STANDARD: Final = 100
ROUNDS_STANDARD: Final = 20
NODES_MAX: Final = 1000
STATES_MAX: Final = 16
ASKS_MAX: Final = 256
TITLE_CHARACTERS_MAX: Final = 128
NOTE_CHARACTERS_MAX: Final = 128
REASON_CHARACTERS_MAX: Final = 256
KEY_ID_CHARACTERS_MAX: Final = 64
ROUND_MAX: Final = 2**63 - 1
ROUND_DIGITS_MAX: Final = 18
GONE: Final = "its agent no longer reports this node"

OUTCOMES: Final[Mapping[str, pb.RoundOutcome]] = {
    "committed": pb.ROUND_OUTCOME_COMMITTED,
    "rejected": pb.ROUND_OUTCOME_REJECTED,
    "failed": pb.ROUND_OUTCOME_FAILED,
}


@dataclass(frozen=True, slots=True)
class NodeChange:
    """Which nodes to close, and why."""

    cluster: str
    nodes: tuple[str, ...]  # empty: every node of the cluster
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseFilter:
    """Which page of which live leases."""

    states: tuple[LeaseState, ...]
    cluster: str
    after: LeaseId
    limit: int


def cluster_row(request: pb.RegisterClusterRequest) -> ClusterRow:
    """Return the cluster to register. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    asks = dict(request.ask_micro_yuan_per_card_hour)
    checks.count("ask_micro_yuan_per_card_hour", sorted(asks), 0, ASKS_MAX)
    for model, ask in sorted(asks.items())[:ASKS_MAX]:
        checks.slug("ask_micro_yuan_per_card_hour", model)
        checks.within(f"ask_micro_yuan_per_card_hour[{shown(model)}]", ask, 0, ASK_MICRO_YUAN_MAX)
    found = ClusterRow(
        cluster=checks.slug("cluster", request.cluster),
        hub=checks.slug("hub", request.hub),
        owner=checks.slug("owner", request.owner),
        title=request.title and checks.printable("title", request.title, TITLE_CHARACTERS_MAX),
    )
    checks.done()
    return replace(found, asks={model: Curve.flat(ask) for model, ask in asks.items()})


def hub_or_empty(request: pb.ListClustersRequest) -> str:
    """Return the hub whose clusters are asked for, empty for all. Raise InvalidRequest."""
    checks = Checks()
    checks.slug_or_empty("hub", request.hub)
    checks.done()
    return request.hub


def node_page(request: pb.ListNodesRequest) -> tuple[str, str, int]:
    """Return the cluster, the node after which the page begins, and its size. Raise InvalidRequest."""
    checks = Checks()
    checks.slug("cluster", request.cluster)
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
    if request.page_token and NODE_NAME.fullmatch(request.page_token) is None:
        _wrong_token(checks, request.page_token)
    checks.done()
    return request.cluster, request.page_token, limit


def node_change(request: pb.CordonNodesRequest | pb.DrainNodesRequest) -> NodeChange:
    """Return which nodes to close, and why. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    checks.slug("cluster", request.cluster)
    nodes = node_names(checks, request.nodes)
    reason = checks.printable("reason", request.reason, REASON_CHARACTERS_MAX)
    checks.done()
    return NodeChange(request.cluster, nodes, reason)


def nodes_to_open(request: pb.UncordonNodesRequest) -> tuple[str, tuple[str, ...]]:
    """Return the cluster and its nodes to open. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    checks.slug("cluster", request.cluster)
    nodes = node_names(checks, request.nodes)
    checks.done()
    return request.cluster, nodes


def lease_filter(request: pb.ListLeasesRequest) -> LeaseFilter:
    """Return which leases to list. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    states = [
        LEASE_STATE.read(checks, f"states[{i}]", request.states[i])
        for i in range(checks.count("states", request.states, 0, STATES_MAX))
    ]
    if LeaseState.ENDED in states:
        checks.wrong("states", "only live leases are listed: leave LEASE_STATE_ENDED out")
    after = parse_lease(request.page_token) if request.page_token else LeaseId(0)
    if after is None:
        _wrong_token(checks, request.page_token)
    found = LeaseFilter(
        states=tuple(states),
        cluster=checks.slug_or_empty("cluster", request.cluster),
        after=after or LeaseId(0),
        limit=checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD,
    )
    checks.done()
    return found


def written_off(request: pb.WriteOffLeaseRequest) -> tuple[LeaseId, str]:
    """Return the lease to write off, and why. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    lease = checks.lease_id("lease_id", request.lease_id)
    reason = checks.printable("reason", request.reason, REASON_CHARACTERS_MAX)
    checks.done()
    return lease, reason


def round_page(request: pb.ListRoundsRequest) -> tuple[int, RoundId | None]:
    """Return the size of the page, and the round before which it begins. Raise InvalidRequest."""
    checks = Checks()
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or ROUNDS_STANDARD
    before, token = None, request.page_token
    if token.isascii() and token.isdigit() and len(token) <= ROUND_DIGITS_MAX:
        before = RoundId(int(token))
    elif token:
        _wrong_token(checks, token)
    checks.done()
    return limit, before


def round_or_last(number: int) -> RoundId | None:
    """Return the round that a request names, None when it means the last one. Raise InvalidRequest."""
    checks = Checks()
    checks.within("round", number, 0, ROUND_MAX)
    checks.done()
    return RoundId(number) if number else None


def new_key(request: pb.CreateKeyRequest) -> tuple[Role, str, str]:
    """Return role, subject and note of a key to make. Raise InvalidRequest that names every wrong field."""
    checks = Checks()
    role = ROLE.read(checks, "role", request.role)
    if role in (Role.CITY, Role.AGENT, Role.OWNER):
        checks.slug("subject", request.subject)
    elif role is Role.ENTERPRISE:
        city, mark, enterprise = request.subject.partition("/")
        if not mark:
            checks.wrong("subject", f"must be CITY/ENTERPRISE, such as ganzhou/acme, not {shown(request.subject)}")
        else:
            checks.slug("subject", city)
            checks.slug("subject", enterprise)
    elif request.subject:
        checks.wrong("subject", "must be empty: a key of this role is for no city, cluster or owner")
    note = request.note and checks.printable("note", request.note, NOTE_CHARACTERS_MAX)
    checks.done()
    return role, request.subject, note


def key_id(request: pb.RevokeKeyRequest) -> str:
    """Return the key to revoke. Raise InvalidRequest."""
    checks = Checks()
    checks.printable_ascii("key_id", request.key_id, KEY_ID_CHARACTERS_MAX)
    checks.done()
    return request.key_id


def node_names(checks: Checks, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of nodes that a request has under `nodes`; what is wrong goes to `checks`."""
    for i in range(checks.count("nodes", names, 0, NODES_MAX)):
        if NODE_NAME.fullmatch(names[i]) is None:
            checks.wrong(f"nodes[{i}]", f"must be 1 to 253 characters of A-Z, a-z, 0-9, '_.-', not {shown(names[i])}")
    return tuple(names)


def _wrong_token(checks: Checks, token: str) -> None:
    checks.wrong("page_token", f"must be the next_page_token of the page before, not {shown(token)}")


def catalogue_to_wire(catalogue: Catalogue) -> pb.GetCatalogueResponse:
    """Return hubs, accelerator models and cities, by name."""
    return pb.GetCatalogueResponse(
        hubs=[_hub(catalogue.hubs[name]) for name in sorted(catalogue.hubs)],
        models=[_model(catalogue.models[name]) for name in sorted(catalogue.models)],
        cities=[_city(catalogue.cities[name]) for name in sorted(catalogue.cities)],
    )


def _hub(row: HubRow) -> pb.Hub:
    return pb.Hub(
        hub=row.hub,
        title=row.title,
        power_kilowatts_max=row.power_kilowatts_max,
        pue_milli=row.pue_milli,
        capacity=[
            pb.DatedCapacity(
                date=entry.date.isoformat(),
                fp16_milli_pflops=entry.fp16_milli_pflops,
                cards=entry.cards,
                racks=entry.racks,
                planned=entry.planned,
                doubtful=entry.doubtful,
                source=entry.source,
            )
            for entry in row.capacity
        ],
        energy_kilowatt_hours_per_year=row.energy_kilowatt_hours_per_year,
        micro_yuan_per_kilowatt_hour=row.micro_yuan_per_kilowatt_hour,
    )


def _model(row: ModelRow) -> pb.AcceleratorModel:
    return pb.AcceleratorModel(
        model=row.model,
        vendor=row.vendor,
        stack=row.stack,
        origin=row.origin,
        fp16_nameplate_milli_tflops=row.fp16_nameplate_milli_tflops,
        fp16_programme_milli_tflops=row.fp16_programme_milli_tflops,
        fp16_measured_milli_tflops=row.fp16_measured_milli_tflops,
        memory_mib=row.memory_mib,
        watts=row.watts,
        source=row.source,
        host_watts=row.host_watts,
        slices_milli=row.slices_milli,
        shares_per_card_max=row.shares_per_card_max,
    )


def _city(row: CityRow) -> pb.City:
    return pb.City(
        city=row.city,
        title=row.title,
        weight_ppm=row.weight_ppm,
        pending_jobs_max=row.pending_jobs_max,
        calls_per_second_max=row.calls_per_second_max,
        ceiling_micro_yuan_per_pflops_hour=row.ceiling_micro_yuan_per_pflops_hour,
        round_trips=[pb.RoundTrip(hub=hub, micros=trip.micros) for hub, trip in sorted(row.round_trips.items())],
        transfers=[
            pb.Transfer(hub=hub, mib_per_second=way.mib_per_second, micro_yuan_per_gib=way.micro_yuan_per_gib)
            for hub, way in sorted(row.transfers.items())
        ],
    )


def overview_to_wire(overview: Overview, last_round: RoundReport | None) -> pb.GetOverviewResponse:
    """Return the numbers of a live display."""
    return pb.GetOverviewResponse(
        at=timestamp(overview.at),
        jobs=[
            pb.JobCount(city=city, state=JOB_STATE.to_wire(state), jobs=jobs)
            for (city, state), jobs in sorted(overview.jobs.items())
        ],
        clusters=[cluster_to_wire(cluster) for cluster in overview.clusters],
        last_round=None if last_round is None else round_to_wire(last_round),
        events=overview.events,
    )


def cluster_to_wire(cluster: ClusterUse) -> pb.Cluster:
    """Return a cluster with the use of its pools."""
    return pb.Cluster(
        cluster=cluster.cluster,
        title=cluster.title,
        hub=cluster.hub,
        owner=cluster.owner,
        engine=cluster.engine,
        agent=AGENT_STATE.to_wire(cluster.agent),
        heard_at=None if cluster.heard_at is None else timestamp(cluster.heard_at),
        pools=[_pool(pool) for pool in cluster.pools],
    )


def _pool(pool: PoolUse) -> pb.Pool:
    return pb.Pool(
        pool=pool.pool,
        model=pool.model,
        nodes=pool.nodes,
        cards=pool.cards,
        cards_leased=pool.cards_leased,
        cards_foreign=pool.cards_foreign,
        cards_closed=pool.cards_closed,
        fp16_milli_pflops=pool.fp16_milli_pflops,
        racks_milli=racks_milli(pool.watts),
        ask_micro_yuan_per_card_hour=pool.ask_micro_yuan_per_card_hour,
    )


def node_to_wire(node: Node) -> pb.Node:
    """Return a node with what is in use on it."""
    return pb.Node(
        node=node.node,
        pool=node.pool,
        cards=node.cards,
        leased_cards=node.leased_cards,
        foreign_cards=node.foreign_cards,
        mode=NODE_MODE.to_wire(node.mode),
        mode_reason=node.mode_reason,
        down=node.down or not node.present,
        detail=node.detail if node.present else GONE,
        cpu_milli=node.cpu_milli,
        memory_mib=node.memory_mib,
    )


def lease_to_wire(lease: Lease) -> pb.Lease:
    """Return a lease with its named cards."""
    return pb.Lease(
        job_id=job_text(lease.job),
        city=lease.city,
        state=LEASE_STATE.to_wire(lease.state),
        placement=placement_to_wire(lease.placement),
        offered_at=timestamp(lease.offered_at),
        started_at=None if lease.started_at is None else timestamp(lease.started_at),
    )


def lease_token(last: pb.Lease) -> str:
    """Return the token by which the page after this lease is asked for."""
    return last.placement.lease_id


def round_to_wire(report: RoundReport) -> pb.Round:
    """Return the report of a round."""
    return pb.Round(
        round=report.round,
        at=timestamp(report.at),
        outcome=OUTCOMES[report.outcome],
        input_sha256=report.input_sha256,
        jobs=report.jobs,
        placed=report.placed,
        stale=report.stale,
        objective_micro_yuan_per_hour=report.objective,
        bound_micro_yuan_per_hour=report.bound,
        gap_ppm=report.gap_ppm,
        effort=report.effort,
        snapshot_millis=report.snapshot_millis,
        plan_millis=report.plan_millis,
        verify_millis=report.verify_millis,
        commit_millis=report.commit_millis,
        versions=report.versions,
        error=report.error,
        refused_by_reason=report.refused_by_reason,
        stopped=report.stopped,
    )


def refusals_to_wire(refusals: Iterable[tuple[str, str]]) -> list[pb.Refusal]:
    """Return the jobs that a round left waiting, each with its reason."""
    return [pb.Refusal(job_id=job, reason=reason) for job, reason in refusals]


def key_to_wire(key: StoredKey) -> pb.Key:
    """Return a key, without anything of its secret."""
    return pb.Key(
        key_id=key.key_id,
        role=ROLE.to_wire(key.role),
        subject=key.subject,
        note=key.note,
        created_at=timestamp(key.created_at),
        revoked_at=None if key.revoked_at is None else timestamp(key.revoked_at),
    )
