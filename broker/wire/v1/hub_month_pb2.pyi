import datetime

from broker.wire.v1 import papers_pb2 as _papers_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ParkFigure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARK_FIGURE_UNSPECIFIED: _ClassVar[ParkFigure]
    PARK_FIGURE_RACKS: _ClassVar[ParkFigure]
    PARK_FIGURE_RACKS_USED: _ClassVar[ParkFigure]
    PARK_FIGURE_PUE: _ClassVar[ParkFigure]
    PARK_FIGURE_RECOVERED_HEAT: _ClassVar[ParkFigure]
PARK_FIGURE_UNSPECIFIED: ParkFigure
PARK_FIGURE_RACKS: ParkFigure
PARK_FIGURE_RACKS_USED: ParkFigure
PARK_FIGURE_PUE: ParkFigure
PARK_FIGURE_RECOVERED_HEAT: ParkFigure

class GetHubMonthRequest(_message.Message):
    __slots__ = ("hub", "month")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    hub: str
    month: str
    def __init__(self, hub: _Optional[str] = ..., month: _Optional[str] = ...) -> None: ...

class MonthTotal(_message.Message):
    __slots__ = ("jobs", "leases", "milli_card_seconds", "capacity_milli_card_seconds", "nameplate_micro_pflops_hours", "programme_micro_pflops_hours", "measured_micro_pflops_hours", "micro_yuan", "voucher_micro_yuan", "borne_micro_yuan", "owners_micro_yuan", "fee_micro_yuan", "credited_micro_yuan", "quotes_accepted", "quotes_kept", "quotes_missed", "missed_credit_micro_yuan", "starts_kept", "starts_late", "starts_moved", "starts_broken")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_MILLI_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NAMEPLATE_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    BORNE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    OWNERS_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    FEE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    CREDITED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    QUOTES_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    QUOTES_KEPT_FIELD_NUMBER: _ClassVar[int]
    QUOTES_MISSED_FIELD_NUMBER: _ClassVar[int]
    MISSED_CREDIT_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    STARTS_KEPT_FIELD_NUMBER: _ClassVar[int]
    STARTS_LATE_FIELD_NUMBER: _ClassVar[int]
    STARTS_MOVED_FIELD_NUMBER: _ClassVar[int]
    STARTS_BROKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: int
    leases: int
    milli_card_seconds: int
    capacity_milli_card_seconds: int
    nameplate_micro_pflops_hours: int
    programme_micro_pflops_hours: int
    measured_micro_pflops_hours: int
    micro_yuan: int
    voucher_micro_yuan: int
    borne_micro_yuan: int
    owners_micro_yuan: int
    fee_micro_yuan: int
    credited_micro_yuan: int
    quotes_accepted: int
    quotes_kept: int
    quotes_missed: int
    missed_credit_micro_yuan: int
    starts_kept: int
    starts_late: int
    starts_moved: int
    starts_broken: int
    def __init__(self, jobs: _Optional[int] = ..., leases: _Optional[int] = ..., milli_card_seconds: _Optional[int] = ..., capacity_milli_card_seconds: _Optional[int] = ..., nameplate_micro_pflops_hours: _Optional[int] = ..., programme_micro_pflops_hours: _Optional[int] = ..., measured_micro_pflops_hours: _Optional[int] = ..., micro_yuan: _Optional[int] = ..., voucher_micro_yuan: _Optional[int] = ..., borne_micro_yuan: _Optional[int] = ..., owners_micro_yuan: _Optional[int] = ..., fee_micro_yuan: _Optional[int] = ..., credited_micro_yuan: _Optional[int] = ..., quotes_accepted: _Optional[int] = ..., quotes_kept: _Optional[int] = ..., quotes_missed: _Optional[int] = ..., missed_credit_micro_yuan: _Optional[int] = ..., starts_kept: _Optional[int] = ..., starts_late: _Optional[int] = ..., starts_moved: _Optional[int] = ..., starts_broken: _Optional[int] = ...) -> None: ...

class Title(_message.Message):
    __slots__ = ("kind", "name", "title")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    title: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class DayUse(_message.Message):
    __slots__ = ("day", "workload_class", "city", "milli_card_seconds")
    DAY_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASS_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    day: str
    workload_class: str
    city: str
    milli_card_seconds: int
    def __init__(self, day: _Optional[str] = ..., workload_class: _Optional[str] = ..., city: _Optional[str] = ..., milli_card_seconds: _Optional[int] = ...) -> None: ...

