import datetime

from broker.wire.v1 import job_pb2 as _job_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_STATE_UNSPECIFIED: _ClassVar[AgentState]
    AGENT_STATE_NEVER: _ClassVar[AgentState]
    AGENT_STATE_LIVE: _ClassVar[AgentState]
    AGENT_STATE_SUSPECT: _ClassVar[AgentState]
    AGENT_STATE_LOST: _ClassVar[AgentState]

class NodeMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_MODE_UNSPECIFIED: _ClassVar[NodeMode]
    NODE_MODE_OPEN: _ClassVar[NodeMode]
    NODE_MODE_CORDONED: _ClassVar[NodeMode]
    NODE_MODE_DRAINING: _ClassVar[NodeMode]
    NODE_MODE_DRAINED: _ClassVar[NodeMode]

class LeaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_STATE_UNSPECIFIED: _ClassVar[LeaseState]
    LEASE_STATE_OFFERED: _ClassVar[LeaseState]
    LEASE_STATE_ACTIVE: _ClassVar[LeaseState]
    LEASE_STATE_LOST: _ClassVar[LeaseState]
    LEASE_STATE_ENDED: _ClassVar[LeaseState]

class RoundOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_OUTCOME_UNSPECIFIED: _ClassVar[RoundOutcome]
    ROUND_OUTCOME_COMMITTED: _ClassVar[RoundOutcome]
    ROUND_OUTCOME_REJECTED: _ClassVar[RoundOutcome]
    ROUND_OUTCOME_FAILED: _ClassVar[RoundOutcome]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_CITY: _ClassVar[Role]
    ROLE_AGENT: _ClassVar[Role]
    ROLE_OPERATOR: _ClassVar[Role]
    ROLE_OBSERVER: _ClassVar[Role]
    ROLE_OWNER: _ClassVar[Role]
    ROLE_AUDITOR: _ClassVar[Role]
    ROLE_VOUCHER_OFFICE: _ClassVar[Role]
    ROLE_ENTERPRISE: _ClassVar[Role]
AGENT_STATE_UNSPECIFIED: AgentState
AGENT_STATE_NEVER: AgentState
AGENT_STATE_LIVE: AgentState
AGENT_STATE_SUSPECT: AgentState
AGENT_STATE_LOST: AgentState
NODE_MODE_UNSPECIFIED: NodeMode
NODE_MODE_OPEN: NodeMode
NODE_MODE_CORDONED: NodeMode
NODE_MODE_DRAINING: NodeMode
NODE_MODE_DRAINED: NodeMode
LEASE_STATE_UNSPECIFIED: LeaseState
LEASE_STATE_OFFERED: LeaseState
LEASE_STATE_ACTIVE: LeaseState
LEASE_STATE_LOST: LeaseState
LEASE_STATE_ENDED: LeaseState
ROUND_OUTCOME_UNSPECIFIED: RoundOutcome
ROUND_OUTCOME_COMMITTED: RoundOutcome
ROUND_OUTCOME_REJECTED: RoundOutcome
ROUND_OUTCOME_FAILED: RoundOutcome
ROLE_UNSPECIFIED: Role
ROLE_CITY: Role
ROLE_AGENT: Role
ROLE_OPERATOR: Role
ROLE_OBSERVER: Role
ROLE_OWNER: Role
ROLE_AUDITOR: Role
ROLE_VOUCHER_OFFICE: Role
ROLE_ENTERPRISE: Role

class ApplyWorldRequest(_message.Message):
    __slots__ = ("document", "dry_run")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    document: str
    dry_run: bool
    def __init__(self, document: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ApplyWorldResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changes: _Optional[_Iterable[str]] = ...) -> None: ...

class GetCatalogueRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCatalogueResponse(_message.Message):
    __slots__ = ("hubs", "models", "cities", "policy_keys")
    HUBS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CITIES_FIELD_NUMBER: _ClassVar[int]
    POLICY_KEYS_FIELD_NUMBER: _ClassVar[int]
    hubs: _containers.RepeatedCompositeFieldContainer[Hub]
    models: _containers.RepeatedCompositeFieldContainer[AcceleratorModel]
    cities: _containers.RepeatedCompositeFieldContainer[City]
    policy_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hubs: _Optional[_Iterable[_Union[Hub, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[AcceleratorModel, _Mapping]]] = ..., cities: _Optional[_Iterable[_Union[City, _Mapping]]] = ..., policy_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class Hub(_message.Message):
    __slots__ = ("hub", "title", "power_kilowatts_max", "pue_milli", "capacity", "energy_kilowatt_hours_per_year", "micro_yuan_per_kilowatt_hour")
    HUB_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    POWER_KILOWATTS_MAX_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    ENERGY_KILOWATT_HOURS_PER_YEAR_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_KILOWATT_HOUR_FIELD_NUMBER: _ClassVar[int]
    hub: str
    title: str
    power_kilowatts_max: int
    pue_milli: int
    capacity: _containers.RepeatedCompositeFieldContainer[DatedCapacity]
    energy_kilowatt_hours_per_year: int
    micro_yuan_per_kilowatt_hour: int
    def __init__(self, hub: _Optional[str] = ..., title: _Optional[str] = ..., power_kilowatts_max: _Optional[int] = ..., pue_milli: _Optional[int] = ..., capacity: _Optional[_Iterable[_Union[DatedCapacity, _Mapping]]] = ..., energy_kilowatt_hours_per_year: _Optional[int] = ..., micro_yuan_per_kilowatt_hour: _Optional[int] = ...) -> None: ...

class DatedCapacity(_message.Message):
    __slots__ = ("date", "fp16_milli_pflops", "cards", "racks", "planned", "doubtful", "source")
    DATE_FIELD_NUMBER: _ClassVar[int]
    FP16_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    RACKS_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    DOUBTFUL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    date: str
    fp16_milli_pflops: int
    cards: int
    racks: int
    planned: bool
    doubtful: bool
    source: str
    def __init__(self, date: _Optional[str] = ..., fp16_milli_pflops: _Optional[int] = ..., cards: _Optional[int] = ..., racks: _Optional[int] = ..., planned: _Optional[bool] = ..., doubtful: _Optional[bool] = ..., source: _Optional[str] = ...) -> None: ...

class AcceleratorModel(_message.Message):
    __slots__ = ("model", "vendor", "stack", "origin", "fp16_nameplate_milli_tflops", "fp16_programme_milli_tflops", "fp16_measured_milli_tflops", "memory_mib", "watts", "source", "host_watts", "slices_milli", "shares_per_card_max")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    STACK_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FP16_NAMEPLATE_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    FP16_PROGRAMME_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    FP16_MEASURED_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    WATTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    HOST_WATTS_FIELD_NUMBER: _ClassVar[int]
    SLICES_MILLI_FIELD_NUMBER: _ClassVar[int]
    SHARES_PER_CARD_MAX_FIELD_NUMBER: _ClassVar[int]
    model: str
    vendor: str
    stack: str
    origin: str
    fp16_nameplate_milli_tflops: int
    fp16_programme_milli_tflops: int
    fp16_measured_milli_tflops: int
    memory_mib: int
    watts: int
    source: str
    host_watts: int
    slices_milli: _containers.RepeatedScalarFieldContainer[int]
    shares_per_card_max: int
    def __init__(self, model: _Optional[str] = ..., vendor: _Optional[str] = ..., stack: _Optional[str] = ..., origin: _Optional[str] = ..., fp16_nameplate_milli_tflops: _Optional[int] = ..., fp16_programme_milli_tflops: _Optional[int] = ..., fp16_measured_milli_tflops: _Optional[int] = ..., memory_mib: _Optional[int] = ..., watts: _Optional[int] = ..., source: _Optional[str] = ..., host_watts: _Optional[int] = ..., slices_milli: _Optional[_Iterable[int]] = ..., shares_per_card_max: _Optional[int] = ...) -> None: ...

class City(_message.Message):
    __slots__ = ("city", "title", "weight_ppm", "pending_jobs_max", "calls_per_second_max", "ceiling_micro_yuan_per_pflops_hour", "round_trips", "transfers")
    CITY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PPM_FIELD_NUMBER: _ClassVar[int]
    PENDING_JOBS_MAX_FIELD_NUMBER: _ClassVar[int]
    CALLS_PER_SECOND_MAX_FIELD_NUMBER: _ClassVar[int]
    CEILING_MICRO_YUAN_PER_PFLOPS_HOUR_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIPS_FIELD_NUMBER: _ClassVar[int]
    TRANSFERS_FIELD_NUMBER: _ClassVar[int]
    city: str
    title: str
    weight_ppm: int
    pending_jobs_max: int
    calls_per_second_max: int
    ceiling_micro_yuan_per_pflops_hour: int
    round_trips: _containers.RepeatedCompositeFieldContainer[RoundTrip]
    transfers: _containers.RepeatedCompositeFieldContainer[Transfer]
    def __init__(self, city: _Optional[str] = ..., title: _Optional[str] = ..., weight_ppm: _Optional[int] = ..., pending_jobs_max: _Optional[int] = ..., calls_per_second_max: _Optional[int] = ..., ceiling_micro_yuan_per_pflops_hour: _Optional[int] = ..., round_trips: _Optional[_Iterable[_Union[RoundTrip, _Mapping]]] = ..., transfers: _Optional[_Iterable[_Union[Transfer, _Mapping]]] = ...) -> None: ...

class RoundTrip(_message.Message):
    __slots__ = ("hub", "micros")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    hub: str
    micros: int
    def __init__(self, hub: _Optional[str] = ..., micros: _Optional[int] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ("hub", "mib_per_second", "micro_yuan_per_gib")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MIB_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_GIB_FIELD_NUMBER: _ClassVar[int]
    hub: str
    mib_per_second: int
    micro_yuan_per_gib: int
    def __init__(self, hub: _Optional[str] = ..., mib_per_second: _Optional[int] = ..., micro_yuan_per_gib: _Optional[int] = ...) -> None: ...

class GetOverviewRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetOverviewResponse(_message.Message):
    __slots__ = ("at", "jobs", "clusters", "last_round", "events")
    AT_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    LAST_ROUND_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    jobs: _containers.RepeatedCompositeFieldContainer[JobCount]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    last_round: Round
    events: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., jobs: _Optional[_Iterable[_Union[JobCount, _Mapping]]] = ..., clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ..., last_round: _Optional[_Union[Round, _Mapping]] = ..., events: _Optional[int] = ...) -> None: ...

class JobCount(_message.Message):
    __slots__ = ("city", "state", "jobs")
    CITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    city: str
    state: _job_pb2.JobState
    jobs: int
    def __init__(self, city: _Optional[str] = ..., state: _Optional[_Union[_job_pb2.JobState, str]] = ..., jobs: _Optional[int] = ...) -> None: ...

class RegisterClusterRequest(_message.Message):
    __slots__ = ("cluster", "hub", "owner", "title", "ask_micro_yuan_per_card_hour")
    class AskMicroYuanPerCardHourEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    ASK_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    hub: str
    owner: str
    title: str
    ask_micro_yuan_per_card_hour: _containers.ScalarMap[str, int]
    def __init__(self, cluster: _Optional[str] = ..., hub: _Optional[str] = ..., owner: _Optional[str] = ..., title: _Optional[str] = ..., ask_micro_yuan_per_card_hour: _Optional[_Mapping[str, int]] = ...) -> None: ...

class RegisterClusterResponse(_message.Message):
    __slots__ = ("agent_key",)
    AGENT_KEY_FIELD_NUMBER: _ClassVar[int]
    agent_key: str
    def __init__(self, agent_key: _Optional[str] = ...) -> None: ...

class ListClustersRequest(_message.Message):
    __slots__ = ("hub",)
    HUB_FIELD_NUMBER: _ClassVar[int]
    hub: str
    def __init__(self, hub: _Optional[str] = ...) -> None: ...

class ListClustersResponse(_message.Message):
    __slots__ = ("clusters",)
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    def __init__(self, clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("cluster", "title", "hub", "owner", "engine", "agent", "heard_at", "pools")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    HEARD_AT_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    title: str
    hub: str
    owner: str
    engine: str
    agent: AgentState
    heard_at: _timestamp_pb2.Timestamp
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    def __init__(self, cluster: _Optional[str] = ..., title: _Optional[str] = ..., hub: _Optional[str] = ..., owner: _Optional[str] = ..., engine: _Optional[str] = ..., agent: _Optional[_Union[AgentState, str]] = ..., heard_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("pool", "model", "nodes", "cards", "cards_leased", "cards_foreign", "cards_closed", "fp16_milli_pflops", "racks_milli", "ask_micro_yuan_per_card_hour")
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    CARDS_LEASED_FIELD_NUMBER: _ClassVar[int]
    CARDS_FOREIGN_FIELD_NUMBER: _ClassVar[int]
    CARDS_CLOSED_FIELD_NUMBER: _ClassVar[int]
    FP16_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    RACKS_MILLI_FIELD_NUMBER: _ClassVar[int]
    ASK_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    pool: str
    model: str
    nodes: int
    cards: int
    cards_leased: int
    cards_foreign: int
    cards_closed: int
    fp16_milli_pflops: int
    racks_milli: int
    ask_micro_yuan_per_card_hour: int
    def __init__(self, pool: _Optional[str] = ..., model: _Optional[str] = ..., nodes: _Optional[int] = ..., cards: _Optional[int] = ..., cards_leased: _Optional[int] = ..., cards_foreign: _Optional[int] = ..., cards_closed: _Optional[int] = ..., fp16_milli_pflops: _Optional[int] = ..., racks_milli: _Optional[int] = ..., ask_micro_yuan_per_card_hour: _Optional[int] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("cluster", "page_size", "page_token")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    page_size: int
    page_token: str
    def __init__(self, cluster: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNodesResponse(_message.Message):
    __slots__ = ("nodes", "next_page_token")
    NODES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    next_page_token: str
    def __init__(self, nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("node", "pool", "cards", "leased_cards", "foreign_cards", "mode", "mode_reason", "down", "detail", "cpu_milli", "memory_mib")
    NODE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    LEASED_CARDS_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_CARDS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_REASON_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    node: str
    pool: str
    cards: int
    leased_cards: _containers.RepeatedScalarFieldContainer[int]
    foreign_cards: _containers.RepeatedScalarFieldContainer[int]
    mode: NodeMode
    mode_reason: str
    down: bool
    detail: str
    cpu_milli: int
    memory_mib: int
    def __init__(self, node: _Optional[str] = ..., pool: _Optional[str] = ..., cards: _Optional[int] = ..., leased_cards: _Optional[_Iterable[int]] = ..., foreign_cards: _Optional[_Iterable[int]] = ..., mode: _Optional[_Union[NodeMode, str]] = ..., mode_reason: _Optional[str] = ..., down: _Optional[bool] = ..., detail: _Optional[str] = ..., cpu_milli: _Optional[int] = ..., memory_mib: _Optional[int] = ...) -> None: ...

class CordonNodesRequest(_message.Message):
    __slots__ = ("cluster", "nodes", "reason", "dry_run")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    dry_run: bool
    def __init__(self, cluster: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class CordonNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class DrainNodesRequest(_message.Message):
    __slots__ = ("cluster", "nodes", "reason", "dry_run")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    dry_run: bool
    def __init__(self, cluster: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class DrainNodesResponse(_message.Message):
    __slots__ = ("nodes", "leases")
    NODES_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    def __init__(self, nodes: _Optional[_Iterable[str]] = ..., leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ...) -> None: ...

class UncordonNodesRequest(_message.Message):
    __slots__ = ("cluster", "nodes", "dry_run")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    dry_run: bool
    def __init__(self, cluster: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class UncordonNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("job_id", "city", "state", "placement", "offered_at", "started_at")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    OFFERED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    city: str
    state: LeaseState
    placement: _job_pb2.Placement
    offered_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    def __init__(self, job_id: _Optional[str] = ..., city: _Optional[str] = ..., state: _Optional[_Union[LeaseState, str]] = ..., placement: _Optional[_Union[_job_pb2.Placement, _Mapping]] = ..., offered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListLeasesRequest(_message.Message):
    __slots__ = ("states", "cluster", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[LeaseState]
    cluster: str
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[LeaseState, str]]] = ..., cluster: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLeasesResponse(_message.Message):
    __slots__ = ("leases", "next_page_token")
    LEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    next_page_token: str
    def __init__(self, leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WriteOffLeaseRequest(_message.Message):
    __slots__ = ("lease_id", "reason")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    reason: str
    def __init__(self, lease_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class WriteOffLeaseResponse(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...

class ListRoundsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "busy_only")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BUSY_ONLY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    busy_only: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., busy_only: _Optional[bool] = ...) -> None: ...

class ListRoundsResponse(_message.Message):
    __slots__ = ("rounds", "next_page_token")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    next_page_token: str
    def __init__(self, rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("round", "at", "outcome", "input_sha256", "jobs", "placed", "stale", "objective_micro_yuan_per_hour", "bound_micro_yuan_per_hour", "gap_ppm", "effort", "snapshot_millis", "plan_millis", "verify_millis", "commit_millis", "versions", "error", "refused_by_reason", "stopped")
    class RefusedByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ROUND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    PLACED_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    BOUND_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    GAP_PPM_FIELD_NUMBER: _ClassVar[int]
    EFFORT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    PLAN_MILLIS_FIELD_NUMBER: _ClassVar[int]
    VERIFY_MILLIS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    round: int
    at: _timestamp_pb2.Timestamp
    outcome: RoundOutcome
    input_sha256: str
    jobs: int
    placed: int
    stale: int
    objective_micro_yuan_per_hour: int
    bound_micro_yuan_per_hour: int
    gap_ppm: int
    effort: int
    snapshot_millis: int
    plan_millis: int
    verify_millis: int
    commit_millis: int
    versions: _containers.RepeatedScalarFieldContainer[str]
    error: str
    refused_by_reason: _containers.ScalarMap[str, int]
    stopped: int
    def __init__(self, round: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[_Union[RoundOutcome, str]] = ..., input_sha256: _Optional[str] = ..., jobs: _Optional[int] = ..., placed: _Optional[int] = ..., stale: _Optional[int] = ..., objective_micro_yuan_per_hour: _Optional[int] = ..., bound_micro_yuan_per_hour: _Optional[int] = ..., gap_ppm: _Optional[int] = ..., effort: _Optional[int] = ..., snapshot_millis: _Optional[int] = ..., plan_millis: _Optional[int] = ..., verify_millis: _Optional[int] = ..., commit_millis: _Optional[int] = ..., versions: _Optional[_Iterable[str]] = ..., error: _Optional[str] = ..., refused_by_reason: _Optional[_Mapping[str, int]] = ..., stopped: _Optional[int] = ...) -> None: ...

class GetRoundRequest(_message.Message):
    __slots__ = ("round",)
    ROUND_FIELD_NUMBER: _ClassVar[int]
    round: int
    def __init__(self, round: _Optional[int] = ...) -> None: ...

class GetRoundResponse(_message.Message):
    __slots__ = ("round", "refusals", "replayable")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    REPLAYABLE_FIELD_NUMBER: _ClassVar[int]
    round: Round
    refusals: _containers.RepeatedCompositeFieldContainer[Refusal]
    replayable: bool
    def __init__(self, round: _Optional[_Union[Round, _Mapping]] = ..., refusals: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., replayable: _Optional[bool] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("job_id", "reason")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    reason: str
    def __init__(self, job_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetRoundRecordRequest(_message.Message):
    __slots__ = ("round",)
    ROUND_FIELD_NUMBER: _ClassVar[int]
    round: int
    def __init__(self, round: _Optional[int] = ...) -> None: ...

class GetRoundRecordResponse(_message.Message):
    __slots__ = ("snapshot", "plan", "policy_json", "horizon", "decision")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    POLICY_JSON_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    snapshot: bytes
    plan: bytes
    policy_json: str
    horizon: bytes
    decision: bytes
    def __init__(self, snapshot: _Optional[bytes] = ..., plan: _Optional[bytes] = ..., policy_json: _Optional[str] = ..., horizon: _Optional[bytes] = ..., decision: _Optional[bytes] = ...) -> None: ...

class CreateKeyRequest(_message.Message):
    __slots__ = ("role", "subject", "note")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    role: Role
    subject: str
    note: str
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., subject: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class CreateKeyResponse(_message.Message):
    __slots__ = ("key_id", "api_key")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    api_key: str
    def __init__(self, key_id: _Optional[str] = ..., api_key: _Optional[str] = ...) -> None: ...

class ListKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[Key]
    def __init__(self, keys: _Optional[_Iterable[_Union[Key, _Mapping]]] = ...) -> None: ...

class Key(_message.Message):
    __slots__ = ("key_id", "role", "subject", "note", "created_at", "revoked_at")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    role: Role
    subject: str
    note: str
    created_at: _timestamp_pb2.Timestamp
    revoked_at: _timestamp_pb2.Timestamp
    def __init__(self, key_id: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., subject: _Optional[str] = ..., note: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RevokeKeyRequest(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class RevokeKeyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Quota(_message.Message):
    __slots__ = ("hub", "city", "enterprise", "guaranteed_milli_pflops", "borrow_milli_pflops", "lend_milli_pflops")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    GUARANTEED_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    BORROW_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    LEND_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    hub: str
    city: str
    enterprise: str
    guaranteed_milli_pflops: int
    borrow_milli_pflops: int
    lend_milli_pflops: int
    def __init__(self, hub: _Optional[str] = ..., city: _Optional[str] = ..., enterprise: _Optional[str] = ..., guaranteed_milli_pflops: _Optional[int] = ..., borrow_milli_pflops: _Optional[int] = ..., lend_milli_pflops: _Optional[int] = ...) -> None: ...

class QuotaUse(_message.Message):
    __slots__ = ("quota", "used_milli_pflops", "borrowed_milli_pflops", "lent_milli_pflops")
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    USED_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    BORROWED_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    LENT_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    quota: Quota
    used_milli_pflops: int
    borrowed_milli_pflops: int
    lent_milli_pflops: int
    def __init__(self, quota: _Optional[_Union[Quota, _Mapping]] = ..., used_milli_pflops: _Optional[int] = ..., borrowed_milli_pflops: _Optional[int] = ..., lent_milli_pflops: _Optional[int] = ...) -> None: ...

class SetQuotaRequest(_message.Message):
    __slots__ = ("quota",)
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    quota: Quota
    def __init__(self, quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class SetQuotaResponse(_message.Message):
    __slots__ = ("quota",)
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    quota: QuotaUse
    def __init__(self, quota: _Optional[_Union[QuotaUse, _Mapping]] = ...) -> None: ...

class ListQuotasRequest(_message.Message):
    __slots__ = ("hub",)
    HUB_FIELD_NUMBER: _ClassVar[int]
    hub: str
    def __init__(self, hub: _Optional[str] = ...) -> None: ...

class ListQuotasResponse(_message.Message):
    __slots__ = ("quotas",)
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    quotas: _containers.RepeatedCompositeFieldContainer[QuotaUse]
    def __init__(self, quotas: _Optional[_Iterable[_Union[QuotaUse, _Mapping]]] = ...) -> None: ...

class RemoveQuotaRequest(_message.Message):
    __slots__ = ("hub", "city", "enterprise", "dry_run")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    hub: str
    city: str
    enterprise: str
    dry_run: bool
    def __init__(self, hub: _Optional[str] = ..., city: _Optional[str] = ..., enterprise: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class RemoveQuotaResponse(_message.Message):
    __slots__ = ("quota",)
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    quota: QuotaUse
    def __init__(self, quota: _Optional[_Union[QuotaUse, _Mapping]] = ...) -> None: ...

class SetHubPowerRequest(_message.Message):
    __slots__ = ("hub", "power_kilowatts_max", "pue_milli", "energy_kilowatt_hours_per_year", "micro_yuan_per_kilowatt_hour", "used_kilowatt_hours")
    HUB_FIELD_NUMBER: _ClassVar[int]
    POWER_KILOWATTS_MAX_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    ENERGY_KILOWATT_HOURS_PER_YEAR_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_KILOWATT_HOUR_FIELD_NUMBER: _ClassVar[int]
    USED_KILOWATT_HOURS_FIELD_NUMBER: _ClassVar[int]
    hub: str
    power_kilowatts_max: int
    pue_milli: int
    energy_kilowatt_hours_per_year: int
    micro_yuan_per_kilowatt_hour: int
    used_kilowatt_hours: int
    def __init__(self, hub: _Optional[str] = ..., power_kilowatts_max: _Optional[int] = ..., pue_milli: _Optional[int] = ..., energy_kilowatt_hours_per_year: _Optional[int] = ..., micro_yuan_per_kilowatt_hour: _Optional[int] = ..., used_kilowatt_hours: _Optional[int] = ...) -> None: ...

class SetHubPowerResponse(_message.Message):
    __slots__ = ("power",)
    POWER_FIELD_NUMBER: _ClassVar[int]
    power: HubPower
    def __init__(self, power: _Optional[_Union[HubPower, _Mapping]] = ...) -> None: ...

class GetHubPowerRequest(_message.Message):
    __slots__ = ("hub",)
    HUB_FIELD_NUMBER: _ClassVar[int]
    hub: str
    def __init__(self, hub: _Optional[str] = ...) -> None: ...

class GetHubPowerResponse(_message.Message):
    __slots__ = ("power",)
    POWER_FIELD_NUMBER: _ClassVar[int]
    power: HubPower
    def __init__(self, power: _Optional[_Union[HubPower, _Mapping]] = ...) -> None: ...

class HubPower(_message.Message):
    __slots__ = ("hub", "power_kilowatts_max", "pue_milli", "micro_yuan_per_kilowatt_hour", "used_watts", "pace_watts", "free_watts", "year", "energy_kilowatt_hours_per_year", "used_kilowatt_hours", "committed_kilowatt_hours", "left_kilowatt_hours")
    HUB_FIELD_NUMBER: _ClassVar[int]
    POWER_KILOWATTS_MAX_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_KILOWATT_HOUR_FIELD_NUMBER: _ClassVar[int]
    USED_WATTS_FIELD_NUMBER: _ClassVar[int]
    PACE_WATTS_FIELD_NUMBER: _ClassVar[int]
    FREE_WATTS_FIELD_NUMBER: _ClassVar[int]
    YEAR_FIELD_NUMBER: _ClassVar[int]
    ENERGY_KILOWATT_HOURS_PER_YEAR_FIELD_NUMBER: _ClassVar[int]
    USED_KILOWATT_HOURS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_KILOWATT_HOURS_FIELD_NUMBER: _ClassVar[int]
    LEFT_KILOWATT_HOURS_FIELD_NUMBER: _ClassVar[int]
    hub: str
    power_kilowatts_max: int
    pue_milli: int
    micro_yuan_per_kilowatt_hour: int
    used_watts: int
    pace_watts: int
    free_watts: int
    year: int
    energy_kilowatt_hours_per_year: int
    used_kilowatt_hours: int
    committed_kilowatt_hours: int
    left_kilowatt_hours: int
    def __init__(self, hub: _Optional[str] = ..., power_kilowatts_max: _Optional[int] = ..., pue_milli: _Optional[int] = ..., micro_yuan_per_kilowatt_hour: _Optional[int] = ..., used_watts: _Optional[int] = ..., pace_watts: _Optional[int] = ..., free_watts: _Optional[int] = ..., year: _Optional[int] = ..., energy_kilowatt_hours_per_year: _Optional[int] = ..., used_kilowatt_hours: _Optional[int] = ..., committed_kilowatt_hours: _Optional[int] = ..., left_kilowatt_hours: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("window_id", "cluster", "pool", "nodes", "starts_at", "ends_at", "reason", "created_at", "created_by", "cancelled_at")
    WINDOW_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_AT_FIELD_NUMBER: _ClassVar[int]
    window_id: str
    cluster: str
    pool: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    starts_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    reason: str
    created_at: _timestamp_pb2.Timestamp
    created_by: str
    cancelled_at: _timestamp_pb2.Timestamp
    def __init__(self, window_id: _Optional[str] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., cancelled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateWindowRequest(_message.Message):
    __slots__ = ("cluster", "pool", "nodes", "starts_at", "ends_at", "reason", "dry_run")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    pool: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    starts_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    reason: str
    dry_run: bool
    def __init__(self, cluster: _Optional[str] = ..., pool: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class CreateWindowResponse(_message.Message):
    __slots__ = ("window", "nodes", "leases", "barred_job_ids", "barred_jobs")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    BARRED_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    BARRED_JOBS_FIELD_NUMBER: _ClassVar[int]
    window: Window
    nodes: _containers.RepeatedScalarFieldContainer[str]
    leases: _containers.RepeatedCompositeFieldContainer[Lease]
    barred_job_ids: _containers.RepeatedScalarFieldContainer[str]
    barred_jobs: int
    def __init__(self, window: _Optional[_Union[Window, _Mapping]] = ..., nodes: _Optional[_Iterable[str]] = ..., leases: _Optional[_Iterable[_Union[Lease, _Mapping]]] = ..., barred_job_ids: _Optional[_Iterable[str]] = ..., barred_jobs: _Optional[int] = ...) -> None: ...

class ListWindowsRequest(_message.Message):
    __slots__ = ("cluster", "past")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    PAST_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    past: bool
    def __init__(self, cluster: _Optional[str] = ..., past: _Optional[bool] = ...) -> None: ...

class ListWindowsResponse(_message.Message):
    __slots__ = ("windows",)
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    windows: _containers.RepeatedCompositeFieldContainer[Window]
    def __init__(self, windows: _Optional[_Iterable[_Union[Window, _Mapping]]] = ...) -> None: ...

class CancelWindowRequest(_message.Message):
    __slots__ = ("window_id",)
    WINDOW_ID_FIELD_NUMBER: _ClassVar[int]
    window_id: str
    def __init__(self, window_id: _Optional[str] = ...) -> None: ...

class CancelWindowResponse(_message.Message):
    __slots__ = ("window",)
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    window: Window
    def __init__(self, window: _Optional[_Union[Window, _Mapping]] = ...) -> None: ...

class PausedPlace(_message.Message):
    __slots__ = ("city", "cluster", "reason", "paused_at", "paused_by")
    CITY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PAUSED_AT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_BY_FIELD_NUMBER: _ClassVar[int]
    city: str
    cluster: str
    reason: str
    paused_at: _timestamp_pb2.Timestamp
    paused_by: str
    def __init__(self, city: _Optional[str] = ..., cluster: _Optional[str] = ..., reason: _Optional[str] = ..., paused_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_by: _Optional[str] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("city", "cluster", "reason", "dry_run")
    CITY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    city: str
    cluster: str
    reason: str
    dry_run: bool
    def __init__(self, city: _Optional[str] = ..., cluster: _Optional[str] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class PauseResponse(_message.Message):
    __slots__ = ("pause", "changed", "waiting_jobs")
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOBS_FIELD_NUMBER: _ClassVar[int]
    pause: PausedPlace
    changed: bool
    waiting_jobs: int
    def __init__(self, pause: _Optional[_Union[PausedPlace, _Mapping]] = ..., changed: _Optional[bool] = ..., waiting_jobs: _Optional[int] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("city", "cluster", "dry_run")
    CITY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    city: str
    cluster: str
    dry_run: bool
    def __init__(self, city: _Optional[str] = ..., cluster: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("pause", "changed", "waiting_jobs")
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOBS_FIELD_NUMBER: _ClassVar[int]
    pause: PausedPlace
    changed: bool
    waiting_jobs: int
    def __init__(self, pause: _Optional[_Union[PausedPlace, _Mapping]] = ..., changed: _Optional[bool] = ..., waiting_jobs: _Optional[int] = ...) -> None: ...

class ListPausesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPausesResponse(_message.Message):
    __slots__ = ("pauses",)
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    pauses: _containers.RepeatedCompositeFieldContainer[PausedPlace]
    def __init__(self, pauses: _Optional[_Iterable[_Union[PausedPlace, _Mapping]]] = ...) -> None: ...

class GetPreviewRequest(_message.Message):
    __slots__ = ("close_nodes", "pause_city", "quota")
    CLOSE_NODES_FIELD_NUMBER: _ClassVar[int]
    PAUSE_CITY_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    close_nodes: NodesToClose
    pause_city: str
    quota: Quota
    def __init__(self, close_nodes: _Optional[_Union[NodesToClose, _Mapping]] = ..., pause_city: _Optional[str] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class NodesToClose(_message.Message):
    __slots__ = ("cluster", "nodes")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cluster: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class GetPreviewResponse(_message.Message):
    __slots__ = ("at", "waiting_jobs", "running", "running_leases", "starting_job_ids", "starting_jobs", "waiting_longer_job_ids", "waiting_longer_jobs", "moved", "moved_jobs", "worth_before_micro_yuan_per_hour", "worth_after_micro_yuan_per_hour", "gap_before_ppm", "gap_after_ppm", "prices", "greedy", "promised_starts", "stopped", "stopped_leases", "spared", "spared_leases")
    AT_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOBS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_LEASES_FIELD_NUMBER: _ClassVar[int]
    STARTING_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    STARTING_JOBS_FIELD_NUMBER: _ClassVar[int]
    WAITING_LONGER_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    WAITING_LONGER_JOBS_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    MOVED_JOBS_FIELD_NUMBER: _ClassVar[int]
    WORTH_BEFORE_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    WORTH_AFTER_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    GAP_BEFORE_PPM_FIELD_NUMBER: _ClassVar[int]
    GAP_AFTER_PPM_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    GREEDY_FIELD_NUMBER: _ClassVar[int]
    PROMISED_STARTS_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_LEASES_FIELD_NUMBER: _ClassVar[int]
    SPARED_FIELD_NUMBER: _ClassVar[int]
    SPARED_LEASES_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    waiting_jobs: int
    running: _containers.RepeatedCompositeFieldContainer[RunningLease]
    running_leases: int
    starting_job_ids: _containers.RepeatedScalarFieldContainer[str]
    starting_jobs: int
    waiting_longer_job_ids: _containers.RepeatedScalarFieldContainer[str]
    waiting_longer_jobs: int
    moved: _containers.RepeatedCompositeFieldContainer[MovedJob]
    moved_jobs: int
    worth_before_micro_yuan_per_hour: int
    worth_after_micro_yuan_per_hour: int
    gap_before_ppm: int
    gap_after_ppm: int
    prices: _containers.RepeatedCompositeFieldContainer[PriceMove]
    greedy: bool
    promised_starts: _containers.RepeatedCompositeFieldContainer[PromisedStart]
    stopped: _containers.RepeatedCompositeFieldContainer[RunningLease]
    stopped_leases: int
    spared: _containers.RepeatedCompositeFieldContainer[RunningLease]
    spared_leases: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting_jobs: _Optional[int] = ..., running: _Optional[_Iterable[_Union[RunningLease, _Mapping]]] = ..., running_leases: _Optional[int] = ..., starting_job_ids: _Optional[_Iterable[str]] = ..., starting_jobs: _Optional[int] = ..., waiting_longer_job_ids: _Optional[_Iterable[str]] = ..., waiting_longer_jobs: _Optional[int] = ..., moved: _Optional[_Iterable[_Union[MovedJob, _Mapping]]] = ..., moved_jobs: _Optional[int] = ..., worth_before_micro_yuan_per_hour: _Optional[int] = ..., worth_after_micro_yuan_per_hour: _Optional[int] = ..., gap_before_ppm: _Optional[int] = ..., gap_after_ppm: _Optional[int] = ..., prices: _Optional[_Iterable[_Union[PriceMove, _Mapping]]] = ..., greedy: _Optional[bool] = ..., promised_starts: _Optional[_Iterable[_Union[PromisedStart, _Mapping]]] = ..., stopped: _Optional[_Iterable[_Union[RunningLease, _Mapping]]] = ..., stopped_leases: _Optional[int] = ..., spared: _Optional[_Iterable[_Union[RunningLease, _Mapping]]] = ..., spared_leases: _Optional[int] = ...) -> None: ...

class PromisedStart(_message.Message):
    __slots__ = ("job_id", "promised_at", "before", "after", "fate", "cause")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PROMISED_AT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    FATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    promised_at: _timestamp_pb2.Timestamp
    before: _timestamp_pb2.Timestamp
    after: _timestamp_pb2.Timestamp
    fate: str
    cause: str
    def __init__(self, job_id: _Optional[str] = ..., promised_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fate: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class RunningLease(_message.Message):
    __slots__ = ("lease_id", "job_id", "ends_at")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    job_id: str
    ends_at: _timestamp_pb2.Timestamp
    def __init__(self, lease_id: _Optional[str] = ..., job_id: _Optional[str] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MovedJob(_message.Message):
    __slots__ = ("job_id", "before", "after")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    before: str
    after: str
    def __init__(self, job_id: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class PriceMove(_message.Message):
    __slots__ = ("pool", "before_micro_yuan_per_card_hour", "after_micro_yuan_per_card_hour")
    POOL_FIELD_NUMBER: _ClassVar[int]
    BEFORE_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    AFTER_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    pool: str
    before_micro_yuan_per_card_hour: int
    after_micro_yuan_per_card_hour: int
    def __init__(self, pool: _Optional[str] = ..., before_micro_yuan_per_card_hour: _Optional[int] = ..., after_micro_yuan_per_card_hour: _Optional[int] = ...) -> None: ...

class ListPromisesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPromisesResponse(_message.Message):
    __slots__ = ("promises",)
    PROMISES_FIELD_NUMBER: _ClassVar[int]
    promises: _containers.RepeatedCompositeFieldContainer[Promise]
    def __init__(self, promises: _Optional[_Iterable[_Union[Promise, _Mapping]]] = ...) -> None: ...

class Promise(_message.Message):
    __slots__ = ("job_id", "city", "promised", "ends_at", "nodes", "cards_per_task", "made_at", "round")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    CARDS_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    city: str
    promised: _job_pb2.Promised
    ends_at: _timestamp_pb2.Timestamp
    nodes: _containers.RepeatedCompositeFieldContainer[PromisedNode]
    cards_per_task: int
    made_at: _timestamp_pb2.Timestamp
    round: int
    def __init__(self, job_id: _Optional[str] = ..., city: _Optional[str] = ..., promised: _Optional[_Union[_job_pb2.Promised, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[PromisedNode, _Mapping]]] = ..., cards_per_task: _Optional[int] = ..., made_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., round: _Optional[int] = ...) -> None: ...

class PromisedNode(_message.Message):
    __slots__ = ("node", "tasks")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    node: str
    tasks: int
    def __init__(self, node: _Optional[str] = ..., tasks: _Optional[int] = ...) -> None: ...

class ListMovesRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ListMovesResponse(_message.Message):
    __slots__ = ("proposals",)
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    proposals: _containers.RepeatedCompositeFieldContainer[MoveProposal]
    def __init__(self, proposals: _Optional[_Iterable[_Union[MoveProposal, _Mapping]]] = ...) -> None: ...

class MoveProposal(_message.Message):
    __slots__ = ("job_id", "city", "cluster", "pool", "nodes", "starts_at", "instead_of", "gain_micro_yuan", "loss_micro_yuan", "moves")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    GAIN_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    LOSS_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    city: str
    cluster: str
    pool: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    starts_at: _timestamp_pb2.Timestamp
    instead_of: _timestamp_pb2.Timestamp
    gain_micro_yuan: int
    loss_micro_yuan: int
    moves: _containers.RepeatedCompositeFieldContainer[Move]
    def __init__(self, job_id: _Optional[str] = ..., city: _Optional[str] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., instead_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gain_micro_yuan: _Optional[int] = ..., loss_micro_yuan: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[Move, _Mapping]]] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("lease_id", "job_id", "nodes", "to_nodes", "lost_card_seconds", "loss_micro_yuan")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    TO_NODES_FIELD_NUMBER: _ClassVar[int]
    LOST_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LOSS_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    job_id: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    to_nodes: _containers.RepeatedScalarFieldContainer[str]
    lost_card_seconds: int
    loss_micro_yuan: int
    def __init__(self, lease_id: _Optional[str] = ..., job_id: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ..., to_nodes: _Optional[_Iterable[str]] = ..., lost_card_seconds: _Optional[int] = ..., loss_micro_yuan: _Optional[int] = ...) -> None: ...

class MakeRoomRequest(_message.Message):
    __slots__ = ("job_id", "withdraw")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    withdraw: bool
    def __init__(self, job_id: _Optional[str] = ..., withdraw: _Optional[bool] = ...) -> None: ...

class MakeRoomResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
