"""From the wire: what is asked of vouchers. All validation, field by field."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from broker.ids import application_text, parse_application
from broker.ledger.money import AMOUNT_MICRO_YUAN_MAX
from broker.market.voucher_office import GrantDraft
from broker.rpc.convert_checks import REQUEST_KEY_CHARACTERS_MAX, Checks, shown
from broker.rpc.convert_enums import APPLICANT_TYPE, APPLICATION_STATE, CLAIM_SIDE, STORY_EVENT, WORKLOAD
from broker.store.voucher_story import StoryOf
from broker.vouchers.applying import ApplicationDraft, Enterprise
from broker.vouchers.programme import SCALE_MILLI_PFLOPS_MAX
from broker.vouchers.states import ApplicationState, StoryEvent
from broker.wire.v1 import voucher_service_pb2 as pb
from broker.worlds.document import DOCUMENT_BYTES_MAX

PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_STANDARD: Final = 200
OFFICER_CHARACTERS_MAX: Final = 64
NOTE_CHARACTERS_MAX: Final = 256
TITLE_CHARACTERS_MAX: Final = 128
REGISTRATION_CHARACTERS_MAX: Final = 64
PAPERS_MAX: Final = 32
CLASSES_MAX: Final = 16
PAPERS_AHEAD_MAX: Final = timedelta(days=366)

REVIEWS: Final = (StoryEvent.REVIEW_BEGUN, StoryEvent.REFUSED)
CHANGES: Final = (StoryEvent.SUSPENDED, StoryEvent.RESUMED, StoryEvent.REDEEMED)

_VOUCHER: Final = re.compile(r"[a-z][a-z0-9-]{0,61}[0-9]")


@dataclass(frozen=True, slots=True)
class ApplicationPage:
    """Which applications are asked for."""

    city: str
    programme: str
    state: ApplicationState | None
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class VoucherPage:
    """Which vouchers are asked for."""

    city: str
    enterprise: str
    programme: str
    voucher: str
    after: str
    limit: int


@dataclass(frozen=True, slots=True)
class Act:
    """What an officer does to an application or a voucher.

    Attributes:
        event: what.
        officer: who.
        note: why.
        application: its number; 0 where it is about a voucher.
        voucher: its name; empty where it is about an application.
        papers: that are there.
    """

    event: StoryEvent
    officer: str
    note: str
    application: int = 0
    voucher: str = ""
    papers: tuple[str, ...] = ()


def programmes(request: pb.SetProgrammesRequest) -> tuple[str, str]:
    """Return the document and the officer. Raise InvalidRequest."""
    checks = Checks()
    if not 1 <= len(request.document) <= DOCUMENT_BYTES_MAX:
        checks.wrong("document", f"has {len(request.document)} characters, must have 1 to {DOCUMENT_BYTES_MAX}")
    officer = checks.printable("officer", request.officer, OFFICER_CHARACTERS_MAX)
    checks.done()
    return request.document, officer


def programme(field: str, text: str, *, empty: bool = False) -> str:
    """Return the name of a programme. Raise InvalidRequest."""
    checks = Checks()
    found = checks.slug_or_empty(field, text) if empty else checks.slug(field, text)
    checks.done()
    return found


def enterprise(request: pb.SetEnterpriseRequest) -> tuple[Enterprise, str]:
    """Return the enterprise and the officer. Raise InvalidRequest."""
    checks, wire = Checks(), request.enterprise
    officer = checks.printable("officer", request.officer, OFFICER_CHARACTERS_MAX)
    found = Enterprise(
        city=checks.slug("enterprise.city", wire.city),
        enterprise=checks.slug("enterprise.enterprise", wire.enterprise),
        title=checks.printable("enterprise.title", wire.title, TITLE_CHARACTERS_MAX),
        registration=_number(checks, "enterprise.registration", wire.registration, REGISTRATION_CHARACTERS_MAX),
        plant=_number(checks, "enterprise.plant", wire.plant, TITLE_CHARACTERS_MAX),
        applicant_type=APPLICANT_TYPE.read(checks, "enterprise.applicant_type", wire.applicant_type),
        related_owners=_slugs(checks, "enterprise.related_owners", wire.related_owners, PAPERS_MAX),
    )
    checks.done()
    return found, officer


def enterprise_page(request: pb.ListEnterprisesRequest) -> tuple[str, tuple[str, str], int]:
    """Return city, the (city, enterprise) behind which the page begins, and its size. Raise InvalidRequest."""
    checks = Checks()
    city, limit = checks.slug_or_empty("city", request.city), _limit(checks, request)
    first, _, second = request.page_token.partition("/")
    if request.page_token:
        checks.slug("page_token", first)
        checks.slug("page_token", second)
    checks.done()
    return city, (first, second), limit


def application(request: pb.ApplyForVoucherRequest, city: str, own: str) -> ApplicationDraft:
    """Return what a city applies for. Raise InvalidRequest that names every wrong field.

    `own`: the enterprise that applies with its own key, and need not name itself; empty: the city applies.
    """
    checks = Checks()
    count = checks.count("workload_classes", request.workload_classes, 1, CLASSES_MAX)
    classes = [
        WORKLOAD.read(checks, f"workload_classes[{i}]", number)
        for i, number in enumerate(request.workload_classes[:count])
    ]
    found = ApplicationDraft(
        request_key=checks.printable_ascii("request_key", request.request_key, REQUEST_KEY_CHARACTERS_MAX),
        city=city,
        enterprise=checks.slug("enterprise", request.enterprise or own),
        programme=checks.slug("programme", request.programme),
        side=CLAIM_SIDE.read(checks, "side", request.side),
        provider=checks.slug("provider", request.provider),
        contract=_number(checks, "contract", request.contract, TITLE_CHARACTERS_MAX),
        micro_yuan=checks.within("micro_yuan", request.micro_yuan, 1, AMOUNT_MICRO_YUAN_MAX),
        scale_milli_pflops=checks.within("scale_milli_pflops", request.scale_milli_pflops, 0, SCALE_MILLI_PFLOPS_MAX),
        workload_classes=tuple(dict.fromkeys(c.value for c in classes)),
        papers=_slugs(checks, "papers", request.papers, PAPERS_MAX),
    )
    checks.done()
    return found


def withdrawal(request: pb.WithdrawApplicationRequest) -> tuple[int, str]:
    """Return the application and why it is taken back. Raise InvalidRequest."""
    checks = Checks()
    number, note = _application(checks, request.application_id), _note(checks, request.note)
    checks.done()
    return number, note


def application_page(request: pb.ListApplicationsRequest) -> ApplicationPage:
    """Return which applications are asked for. Raise InvalidRequest."""
    checks = Checks()
    found = ApplicationPage(
        checks.slug_or_empty("city", request.city),
        checks.slug_or_empty("programme", request.programme),
        None if request.state == 0 else APPLICATION_STATE.read(checks, "state", request.state),
        _after(checks, request.page_token),
        _limit(checks, request),
    )
    checks.done()
    return found


def review(request: pb.ReviewApplicationRequest) -> Act:
    """Return what an officer decides. Raise InvalidRequest."""
    checks = Checks()
    act = _act(checks, request, request.event, REVIEWS, application=_application(checks, request.application_id))
    checks.done()
    return act


def grant(request: pb.GrantVoucherRequest, now: datetime) -> tuple[GrantDraft, str, str]:
    """Return the grant, the officer and the note. Raise InvalidRequest."""
    checks, due = Checks(), None
    if request.HasField("papers_due"):
        due = checks.moment("papers_due", request.papers_due, after=now, until=now + PAPERS_AHEAD_MAX)
    draft = GrantDraft(
        _application(checks, request.application_id),
        checks.within("micro_yuan", request.micro_yuan, 0, AMOUNT_MICRO_YUAN_MAX),
        _slugs(checks, "papers", request.papers, PAPERS_MAX),
        due,
    )
    officer = checks.printable("officer", request.officer, OFFICER_CHARACTERS_MAX)
    note = _note(checks, request.note)
    checks.done()
    return draft, officer, note


def voucher_page(request: pb.ListVouchersRequest) -> VoucherPage:
    """Return which vouchers are asked for. Raise InvalidRequest."""
    checks = Checks()
    found = VoucherPage(
        checks.slug_or_empty("city", request.city),
        checks.slug_or_empty("enterprise", request.enterprise),
        checks.slug_or_empty("programme", request.programme),
        request.voucher and _voucher(checks, "voucher", request.voucher),
        request.page_token and _voucher(checks, "page_token", request.page_token),
        _limit(checks, request),
    )
    checks.done()
    return found


@dataclass(frozen=True, slots=True)
class EvidenceWanted:
    """Of which voucher evidence is asked for; without one: of which enterprise and year."""

    voucher: str
    enterprise: str
    city: str
    year: int


def evidence(request: pb.GetEvidenceRequest) -> EvidenceWanted:
    """Return what evidence is asked for. Raise InvalidRequest."""
    checks = Checks()
    if request.enterprise and request.voucher:
        checks.wrong("enterprise", "is not for a request that names a voucher: leave one of both out")
    if request.enterprise:
        found = EvidenceWanted(
            "",
            checks.slug("enterprise", request.enterprise),
            checks.slug_or_empty("city", request.city),
            checks.within("year", request.year, 2000, 2099),
        )
    else:
        found = EvidenceWanted(_voucher(checks, "voucher", request.voucher), "", "", 0)
        for field, given in (("city", request.city), ("year", request.year)):
            if given:
                checks.wrong(field, "is only for evidence of an enterprise: name one, or leave this out")
    checks.done()
    return found


def papers(request: pb.DeliverPapersRequest) -> Act:
    """Return which papers are there. Raise InvalidRequest."""
    checks = Checks()
    found = _slugs(checks, "papers", request.papers, PAPERS_MAX, at_least=1)
    name = _voucher(checks, "voucher", request.voucher)
    officer = checks.printable("officer", request.officer, OFFICER_CHARACTERS_MAX)
    act = Act(StoryEvent.PAPERS_DELIVERED, officer, _note(checks, request.note), voucher=name, papers=found)
    checks.done()
    return act


def change(request: pb.ChangeVoucherRequest) -> Act:
    """Return the step of a voucher. Raise InvalidRequest."""
    checks = Checks()
    act = _act(checks, request, request.event, CHANGES, voucher=_voucher(checks, "voucher", request.voucher))
    checks.done()
    return act


def story_page(request: pb.ListStoryRequest) -> tuple[StoryOf, int, int]:
    """Return whose story, behind which number, and how much of it. Raise InvalidRequest."""
    checks = Checks()
    of = StoryOf(
        checks.slug_or_empty("city", request.city),
        checks.slug_or_empty("enterprise", request.enterprise),
        _application(checks, request.application_id) if request.application_id else 0,
        request.voucher and _voucher(checks, "voucher", request.voucher),
        checks.slug_or_empty("programme", request.programme),
    )
    after, limit = _after(checks, request.page_token), _limit(checks, request)
    checks.done()
    return of, after, limit


def _act(checks: Checks, request: Any, number: int, allowed: Sequence[StoryEvent], **about: Any) -> Act:
    event = STORY_EVENT.read(checks, "event", number)
    if event not in allowed:
        checks.wrong("event", f"must be one of {', '.join(f'STORY_EVENT_{e.name}' for e in allowed)}")
    officer = checks.printable("officer", request.officer, OFFICER_CHARACTERS_MAX)
    return Act(event, officer, _note(checks, request.note), **about)


def _note(checks: Checks, text: str) -> str:
    return text and checks.printable("note", text, NOTE_CHARACTERS_MAX)


def _number(checks: Checks, field: str, text: str, characters_max: int) -> str:
    """Check a number or site that is compared without spacing and dashes: something must be left of it."""
    if checks.printable(field, text, characters_max) and not any(c.isalnum() for c in text):
        checks.wrong(field, f"must have a letter or a digit, not {shown(text)}")
    return text


def _slugs(checks: Checks, field: str, texts: Sequence[str], most: int, *, at_least: int = 0) -> tuple[str, ...]:
    count = checks.count(field, texts, at_least, most)
    return tuple(dict.fromkeys(checks.slug(f"{field}[{i}]", text) for i, text in enumerate(texts[:count])))


def _voucher(checks: Checks, field: str, text: str) -> str:
    if _VOUCHER.fullmatch(text) is None:
        checks.wrong(field, f'must be the name of a voucher, such as "qingyang-2026-7", not {shown(text)}')
    return text


def _application(checks: Checks, text: str) -> int:
    found = parse_application(text)
    if found is None:
        checks.wrong("application_id", f'must be an id such as "{application_text(7)}", not {shown(text)}')
    return found or 0


def _after(checks: Checks, token: str) -> int:
    if token and not re.fullmatch(r"[1-9][0-9]{0,17}", token):
        checks.wrong("page_token", f"must be the next_page_token of the page before, not {shown(token)}")
        return 0
    return int(token or 0)


def _limit(checks: Checks, request: Any) -> int:
    return checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