class DayMoney(_message.Message):
    __slots__ = ("day", "micro_yuan", "voucher_micro_yuan")
    DAY_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    day: str
    micro_yuan: int
    voucher_micro_yuan: int
    def __init__(self, day: _Optional[str] = ..., micro_yuan: _Optional[int] = ..., voucher_micro_yuan: _Optional[int] = ...) -> None: ...

class DayEnergy(_message.Message):
    __slots__ = ("day", "hub", "it_joules", "meter_joules", "green_joules")
    DAY_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    IT_JOULES_FIELD_NUMBER: _ClassVar[int]
    METER_JOULES_FIELD_NUMBER: _ClassVar[int]
    GREEN_JOULES_FIELD_NUMBER: _ClassVar[int]
    day: str
    hub: str
    it_joules: int
    meter_joules: int
    green_joules: int
    def __init__(self, day: _Optional[str] = ..., hub: _Optional[str] = ..., it_joules: _Optional[int] = ..., meter_joules: _Optional[int] = ..., green_joules: _Optional[int] = ...) -> None: ...

class ModelMonth(_message.Message):
    __slots__ = ("hub", "model", "cards", "programme_milli_tflops", "milli_card_seconds", "capacity_milli_card_seconds", "programme_micro_pflops_hours", "micro_yuan", "waits", "wait_p50_seconds", "wait_p90_seconds", "priced_seconds", "short_seconds", "card_micro_yuan", "single_micro_yuan", "spot_micro_yuan")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_MILLI_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    WAIT_P50_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WAIT_P90_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PRICED_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHORT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CARD_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    SINGLE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    SPOT_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    hub: str
    model: str
    cards: int
    programme_milli_tflops: int
    milli_card_seconds: int
    capacity_milli_card_seconds: int
    programme_micro_pflops_hours: int
    micro_yuan: int
    waits: int
    wait_p50_seconds: int
    wait_p90_seconds: int
    priced_seconds: int
    short_seconds: int
    card_micro_yuan: int
    single_micro_yuan: int
    spot_micro_yuan: int
    def __init__(self, hub: _Optional[str] = ..., model: _Optional[str] = ..., cards: _Optional[int] = ..., programme_milli_tflops: _Optional[int] = ..., milli_card_seconds: _Optional[int] = ..., capacity_milli_card_seconds: _Optional[int] = ..., programme_micro_pflops_hours: _Optional[int] = ..., micro_yuan: _Optional[int] = ..., waits: _Optional[int] = ..., wait_p50_seconds: _Optional[int] = ..., wait_p90_seconds: _Optional[int] = ..., priced_seconds: _Optional[int] = ..., short_seconds: _Optional[int] = ..., card_micro_yuan: _Optional[int] = ..., single_micro_yuan: _Optional[int] = ..., spot_micro_yuan: _Optional[int] = ...) -> None: ...

class ParkFigures(_message.Message):
    __slots__ = ("hub", "month", "version", "racks", "racks_used", "pue_milli", "recovered_heat_kilowatt_hours", "source", "set_at", "set_by")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RACKS_FIELD_NUMBER: _ClassVar[int]
    RACKS_USED_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_HEAT_KILOWATT_HOURS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    hub: str
    month: str
    version: int
    racks: int
    racks_used: int
    pue_milli: int
    recovered_heat_kilowatt_hours: int
    source: str
    set_at: _timestamp_pb2.Timestamp
    set_by: str
    def __init__(self, hub: _Optional[str] = ..., month: _Optional[str] = ..., version: _Optional[int] = ..., racks: _Optional[int] = ..., racks_used: _Optional[int] = ..., pue_milli: _Optional[int] = ..., recovered_heat_kilowatt_hours: _Optional[int] = ..., source: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., set_by: _Optional[str] = ...) -> None: ...

class YearEnergy(_message.Message):
    __slots__ = ("month", "meter_joules")
    MONTH_FIELD_NUMBER: _ClassVar[int]
    METER_JOULES_FIELD_NUMBER: _ClassVar[int]
    month: str
    meter_joules: int
    def __init__(self, month: _Optional[str] = ..., meter_joules: _Optional[int] = ...) -> None: ...

