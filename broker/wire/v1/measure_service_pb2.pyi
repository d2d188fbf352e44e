import datetime

from broker.wire.v1 import hub_month_pb2 as _hub_month_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReliabilityPart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RELIABILITY_PART_UNSPECIFIED: _ClassVar[ReliabilityPart]
    RELIABILITY_PART_KEPT: _ClassVar[ReliabilityPart]
    RELIABILITY_PART_STARTS: _ClassVar[ReliabilityPart]
    RELIABILITY_PART_PROMPT: _ClassVar[ReliabilityPart]
    RELIABILITY_PART_SPEED: _ClassVar[ReliabilityPart]
RELIABILITY_PART_UNSPECIFIED: ReliabilityPart
RELIABILITY_PART_KEPT: ReliabilityPart
RELIABILITY_PART_STARTS: ReliabilityPart
RELIABILITY_PART_PROMPT: ReliabilityPart
RELIABILITY_PART_SPEED: ReliabilityPart

class Drawn(_message.Message):
    __slots__ = ("it_joules", "meter_joules", "green_joules", "green_ppm")
    IT_JOULES_FIELD_NUMBER: _ClassVar[int]
    METER_JOULES_FIELD_NUMBER: _ClassVar[int]
    GREEN_JOULES_FIELD_NUMBER: _ClassVar[int]
    GREEN_PPM_FIELD_NUMBER: _ClassVar[int]
    it_joules: int
    meter_joules: int
    green_joules: int
    green_ppm: int
    def __init__(self, it_joules: _Optional[int] = ..., meter_joules: _Optional[int] = ..., green_joules: _Optional[int] = ..., green_ppm: _Optional[int] = ...) -> None: ...

class HubEnergy(_message.Message):
    __slots__ = ("hub", "drawn", "green_ppm", "green_line_ppm", "pue_milli", "pue_line_milli", "green_hours", "green_share_ppm", "quota_joules", "pace_joules")
    HUB_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    GREEN_PPM_FIELD_NUMBER: _ClassVar[int]
    GREEN_LINE_PPM_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    PUE_LINE_MILLI_FIELD_NUMBER: _ClassVar[int]
    GREEN_HOURS_FIELD_NUMBER: _ClassVar[int]
    GREEN_SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    QUOTA_JOULES_FIELD_NUMBER: _ClassVar[int]
    PACE_JOULES_FIELD_NUMBER: _ClassVar[int]
    hub: str
    drawn: Drawn
    green_ppm: int
    green_line_ppm: int
    pue_milli: int
    pue_line_milli: int
    green_hours: _containers.RepeatedScalarFieldContainer[int]
    green_share_ppm: int
    quota_joules: int
    pace_joules: int
    def __init__(self, hub: _Optional[str] = ..., drawn: _Optional[_Union[Drawn, _Mapping]] = ..., green_ppm: _Optional[int] = ..., green_line_ppm: _Optional[int] = ..., pue_milli: _Optional[int] = ..., pue_line_milli: _Optional[int] = ..., green_hours: _Optional[_Iterable[int]] = ..., green_share_ppm: _Optional[int] = ..., quota_joules: _Optional[int] = ..., pace_joules: _Optional[int] = ...) -> None: ...

class EnergyPart(_message.Message):
    __slots__ = ("hub", "cluster", "owner", "city", "drawn")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    hub: str
    cluster: str
    owner: str
    city: str
    drawn: Drawn
    def __init__(self, hub: _Optional[str] = ..., cluster: _Optional[str] = ..., owner: _Optional[str] = ..., city: _Optional[str] = ..., drawn: _Optional[_Union[Drawn, _Mapping]] = ...) -> None: ...

class GetEnergyRequest(_message.Message):
    __slots__ = ("hub", "city", "period")
    HUB_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    hub: str
    city: str
    period: str
    def __init__(self, hub: _Optional[str] = ..., city: _Optional[str] = ..., period: _Optional[str] = ...) -> None: ...

