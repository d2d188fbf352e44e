import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetInvoiceRequest(_message.Message):
    __slots__ = ("city", "enterprise", "month")
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    city: str
    enterprise: str
    month: str
    def __init__(self, city: _Optional[str] = ..., enterprise: _Optional[str] = ..., month: _Optional[str] = ...) -> None: ...

class GetInvoiceResponse(_message.Message):
    __slots__ = ("head", "lines", "credit_notes")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_NOTES_FIELD_NUMBER: _ClassVar[int]
    head: PaperHead
    lines: _containers.RepeatedCompositeFieldContainer[WorkLine]
    credit_notes: _containers.RepeatedCompositeFieldContainer[CreditNote]
    def __init__(self, head: _Optional[_Union[PaperHead, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[WorkLine, _Mapping]]] = ..., credit_notes: _Optional[_Iterable[_Union[CreditNote, _Mapping]]] = ...) -> None: ...

class GetStatementRequest(_message.Message):
    __slots__ = ("owner", "month")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    owner: str
    month: str
    def __init__(self, owner: _Optional[str] = ..., month: _Optional[str] = ...) -> None: ...

class GetStatementResponse(_message.Message):
    __slots__ = ("head", "lines", "credit_notes")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_NOTES_FIELD_NUMBER: _ClassVar[int]
    head: PaperHead
    lines: _containers.RepeatedCompositeFieldContainer[WorkLine]
    credit_notes: _containers.RepeatedCompositeFieldContainer[CreditNote]
    def __init__(self, head: _Optional[_Union[PaperHead, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[WorkLine, _Mapping]]] = ..., credit_notes: _Optional[_Iterable[_Union[CreditNote, _Mapping]]] = ...) -> None: ...

class PaperHead(_message.Message):
    __slots__ = ("number", "party", "month", "provisional_at", "sha256", "lines", "credit_notes")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    PROVISIONAL_AT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_NOTES_FIELD_NUMBER: _ClassVar[int]
    number: str
    party: str
    month: str
    provisional_at: _timestamp_pb2.Timestamp
    sha256: str
    lines: int
    credit_notes: int
    def __init__(self, number: _Optional[str] = ..., party: _Optional[str] = ..., month: _Optional[str] = ..., provisional_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sha256: _Optional[str] = ..., lines: _Optional[int] = ..., credit_notes: _Optional[int] = ...) -> None: ...

class PaperPart(_message.Message):
    __slots__ = ("account", "micro_yuan")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    account: str
    micro_yuan: int
    def __init__(self, account: _Optional[str] = ..., micro_yuan: _Optional[int] = ...) -> None: ...

class WorkLine(_message.Message):
    __slots__ = ("reference", "job_id", "city", "enterprise", "workload_class", "hub", "cluster", "model", "milli_cards", "minutes", "late_minutes", "micro_yuan_per_card_hour", "rate_card_version", "nameplate_micro_pflops_hours", "programme_micro_pflops_hours", "measured_micro_pflops_hours", "policy", "parts", "fee_micro_yuan", "borne_micro_yuan")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASS_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARDS_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    LATE_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    RATE_CARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAMEPLATE_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    FEE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    BORNE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    reference: str
    job_id: str
    city: str
    enterprise: str
    workload_class: str
    hub: str
    cluster: str
    model: str
    milli_cards: int
    minutes: int
    late_minutes: int
    micro_yuan_per_card_hour: int
    rate_card_version: int
    nameplate_micro_pflops_hours: int
    programme_micro_pflops_hours: int
    measured_micro_pflops_hours: int
    policy: str
    parts: _containers.RepeatedCompositeFieldContainer[PaperPart]
    fee_micro_yuan: int
    borne_micro_yuan: int
    def __init__(self, reference: _Optional[str] = ..., job_id: _Optional[str] = ..., city: _Optional[str] = ..., enterprise: _Optional[str] = ..., workload_class: _Optional[str] = ..., hub: _Optional[str] = ..., cluster: _Optional[str] = ..., model: _Optional[str] = ..., milli_cards: _Optional[int] = ..., minutes: _Optional[int] = ..., late_minutes: _Optional[int] = ..., micro_yuan_per_card_hour: _Optional[int] = ..., rate_card_version: _Optional[int] = ..., nameplate_micro_pflops_hours: _Optional[int] = ..., programme_micro_pflops_hours: _Optional[int] = ..., measured_micro_pflops_hours: _Optional[int] = ..., policy: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[PaperPart, _Mapping]]] = ..., fee_micro_yuan: _Optional[int] = ..., borne_micro_yuan: _Optional[int] = ...) -> None: ...

