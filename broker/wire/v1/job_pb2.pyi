import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PriorityClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_CLASS_UNSPECIFIED: _ClassVar[PriorityClass]
    PRIORITY_CLASS_DEFERRABLE: _ClassVar[PriorityClass]
    PRIORITY_CLASS_STANDARD: _ClassVar[PriorityClass]
    PRIORITY_CLASS_URGENT: _ClassVar[PriorityClass]
    PRIORITY_CLASS_EMERGENCY: _ClassVar[PriorityClass]

class WorkloadClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKLOAD_CLASS_UNSPECIFIED: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_TRAINING: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_INFERENCE: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_SPEECH: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_IMAGE: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_AUTONOMOUS_DRIVING: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_RESEARCH: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_AGRICULTURE: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_INDUSTRY: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_LOW_ALTITUDE: _ClassVar[WorkloadClass]
    WORKLOAD_CLASS_OTHER: _ClassVar[WorkloadClass]

class IfLost(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IF_LOST_UNSPECIFIED: _ClassVar[IfLost]
    IF_LOST_HOLD: _ClassVar[IfLost]
    IF_LOST_RESTART: _ClassVar[IfLost]

class Within(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WITHIN_UNSPECIFIED: _ClassVar[Within]
    WITHIN_POOL: _ClassVar[Within]
    WITHIN_DOMAIN: _ClassVar[Within]
    WITHIN_NODE: _ClassVar[Within]

class GreenPreference(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GREEN_PREFERENCE_UNSPECIFIED: _ClassVar[GreenPreference]
    GREEN_PREFERENCE_NONE: _ClassVar[GreenPreference]
    GREEN_PREFERENCE_PREFER: _ClassVar[GreenPreference]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_PENDING: _ClassVar[JobState]
    JOB_STATE_LEASED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
    JOB_STATE_EXPIRED: _ClassVar[JobState]

class EndReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    END_REASON_UNSPECIFIED: _ClassVar[EndReason]
    END_REASON_COMPLETED: _ClassVar[EndReason]
    END_REASON_EXIT_CODE: _ClassVar[EndReason]
    END_REASON_SIGNAL: _ClassVar[EndReason]
    END_REASON_WALLTIME: _ClassVar[EndReason]
    END_REASON_CANCELLED: _ClassVar[EndReason]
    END_REASON_START_FAILED: _ClassVar[EndReason]
    END_REASON_LOST: _ClassVar[EndReason]
    END_REASON_WRITTEN_OFF: _ClassVar[EndReason]
    END_REASON_EXPIRED: _ClassVar[EndReason]
    END_REASON_VANISHED: _ClassVar[EndReason]
    END_REASON_POLICY_REJECTED: _ClassVar[EndReason]
    END_REASON_TOO_LATE: _ClassVar[EndReason]
    END_REASON_UPSTREAM_FAILED: _ClassVar[EndReason]
    END_REASON_PREEMPTED: _ClassVar[EndReason]
PRIORITY_CLASS_UNSPECIFIED: PriorityClass
PRIORITY_CLASS_DEFERRABLE: PriorityClass
PRIORITY_CLASS_STANDARD: PriorityClass
PRIORITY_CLASS_URGENT: PriorityClass
PRIORITY_CLASS_EMERGENCY: PriorityClass
WORKLOAD_CLASS_UNSPECIFIED: WorkloadClass
WORKLOAD_CLASS_TRAINING: WorkloadClass
WORKLOAD_CLASS_INFERENCE: WorkloadClass
WORKLOAD_CLASS_SPEECH: WorkloadClass
WORKLOAD_CLASS_IMAGE: WorkloadClass
WORKLOAD_CLASS_AUTONOMOUS_DRIVING: WorkloadClass
WORKLOAD_CLASS_RESEARCH: WorkloadClass
WORKLOAD_CLASS_AGRICULTURE: WorkloadClass
WORKLOAD_CLASS_INDUSTRY: WorkloadClass
WORKLOAD_CLASS_LOW_ALTITUDE: WorkloadClass
WORKLOAD_CLASS_OTHER: WorkloadClass
IF_LOST_UNSPECIFIED: IfLost
IF_LOST_HOLD: IfLost
IF_LOST_RESTART: IfLost
WITHIN_UNSPECIFIED: Within
WITHIN_POOL: Within
WITHIN_DOMAIN: Within
WITHIN_NODE: Within
GREEN_PREFERENCE_UNSPECIFIED: GreenPreference
GREEN_PREFERENCE_NONE: GreenPreference
GREEN_PREFERENCE_PREFER: GreenPreference
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_PENDING: JobState
JOB_STATE_LEASED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_STATE_EXPIRED: JobState
END_REASON_UNSPECIFIED: EndReason
END_REASON_COMPLETED: EndReason
END_REASON_EXIT_CODE: EndReason
END_REASON_SIGNAL: EndReason
END_REASON_WALLTIME: EndReason
END_REASON_CANCELLED: EndReason
END_REASON_START_FAILED: EndReason
END_REASON_LOST: EndReason
END_REASON_WRITTEN_OFF: EndReason
END_REASON_EXPIRED: EndReason
END_REASON_VANISHED: EndReason
END_REASON_POLICY_REJECTED: EndReason
END_REASON_TOO_LATE: EndReason
END_REASON_UPSTREAM_FAILED: EndReason
END_REASON_PREEMPTED: EndReason

class Build(_message.Message):
    __slots__ = ("stack", "models", "command", "environment", "speed_ppm")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STACK_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    SPEED_PPM_FIELD_NUMBER: _ClassVar[int]
    stack: str
    models: _containers.RepeatedScalarFieldContainer[str]
    command: _containers.RepeatedScalarFieldContainer[str]
    environment: _containers.ScalarMap[str, str]
    speed_ppm: int
    def __init__(self, stack: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., command: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., speed_ppm: _Optional[int] = ...) -> None: ...

class GangSize(_message.Message):
    __slots__ = ("tasks", "speed_ppm")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    SPEED_PPM_FIELD_NUMBER: _ClassVar[int]
    tasks: int
    speed_ppm: int
    def __init__(self, tasks: _Optional[int] = ..., speed_ppm: _Optional[int] = ...) -> None: ...

class JobSpec(_message.Message):
    __slots__ = ("name", "job_set", "tasks", "cards_per_task", "cpu_milli_per_task", "memory_mib_per_task", "walltime_seconds", "priority", "workload_class", "builds", "allowed_hubs", "round_trip_micros_max", "ceiling_micro_yuan_per_pflops_hour", "start_by", "if_lost", "attempts_max", "grace_seconds", "share_milli", "smaller_sizes", "within", "spread_speed_ppm", "input_gib", "output_gib", "staged_hubs", "transfer_seconds_max", "domestic_only", "allowed_owners", "enterprise", "earliest_start", "finish_by", "after", "after_request_keys", "after_any_end", "preemptible", "checkpoint_interval_seconds", "ceiling_micro_yuan_per_job", "after_data_ready", "vouchers", "green")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOB_SET_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    CARDS_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    CPU_MILLI_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    WALLTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASS_FIELD_NUMBER: _ClassVar[int]
    BUILDS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_HUBS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_MICROS_MAX_FIELD_NUMBER: _ClassVar[int]
    CEILING_MICRO_YUAN_PER_PFLOPS_HOUR_FIELD_NUMBER: _ClassVar[int]
    START_BY_FIELD_NUMBER: _ClassVar[int]
    IF_LOST_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHARE_MILLI_FIELD_NUMBER: _ClassVar[int]
    SMALLER_SIZES_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    SPREAD_SPEED_PPM_FIELD_NUMBER: _ClassVar[int]
    INPUT_GIB_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_GIB_FIELD_NUMBER: _ClassVar[int]
    STAGED_HUBS_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SECONDS_MAX_FIELD_NUMBER: _ClassVar[int]
    DOMESTIC_ONLY_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_OWNERS_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_START_FIELD_NUMBER: _ClassVar[int]
    FINISH_BY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_REQUEST_KEYS_FIELD_NUMBER: _ClassVar[int]
    AFTER_ANY_END_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIBLE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CEILING_MICRO_YUAN_PER_JOB_FIELD_NUMBER: _ClassVar[int]
    AFTER_DATA_READY_FIELD_NUMBER: _ClassVar[int]
    VOUCHERS_FIELD_NUMBER: _ClassVar[int]
    GREEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    job_set: str
    tasks: int
    cards_per_task: int
    cpu_milli_per_task: int
    memory_mib_per_task: int
    walltime_seconds: int
    priority: PriorityClass
    workload_class: WorkloadClass
    builds: _containers.RepeatedCompositeFieldContainer[Build]
    allowed_hubs: _containers.RepeatedScalarFieldContainer[str]
    round_trip_micros_max: int
    ceiling_micro_yuan_per_pflops_hour: int
    start_by: _timestamp_pb2.Timestamp
    if_lost: IfLost
    attempts_max: int
    grace_seconds: int
    share_milli: int
    smaller_sizes: _containers.RepeatedCompositeFieldContainer[GangSize]
    within: Within
    spread_speed_ppm: int
    input_gib: int
    output_gib: int
    staged_hubs: _containers.RepeatedScalarFieldContainer[str]
    transfer_seconds_max: int
    domestic_only: bool
    allowed_owners: _containers.RepeatedScalarFieldContainer[str]
    enterprise: str
    earliest_start: _timestamp_pb2.Timestamp
    finish_by: _timestamp_pb2.Timestamp
    after: _containers.RepeatedScalarFieldContainer[str]
    after_request_keys: _containers.RepeatedScalarFieldContainer[str]
    after_any_end: bool
    preemptible: bool
    checkpoint_interval_seconds: int
    ceiling_micro_yuan_per_job: int
    after_data_ready: bool
    vouchers: _containers.RepeatedScalarFieldContainer[str]
    green: GreenPreference
    def __init__(self, name: _Optional[str] = ..., job_set: _Optional[str] = ..., tasks: _Optional[int] = ..., cards_per_task: _Optional[int] = ..., cpu_milli_per_task: _Optional[int] = ..., memory_mib_per_task: _Optional[int] = ..., walltime_seconds: _Optional[int] = ..., priority: _Optional[_Union[PriorityClass, str]] = ..., workload_class: _Optional[_Union[WorkloadClass, str]] = ..., builds: _Optional[_Iterable[_Union[Build, _Mapping]]] = ..., allowed_hubs: _Optional[_Iterable[str]] = ..., round_trip_micros_max: _Optional[int] = ..., ceiling_micro_yuan_per_pflops_hour: _Optional[int] = ..., start_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., if_lost: _Optional[_Union[IfLost, str]] = ..., attempts_max: _Optional[int] = ..., grace_seconds: _Optional[int] = ..., share_milli: _Optional[int] = ..., smaller_sizes: _Optional[_Iterable[_Union[GangSize, _Mapping]]] = ..., within: _Optional[_Union[Within, str]] = ..., spread_speed_ppm: _Optional[int] = ..., input_gib: _Optional[int] = ..., output_gib: _Optional[int] = ..., staged_hubs: _Optional[_Iterable[str]] = ..., transfer_seconds_max: _Optional[int] = ..., domestic_only: _Optional[bool] = ..., allowed_owners: _Optional[_Iterable[str]] = ..., enterprise: _Optional[str] = ..., earliest_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finish_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[_Iterable[str]] = ..., after_request_keys: _Optional[_Iterable[str]] = ..., after_any_end: _Optional[bool] = ..., preemptible: _Optional[bool] = ..., checkpoint_interval_seconds: _Optional[int] = ..., ceiling_micro_yuan_per_job: _Optional[int] = ..., after_data_ready: _Optional[bool] = ..., vouchers: _Optional[_Iterable[str]] = ..., green: _Optional[_Union[GreenPreference, str]] = ...) -> None: ...

class NodeCards(_message.Message):
    __slots__ = ("node", "cards", "tasks", "share_milli")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    SHARE_MILLI_FIELD_NUMBER: _ClassVar[int]
    node: str
    cards: _containers.RepeatedScalarFieldContainer[int]
    tasks: int
    share_milli: int
    def __init__(self, node: _Optional[str] = ..., cards: _Optional[_Iterable[int]] = ..., tasks: _Optional[int] = ..., share_milli: _Optional[int] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("lease_id", "epoch", "cluster", "pool", "model", "build", "nodes", "tasks", "price")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    epoch: int
    cluster: str
    pool: str
    model: str
    build: int
    nodes: _containers.RepeatedCompositeFieldContainer[NodeCards]
    tasks: int
    price: LeasePrice
    def __init__(self, lease_id: _Optional[str] = ..., epoch: _Optional[int] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., model: _Optional[str] = ..., build: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[NodeCards, _Mapping]]] = ..., tasks: _Optional[int] = ..., price: _Optional[_Union[LeasePrice, _Mapping]] = ...) -> None: ...

class LeasePrice(_message.Message):
    __slots__ = ("ask_micro_yuan_per_card_hour", "scarcity_micro_yuan_per_card_hour", "rate_card_version")
    ASK_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    SCARCITY_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    RATE_CARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    ask_micro_yuan_per_card_hour: int
    scarcity_micro_yuan_per_card_hour: int
    rate_card_version: int
    def __init__(self, ask_micro_yuan_per_card_hour: _Optional[int] = ..., scarcity_micro_yuan_per_card_hour: _Optional[int] = ..., rate_card_version: _Optional[int] = ...) -> None: ...

class SignedPolicy(_message.Message):
    __slots__ = ("statement", "signature")
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    statement: str
    signature: bytes
    def __init__(self, statement: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("reason", "exit_code", "signal", "detail")
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    reason: EndReason
    exit_code: int
    signal: int
    detail: str
    def __init__(self, reason: _Optional[_Union[EndReason, str]] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "city", "spec", "state", "attempt", "cancel_requested", "placement", "end", "submitted_at", "started_at", "ended_at", "waiting_reason", "policy", "promised", "preemptions", "stop_ordered_at", "expected_start", "data_ready_at")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASON_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    STOP_ORDERED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_START_FIELD_NUMBER: _ClassVar[int]
    DATA_READY_AT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    city: str
    spec: JobSpec
    state: JobState
    attempt: int
    cancel_requested: bool
    placement: Placement
    end: End
    submitted_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    waiting_reason: str
    policy: SignedPolicy
    promised: Promised
    preemptions: int
    stop_ordered_at: _timestamp_pb2.Timestamp
    expected_start: ExpectedStart
    data_ready_at: _timestamp_pb2.Timestamp
    def __init__(self, job_id: _Optional[str] = ..., city: _Optional[str] = ..., spec: _Optional[_Union[JobSpec, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ..., attempt: _Optional[int] = ..., cancel_requested: _Optional[bool] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., submitted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting_reason: _Optional[str] = ..., policy: _Optional[_Union[SignedPolicy, _Mapping]] = ..., promised: _Optional[_Union[Promised, _Mapping]] = ..., preemptions: _Optional[int] = ..., stop_ordered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expected_start: _Optional[_Union[ExpectedStart, _Mapping]] = ..., data_ready_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Promised(_message.Message):
    __slots__ = ("starts_at", "first_starts_at", "cluster", "pool")
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    starts_at: _timestamp_pb2.Timestamp
    first_starts_at: _timestamp_pb2.Timestamp
    cluster: str
    pool: str
    def __init__(self, starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ...) -> None: ...

class ExpectedStart(_message.Message):
    __slots__ = ("p50_at", "p90_at")
    P50_AT_FIELD_NUMBER: _ClassVar[int]
    P90_AT_FIELD_NUMBER: _ClassVar[int]
    p50_at: _timestamp_pb2.Timestamp
    p90_at: _timestamp_pb2.Timestamp
    def __init__(self, p50_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., p90_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
