"""A grant of the voucher office: first the terms that it would have, then, confirmed by an officer, the voucher."""

from datetime import datetime, time, timedelta
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from broker.console import fields
from broker.console.guards import DESK
from broker.console.pages.vouchers import NOTE_CHARACTERS_MAX, OFFICER_CHARACTERS_MAX, application_of
from broker.console.render import CALLER, page
from broker.errors import invalid
from broker.ids import SLUG
from broker.market.voucher_office import GrantDraft
from broker.worlds.rates import PROGRAMME_TIME

PAPERS_MAX: Final = 32
PAPERS_AHEAD_MAX: Final = timedelta(days=366)
NOBODY: Final = "preview"
"""Stands for the officer of a grant that is only tried: it is written nowhere."""


async def ask(request: web.Request) -> web.StreamResponse:
    """Show what a grant would be. Raise what granting it raises."""
    desk, caller = request.app[DESK], request[CALLER]
    row = await application_of(request)
    draft = _draft(row.application, request.query, desk.now)
    made = await desk.ask.office.grant(caller, draft, NOBODY, now=desk.now, dry_run=True)
    return page(
        request,
        "grant.html",
        row=row,
        draft=draft,
        made=made,
        due=fields.text_of(request.query, "due"),
        at=desk.now,
        titles=await desk.titles(),
    )


async def grant(request: web.Request) -> web.StreamResponse:
    """Do it. Raise ApplicationNotFound, VoucherStepRefused, InvalidRequest, RelatedParty, InsufficientCredit."""
    desk, caller = request.app[DESK], request[CALLER]
    row, form = await application_of(request), await request.post()
    officer = fields.said("officer", fields.text_of(form, "officer"), OFFICER_CHARACTERS_MAX)
    note = fields.text_of(form, "note")
    if note:
        fields.said("note", note, NOTE_CHARACTERS_MAX)
    draft = _draft(row.application, form, desk.now)
    await desk.ask.office.grant(caller, draft, officer, note=note, now=desk.now)
    return web.Response(status=303, headers={"Location": f"/vouchers/applications/{row.application}"})


def _draft(application: int, form: MultiMapping[object], now: datetime) -> GrantDraft:
    """Return the grant that a form describes. Raise InvalidRequest that names the field."""
    papers = tuple(dict.fromkeys(str(each) for each in form.getall("paper", [])))
    if len(papers) > PAPERS_MAX or not all(SLUG.fullmatch(each) for each in papers):
        raise invalid("paper", f"must be at most {PAPERS_MAX} names of papers of the programme")
    return GrantDraft(
        application,
        fields.micro_yuan("yuan", fields.text_of(form, "yuan")),
        papers,
        _end_of_day(fields.text_of(form, "due"), now),
    )


def _end_of_day(text: str, now: datetime) -> datetime | None:
    """Return the last moment of a day of the programme's time; None for nothing. Raise InvalidRequest."""
    if not text:
        return None
    day = fields.day("due", text)
    end = datetime.combine(day, time(23, 59, 59), PROGRAMME_TIME)
    if not now < end <= now + PAPERS_AHEAD_MAX:
        raise invalid("due", f"must be today or within {PAPERS_AHEAD_MAX.days} days from now")
    return end


ROUTES: Final = (
    web.get("/vouchers/applications/{application}/grant", ask),
    web.post("/vouchers/applications/{application}/grant", grant),
)
