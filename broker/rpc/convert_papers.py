"""Between the wire and the domain: invoices, statements and credit notes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from broker.ids import transaction_text
from broker.ledger.accounts import AccountKind, parse_account
from broker.ledger.money import amount_problem
from broker.ledger.transactions import Move
from broker.market.papers import ABOUT, Credited
from broker.papers.month import Month
from broker.papers.paper import CreditNote, Paper, WorkLine
from broker.rpc.convert import chunks, timestamp
from broker.rpc.convert_checks import REQUEST_KEY_CHARACTERS_MAX, Checks, shown
from broker.wire.v1 import papers_pb2 as pb

REASON_CHARACTERS_MAX: Final = 128
PIECE_BYTES: Final = 1024 * 1024
"""A paper is sent in pieces of this size."""


@dataclass(frozen=True, slots=True)
class InvoiceWanted:
    """Whose invoice is asked for."""

    month: Month
    city: str
    enterprise: str


def invoice(request: pb.GetInvoiceRequest) -> InvoiceWanted:
    """Return whose invoice is asked for. Raise InvalidRequest."""
    checks = Checks()
    month = month_of(checks, request.month)
    city = checks.slug_or_empty("city", request.city)
    if request.enterprise and parse_account(f"{AccountKind.ENTERPRISE}/city/{request.enterprise}") is None:
        checks.wrong("enterprise", f"must be the name of an enterprise, such as acme, not {shown(request.enterprise)}")
    checks.done()
    return InvoiceWanted(month, city, request.enterprise)


def statement(request: pb.GetStatementRequest) -> tuple[Month, str]:
    """Return month and owner of the statement that is asked for. Raise InvalidRequest."""
    checks = Checks()
    month = month_of(checks, request.month)
    owner = checks.slug_or_empty("owner", request.owner)
    checks.done()
    return month, owner


def credit_note(request: pb.PostCreditNoteRequest) -> tuple[Move, str]:
    """Return the credit note that is asked for, and what it is about. Raise InvalidRequest naming what is wrong.

    What the accounts' kinds and the currency allow is a rule of the ledger: it is checked there.
    """
    checks = Checks()
    checks.printable_ascii("request_key", request.request_key, REQUEST_KEY_CHARACTERS_MAX)
    checks.printable("reason", request.reason, REASON_CHARACTERS_MAX)
    for field, name in (("account", request.account), ("payer", request.payer)):
        if parse_account(name) is None:
            checks.wrong(field, f'must be the name of an account, such as "city/ganzhou", not {shown(name)}')
    problem = amount_problem("micro_yuan", request.micro_yuan)
    if problem is not None:
        checks.wrong(problem.field, problem.description)
    if ABOUT.fullmatch(request.about) is None:
        checks.wrong("about", f'must be a hold, a lease or a quote, such as "lease-7", not {shown(request.about)}')
    checks.done()
    move = Move(
        request.request_key,
        request.account,
        request.micro_yuan,
        request.reason,
        payer=request.payer,
        currency=request.currency,
    )
    return move, request.about


def paper_pieces(paper: Paper) -> Iterator[tuple[pb.PaperHead | None, list[pb.WorkLine], list[pb.CreditNote]]]:
    """Return a paper in pieces that are small enough to be sent: its head, then lines, then credit notes."""
    yield _head(paper), [], []
    for lines in chunks(map(_line, paper.lines), PIECE_BYTES):
        yield None, lines, []
    for notes in chunks(map(note_to_wire, paper.credit_notes), PIECE_BYTES):
        yield None, [], notes


def credited_to_wire(made: Credited) -> pb.PostCreditNoteResponse:
    """Return what became of a credit note."""
    return pb.PostCreditNoteResponse(
        transaction_id="" if made.transaction is None else transaction_text(made.transaction),
        duplicate=made.duplicate,
        reference=made.reference,
    )


def month_of(checks: Checks, text: str) -> Month:
    """Return the month that is asked for; what is none is noted."""
    try:
        return Month.parse(text)
    except ValueError as error:
        checks.wrong("month", str(error))
        return Month(2000, 1)


def _head(paper: Paper) -> pb.PaperHead:
    return pb.PaperHead(
        number=paper.number,
        party=paper.party,
        month=paper.month,
        provisional_at=None if paper.provisional_at is None else timestamp(paper.provisional_at),
        sha256=paper.sha256(),
        lines=len(paper.lines),
        credit_notes=len(paper.credit_notes),
    )


def _line(line: WorkLine) -> pb.WorkLine:
    return pb.WorkLine(
        reference=line.reference,
        job_id=line.job,
        city=line.city,
        enterprise=line.enterprise,
        workload_class=line.workload_class,
        hub=line.hub,
        cluster=line.cluster,
        model=line.model,
        milli_cards=line.milli_cards,
        minutes=line.minutes,
        late_minutes=line.late_minutes,
        micro_yuan_per_card_hour=line.micro_yuan_per_card_hour,
        rate_card_version=line.rate_card_version,
        nameplate_micro_pflops_hours=line.nameplate_micro_pflops_hours,
        programme_micro_pflops_hours=line.programme_micro_pflops_hours,
        measured_micro_pflops_hours=line.measured_micro_pflops_hours,
        policy=line.policy,
        parts=[pb.PaperPart(account=part.account, micro_yuan=part.micro_yuan) for part in line.parts],
        fee_micro_yuan=line.fee_micro_yuan,
        borne_micro_yuan=line.borne_micro_yuan,
    )


def note_to_wire(note: CreditNote) -> pb.CreditNote:
    """Return a credit note."""
    return pb.CreditNote(
        transaction_id=note.number,
        at=timestamp(note.at),
        reference=note.reference,
        hold_id=note.hold,
        account=note.account,
        payer=note.payer,
        micro_yuan=note.micro_yuan,
    )
