import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
