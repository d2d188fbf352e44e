"""Between the wire and the domain: reports of use, and lists of credit notes."""

from broker.ids import TransactionId, job_text, lease_text
from broker.papers.month import Month
from broker.papers.use import FIGURES, UseReport
from broker.rpc.convert import timestamp
from broker.rpc.convert_accounts import PAGE_SIZE_MAX, PAGE_SIZE_STANDARD
from broker.rpc.convert_checks import Checks
from broker.rpc.convert_papers import month_of, note_to_wire
from broker.rpc.convert_uses import number_before
from broker.store.credit_notes import ListedNote, NotesWanted
from broker.wire.v1 import papers_pb2 as pb


def use_report(request: pb.GetUseReportRequest) -> tuple[Month, str]:
    """Return month and city of the report that is asked for. Raise InvalidRequest."""
    checks = Checks()
    month, city = month_of(checks, request.month), checks.slug_or_empty("city", request.city)
    checks.done()
    return month, city


def note_page(request: pb.ListCreditNotesRequest) -> tuple[NotesWanted, TransactionId | None, int]:
    """Return which credit notes are asked for, the number before which they begin, how many. Raise InvalidRequest."""
    checks = Checks()
    limit = checks.within("page_size", request.page_size, 0, PAGE_SIZE_MAX) or PAGE_SIZE_STANDARD
    before = number_before(checks, request.page_token)
    month = month_of(checks, request.month) if request.month else None
    wanted = NotesWanted(
        city=checks.slug_or_empty("city", request.city) or None,
        given=None if month is None else (month.begins_at, month.ends_at),
    )
    checks.done()
    return wanted, None if before is None else TransactionId(before), limit


def use_report_to_wire(report: UseReport) -> pb.GetUseReportResponse:
    """Return a report of use."""
    return pb.GetUseReportResponse(
        number=report.number,
        month=report.month,
        city=report.city,
        provisional_at=None if report.provisional_at is None else timestamp(report.provisional_at),
        sha256=report.sha256(),
        rows=[
            pb.UseRow(city=row.city, workload_class=row.workload_class, **{f: getattr(row, f) for f in FIGURES})
            for row in report.rows
        ],
    )


def listed_to_wire(listed: ListedNote) -> pb.ListedCreditNote:
    """Return a credit note with what it is about."""
    return pb.ListedCreditNote(
        note=note_to_wire(listed.note),
        lease_id="" if listed.lease is None else lease_text(listed.lease),
        job_id="" if listed.job is None else job_text(listed.job),
    )
