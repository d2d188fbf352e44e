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

class JobEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_EVENT_KIND_UNSPECIFIED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_SUBMITTED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_LEASED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_STARTED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_SUCCEEDED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_FAILED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_CANCELLED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_EXPIRED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_CANCEL_REQUESTED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_LOST: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_FOUND: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_REQUEUED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_UPDATED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_STOP_ORDERED: _ClassVar[JobEventKind]
    JOB_EVENT_KIND_DATA_READY: _ClassVar[JobEventKind]

class LogStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_STREAM_UNSPECIFIED: _ClassVar[LogStream]
    LOG_STREAM_STDOUT: _ClassVar[LogStream]
    LOG_STREAM_STDERR: _ClassVar[LogStream]
JOB_EVENT_KIND_UNSPECIFIED: JobEventKind
JOB_EVENT_KIND_SUBMITTED: JobEventKind
JOB_EVENT_KIND_LEASED: JobEventKind
JOB_EVENT_KIND_STARTED: JobEventKind
JOB_EVENT_KIND_SUCCEEDED: JobEventKind
JOB_EVENT_KIND_FAILED: JobEventKind
JOB_EVENT_KIND_CANCELLED: JobEventKind
JOB_EVENT_KIND_EXPIRED: JobEventKind
JOB_EVENT_KIND_CANCEL_REQUESTED: JobEventKind
JOB_EVENT_KIND_LOST: JobEventKind
JOB_EVENT_KIND_FOUND: JobEventKind
JOB_EVENT_KIND_REQUEUED: JobEventKind
JOB_EVENT_KIND_UPDATED: JobEventKind
JOB_EVENT_KIND_STOP_ORDERED: JobEventKind
JOB_EVENT_KIND_DATA_READY: JobEventKind
LOG_STREAM_UNSPECIFIED: LogStream
LOG_STREAM_STDOUT: LogStream
LOG_STREAM_STDERR: LogStream

class SubmitJobRequest(_message.Message):
    __slots__ = ("request_key", "spec", "city")
    REQUEST_KEY_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    request_key: str
    spec: _job_pb2.JobSpec
    city: str
    def __init__(self, request_key: _Optional[str] = ..., spec: _Optional[_Union[_job_pb2.JobSpec, _Mapping]] = ..., city: _Optional[str] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job_id", "duplicate")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    duplicate: bool
    def __init__(self, job_id: _Optional[str] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class SubmitJobsRequest(_message.Message):
    __slots__ = ("items", "answer_together")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOGETHER_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SubmitJobRequest]
    answer_together: bool
    def __init__(self, items: _Optional[_Iterable[_Union[SubmitJobRequest, _Mapping]]] = ..., answer_together: _Optional[bool] = ...) -> None: ...

class SubmitJobsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SubmitJobResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SubmitJobResult, _Mapping]]] = ...) -> None: ...

class SubmitJobResult(_message.Message):
    __slots__ = ("request_key", "accepted", "refused")
    REQUEST_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    request_key: str
    accepted: SubmitJobResponse
    refused: Problem
    def __init__(self, request_key: _Optional[str] = ..., accepted: _Optional[_Union[SubmitJobResponse, _Mapping]] = ..., refused: _Optional[_Union[Problem, _Mapping]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("code", "reason", "message", "fields", "retry_after_millis")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MILLIS_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    message: str
    fields: _containers.RepeatedCompositeFieldContainer[FieldProblem]
    retry_after_millis: int
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[FieldProblem, _Mapping]]] = ..., retry_after_millis: _Optional[int] = ...) -> None: ...

class FieldProblem(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("states", "job_set", "city", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    JOB_SET_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[_job_pb2.JobState]
    job_set: str
    city: str
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[_job_pb2.JobState, str]]] = ..., job_set: _Optional[str] = ..., city: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobsRequest(_message.Message):
    __slots__ = ("after_cursor", "city", "idle_seconds_max")
    AFTER_CURSOR_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_MAX_FIELD_NUMBER: _ClassVar[int]
    after_cursor: int
    city: str
    idle_seconds_max: int
    def __init__(self, after_cursor: _Optional[int] = ..., city: _Optional[str] = ..., idle_seconds_max: _Optional[int] = ...) -> None: ...

