import datetime

from broker.wire.v1 import job_pb2 as _job_pb2
from broker.wire.v1 import job_service_pb2 as _job_service_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LeasePhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_PHASE_UNSPECIFIED: _ClassVar[LeasePhase]
    LEASE_PHASE_STARTING: _ClassVar[LeasePhase]
    LEASE_PHASE_RUNNING: _ClassVar[LeasePhase]
    LEASE_PHASE_ENDED: _ClassVar[LeasePhase]
LEASE_PHASE_UNSPECIFIED: LeasePhase
LEASE_PHASE_STARTING: LeasePhase
LEASE_PHASE_RUNNING: LeasePhase
LEASE_PHASE_ENDED: LeasePhase

class SyncRequest(_message.Message):
    __slots__ = ("hello", "report", "log_chunk")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    LOG_CHUNK_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    report: Report
    log_chunk: LogChunk
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ..., log_chunk: _Optional[_Union[LogChunk, _Mapping]] = ...) -> None: ...

class SyncResponse(_message.Message):
    __slots__ = ("welcome", "desired", "log_request")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    LOG_REQUEST_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    desired: Desired
    log_request: LogRequest
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., desired: _Optional[_Union[Desired, _Mapping]] = ..., log_request: _Optional[_Union[LogRequest, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("cluster", "instance", "agent_version", "engine", "pools", "meters_usage")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    METERS_USAGE_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    instance: str
    agent_version: str
    engine: str
    pools: _containers.RepeatedCompositeFieldContainer[PoolInventory]
    meters_usage: bool
    def __init__(self, cluster: _Optional[str] = ..., instance: _Optional[str] = ..., agent_version: _Optional[str] = ..., engine: _Optional[str] = ..., pools: _Optional[_Iterable[_Union[PoolInventory, _Mapping]]] = ..., meters_usage: _Optional[bool] = ...) -> None: ...

class PoolInventory(_message.Message):
    __slots__ = ("pool", "model", "nodes")
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    pool: str
    model: str
    nodes: _containers.RepeatedCompositeFieldContainer[NodeInventory]
    def __init__(self, pool: _Optional[str] = ..., model: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[NodeInventory, _Mapping]]] = ...) -> None: ...

class NodeInventory(_message.Message):
    __slots__ = ("node", "cards", "cpu_milli", "memory_mib", "domain")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    node: str
    cards: int
    cpu_milli: int
    memory_mib: int
    domain: str
    def __init__(self, node: _Optional[str] = ..., cards: _Optional[int] = ..., cpu_milli: _Optional[int] = ..., memory_mib: _Optional[int] = ..., domain: _Optional[str] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("sequence", "nodes", "leases", "at", "usage")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    nodes: _containers.RepeatedCompositeFieldContainer[NodeReport]
    leases: _containers.RepeatedCompositeFieldContainer[LeaseReport]
    at: _timestamp_pb2.Timestamp
    usage: _containers.RepeatedCompositeFieldContainer[UsageReport]
    def __init__(self, sequence: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[NodeReport, _Mapping]]] = ..., leases: _Optional[_Iterable[_Union[LeaseReport, _Mapping]]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., usage: _Optional[_Iterable[_Union[UsageReport, _Mapping]]] = ...) -> None: ...

class UsageReport(_message.Message):
    __slots__ = ("lease_id", "epoch", "minutes", "cut_seconds", "milli_cards", "joules", "complete")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    CUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARDS_FIELD_NUMBER: _ClassVar[int]
    JOULES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    epoch: int
    minutes: _containers.RepeatedCompositeFieldContainer[MinuteRange]
    cut_seconds: int
    milli_cards: int
    joules: int
    complete: bool
    def __init__(self, lease_id: _Optional[str] = ..., epoch: _Optional[int] = ..., minutes: _Optional[_Iterable[_Union[MinuteRange, _Mapping]]] = ..., cut_seconds: _Optional[int] = ..., milli_cards: _Optional[int] = ..., joules: _Optional[int] = ..., complete: _Optional[bool] = ...) -> None: ...

class MinuteRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("node", "down", "foreign_cards", "detail")
    NODE_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_CARDS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    node: str
    down: bool
    foreign_cards: _containers.RepeatedScalarFieldContainer[int]
    detail: str
    def __init__(self, node: _Optional[str] = ..., down: _Optional[bool] = ..., foreign_cards: _Optional[_Iterable[int]] = ..., detail: _Optional[str] = ...) -> None: ...

