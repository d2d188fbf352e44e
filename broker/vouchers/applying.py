"""What an application must fulfil before anybody reviews it, and what a grant may be. Pure; all problems at once."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.errors import FieldProblem, GrantBeyondCap, InvalidRequest, RelatedParty
from broker.vouchers.programme import ApplicantType, ClaimSide, Programme


@dataclass(frozen=True, slots=True)
class Enterprise:
    """An enterprise of a city, as the voucher office has registered it.

    Attributes:
        registration: its number in the commercial register, once in the whole exchange.
        plant: its site: no two enterprises share one, so that nobody is split to be subsidised twice.
        related_owners: owners of clusters to which it is related: no voucher of it pays them.
    """

    city: str
    enterprise: str
    title: str
    registration: str
    plant: str
    applicant_type: ApplicantType
    related_owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplicationDraft:
    """What a city applies for, for one of its enterprises.

    Attributes:
        request_key: the same key with the same body is the same application.
        provider: owner of clusters with whom the contract is.
        contract: number of the contract.
        micro_yuan: how much is asked for.
        scale_milli_pflops: of the contract, programme-counted FP16.
        workload_classes: what it is for.
        papers: those that are handed in.
    """

    request_key: str
    city: str
    enterprise: str
    programme: str
    side: ClaimSide
    provider: str
    contract: str
    micro_yuan: int
    scale_milli_pflops: int
    workload_classes: tuple[str, ...]
    papers: tuple[str, ...] = ()


def plain(text: str) -> str:
    """Return a number or site as it is compared: spacing, dashes, case and width do not make another one of it."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def check_application(programme: Programme, enterprise: Enterprise, draft: ApplicationDraft) -> None:
    """Refuse an application that breaks a rule of the programme.

    Raises:
        InvalidRequest: with every field that breaks one.
        RelatedParty: the contract is with an owner to whom the enterprise is related.
    """
    if draft.provider in enterprise.related_owners:
        raise RelatedParty(enterprise=enterprise.enterprise, owner=draft.provider)
    problems = list(_problems(programme, enterprise, draft))
    if problems:
        raise InvalidRequest(*problems)


def _problems(programme: Programme, enterprise: Enterprise, draft: ApplicationDraft) -> Iterator[FieldProblem]:
    named = programme.programme
    types, classes = programme.applicants.types, programme.workload_classes.names
    if enterprise.applicant_type not in types:
        yield FieldProblem(
            "enterprise",
            f"{enterprise.enterprise} is a {enterprise.applicant_type}, {named} is for {', '.join(types)}",
        )
    if draft.side not in programme.claims.sides:
        yield FieldProblem("side", f"{named} is claimed by {', '.join(programme.claims.sides)}, not by {draft.side}")
    strange = [c for c in draft.workload_classes if c not in classes]
    if strange or not draft.workload_classes:
        yield FieldProblem("workload_classes", f"must be some of {', '.join(classes)}, not {', '.join(strange) or '-'}")
    if draft.scale_milli_pflops < programme.minimum_milli_pflops:
        yield FieldProblem(
            "scale_milli_pflops",
            f"is {draft.scale_milli_pflops}, {named} asks for {programme.minimum_milli_pflops} at least",
        )
    unknown = [p for p in draft.papers if p not in programme.papers.names]
    if unknown:
        yield FieldProblem("papers", f"{named} asks for {', '.join(programme.papers.names)}, not for {unknown[0]}")
    if not plain(draft.contract):
        yield FieldProblem("contract", "must have a letter or a digit")
    if draft.micro_yuan > programme.budget.micro_yuan:
        yield FieldProblem("micro_yuan", f"is more than the budget of {named}, {programme.budget.micro_yuan}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What is granted.

    Attributes:
        micro_yuan: the whole grant.
        now_micro_yuan: what may be used at once; less than the whole while papers are missing.
        missing: papers that are not there.
        papers_due: the committed date; None: nothing is missing.
        valid_until: end of validity.
    """

    micro_yuan: int
    now_micro_yuan: int
    missing: tuple[str, ...]
    papers_due: datetime | None
    valid_until: datetime


def terms(
    programme: Programme,
    papers: tuple[str, ...],
    micro_yuan: int,
    granted_this_year: int,
    papers_due: datetime | None,
    now: datetime,
) -> Terms:
    """Return what a grant is.

    Raises: GrantBeyondCap, or InvalidRequest that names the field in which it breaks a rule.

    Args:
        programme: whose rules hold.
        papers: that are there.
        micro_yuan: how much is to be granted.
        granted_this_year: what the same registered enterprise has been granted by the programme already.
        papers_due: when missing papers are to be there; None: the whole time that the programme gives.
        now: aware UTC.
    """
    _within_caps(programme, micro_yuan, granted_this_year)
    problems = []
    missing = tuple(p for p in programme.papers.names if p not in papers)
    allowed = programme.conditional
    at_once, due = micro_yuan, None
    if missing and allowed is None:
        problems.append(FieldProblem("papers", f"{', '.join(missing)} are missing, and the programme waits for none"))
    elif missing and allowed is not None:
        latest = now + timedelta(days=allowed.days)
        due = papers_due or latest
        if not now < due <= latest:
            problems.append(FieldProblem("papers_due", f"must lie after now and not after {latest.isoformat()}"))
        at_once = min(micro_yuan, allowed.micro_yuan)
    if problems:
        raise InvalidRequest(*problems)
    return Terms(micro_yuan, at_once, missing, due, now + timedelta(days=programme.validity.days))


def _within_caps(programme: Programme, micro_yuan: int, granted_this_year: int) -> None:
    caps = (
        ("the cap of the enterprise and year", programme.enterprise_year_cap, granted_this_year),
        ("the cap of one grant", programme.grant_cap, 0),
    )
    for named, cap, gone in caps:
        left = None if cap is None else max(0, cap.micro_yuan - gone)
        if left is not None and micro_yuan > left:
            raise GrantBeyondCap(micro_yuan=micro_yuan, cap=named, left_micro_yuan=left)
