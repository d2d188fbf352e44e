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

class PriceSize(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRICE_SIZE_UNSPECIFIED: _ClassVar[PriceSize]
    PRICE_SIZE_1: _ClassVar[PriceSize]
    PRICE_SIZE_2: _ClassVar[PriceSize]
    PRICE_SIZE_4: _ClassVar[PriceSize]
    PRICE_SIZE_8: _ClassVar[PriceSize]
    PRICE_SIZE_NODE: _ClassVar[PriceSize]
    PRICE_SIZE_LARGER: _ClassVar[PriceSize]

class QuoteState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUOTE_STATE_UNSPECIFIED: _ClassVar[QuoteState]
    QUOTE_STATE_OPEN: _ClassVar[QuoteState]
    QUOTE_STATE_ACCEPTED: _ClassVar[QuoteState]
    QUOTE_STATE_KEPT: _ClassVar[QuoteState]
    QUOTE_STATE_MISSED: _ClassVar[QuoteState]
    QUOTE_STATE_CANCELLED: _ClassVar[QuoteState]
PRICE_SIZE_UNSPECIFIED: PriceSize
PRICE_SIZE_1: PriceSize
PRICE_SIZE_2: PriceSize
PRICE_SIZE_4: PriceSize
PRICE_SIZE_8: PriceSize
PRICE_SIZE_NODE: PriceSize
PRICE_SIZE_LARGER: PriceSize
QUOTE_STATE_UNSPECIFIED: QuoteState
QUOTE_STATE_OPEN: QuoteState
QUOTE_STATE_ACCEPTED: QuoteState
QUOTE_STATE_KEPT: QuoteState
QUOTE_STATE_MISSED: QuoteState
QUOTE_STATE_CANCELLED: QuoteState

class RateCard(_message.Message):
    __slots__ = ("cluster", "model", "version", "asks_micro_yuan_per_card_hour", "green_asks_micro_yuan_per_card_hour", "valid_from", "valid_until", "source", "set_at", "in_force")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ASKS_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    GREEN_ASKS_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    model: str
    version: int
    asks_micro_yuan_per_card_hour: _containers.RepeatedScalarFieldContainer[int]
    green_asks_micro_yuan_per_card_hour: _containers.RepeatedScalarFieldContainer[int]
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    source: str
    set_at: _timestamp_pb2.Timestamp
    in_force: bool
    def __init__(self, cluster: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[int] = ..., asks_micro_yuan_per_card_hour: _Optional[_Iterable[int]] = ..., green_asks_micro_yuan_per_card_hour: _Optional[_Iterable[int]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., in_force: _Optional[bool] = ...) -> None: ...

class AskBounds(_message.Message):
    __slots__ = ("model", "floor_micro_yuan_per_card_hour", "cap_micro_yuan_per_card_hour")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FLOOR_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    CAP_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    model: str
    floor_micro_yuan_per_card_hour: int
    cap_micro_yuan_per_card_hour: int
    def __init__(self, model: _Optional[str] = ..., floor_micro_yuan_per_card_hour: _Optional[int] = ..., cap_micro_yuan_per_card_hour: _Optional[int] = ...) -> None: ...

class SetRatesRequest(_message.Message):
    __slots__ = ("document", "dry_run")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    document: str
    dry_run: bool
    def __init__(self, document: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class SetRatesResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListRatesRequest(_message.Message):
    __slots__ = ("cluster", "model", "page_size", "page_token")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    model: str
    page_size: int
    page_token: str
    def __init__(self, cluster: _Optional[str] = ..., model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRatesResponse(_message.Message):
    __slots__ = ("rate_cards", "bounds", "next_page_token")
    RATE_CARDS_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rate_cards: _containers.RepeatedCompositeFieldContainer[RateCard]
    bounds: _containers.RepeatedCompositeFieldContainer[AskBounds]
    next_page_token: str
    def __init__(self, rate_cards: _Optional[_Iterable[_Union[RateCard, _Mapping]]] = ..., bounds: _Optional[_Iterable[_Union[AskBounds, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SizePrice(_message.Message):
    __slots__ = ("size", "cards", "scarcity_micro_yuan_per_card_hour", "spot_micro_yuan_per_card_hour", "spot_micro_yuan_per_pflops_hour")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    SCARCITY_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    SPOT_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    SPOT_MICRO_YUAN_PER_PFLOPS_HOUR_FIELD_NUMBER: _ClassVar[int]
    size: PriceSize
    cards: int
    scarcity_micro_yuan_per_card_hour: int
    spot_micro_yuan_per_card_hour: int
    spot_micro_yuan_per_pflops_hour: int
    def __init__(self, size: _Optional[_Union[PriceSize, str]] = ..., cards: _Optional[int] = ..., scarcity_micro_yuan_per_card_hour: _Optional[int] = ..., spot_micro_yuan_per_card_hour: _Optional[int] = ..., spot_micro_yuan_per_pflops_hour: _Optional[int] = ...) -> None: ...

class PoolPrice(_message.Message):
    __slots__ = ("hub", "cluster", "pool", "model", "ask_micro_yuan_per_card_hour", "rate_card_version", "sizes", "round", "changed_at")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ASK_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    RATE_CARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    hub: str
    cluster: str
    pool: str
    model: str
    ask_micro_yuan_per_card_hour: int
    rate_card_version: int
    sizes: _containers.RepeatedCompositeFieldContainer[SizePrice]
    round: int
    changed_at: _timestamp_pb2.Timestamp
    def __init__(self, hub: _Optional[str] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., model: _Optional[str] = ..., ask_micro_yuan_per_card_hour: _Optional[int] = ..., rate_card_version: _Optional[int] = ..., sizes: _Optional[_Iterable[_Union[SizePrice, _Mapping]]] = ..., round: _Optional[int] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPricesRequest(_message.Message):
    __slots__ = ("hub", "cluster", "model", "page_size", "page_token")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    hub: str
    cluster: str
    model: str
    page_size: int
    page_token: str
    def __init__(self, hub: _Optional[str] = ..., cluster: _Optional[str] = ..., model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPricesResponse(_message.Message):
    __slots__ = ("pools", "next_page_token")
    POOLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[PoolPrice]
    next_page_token: str
    def __init__(self, pools: _Optional[_Iterable[_Union[PoolPrice, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListPriceHistoryRequest(_message.Message):
    __slots__ = ("cluster", "pool", "after", "until", "hourly", "page_size")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    HOURLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    pool: str
    after: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    hourly: bool
    page_size: int
    def __init__(self, cluster: _Optional[str] = ..., pool: _Optional[str] = ..., after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hourly: _Optional[bool] = ..., page_size: _Optional[int] = ...) -> None: ...

class PriceChange(_message.Message):
    __slots__ = ("at", "round", "ask_micro_yuan_per_card_hour", "sizes")
    AT_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ASK_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    round: int
    ask_micro_yuan_per_card_hour: int
    sizes: _containers.RepeatedCompositeFieldContainer[SizePrice]
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., round: _Optional[int] = ..., ask_micro_yuan_per_card_hour: _Optional[int] = ..., sizes: _Optional[_Iterable[_Union[SizePrice, _Mapping]]] = ...) -> None: ...

class SizeHour(_message.Message):
    __slots__ = ("size", "least_micro_yuan_per_card_hour", "mean_micro_yuan_per_card_hour", "most_micro_yuan_per_card_hour", "closing_micro_yuan_per_card_hour")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LEAST_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    MEAN_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    MOST_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    CLOSING_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    size: PriceSize
    least_micro_yuan_per_card_hour: int
    mean_micro_yuan_per_card_hour: int
    most_micro_yuan_per_card_hour: int
    closing_micro_yuan_per_card_hour: int
    def __init__(self, size: _Optional[_Union[PriceSize, str]] = ..., least_micro_yuan_per_card_hour: _Optional[int] = ..., mean_micro_yuan_per_card_hour: _Optional[int] = ..., most_micro_yuan_per_card_hour: _Optional[int] = ..., closing_micro_yuan_per_card_hour: _Optional[int] = ...) -> None: ...

class PriceHour(_message.Message):
    __slots__ = ("at", "sizes")
    AT_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    sizes: _containers.RepeatedCompositeFieldContainer[SizeHour]
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sizes: _Optional[_Iterable[_Union[SizeHour, _Mapping]]] = ...) -> None: ...

class ListPriceHistoryResponse(_message.Message):
    __slots__ = ("changes", "hours", "more")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[PriceChange]
    hours: _containers.RepeatedCompositeFieldContainer[PriceHour]
    more: bool
    def __init__(self, changes: _Optional[_Iterable[_Union[PriceChange, _Mapping]]] = ..., hours: _Optional[_Iterable[_Union[PriceHour, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class FreeTasks(_message.Message):
    __slots__ = ("cards_per_task", "tasks")
    CARDS_PER_TASK_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    cards_per_task: int
    tasks: int
    def __init__(self, cards_per_task: _Optional[int] = ..., tasks: _Optional[int] = ...) -> None: ...

class PoolCapacity(_message.Message):
    __slots__ = ("hub", "cluster", "pool", "model", "nodes", "cards", "cards_free", "free_fp16_milli_pflops", "fits", "split_free_milli")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    CARDS_FREE_FIELD_NUMBER: _ClassVar[int]
    FREE_FP16_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    FITS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FREE_MILLI_FIELD_NUMBER: _ClassVar[int]
    hub: str
    cluster: str
    pool: str
    model: str
    nodes: int
    cards: int
    cards_free: int
    free_fp16_milli_pflops: int
    fits: _containers.RepeatedCompositeFieldContainer[FreeTasks]
    split_free_milli: int
    def __init__(self, hub: _Optional[str] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., model: _Optional[str] = ..., nodes: _Optional[int] = ..., cards: _Optional[int] = ..., cards_free: _Optional[int] = ..., free_fp16_milli_pflops: _Optional[int] = ..., fits: _Optional[_Iterable[_Union[FreeTasks, _Mapping]]] = ..., split_free_milli: _Optional[int] = ...) -> None: ...

class GetCapacityRequest(_message.Message):
    __slots__ = ("hub", "cluster", "model", "page_size", "page_token")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    hub: str
    cluster: str
    model: str
    page_size: int
    page_token: str
    def __init__(self, hub: _Optional[str] = ..., cluster: _Optional[str] = ..., model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetCapacityResponse(_message.Message):
    __slots__ = ("pools", "at", "next_page_token")
    POOLS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[PoolCapacity]
    at: _timestamp_pb2.Timestamp
    next_page_token: str
    def __init__(self, pools: _Optional[_Iterable[_Union[PoolCapacity, _Mapping]]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Quote(_message.Message):
    __slots__ = ("quote_id", "city", "job_name", "hub", "cluster", "pool", "model", "build", "not_before", "starts_by", "starts_at", "ask_micro_yuan_per_card_hour", "scarcity_micro_yuan_per_card_hour", "rate_card_version", "total_micro_yuan", "energy_micro_yuan", "transfer_micro_yuan", "transfer_seconds", "within_ceiling", "asked_at", "valid_until", "state", "job_id", "accepted_at", "decided_at", "credit_micro_yuan")
    QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    STARTS_BY_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_FIELD_NUMBER: _ClassVar[int]
    ASK_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    SCARCITY_MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    RATE_CARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    ENERGY_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_CEILING_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    quote_id: str
    city: str
    job_name: str
    hub: str
    cluster: str
    pool: str
    model: str
    build: int
    not_before: _timestamp_pb2.Timestamp
    starts_by: _timestamp_pb2.Timestamp
    starts_at: _timestamp_pb2.Timestamp
    ask_micro_yuan_per_card_hour: int
    scarcity_micro_yuan_per_card_hour: int
    rate_card_version: int
    total_micro_yuan: int
    energy_micro_yuan: int
    transfer_micro_yuan: int
    transfer_seconds: int
    within_ceiling: bool
    asked_at: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    state: QuoteState
    job_id: str
    accepted_at: _timestamp_pb2.Timestamp
    decided_at: _timestamp_pb2.Timestamp
    credit_micro_yuan: int
    def __init__(self, quote_id: _Optional[str] = ..., city: _Optional[str] = ..., job_name: _Optional[str] = ..., hub: _Optional[str] = ..., cluster: _Optional[str] = ..., pool: _Optional[str] = ..., model: _Optional[str] = ..., build: _Optional[int] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., starts_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., starts_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ask_micro_yuan_per_card_hour: _Optional[int] = ..., scarcity_micro_yuan_per_card_hour: _Optional[int] = ..., rate_card_version: _Optional[int] = ..., total_micro_yuan: _Optional[int] = ..., energy_micro_yuan: _Optional[int] = ..., transfer_micro_yuan: _Optional[int] = ..., transfer_seconds: _Optional[int] = ..., within_ceiling: _Optional[bool] = ..., asked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[QuoteState, str]] = ..., job_id: _Optional[str] = ..., accepted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., credit_micro_yuan: _Optional[int] = ...) -> None: ...

class GetQuoteRequest(_message.Message):
    __slots__ = ("spec", "city", "not_before", "starts_by", "options_max")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    STARTS_BY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_MAX_FIELD_NUMBER: _ClassVar[int]
    spec: _job_pb2.JobSpec
    city: str
    not_before: _timestamp_pb2.Timestamp
    starts_by: _timestamp_pb2.Timestamp
    options_max: int
    def __init__(self, spec: _Optional[_Union[_job_pb2.JobSpec, _Mapping]] = ..., city: _Optional[str] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., starts_by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., options_max: _Optional[int] = ...) -> None: ...

class GetQuoteResponse(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: _containers.RepeatedCompositeFieldContainer[Quote]
    def __init__(self, options: _Optional[_Iterable[_Union[Quote, _Mapping]]] = ...) -> None: ...

class AcceptQuoteRequest(_message.Message):
    __slots__ = ("quote_id", "request_key")
    QUOTE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_KEY_FIELD_NUMBER: _ClassVar[int]
    quote_id: str
    request_key: str
    def __init__(self, quote_id: _Optional[str] = ..., request_key: _Optional[str] = ...) -> None: ...

class AcceptQuoteResponse(_message.Message):
    __slots__ = ("quote", "duplicate")
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    quote: Quote
    duplicate: bool
    def __init__(self, quote: _Optional[_Union[Quote, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class ListQuotesRequest(_message.Message):
    __slots__ = ("city", "states", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    states: _containers.RepeatedScalarFieldContainer[QuoteState]
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., states: _Optional[_Iterable[_Union[QuoteState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQuotesResponse(_message.Message):
    __slots__ = ("quotes", "next_page_token")
    QUOTES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    quotes: _containers.RepeatedCompositeFieldContainer[Quote]
    next_page_token: str
    def __init__(self, quotes: _Optional[_Iterable[_Union[Quote, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
