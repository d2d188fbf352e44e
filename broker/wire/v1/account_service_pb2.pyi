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

class AccountKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCOUNT_KIND_UNSPECIFIED: _ClassVar[AccountKind]
    ACCOUNT_KIND_CITY: _ClassVar[AccountKind]
    ACCOUNT_KIND_ENTERPRISE: _ClassVar[AccountKind]
    ACCOUNT_KIND_VOUCHER: _ClassVar[AccountKind]
    ACCOUNT_KIND_BUDGET: _ClassVar[AccountKind]
    ACCOUNT_KIND_OWNER: _ClassVar[AccountKind]
    ACCOUNT_KIND_FEE: _ClassVar[AccountKind]
    ACCOUNT_KIND_PLATFORM_LOSS: _ClassVar[AccountKind]
    ACCOUNT_KIND_EXTERNAL: _ClassVar[AccountKind]

class Pocket(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POCKET_UNSPECIFIED: _ClassVar[Pocket]
    POCKET_AVAILABLE: _ClassVar[Pocket]
    POCKET_HELD: _ClassVar[Pocket]

class TransactionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSACTION_KIND_UNSPECIFIED: _ClassVar[TransactionKind]
    TRANSACTION_KIND_DEPOSIT: _ClassVar[TransactionKind]
    TRANSACTION_KIND_GRANT: _ClassVar[TransactionKind]
    TRANSACTION_KIND_HOLD: _ClassVar[TransactionKind]
    TRANSACTION_KIND_CAPTURE: _ClassVar[TransactionKind]
    TRANSACTION_KIND_RELEASE: _ClassVar[TransactionKind]
    TRANSACTION_KIND_EXPIRY: _ClassVar[TransactionKind]
    TRANSACTION_KIND_CREDIT_NOTE: _ClassVar[TransactionKind]
    TRANSACTION_KIND_RETURN: _ClassVar[TransactionKind]

class HoldState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLD_STATE_UNSPECIFIED: _ClassVar[HoldState]
    HOLD_STATE_OPEN: _ClassVar[HoldState]
    HOLD_STATE_CAPTURED: _ClassVar[HoldState]
    HOLD_STATE_RELEASED: _ClassVar[HoldState]
    HOLD_STATE_EXPIRED: _ClassVar[HoldState]

class Billing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BILLING_UNSPECIFIED: _ClassVar[Billing]
    BILLING_METERED: _ClassVar[Billing]
    BILLING_PREPAID: _ClassVar[Billing]
ACCOUNT_KIND_UNSPECIFIED: AccountKind
ACCOUNT_KIND_CITY: AccountKind
ACCOUNT_KIND_ENTERPRISE: AccountKind
ACCOUNT_KIND_VOUCHER: AccountKind
ACCOUNT_KIND_BUDGET: AccountKind
ACCOUNT_KIND_OWNER: AccountKind
ACCOUNT_KIND_FEE: AccountKind
ACCOUNT_KIND_PLATFORM_LOSS: AccountKind
ACCOUNT_KIND_EXTERNAL: AccountKind
POCKET_UNSPECIFIED: Pocket
POCKET_AVAILABLE: Pocket
POCKET_HELD: Pocket
TRANSACTION_KIND_UNSPECIFIED: TransactionKind
TRANSACTION_KIND_DEPOSIT: TransactionKind
TRANSACTION_KIND_GRANT: TransactionKind
TRANSACTION_KIND_HOLD: TransactionKind
TRANSACTION_KIND_CAPTURE: TransactionKind
TRANSACTION_KIND_RELEASE: TransactionKind
TRANSACTION_KIND_EXPIRY: TransactionKind
TRANSACTION_KIND_CREDIT_NOTE: TransactionKind
TRANSACTION_KIND_RETURN: TransactionKind
HOLD_STATE_UNSPECIFIED: HoldState
HOLD_STATE_OPEN: HoldState
HOLD_STATE_CAPTURED: HoldState
HOLD_STATE_RELEASED: HoldState
HOLD_STATE_EXPIRED: HoldState
BILLING_UNSPECIFIED: Billing
BILLING_METERED: Billing
BILLING_PREPAID: Billing

class Account(_message.Message):
    __slots__ = ("account", "kind", "available_micro_yuan", "held_micro_yuan", "opened_at", "closed_at")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    HELD_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    CLOSED_AT_FIELD_NUMBER: _ClassVar[int]
    account: str
    kind: AccountKind
    available_micro_yuan: int
    held_micro_yuan: int
    opened_at: _timestamp_pb2.Timestamp
    closed_at: _timestamp_pb2.Timestamp
    def __init__(self, account: _Optional[str] = ..., kind: _Optional[_Union[AccountKind, str]] = ..., available_micro_yuan: _Optional[int] = ..., held_micro_yuan: _Optional[int] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., closed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListAccountsRequest(_message.Message):
    __slots__ = ("city", "kind", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    kind: AccountKind
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., kind: _Optional[_Union[AccountKind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    next_page_token: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: str
    def __init__(self, account: _Optional[str] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: Account
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class ListPostingsRequest(_message.Message):
    __slots__ = ("account", "page_size", "page_token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: str
    page_size: int
    page_token: str
    def __init__(self, account: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class Posting(_message.Message):
    __slots__ = ("transaction_id", "kind", "reference", "at", "hold_id", "pocket", "micro_yuan")
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    POCKET_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    transaction_id: str
    kind: TransactionKind
    reference: str
    at: _timestamp_pb2.Timestamp
    hold_id: str
    pocket: Pocket
    micro_yuan: int
    def __init__(self, transaction_id: _Optional[str] = ..., kind: _Optional[_Union[TransactionKind, str]] = ..., reference: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hold_id: _Optional[str] = ..., pocket: _Optional[_Union[Pocket, str]] = ..., micro_yuan: _Optional[int] = ...) -> None: ...

class ListPostingsResponse(_message.Message):
    __slots__ = ("postings", "next_page_token")
    POSTINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    postings: _containers.RepeatedCompositeFieldContainer[Posting]
    next_page_token: str
    def __init__(self, postings: _Optional[_Iterable[_Union[Posting, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DepositRequest(_message.Message):
    __slots__ = ("request_key", "account", "micro_yuan", "currency", "reference", "dry_run")
    REQUEST_KEY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    request_key: str
    account: str
    micro_yuan: int
    currency: str
    reference: str
    dry_run: bool
    def __init__(self, request_key: _Optional[str] = ..., account: _Optional[str] = ..., micro_yuan: _Optional[int] = ..., currency: _Optional[str] = ..., reference: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class DepositResponse(_message.Message):
    __slots__ = ("account", "transaction_id", "opened", "duplicate")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    account: Account
    transaction_id: str
    opened: bool
    duplicate: bool
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., transaction_id: _Optional[str] = ..., opened: _Optional[bool] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class ExportLedgerRequest(_message.Message):
    __slots__ = ("after_position",)
    AFTER_POSITION_FIELD_NUMBER: _ClassVar[int]
    after_position: int
    def __init__(self, after_position: _Optional[int] = ...) -> None: ...

class ExportLedgerResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ChainEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ChainEntry, _Mapping]]] = ...) -> None: ...

class ChainEntry(_message.Message):
    __slots__ = ("position", "sha256", "text")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    position: int
    sha256: bytes
    text: str
    def __init__(self, position: _Optional[int] = ..., sha256: _Optional[bytes] = ..., text: _Optional[str] = ...) -> None: ...

class ListUsageRequest(_message.Message):
    __slots__ = ("city", "job_id", "month", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    job_id: str
    month: str
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., job_id: _Optional[str] = ..., month: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class LeaseUsage(_message.Message):
    __slots__ = ("lease_id", "job_id", "city", "enterprise", "cluster", "owner", "model", "milli_cards", "started_at", "ended_at", "minutes", "seconds", "complete", "joules", "fp16_nameplate_micro_pflops_hours", "fp16_programme_micro_pflops_hours", "fp16_measured_micro_pflops_hours", "micro_yuan_per_card_hour", "charged_micro_yuan", "credited_micro_yuan", "hold_id", "open_micro_yuan")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MILLI_CARDS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    JOULES_FIELD_NUMBER: _ClassVar[int]
    FP16_NAMEPLATE_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    FP16_PROGRAMME_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    FP16_MEASURED_MICRO_PFLOPS_HOURS_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    CREDITED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    OPEN_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    lease_id: str
    job_id: str
    city: str
    enterprise: str
    cluster: str
    owner: str
    model: str
    milli_cards: int
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    minutes: int
    seconds: int
    complete: bool
    joules: int
    fp16_nameplate_micro_pflops_hours: int
    fp16_programme_micro_pflops_hours: int
    fp16_measured_micro_pflops_hours: int
    micro_yuan_per_card_hour: int
    charged_micro_yuan: int
    credited_micro_yuan: int
    hold_id: str
    open_micro_yuan: int
    def __init__(self, lease_id: _Optional[str] = ..., job_id: _Optional[str] = ..., city: _Optional[str] = ..., enterprise: _Optional[str] = ..., cluster: _Optional[str] = ..., owner: _Optional[str] = ..., model: _Optional[str] = ..., milli_cards: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., minutes: _Optional[int] = ..., seconds: _Optional[int] = ..., complete: _Optional[bool] = ..., joules: _Optional[int] = ..., fp16_nameplate_micro_pflops_hours: _Optional[int] = ..., fp16_programme_micro_pflops_hours: _Optional[int] = ..., fp16_measured_micro_pflops_hours: _Optional[int] = ..., micro_yuan_per_card_hour: _Optional[int] = ..., charged_micro_yuan: _Optional[int] = ..., credited_micro_yuan: _Optional[int] = ..., hold_id: _Optional[str] = ..., open_micro_yuan: _Optional[int] = ...) -> None: ...

class ListUsageResponse(_message.Message):
    __slots__ = ("usage", "next_page_token")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    usage: _containers.RepeatedCompositeFieldContainer[LeaseUsage]
    next_page_token: str
    def __init__(self, usage: _Optional[_Iterable[_Union[LeaseUsage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListHoldsRequest(_message.Message):
    __slots__ = ("city", "open_only", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    open_only: bool
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., open_only: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class HoldPart(_message.Message):
    __slots__ = ("account", "held_micro_yuan", "captured_micro_yuan", "released_micro_yuan")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    HELD_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    RELEASED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    account: str
    held_micro_yuan: int
    captured_micro_yuan: int
    released_micro_yuan: int
    def __init__(self, account: _Optional[str] = ..., held_micro_yuan: _Optional[int] = ..., captured_micro_yuan: _Optional[int] = ..., released_micro_yuan: _Optional[int] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("hold_id", "city", "reference", "state", "settles_until", "parts")
    HOLD_ID_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SETTLES_UNTIL_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    hold_id: str
    city: str
    reference: str
    state: HoldState
    settles_until: _timestamp_pb2.Timestamp
    parts: _containers.RepeatedCompositeFieldContainer[HoldPart]
    def __init__(self, hold_id: _Optional[str] = ..., city: _Optional[str] = ..., reference: _Optional[str] = ..., state: _Optional[_Union[HoldState, str]] = ..., settles_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[HoldPart, _Mapping]]] = ...) -> None: ...

class ListHoldsResponse(_message.Message):
    __slots__ = ("holds", "next_page_token")
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    next_page_token: str
    def __init__(self, holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetBillingRequest(_message.Message):
    __slots__ = ("city", "billing", "dry_run")
    CITY_FIELD_NUMBER: _ClassVar[int]
    BILLING_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    city: str
    billing: Billing
    dry_run: bool
    def __init__(self, city: _Optional[str] = ..., billing: _Optional[_Union[Billing, str]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class SetBillingResponse(_message.Message):
    __slots__ = ("before",)
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    before: Billing
    def __init__(self, before: _Optional[_Union[Billing, str]] = ...) -> None: ...