class HubPart(_message.Message):
    __slots__ = ("hub", "title", "cards", "nameplate_milli_tflops", "programme_milli_tflops", "measured_milli_tflops", "reported_racks", "reported_on", "rack_line_ppm", "rack_line_source", "pue_line_milli", "pue_line_source", "green_line_ppm", "green_line_source", "pue_milli", "quota_joules", "it_joules", "meter_joules", "green_joules", "months", "figures")
    HUB_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    NAMEPLATE_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MILLI_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_RACKS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_ON_FIELD_NUMBER: _ClassVar[int]
    RACK_LINE_PPM_FIELD_NUMBER: _ClassVar[int]
    RACK_LINE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PUE_LINE_MILLI_FIELD_NUMBER: _ClassVar[int]
    PUE_LINE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    GREEN_LINE_PPM_FIELD_NUMBER: _ClassVar[int]
    GREEN_LINE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    QUOTA_JOULES_FIELD_NUMBER: _ClassVar[int]
    IT_JOULES_FIELD_NUMBER: _ClassVar[int]
    METER_JOULES_FIELD_NUMBER: _ClassVar[int]
    GREEN_JOULES_FIELD_NUMBER: _ClassVar[int]
    MONTHS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    hub: str
    title: str
    cards: int
    nameplate_milli_tflops: int
    programme_milli_tflops: int
    measured_milli_tflops: int
    reported_racks: int
    reported_on: str
    rack_line_ppm: int
    rack_line_source: str
    pue_line_milli: int
    pue_line_source: str
    green_line_ppm: int
    green_line_source: str
    pue_milli: int
    quota_joules: int
    it_joules: int
    meter_joules: int
    green_joules: int
    months: _containers.RepeatedCompositeFieldContainer[YearEnergy]
    figures: _containers.RepeatedCompositeFieldContainer[ParkFigures]
    def __init__(self, hub: _Optional[str] = ..., title: _Optional[str] = ..., cards: _Optional[int] = ..., nameplate_milli_tflops: _Optional[int] = ..., programme_milli_tflops: _Optional[int] = ..., measured_milli_tflops: _Optional[int] = ..., reported_racks: _Optional[int] = ..., reported_on: _Optional[str] = ..., rack_line_ppm: _Optional[int] = ..., rack_line_source: _Optional[str] = ..., pue_line_milli: _Optional[int] = ..., pue_line_source: _Optional[str] = ..., green_line_ppm: _Optional[int] = ..., green_line_source: _Optional[str] = ..., pue_milli: _Optional[int] = ..., quota_joules: _Optional[int] = ..., it_joules: _Optional[int] = ..., meter_joules: _Optional[int] = ..., green_joules: _Optional[int] = ..., months: _Optional[_Iterable[_Union[YearEnergy, _Mapping]]] = ..., figures: _Optional[_Iterable[_Union[ParkFigures, _Mapping]]] = ...) -> None: ...

class ProgrammeMonth(_message.Message):
    __slots__ = ("programme", "hub", "year", "budget_micro_yuan", "granted_micro_yuan", "granted_before_micro_yuan", "used_micro_yuan", "used_before_micro_yuan", "vouchers")
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    YEAR_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    GRANTED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    GRANTED_BEFORE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    USED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    USED_BEFORE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    VOUCHERS_FIELD_NUMBER: _ClassVar[int]
    programme: str
    hub: str
    year: int
    budget_micro_yuan: int
    granted_micro_yuan: int
    granted_before_micro_yuan: int
    used_micro_yuan: int
    used_before_micro_yuan: int
    vouchers: int
    def __init__(self, programme: _Optional[str] = ..., hub: _Optional[str] = ..., year: _Optional[int] = ..., budget_micro_yuan: _Optional[int] = ..., granted_micro_yuan: _Optional[int] = ..., granted_before_micro_yuan: _Optional[int] = ..., used_micro_yuan: _Optional[int] = ..., used_before_micro_yuan: _Optional[int] = ..., vouchers: _Optional[int] = ...) -> None: ...

class GapBucket(_message.Message):
    __slots__ = ("gap_ppm_max", "rounds")
    GAP_PPM_MAX_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    gap_ppm_max: int
    rounds: int
    def __init__(self, gap_ppm_max: _Optional[int] = ..., rounds: _Optional[int] = ...) -> None: ...

class MonthRounds(_message.Message):
    __slots__ = ("committed", "other", "placed", "gap_p50_ppm", "gap_p95_ppm", "millis_p50", "millis_p95", "gaps")
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    PLACED_FIELD_NUMBER: _ClassVar[int]
    GAP_P50_PPM_FIELD_NUMBER: _ClassVar[int]
    GAP_P95_PPM_FIELD_NUMBER: _ClassVar[int]
    MILLIS_P50_FIELD_NUMBER: _ClassVar[int]
    MILLIS_P95_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    committed: int
    other: int
    placed: int
    gap_p50_ppm: int
    gap_p95_ppm: int
    millis_p50: int
    millis_p95: int
    gaps: _containers.RepeatedCompositeFieldContainer[GapBucket]
    def __init__(self, committed: _Optional[int] = ..., other: _Optional[int] = ..., placed: _Optional[int] = ..., gap_p50_ppm: _Optional[int] = ..., gap_p95_ppm: _Optional[int] = ..., millis_p50: _Optional[int] = ..., millis_p95: _Optional[int] = ..., gaps: _Optional[_Iterable[_Union[GapBucket, _Mapping]]] = ...) -> None: ...

