"""To the wire: programmes, enterprises, applications, vouchers, their story and forecast."""

import json

from broker.ids import application_text
from broker.job import WorkloadClass
from broker.market.voucher_office import Granted
from broker.market.vouchers import Forecast
from broker.rpc.convert import timestamp
from broker.rpc.convert_enums import (
    APPLICANT_TYPE,
    APPLICATION_STATE,
    CLAIM_SIDE,
    STORY_EVENT,
    VOUCHER_STATE,
    WORKLOAD,
)
from broker.store.voucher_applications import ApplicationRow, ProgrammeRow
from broker.store.voucher_story import Step
from broker.store.vouchers import VoucherRow
from broker.vouchers.applying import Enterprise
from broker.vouchers.burn import METHOD, Burn
from broker.wire.v1 import voucher_service_pb2 as pb


def programme(row: ProgrammeRow) -> pb.Programme:
    """Return a programme."""
    rules = {"programme": row.programme.model_dump(mode="json"), "sources": row.sources}
    return pb.Programme(
        programme=row.programme.programme,
        hub=row.programme.hub,
        year=row.programme.year,
        budget_micro_yuan=row.programme.budget.micro_yuan,
        left_micro_yuan=row.left_micro_yuan,
        granted_micro_yuan=row.granted_micro_yuan,
        vouchers=row.vouchers,
        rules=json.dumps(rules, ensure_ascii=False),
        set_at=timestamp(row.set_at),
    )


def enterprise(one: Enterprise) -> pb.Enterprise:
    """Return an enterprise."""
    return pb.Enterprise(
        city=one.city,
        enterprise=one.enterprise,
        title=one.title,
        registration=one.registration,
        plant=one.plant,
        applicant_type=APPLICANT_TYPE.to_wire(one.applicant_type),
        related_owners=one.related_owners,
    )


def application(row: ApplicationRow) -> pb.Application:
    """Return an application."""
    draft = row.draft
    asked = pb.ApplyForVoucherRequest(
        enterprise=draft.enterprise,
        programme=draft.programme,
        side=CLAIM_SIDE.to_wire(draft.side),
        provider=draft.provider,
        contract=draft.contract,
        micro_yuan=draft.micro_yuan,
        scale_milli_pflops=draft.scale_milli_pflops,
        workload_classes=[WORKLOAD.to_wire(WorkloadClass(c)) for c in draft.workload_classes],
        papers=draft.papers,
    )
    return pb.Application(
        application_id=application_text(row.application),
        asked=asked,
        city=draft.city,
        state=APPLICATION_STATE.to_wire(row.state),
        applied_at=timestamp(row.applied_at),
    )


def granted(made: Granted) -> pb.GrantVoucherResponse:
    """Return what became of a grant."""
    return pb.GrantVoucherResponse(
        voucher=made.voucher,
        micro_yuan=made.micro_yuan,
        at_once_micro_yuan=made.at_once_micro_yuan,
        papers_missing=made.missing,
        papers_due=None if made.papers_due is None else timestamp(made.papers_due),
        valid_until=timestamp(made.valid_until),
        budget_left_micro_yuan=made.budget_left_micro_yuan,
    )


def voucher(row: VoucherRow) -> pb.Voucher:
    """Return a voucher."""
    terms = row.terms
    return pb.Voucher(
        voucher=terms.voucher,
        city=terms.city,
        enterprise=terms.enterprise,
        programme=terms.programme,
        hub=terms.hub,
        application_id=application_text(row.application),
        state=VOUCHER_STATE.to_wire(terms.state),
        granted_micro_yuan=row.granted_micro_yuan,
        available_micro_yuan=terms.available_micro_yuan,
        held_micro_yuan=row.held_micro_yuan,
        rest_micro_yuan=row.rest_micro_yuan,
        domestic_ppm=terms.domestic_ppm,
        other_ppm=terms.other_ppm,
        workload_classes=[WORKLOAD.to_wire(WorkloadClass(c)) for c in sorted(terms.workload_classes)],
        papers_missing=row.papers_missing,
        papers_due=None if terms.papers_due is None else timestamp(terms.papers_due),
        granted_at=timestamp(row.granted_at),
        valid_until=timestamp(terms.valid_until),
    )


def step(told: Step) -> pb.StoryStep:
    """Return a step of the story."""
    return pb.StoryStep(
        at=timestamp(told.at),
        event=STORY_EVENT.to_wire(told.event),
        officer=told.officer.name,
        key_id=told.officer.key_id,
        programme=told.programme or "",
        city=told.city or "",
        enterprise=told.enterprise or "",
        application_id=application_text(told.application) if told.application else "",
        voucher=told.voucher or "",
        note=told.note,
        detail=json.dumps(dict(told.detail), ensure_ascii=False),
    )


def forecast(seen: Forecast) -> pb.GetForecastResponse:
    """Return how fast a programme's money is used."""
    return pb.GetForecastResponse(budget=_burn(seen.budget), granted=_burn(seen.granted), method=METHOD)


def _burn(seen: Burn) -> pb.Burn:
    return pb.Burn(
        left_micro_yuan=seen.left_micro_yuan,
        micro_yuan_per_day=seen.micro_yuan_per_day,
        days_seen=seen.days_seen,
        runs_out="" if seen.runs_out is None else seen.runs_out.isoformat(),
    )