class CreditNote(_message.Message):
    __slots__ = ("transaction_id", "at", "reference", "hold_id", "account", "payer", "micro_yuan")
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PAYER_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    transaction_id: str
    at: _timestamp_pb2.Timestamp
    reference: str
    hold_id: str
    account: str
    payer: str
    micro_yuan: int
    def __init__(self, transaction_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reference: _Optional[str] = ..., hold_id: _Optional[str] = ..., account: _Optional[str] = ..., payer: _Optional[str] = ..., micro_yuan: _Optional[int] = ...) -> None: ...

class PostCreditNoteRequest(_message.Message):
    __slots__ = ("request_key", "account", "payer", "micro_yuan", "currency", "about", "reason", "dry_run")
    REQUEST_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PAYER_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    request_key: str
    account: str
    payer: str
    micro_yuan: int
    currency: str
    about: str
    reason: str
    dry_run: bool
    def __init__(self, request_key: _Optional[str] = ..., account: _Optional[str] = ..., payer: _Optional[str] = ..., micro_yuan: _Optional[int] = ..., currency: _Optional[str] = ..., about: _Optional[str] = ..., reason: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class PostCreditNoteResponse(_message.Message):
    __slots__ = ("transaction_id", "duplicate", "reference")
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    transaction_id: str
    duplicate: bool
    reference: str
    def __init__(self, transaction_id: _Optional[str] = ..., duplicate: _Optional[bool] = ..., reference: _Optional[str] = ...) -> None: ...

class ListCreditNotesRequest(_message.Message):
    __slots__ = ("city", "month", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    month: str
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., month: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListedCreditNote(_message.Message):
    __slots__ = ("note", "lease_id", "job_id")
    NOTE_FIELD_NUMBER: _ClassVar[int]
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    note: CreditNote
    lease_id: str
    job_id: str
    def __init__(self, note: _Optional[_Union[CreditNote, _Mapping]] = ..., lease_id: _Optional[str] = ..., job_id: _Optional[str] = ...) -> None: ...

class ListCreditNotesResponse(_message.Message):
    __slots__ = ("credit_notes", "next_page_token")
    CREDIT_NOTES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    credit_notes: _containers.RepeatedCompositeFieldContainer[ListedCreditNote]
    next_page_token: str
    def __init__(self, credit_notes: _Optional[_Iterable[_Union[ListedCreditNote, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetUseReportRequest(_message.Message):
    __slots__ = ("month", "city")
    MONTH_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    month: str
    city: str
    def __init__(self, month: _Optional[str] = ..., city: _Optional[str] = ...) -> None: ...

class UseRow(_message.Message):
    __slots__ = ("city", "workload_class", "jobs", "leases", "milli_card_seconds", "nameplate_micro_pflops_hours", "programme_micro_pflops_hours", "measured_micro_pflops_hours", "micro_yuan", "voucher_micro_yuan", "borne_micro_yuan")
    CITY_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    NAMEPLATE_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    BORNE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    city: str
    workload_class: str
    jobs: int
    leases: int
    milli_card_seconds: int
    nameplate_micro_pflops_hours: int
    programme_micro_pflops_hours: int
    measured_micro_pflops_hours: int
    micro_yuan: int
    voucher_micro_yuan: int
    borne_micro_yuan: int
    def __init__(self, city: _Optional[str] = ..., workload_class: _Optional[str] = ..., jobs: _Optional[int] = ..., leases: _Optional[int] = ..., milli_card_seconds: _Optional[int] = ..., nameplate_micro_pflops_hours: _Optional[int] = ..., programme_micro_pflops_hours: _Optional[int] = ..., measured_micro_pflops_hours: _Optional[int] = ..., micro_yuan: _Optional[int] = ..., voucher_micro_yuan: _Optional[int] = ..., borne_micro_yuan: _Optional[int] = ...) -> None: ...

class GetUseReportResponse(_message.Message):
    __slots__ = ("number", "month", "city", "provisional_at", "sha256", "rows")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    PROVISIONAL_AT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    number: str
    month: str
    city: str
    provisional_at: _timestamp_pb2.Timestamp
    sha256: str
    rows: _containers.RepeatedCompositeFieldContainer[UseRow]
    def __init__(self, number: _Optional[str] = ..., month: _Optional[str] = ..., city: _Optional[str] = ..., provisional_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sha256: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[UseRow, _Mapping]]] = ...) -> None: ...