class GetHubMonthResponse(_message.Message):
    __slots__ = ("number", "month", "hub", "begins_at", "ends_at", "provisional_at", "energy_counted_until", "sha256", "total", "use", "days", "money", "energy", "models", "hubs", "programmes", "rounds", "titles")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    BEGINS_AT_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    PROVISIONAL_AT_FIELD_NUMBER: _ClassVar[int]
    ENERGY_COUNTED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    MONEY_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    HUBS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMMES_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    TITLES_FIELD_NUMBER: _ClassVar[int]
    number: str
    month: str
    hub: str
    begins_at: _timestamp_pb2.Timestamp
    ends_at: _timestamp_pb2.Timestamp
    provisional_at: _timestamp_pb2.Timestamp
    energy_counted_until: _timestamp_pb2.Timestamp
    sha256: str
    total: MonthTotal
    use: _containers.RepeatedCompositeFieldContainer[_papers_pb2.UseRow]
    days: _containers.RepeatedCompositeFieldContainer[DayUse]
    money: _containers.RepeatedCompositeFieldContainer[DayMoney]
    energy: _containers.RepeatedCompositeFieldContainer[DayEnergy]
    models: _containers.RepeatedCompositeFieldContainer[ModelMonth]
    hubs: _containers.RepeatedCompositeFieldContainer[HubPart]
    programmes: _containers.RepeatedCompositeFieldContainer[ProgrammeMonth]
    rounds: MonthRounds
    titles: _containers.RepeatedCompositeFieldContainer[Title]
    def __init__(self, number: _Optional[str] = ..., month: _Optional[str] = ..., hub: _Optional[str] = ..., begins_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ends_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., provisional_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., energy_counted_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sha256: _Optional[str] = ..., total: _Optional[_Union[MonthTotal, _Mapping]] = ..., use: _Optional[_Iterable[_Union[_papers_pb2.UseRow, _Mapping]]] = ..., days: _Optional[_Iterable[_Union[DayUse, _Mapping]]] = ..., money: _Optional[_Iterable[_Union[DayMoney, _Mapping]]] = ..., energy: _Optional[_Iterable[_Union[DayEnergy, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[ModelMonth, _Mapping]]] = ..., hubs: _Optional[_Iterable[_Union[HubPart, _Mapping]]] = ..., programmes: _Optional[_Iterable[_Union[ProgrammeMonth, _Mapping]]] = ..., rounds: _Optional[_Union[MonthRounds, _Mapping]] = ..., titles: _Optional[_Iterable[_Union[Title, _Mapping]]] = ...) -> None: ...

class SetParkFiguresRequest(_message.Message):
    __slots__ = ("hub", "month", "racks", "racks_used", "pue_milli", "recovered_heat_kilowatt_hours", "withdrawn", "source", "dry_run")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    RACKS_FIELD_NUMBER: _ClassVar[int]
    RACKS_USED_FIELD_NUMBER: _ClassVar[int]
    PUE_MILLI_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_HEAT_KILOWATT_HOURS_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    hub: str
    month: str
    racks: int
    racks_used: int
    pue_milli: int
    recovered_heat_kilowatt_hours: int
    withdrawn: _containers.RepeatedScalarFieldContainer[ParkFigure]
    source: str
    dry_run: bool
    def __init__(self, hub: _Optional[str] = ..., month: _Optional[str] = ..., racks: _Optional[int] = ..., racks_used: _Optional[int] = ..., pue_milli: _Optional[int] = ..., recovered_heat_kilowatt_hours: _Optional[int] = ..., withdrawn: _Optional[_Iterable[_Union[ParkFigure, str]]] = ..., source: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class SetParkFiguresResponse(_message.Message):
    __slots__ = ("figures", "unchanged")
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    figures: ParkFigures
    unchanged: bool
    def __init__(self, figures: _Optional[_Union[ParkFigures, _Mapping]] = ..., unchanged: _Optional[bool] = ...) -> None: ...

class ListParkFiguresRequest(_message.Message):
    __slots__ = ("hub", "month")
    HUB_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    hub: str
    month: str
    def __init__(self, hub: _Optional[str] = ..., month: _Optional[str] = ...) -> None: ...

class ListParkFiguresResponse(_message.Message):
    __slots__ = ("figures",)
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    figures: _containers.RepeatedCompositeFieldContainer[ParkFigures]
    def __init__(self, figures: _Optional[_Iterable[_Union[ParkFigures, _Mapping]]] = ...) -> None: ...