class GetEnergyResponse(_message.Message):
    __slots__ = ("hubs", "parts", "period", "counted_since", "counted_until")
    HUBS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    COUNTED_SINCE_FIELD_NUMBER: _ClassVar[int]
    COUNTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    hubs: _containers.RepeatedCompositeFieldContainer[HubEnergy]
    parts: _containers.RepeatedCompositeFieldContainer[EnergyPart]
    period: str
    counted_since: _timestamp_pb2.Timestamp
    counted_until: _timestamp_pb2.Timestamp
    def __init__(self, hubs: _Optional[_Iterable[_Union[HubEnergy, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[EnergyPart, _Mapping]]] = ..., period: _Optional[str] = ..., counted_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., counted_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetJobEnergyRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class AttemptEnergy(_message.Message):
    __slots__ = ("lease_id", "hub", "cluster", "offered_at", "ended_at", "drawn", "final")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    OFFERED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    hub: str
    cluster: str
    offered_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    drawn: Drawn
    final: bool
    def __init__(self, lease_id: _Optional[str] = ..., hub: _Optional[str] = ..., cluster: _Optional[str] = ..., offered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., drawn: _Optional[_Union[Drawn, _Mapping]] = ..., final: _Optional[bool] = ...) -> None: ...

class GetJobEnergyResponse(_message.Message):
    __slots__ = ("attempts", "drawn", "final")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptEnergy]
    drawn: Drawn
    final: bool
    def __init__(self, attempts: _Optional[_Iterable[_Union[AttemptEnergy, _Mapping]]] = ..., drawn: _Optional[_Union[Drawn, _Mapping]] = ..., final: _Optional[bool] = ...) -> None: ...

class ListReliabilityRequest(_message.Message):
    __slots__ = ("owner", "cluster")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    owner: str
    cluster: str
    def __init__(self, owner: _Optional[str] = ..., cluster: _Optional[str] = ...) -> None: ...

class PartScore(_message.Message):
    __slots__ = ("part", "good", "of", "ppm", "weight")
    PART_FIELD_NUMBER: _ClassVar[int]
    GOOD_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    PPM_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    part: ReliabilityPart
    good: int
    of: int
    ppm: int
    weight: int
    def __init__(self, part: _Optional[_Union[ReliabilityPart, str]] = ..., good: _Optional[int] = ..., of: _Optional[int] = ..., ppm: _Optional[int] = ..., weight: _Optional[int] = ...) -> None: ...

class ReliabilityScore(_message.Message):
    __slots__ = ("owner", "cluster", "score_ppm", "parts")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    SCORE_PPM_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    cluster: str
    score_ppm: int
    parts: _containers.RepeatedCompositeFieldContainer[PartScore]
    def __init__(self, owner: _Optional[str] = ..., cluster: _Optional[str] = ..., score_ppm: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[PartScore, _Mapping]]] = ...) -> None: ...

class ListReliabilityResponse(_message.Message):
    __slots__ = ("scores", "days")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[ReliabilityScore]
    days: int
    def __init__(self, scores: _Optional[_Iterable[_Union[ReliabilityScore, _Mapping]]] = ..., days: _Optional[int] = ...) -> None: ...

class RecordProbeRequest(_message.Message):
    __slots__ = ("job_id", "measured_milli_tflops", "precision")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    measured_milli_tflops: int
    precision: str
    def __init__(self, job_id: _Optional[str] = ..., measured_milli_tflops: _Optional[int] = ..., precision: _Optional[str] = ...) -> None: ...

class RecordProbeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProbesRequest(_message.Message):
    __slots__ = ("cluster",)
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    def __init__(self, cluster: _Optional[str] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("cluster", "owner", "node", "model", "cards", "measured_milli_tflops", "precision", "emulated", "at", "job_id", "rated_milli_tflops", "programme_milli_tflops", "model_measured_milli_tflops")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    EMULATED_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RATED_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    MODEL_MEASURED_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    owner: str
    node: str
    model: str
    cards: int
    measured_milli_tflops: int
    precision: str
    emulated: bool
    at: _timestamp_pb2.Timestamp
    job_id: str
    rated_milli_tflops: int
    programme_milli_tflops: int
    model_measured_milli_tflops: int
    def __init__(self, cluster: _Optional[str] = ..., owner: _Optional[str] = ..., node: _Optional[str] = ..., model: _Optional[str] = ..., cards: _Optional[int] = ..., measured_milli_tflops: _Optional[int] = ..., precision: _Optional[str] = ..., emulated: _Optional[bool] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., job_id: _Optional[str] = ..., rated_milli_tflops: _Optional[int] = ..., programme_milli_tflops: _Optional[int] = ..., model_measured_milli_tflops: _Optional[int] = ...) -> None: ...

class ListProbesResponse(_message.Message):
    __slots__ = ("probes",)
    PROBES_FIELD_NUMBER: _ClassVar[int]
    probes: _containers.RepeatedCompositeFieldContainer[Probe]
    def __init__(self, probes: _Optional[_Iterable[_Union[Probe, _Mapping]]] = ...) -> None: ...