class LeaseReport(_message.Message):
    __slots__ = ("lease_id", "epoch", "phase", "started_at", "ended_at", "end", "data_ready")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    DATA_READY_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    epoch: int
    phase: LeasePhase
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    end: _job_pb2.End
    data_ready: bool
    def __init__(self, lease_id: _Optional[str] = ..., epoch: _Optional[int] = ..., phase: _Optional[_Union[LeasePhase, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[_job_pb2.End, _Mapping]] = ..., data_ready: _Optional[bool] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("session_epoch", "report_interval_millis", "suspect_after_millis", "lost_after_millis", "kill_after_millis", "policy_key_id", "usage_interval_millis")
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPORT_INTERVAL_MILLIS_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_AFTER_MILLIS_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_MILLIS_FIELD_NUMBER: _ClassVar[int]
    KILL_AFTER_MILLIS_FIELD_NUMBER: _ClassVar[int]
    POLICY_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_INTERVAL_MILLIS_FIELD_NUMBER: _ClassVar[int]
    session_epoch: int
    report_interval_millis: int
    suspect_after_millis: int
    lost_after_millis: int
    kill_after_millis: int
    policy_key_id: str
    usage_interval_millis: int
    def __init__(self, session_epoch: _Optional[int] = ..., report_interval_millis: _Optional[int] = ..., suspect_after_millis: _Optional[int] = ..., lost_after_millis: _Optional[int] = ..., kill_after_millis: _Optional[int] = ..., policy_key_id: _Optional[str] = ..., usage_interval_millis: _Optional[int] = ...) -> None: ...

class Desired(_message.Message):
    __slots__ = ("report_sequence", "start", "stop", "settled", "usage_settled")
    REPORT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    USAGE_SETTLED_FIELD_NUMBER: _ClassVar[int]
    report_sequence: int
    start: _containers.RepeatedCompositeFieldContainer[LeaseOrder]
    stop: _containers.RepeatedCompositeFieldContainer[LeaseStop]
    settled: _containers.RepeatedCompositeFieldContainer[LeaseRef]
    usage_settled: _containers.RepeatedCompositeFieldContainer[UsageAnswer]
    def __init__(self, report_sequence: _Optional[int] = ..., start: _Optional[_Iterable[_Union[LeaseOrder, _Mapping]]] = ..., stop: _Optional[_Iterable[_Union[LeaseStop, _Mapping]]] = ..., settled: _Optional[_Iterable[_Union[LeaseRef, _Mapping]]] = ..., usage_settled: _Optional[_Iterable[_Union[UsageAnswer, _Mapping]]] = ...) -> None: ...

class UsageAnswer(_message.Message):
    __slots__ = ("lease", "minutes_end", "complete", "refused")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    MINUTES_END_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    minutes_end: int
    complete: bool
    refused: str
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., minutes_end: _Optional[int] = ..., complete: _Optional[bool] = ..., refused: _Optional[str] = ...) -> None: ...

class LeaseOrder(_message.Message):
    __slots__ = ("lease_id", "epoch", "job_id", "city", "name", "build", "pool", "nodes", "cards_per_task", "walltime_seconds", "grace_seconds", "if_lost", "policy")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    CARDS_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    IF_LOST_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    epoch: int
    job_id: str
    city: str
    name: str
    build: _job_pb2.Build
    pool: str
    nodes: _containers.RepeatedCompositeFieldContainer[_job_pb2.NodeCards]
    cards_per_task: int
    walltime_seconds: int
    grace_seconds: int
    if_lost: _job_pb2.IfLost
    policy: _job_pb2.SignedPolicy
    def __init__(self, lease_id: _Optional[str] = ..., epoch: _Optional[int] = ..., job_id: _Optional[str] = ..., city: _Optional[str] = ..., name: _Optional[str] = ..., build: _Optional[_Union[_job_pb2.Build, _Mapping]] = ..., pool: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[_job_pb2.NodeCards, _Mapping]]] = ..., cards_per_task: _Optional[int] = ..., walltime_seconds: _Optional[int] = ..., grace_seconds: _Optional[int] = ..., if_lost: _Optional[_Union[_job_pb2.IfLost, str]] = ..., policy: _Optional[_Union[_job_pb2.SignedPolicy, _Mapping]] = ...) -> None: ...

class LeaseStop(_message.Message):
    __slots__ = ("lease", "grace_seconds", "reason")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease: LeaseRef
    grace_seconds: int
    reason: str
    def __init__(self, lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., grace_seconds: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class LeaseRef(_message.Message):
    __slots__ = ("lease_id", "epoch")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    epoch: int
    def __init__(self, lease_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class LogRequest(_message.Message):
    __slots__ = ("request_id", "lease", "task", "stream", "offset", "length_max")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_MAX_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    lease: LeaseRef
    task: int
    stream: _job_service_pb2.LogStream
    offset: int
    length_max: int
    def __init__(self, request_id: _Optional[int] = ..., lease: _Optional[_Union[LeaseRef, _Mapping]] = ..., task: _Optional[int] = ..., stream: _Optional[_Union[_job_service_pb2.LogStream, str]] = ..., offset: _Optional[int] = ..., length_max: _Optional[int] = ...) -> None: ...

class LogChunk(_message.Message):
    __slots__ = ("request_id", "data", "complete", "error")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request_id: int
    data: bytes
    complete: bool
    error: str
    def __init__(self, request_id: _Optional[int] = ..., data: _Optional[bytes] = ..., complete: _Optional[bool] = ..., error: _Optional[str] = ...) -> None: ...