class WatchJobsResponse(_message.Message):
    __slots__ = ("events", "previous_cursor")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CURSOR_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[JobEvent]
    previous_cursor: int
    def __init__(self, events: _Optional[_Iterable[_Union[JobEvent, _Mapping]]] = ..., previous_cursor: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("cursor", "job_id", "kind", "at", "attempt", "placement", "end")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    cursor: int
    job_id: str
    kind: JobEventKind
    at: _timestamp_pb2.Timestamp
    attempt: int
    placement: _job_pb2.Placement
    end: _job_pb2.End
    def __init__(self, cursor: _Optional[int] = ..., job_id: _Optional[str] = ..., kind: _Optional[_Union[JobEventKind, str]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attempt: _Optional[int] = ..., placement: _Optional[_Union[_job_pb2.Placement, _Mapping]] = ..., end: _Optional[_Union[_job_pb2.End, _Mapping]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class CancelJobSetRequest(_message.Message):
    __slots__ = ("job_set", "city", "dry_run")
    JOB_SET_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    job_set: str
    city: str
    dry_run: bool
    def __init__(self, job_set: _Optional[str] = ..., city: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class CancelJobSetResponse(_message.Message):
    __slots__ = ("cancelled", "cancel_requested")
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    cancelled: int
    cancel_requested: int
    def __init__(self, cancelled: _Optional[int] = ..., cancel_requested: _Optional[int] = ...) -> None: ...

class UpdateJobRequest(_message.Message):
    __slots__ = ("job_id", "priority")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    priority: _job_pb2.PriorityClass
    def __init__(self, job_id: _Optional[str] = ..., priority: _Optional[_Union[_job_pb2.PriorityClass, str]] = ...) -> None: ...

class UpdateJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ...) -> None: ...

class ExplainJobRequest(_message.Message):
    __slots__ = ("job_id", "start_by")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    START_BY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    start_by: _timestamp_pb2.Timestamp
    def __init__(self, job_id: _Optional[str] = ..., start_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExplainJobResponse(_message.Message):
    __slots__ = ("job", "verdicts", "round", "summary", "changes", "worth", "earliest")
    JOB_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    WORTH_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    verdicts: _containers.RepeatedCompositeFieldContainer[PoolVerdict]
    round: int
    summary: str
    changes: _containers.RepeatedCompositeFieldContainer[JobChange]
    worth: WorthSplit
    earliest: EarliestStart
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., verdicts: _Optional[_Iterable[_Union[PoolVerdict, _Mapping]]] = ..., round: _Optional[int] = ..., summary: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[JobChange, _Mapping]]] = ..., worth: _Optional[_Union[WorthSplit, _Mapping]] = ..., earliest: _Optional[_Union[EarliestStart, _Mapping]] = ...) -> None: ...

class EarliestStart(_message.Message):
    __slots__ = ("starts_at", "cluster", "pool", "detail")
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    starts_at: _timestamp_pb2.Timestamp
    cluster: str
    pool: str
    detail: str
    def __init__(self, starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class WorthSplit(_message.Message):
    __slots__ = ("pays_micro_yuan_per_hour", "asks_micro_yuan_per_hour", "energy_micro_yuan_per_hour", "transfer_micro_yuan_per_hour", "weight_percent", "worth_micro_yuan_per_hour", "cards_price_micro_yuan_per_hour", "host_price_micro_yuan_per_hour", "power_price_micro_yuan_per_hour", "quota_price_micro_yuan_per_hour")
    PAYS_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    ASKS_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_PERCENT_FIELD_NUMBER: _ClassVar[int]
    WORTH_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    CARDS_PRICE_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    HOST_PRICE_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    POWER_PRICE_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    QUOTA_PRICE_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    pays_micro_yuan_per_hour: int
    asks_micro_yuan_per_hour: int
    energy_micro_yuan_per_hour: int
    transfer_micro_yuan_per_hour: int
    weight_percent: int
    worth_micro_yuan_per_hour: int
    cards_price_micro_yuan_per_hour: int
    host_price_micro_yuan_per_hour: int
    power_price_micro_yuan_per_hour: int
    quota_price_micro_yuan_per_hour: int
    def __init__(self, pays_micro_yuan_per_hour: _Optional[int] = ..., asks_micro_yuan_per_hour: _Optional[int] = ..., energy_micro_yuan_per_hour: _Optional[int] = ..., transfer_micro_yuan_per_hour: _Optional[int] = ..., weight_percent: _Optional[int] = ..., worth_micro_yuan_per_hour: _Optional[int] = ..., cards_price_micro_yuan_per_hour: _Optional[int] = ..., host_price_micro_yuan_per_hour: _Optional[int] = ..., power_price_micro_yuan_per_hour: _Optional[int] = ..., quota_price_micro_yuan_per_hour: _Optional[int] = ...) -> None: ...

class JobChange(_message.Message):
    __slots__ = ("lever", "effect", "before", "after", "name", "extra_micro_yuan_per_hour", "cluster", "pool", "instead_of_jobs", "detail", "starts_at")
    LEVER_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXTRA_MICRO_YUAN_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_JOBS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    lever: str
    effect: str
    before: int
    after: int
    name: str
    extra_micro_yuan_per_hour: int
    cluster: str
    pool: str
    instead_of_jobs: int
    detail: str
    starts_at: _timestamp_pb2.Timestamp
    def __init__(self, lever: _Optional[str] = ..., effect: _Optional[str] = ..., before: _Optional[int] = ..., after: _Optional[int] = ..., name: _Optional[str] = ..., extra_micro_yuan_per_hour: _Optional[int] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., instead_of_jobs: _Optional[int] = ..., detail: _Optional[str] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PoolVerdict(_message.Message):
    __slots__ = ("cluster", "pool", "hub", "model", "reason", "build", "cards_short", "clearing_micro_yuan_per_pflops_hour", "detail")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    CARDS_SHORT_FIELD_NUMBER: _ClassVar[int]
    CLEARING_MICRO_YUAN_PER_PFLOPS_HOUR_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    pool: str
    hub: str
    model: str
    reason: str
    build: int
    cards_short: int
    clearing_micro_yuan_per_pflops_hour: int
    detail: str
    def __init__(self, cluster: _Optional[str] = ..., pool: _Optional[str] = ..., hub: _Optional[str] = ..., model: _Optional[str] = ..., reason: _Optional[str] = ..., build: _Optional[int] = ..., cards_short: _Optional[int] = ..., clearing_micro_yuan_per_pflops_hour: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ReadLogsRequest(_message.Message):
    __slots__ = ("job_id", "attempt", "task", "stream", "offset", "follow")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    attempt: int
    task: int
    stream: LogStream
    offset: int
    follow: bool
    def __init__(self, job_id: _Optional[str] = ..., attempt: _Optional[int] = ..., task: _Optional[int] = ..., stream: _Optional[_Union[LogStream, str]] = ..., offset: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class ReadLogsResponse(_message.Message):
    __slots__ = ("data", "offset")
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: int
    def __init__(self, data: _Optional[bytes] = ..., offset: _Optional[int] = ...) -> None: ...
