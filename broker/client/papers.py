"""Invoices, statements, credit notes and reports of use. A paper comes whole, and its hash is that of what came."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Final

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from broker.client.connection import KeyedConnection
from broker.client.errors import StreamGap, from_call
from broker.papers.paper import CreditNote, Paper, PaperKind, Part, WorkLine
from broker.papers.use import FIGURES, UseReport, UseRow
from broker.wire.v1 import papers_pb2 as pb

PAGE_SIZE: Final = 500

Piece = pb.GetInvoiceResponse | pb.GetStatementResponse
Opened = (
    grpc.aio.UnaryStreamCall[Message, pb.GetInvoiceResponse]
    | grpc.aio.UnaryStreamCall[Message, pb.GetStatementResponse]
)  # fmt: skip


class PaperClient(KeyedConnection):
    """Calls the broker about papers, with the key of a city, an owner, an auditor or an operator."""

    async def invoice(self, month: str, *, city: str = "", enterprise: str = "") -> Paper:
        """Return what a city, or one of its enterprises, paid in a month; an empty city: that of the key.

        Raises: StreamGap: what came is not what was sent.
        """
        request = pb.GetInvoiceRequest(month=month, city=city, enterprise=enterprise)
        return await self._paper(
            PaperKind.INVOICE,
            lambda: self.server_stream("AccountService/GetInvoice", request, pb.GetInvoiceResponse),
        )

    async def statement(self, month: str, *, owner: str = "") -> Paper:
        """Return what an owner earned in a month; an empty owner: that of the key.

        Raises: StreamGap: what came is not what was sent.
        """
        request = pb.GetStatementRequest(month=month, owner=owner)
        return await self._paper(
            PaperKind.STATEMENT,
            lambda: self.server_stream("AccountService/GetStatement", request, pb.GetStatementResponse),
        )

    async def post_credit_note(self, request: pb.PostCreditNoteRequest) -> pb.PostCreditNoteResponse:
        """Give money back; the same key with the same body gives it once, so it is tried again safely."""
        return await self.unary("AccountService/PostCreditNote", request, pb.PostCreditNoteResponse)

    async def credit_notes(
        self, *, city: str = "", month: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[pb.ListedCreditNote, None]:
        """Yield credit notes, newest first, with what they are about; of one month ("2026-11"), or all."""
        request = pb.ListCreditNotesRequest(city=city, month=month, page_size=page_size)
        while True:
            page = await self.unary("AccountService/ListCreditNotes", request, pb.ListCreditNotesResponse)
            for one in page.credit_notes:
                yield one
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def use_report(self, month: str, *, city: str = "") -> UseReport:
        """Return what was used in a month by city and sector; an empty city: all that the key may see.

        Raises: StreamGap: what came is not what was sent.
        """
        request = pb.GetUseReportRequest(month=month, city=city)
        found = await self.unary("AccountService/GetUseReport", request, pb.GetUseReportResponse)
        report = UseReport(
            month=found.month,
            city=found.city,
            provisional_at=_moment(found.provisional_at) if found.HasField("provisional_at") else None,
            rows=tuple(UseRow(r.city, r.workload_class, *(getattr(r, name) for name in FIGURES)) for r in found.rows),
        )
        if report.sha256() != found.sha256:
            raise StreamGap(f"{found.number} came with another hash than its own: its broker is of another version")
        return report

    async def _paper(self, kind: PaperKind, opened: Callable[[], Opened]) -> Paper:
        """Return a paper; a stream that breaks is begun again, for a paper of an open month may be another one then."""
        patience = self.patience()
        while True:
            call, pieces = opened(), list[Piece]()
            try:
                async for piece in call:
                    pieces.append(piece)  # what came before a break is thrown away
            except grpc.aio.AioRpcError as error:
                broken = from_call(error)
            else:
                return _whole(kind, pieces)
            finally:
                call.cancel()
            await self.pause_or_raise(broken, patience)


def _whole(kind: PaperKind, pieces: list[Piece]) -> Paper:
    if not pieces:
        raise StreamGap("the paper came without its head")
    head = pieces[0].head
    paper = Paper(
        kind=kind,
        party=head.party,
        month=head.month,
        provisional_at=_moment(head.provisional_at) if head.HasField("provisional_at") else None,
        lines=tuple(_line(line) for piece in pieces for line in piece.lines),
        credit_notes=tuple(_note(note) for piece in pieces for note in piece.credit_notes),
    )
    if paper.sha256() != head.sha256:
        raise StreamGap(f"{head.number} came with another hash than its own: its broker is of another version")
    return paper


def _line(line: pb.WorkLine) -> WorkLine:
    return WorkLine(
        reference=line.reference,
        job=line.job_id,
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
        parts=tuple(Part(part.account, part.micro_yuan) for part in line.parts),
        fee_micro_yuan=line.fee_micro_yuan,
        borne_micro_yuan=line.borne_micro_yuan,
    )


def _note(note: pb.CreditNote) -> CreditNote:
    return CreditNote(
        number=note.transaction_id,
        at=_moment(note.at),
        reference=note.reference,
        hold=note.hold_id,
        account=note.account,
        payer=note.payer,
        micro_yuan=note.micro_yuan,
    )


def _moment(at: Timestamp) -> datetime:
    return at.ToDatetime(tzinfo=UTC)
