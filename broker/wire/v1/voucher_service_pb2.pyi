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

class ClaimSide(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLAIM_SIDE_UNSPECIFIED: _ClassVar[ClaimSide]
    CLAIM_SIDE_DEMAND: _ClassVar[ClaimSide]
    CLAIM_SIDE_SUPPLY: _ClassVar[ClaimSide]

class ApplicantType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPLICANT_TYPE_UNSPECIFIED: _ClassVar[ApplicantType]
    APPLICANT_TYPE_COMPANY: _ClassVar[ApplicantType]
    APPLICANT_TYPE_UNIVERSITY: _ClassVar[ApplicantType]
    APPLICANT_TYPE_INSTITUTE: _ClassVar[ApplicantType]
    APPLICANT_TYPE_SOLE_TRADER: _ClassVar[ApplicantType]

class ApplicationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPLICATION_STATE_UNSPECIFIED: _ClassVar[ApplicationState]
    APPLICATION_STATE_SUBMITTED: _ClassVar[ApplicationState]
    APPLICATION_STATE_IN_REVIEW: _ClassVar[ApplicationState]
    APPLICATION_STATE_GRANTED: _ClassVar[ApplicationState]
    APPLICATION_STATE_REFUSED: _ClassVar[ApplicationState]
    APPLICATION_STATE_WITHDRAWN: _ClassVar[ApplicationState]

class VoucherState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VOUCHER_STATE_UNSPECIFIED: _ClassVar[VoucherState]
    VOUCHER_STATE_CONDITIONAL: _ClassVar[VoucherState]
    VOUCHER_STATE_ACTIVE: _ClassVar[VoucherState]
    VOUCHER_STATE_SUSPENDED: _ClassVar[VoucherState]
    VOUCHER_STATE_USED_UP: _ClassVar[VoucherState]
    VOUCHER_STATE_EXPIRED: _ClassVar[VoucherState]
    VOUCHER_STATE_REDEEMED: _ClassVar[VoucherState]

class StoryEvent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORY_EVENT_UNSPECIFIED: _ClassVar[StoryEvent]
    STORY_EVENT_PROGRAMME_SET: _ClassVar[StoryEvent]
    STORY_EVENT_ENTERPRISE_SET: _ClassVar[StoryEvent]
    STORY_EVENT_APPLIED: _ClassVar[StoryEvent]
    STORY_EVENT_WITHDRAWN: _ClassVar[StoryEvent]
    STORY_EVENT_REVIEW_BEGUN: _ClassVar[StoryEvent]
    STORY_EVENT_REFUSED: _ClassVar[StoryEvent]
    STORY_EVENT_GRANTED: _ClassVar[StoryEvent]
    STORY_EVENT_GRANTED_CONDITIONALLY: _ClassVar[StoryEvent]
    STORY_EVENT_PAPERS_DELIVERED: _ClassVar[StoryEvent]
    STORY_EVENT_PAPERS_COMPLETE: _ClassVar[StoryEvent]
    STORY_EVENT_PAPERS_OVERDUE: _ClassVar[StoryEvent]
    STORY_EVENT_SUSPENDED: _ClassVar[StoryEvent]
    STORY_EVENT_RESUMED: _ClassVar[StoryEvent]
    STORY_EVENT_USED_UP: _ClassVar[StoryEvent]
    STORY_EVENT_EXPIRED: _ClassVar[StoryEvent]
    STORY_EVENT_RETURNED: _ClassVar[StoryEvent]
    STORY_EVENT_REDEEMED: _ClassVar[StoryEvent]
CLAIM_SIDE_UNSPECIFIED: ClaimSide
CLAIM_SIDE_DEMAND: ClaimSide
CLAIM_SIDE_SUPPLY: ClaimSide
APPLICANT_TYPE_UNSPECIFIED: ApplicantType
APPLICANT_TYPE_COMPANY: ApplicantType
APPLICANT_TYPE_UNIVERSITY: ApplicantType
APPLICANT_TYPE_INSTITUTE: ApplicantType
APPLICANT_TYPE_SOLE_TRADER: ApplicantType
APPLICATION_STATE_UNSPECIFIED: ApplicationState
APPLICATION_STATE_SUBMITTED: ApplicationState
APPLICATION_STATE_IN_REVIEW: ApplicationState
APPLICATION_STATE_GRANTED: ApplicationState
APPLICATION_STATE_REFUSED: ApplicationState
APPLICATION_STATE_WITHDRAWN: ApplicationState
VOUCHER_STATE_UNSPECIFIED: VoucherState
VOUCHER_STATE_CONDITIONAL: VoucherState
VOUCHER_STATE_ACTIVE: VoucherState
VOUCHER_STATE_SUSPENDED: VoucherState
VOUCHER_STATE_USED_UP: VoucherState
VOUCHER_STATE_EXPIRED: VoucherState
VOUCHER_STATE_REDEEMED: VoucherState
STORY_EVENT_UNSPECIFIED: StoryEvent
STORY_EVENT_PROGRAMME_SET: StoryEvent
STORY_EVENT_ENTERPRISE_SET: StoryEvent
STORY_EVENT_APPLIED: StoryEvent
STORY_EVENT_WITHDRAWN: StoryEvent
STORY_EVENT_REVIEW_BEGUN: StoryEvent
STORY_EVENT_REFUSED: StoryEvent
STORY_EVENT_GRANTED: StoryEvent
STORY_EVENT_GRANTED_CONDITIONALLY: StoryEvent
STORY_EVENT_PAPERS_DELIVERED: StoryEvent
STORY_EVENT_PAPERS_COMPLETE: StoryEvent
STORY_EVENT_PAPERS_OVERDUE: StoryEvent
STORY_EVENT_SUSPENDED: StoryEvent
STORY_EVENT_RESUMED: StoryEvent
STORY_EVENT_USED_UP: StoryEvent
STORY_EVENT_EXPIRED: StoryEvent
STORY_EVENT_RETURNED: StoryEvent
STORY_EVENT_REDEEMED: StoryEvent

class SetProgrammesRequest(_message.Message):
    __slots__ = ("document", "officer", "dry_run")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    document: str
    officer: str
    dry_run: bool
    def __init__(self, document: _Optional[str] = ..., officer: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class SetProgrammesResponse(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListProgrammesRequest(_message.Message):
    __slots__ = ("programme",)
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    programme: str
    def __init__(self, programme: _Optional[str] = ...) -> None: ...

class Programme(_message.Message):
    __slots__ = ("programme", "hub", "year", "budget_micro_yuan", "left_micro_yuan", "granted_micro_yuan", "vouchers", "rules", "set_at")
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    YEAR_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    LEFT_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    GRANTED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    VOUCHERS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    programme: str
    hub: str
    year: int
    budget_micro_yuan: int
    left_micro_yuan: int
    granted_micro_yuan: int
    vouchers: int
    rules: str
    set_at: _timestamp_pb2.Timestamp
    def __init__(self, programme: _Optional[str] = ..., hub: _Optional[str] = ..., year: _Optional[int] = ..., budget_micro_yuan: _Optional[int] = ..., left_micro_yuan: _Optional[int] = ..., granted_micro_yuan: _Optional[int] = ..., vouchers: _Optional[int] = ..., rules: _Optional[str] = ..., set_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListProgrammesResponse(_message.Message):
    __slots__ = ("programmes",)
    PROGRAMMES_FIELD_NUMBER: _ClassVar[int]
    programmes: _containers.RepeatedCompositeFieldContainer[Programme]
    def __init__(self, programmes: _Optional[_Iterable[_Union[Programme, _Mapping]]] = ...) -> None: ...

class Enterprise(_message.Message):
    __slots__ = ("city", "enterprise", "title", "registration", "plant", "applicant_type", "related_owners")
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    PLANT_FIELD_NUMBER: _ClassVar[int]
    APPLICANT_TYPE_FIELD_NUMBER: _ClassVar[int]
    RELATED_OWNERS_FIELD_NUMBER: _ClassVar[int]
    city: str
    enterprise: str
    title: str
    registration: str
    plant: str
    applicant_type: ApplicantType
    related_owners: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, city: _Optional[str] = ..., enterprise: _Optional[str] = ..., title: _Optional[str] = ..., registration: _Optional[str] = ..., plant: _Optional[str] = ..., applicant_type: _Optional[_Union[ApplicantType, str]] = ..., related_owners: _Optional[_Iterable[str]] = ...) -> None: ...

class SetEnterpriseRequest(_message.Message):
    __slots__ = ("enterprise", "officer")
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    enterprise: Enterprise
    officer: str
    def __init__(self, enterprise: _Optional[_Union[Enterprise, _Mapping]] = ..., officer: _Optional[str] = ...) -> None: ...

class SetEnterpriseResponse(_message.Message):
    __slots__ = ("enterprise",)
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    enterprise: Enterprise
    def __init__(self, enterprise: _Optional[_Union[Enterprise, _Mapping]] = ...) -> None: ...

class ListEnterprisesRequest(_message.Message):
    __slots__ = ("city", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEnterprisesResponse(_message.Message):
    __slots__ = ("enterprises", "next_page_token")
    ENTERPRISES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    enterprises: _containers.RepeatedCompositeFieldContainer[Enterprise]
    next_page_token: str
    def __init__(self, enterprises: _Optional[_Iterable[_Union[Enterprise, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ApplyForVoucherRequest(_message.Message):
    __slots__ = ("request_key", "enterprise", "programme", "side", "provider", "contract", "micro_yuan", "scale_milli_pflops", "workload_classes", "papers")
    REQUEST_KEY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    SCALE_MILLI_PFLOPS_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASSES_FIELD_NUMBER: _ClassVar[int]
    PAPERS_FIELD_NUMBER: _ClassVar[int]
    request_key: str
    enterprise: str
    programme: str
    side: ClaimSide
    provider: str
    contract: str
    micro_yuan: int
    scale_milli_pflops: int
    workload_classes: _containers.RepeatedScalarFieldContainer[_job_pb2.WorkloadClass]
    papers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, request_key: _Optional[str] = ..., enterprise: _Optional[str] = ..., programme: _Optional[str] = ..., side: _Optional[_Union[ClaimSide, str]] = ..., provider: _Optional[str] = ..., contract: _Optional[str] = ..., micro_yuan: _Optional[int] = ..., scale_milli_pflops: _Optional[int] = ..., workload_classes: _Optional[_Iterable[_Union[_job_pb2.WorkloadClass, str]]] = ..., papers: _Optional[_Iterable[str]] = ...) -> None: ...

class Application(_message.Message):
    __slots__ = ("application_id", "asked", "city", "state", "applied_at")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    asked: ApplyForVoucherRequest
    city: str
    state: ApplicationState
    applied_at: _timestamp_pb2.Timestamp
    def __init__(self, application_id: _Optional[str] = ..., asked: _Optional[_Union[ApplyForVoucherRequest, _Mapping]] = ..., city: _Optional[str] = ..., state: _Optional[_Union[ApplicationState, str]] = ..., applied_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ApplyForVoucherResponse(_message.Message):
    __slots__ = ("application", "duplicate")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    application: Application
    duplicate: bool
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class WithdrawApplicationRequest(_message.Message):
    __slots__ = ("application_id", "note")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    note: str
    def __init__(self, application_id: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class WithdrawApplicationResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class ListApplicationsRequest(_message.Message):
    __slots__ = ("city", "programme", "state", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    programme: str
    state: ApplicationState
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., programme: _Optional[str] = ..., state: _Optional[_Union[ApplicationState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListApplicationsResponse(_message.Message):
    __slots__ = ("applications", "next_page_token")
    APPLICATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    applications: _containers.RepeatedCompositeFieldContainer[Application]
    next_page_token: str
    def __init__(self, applications: _Optional[_Iterable[_Union[Application, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReviewApplicationRequest(_message.Message):
    __slots__ = ("application_id", "event", "officer", "note")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    event: StoryEvent
    officer: str
    note: str
    def __init__(self, application_id: _Optional[str] = ..., event: _Optional[_Union[StoryEvent, str]] = ..., officer: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ReviewApplicationResponse(_message.Message):
    __slots__ = ("application",)
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    application: Application
    def __init__(self, application: _Optional[_Union[Application, _Mapping]] = ...) -> None: ...

class GrantVoucherRequest(_message.Message):
    __slots__ = ("application_id", "micro_yuan", "papers", "papers_due", "officer", "note", "dry_run")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    PAPERS_FIELD_NUMBER: _ClassVar[int]
    PAPERS_DUE_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    micro_yuan: int
    papers: _containers.RepeatedScalarFieldContainer[str]
    papers_due: _timestamp_pb2.Timestamp
    officer: str
    note: str
    dry_run: bool
    def __init__(self, application_id: _Optional[str] = ..., micro_yuan: _Optional[int] = ..., papers: _Optional[_Iterable[str]] = ..., papers_due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., officer: _Optional[str] = ..., note: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class GrantVoucherResponse(_message.Message):
    __slots__ = ("voucher", "micro_yuan", "at_once_micro_yuan", "papers_missing", "papers_due", "valid_until", "budget_left_micro_yuan")
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    AT_ONCE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    PAPERS_MISSING_FIELD_NUMBER: _ClassVar[int]
    PAPERS_DUE_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LEFT_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    voucher: str
    micro_yuan: int
    at_once_micro_yuan: int
    papers_missing: _containers.RepeatedScalarFieldContainer[str]
    papers_due: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    budget_left_micro_yuan: int
    def __init__(self, voucher: _Optional[str] = ..., micro_yuan: _Optional[int] = ..., at_once_micro_yuan: _Optional[int] = ..., papers_missing: _Optional[_Iterable[str]] = ..., papers_due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., budget_left_micro_yuan: _Optional[int] = ...) -> None: ...

class ListVouchersRequest(_message.Message):
    __slots__ = ("city", "enterprise", "programme", "voucher", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    enterprise: str
    programme: str
    voucher: str
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., enterprise: _Optional[str] = ..., programme: _Optional[str] = ..., voucher: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class Voucher(_message.Message):
    __slots__ = ("voucher", "city", "enterprise", "programme", "hub", "application_id", "state", "granted_micro_yuan", "available_micro_yuan", "held_micro_yuan", "rest_micro_yuan", "domestic_ppm", "other_ppm", "workload_classes", "papers_missing", "papers_due", "granted_at", "valid_until")
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    GRANTED_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    HELD_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    REST_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    DOMESTIC_PPM_FIELD_NUMBER: _ClassVar[int]
    OTHER_PPM_FIELD_NUMBER: _ClassVar[int]
    WORKLOAD_CLASSES_FIELD_NUMBER: _ClassVar[int]
    PAPERS_MISSING_FIELD_NUMBER: _ClassVar[int]
    PAPERS_DUE_FIELD_NUMBER: _ClassVar[int]
    GRANTED_AT_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    voucher: str
    city: str
    enterprise: str
    programme: str
    hub: str
    application_id: str
    state: VoucherState
    granted_micro_yuan: int
    available_micro_yuan: int
    held_micro_yuan: int
    rest_micro_yuan: int
    domestic_ppm: int
    other_ppm: int
    workload_classes: _containers.RepeatedScalarFieldContainer[_job_pb2.WorkloadClass]
    papers_missing: _containers.RepeatedScalarFieldContainer[str]
    papers_due: _timestamp_pb2.Timestamp
    granted_at: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, voucher: _Optional[str] = ..., city: _Optional[str] = ..., enterprise: _Optional[str] = ..., programme: _Optional[str] = ..., hub: _Optional[str] = ..., application_id: _Optional[str] = ..., state: _Optional[_Union[VoucherState, str]] = ..., granted_micro_yuan: _Optional[int] = ..., available_micro_yuan: _Optional[int] = ..., held_micro_yuan: _Optional[int] = ..., rest_micro_yuan: _Optional[int] = ..., domestic_ppm: _Optional[int] = ..., other_ppm: _Optional[int] = ..., workload_classes: _Optional[_Iterable[_Union[_job_pb2.WorkloadClass, str]]] = ..., papers_missing: _Optional[_Iterable[str]] = ..., papers_due: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., granted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListVouchersResponse(_message.Message):
    __slots__ = ("vouchers", "next_page_token")
    VOUCHERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    vouchers: _containers.RepeatedCompositeFieldContainer[Voucher]
    next_page_token: str
    def __init__(self, vouchers: _Optional[_Iterable[_Union[Voucher, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeliverPapersRequest(_message.Message):
    __slots__ = ("voucher", "papers", "officer", "note")
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    PAPERS_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    voucher: str
    papers: _containers.RepeatedScalarFieldContainer[str]
    officer: str
    note: str
    def __init__(self, voucher: _Optional[str] = ..., papers: _Optional[_Iterable[str]] = ..., officer: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class DeliverPapersResponse(_message.Message):
    __slots__ = ("voucher",)
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    voucher: Voucher
    def __init__(self, voucher: _Optional[_Union[Voucher, _Mapping]] = ...) -> None: ...

class ChangeVoucherRequest(_message.Message):
    __slots__ = ("voucher", "event", "officer", "note")
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    voucher: str
    event: StoryEvent
    officer: str
    note: str
    def __init__(self, voucher: _Optional[str] = ..., event: _Optional[_Union[StoryEvent, str]] = ..., officer: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ChangeVoucherResponse(_message.Message):
    __slots__ = ("voucher",)
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    voucher: Voucher
    def __init__(self, voucher: _Optional[_Union[Voucher, _Mapping]] = ...) -> None: ...

class ListStoryRequest(_message.Message):
    __slots__ = ("city", "enterprise", "application_id", "voucher", "programme", "page_size", "page_token")
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    city: str
    enterprise: str
    application_id: str
    voucher: str
    programme: str
    page_size: int
    page_token: str
    def __init__(self, city: _Optional[str] = ..., enterprise: _Optional[str] = ..., application_id: _Optional[str] = ..., voucher: _Optional[str] = ..., programme: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class StoryStep(_message.Message):
    __slots__ = ("at", "event", "officer", "key_id", "programme", "city", "enterprise", "application_id", "voucher", "note", "detail")
    AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    OFFICER_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    event: StoryEvent
    officer: str
    key_id: str
    programme: str
    city: str
    enterprise: str
    application_id: str
    voucher: str
    note: str
    detail: str
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[_Union[StoryEvent, str]] = ..., officer: _Optional[str] = ..., key_id: _Optional[str] = ..., programme: _Optional[str] = ..., city: _Optional[str] = ..., enterprise: _Optional[str] = ..., application_id: _Optional[str] = ..., voucher: _Optional[str] = ..., note: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListStoryResponse(_message.Message):
    __slots__ = ("steps", "next_page_token")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[StoryStep]
    next_page_token: str
    def __init__(self, steps: _Optional[_Iterable[_Union[StoryStep, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetForecastRequest(_message.Message):
    __slots__ = ("programme",)
    PROGRAMME_FIELD_NUMBER: _ClassVar[int]
    programme: str
    def __init__(self, programme: _Optional[str] = ...) -> None: ...

class Burn(_message.Message):
    __slots__ = ("left_micro_yuan", "micro_yuan_per_day", "days_seen", "runs_out")
    LEFT_MICRO_YUAN_FIELD_NUMBER: _ClassVar[int]
    MICRO_YUAN_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    DAYS_SEEN_FIELD_NUMBER: _ClassVar[int]
    RUNS_OUT_FIELD_NUMBER: _ClassVar[int]
    left_micro_yuan: int
    micro_yuan_per_day: int
    days_seen: int
    runs_out: str
    def __init__(self, left_micro_yuan: _Optional[int] = ..., micro_yuan_per_day: _Optional[int] = ..., days_seen: _Optional[int] = ..., runs_out: _Optional[str] = ...) -> None: ...

class GetForecastResponse(_message.Message):
    __slots__ = ("budget", "granted", "method")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    budget: Burn
    granted: Burn
    method: str
    def __init__(self, budget: _Optional[_Union[Burn, _Mapping]] = ..., granted: _Optional[_Union[Burn, _Mapping]] = ..., method: _Optional[str] = ...) -> None: ...

class GetEvidenceRequest(_message.Message):
    __slots__ = ("voucher", "enterprise", "city", "year")
    VOUCHER_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    YEAR_FIELD_NUMBER: _ClassVar[int]
    voucher: str
    enterprise: str
    city: str
    year: int
    def __init__(self, voucher: _Optional[str] = ..., enterprise: _Optional[str] = ..., city: _Optional[str] = ..., year: _Optional[int] = ...) -> None: ...

class EvidenceFile(_message.Message):
    __slots__ = ("name", "content")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: bytes
    def __init__(self, name: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class GetEvidenceResponse(_message.Message):
    __slots__ = ("files",)
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[EvidenceFile]
    def __init__(self, files: _Optional[_Iterable[_Union[EvidenceFile, _Mapping]]] = ...) -> None: ...
