"""The voucher office: programmes with their burn-down, applications and their review, vouchers. A city sees its own."""

from typing import Any, Final

from aiohttp import web

from broker.caller import Role
from broker.console import charts, fields
from broker.console.charts import Part
from broker.console.guards import DESK
from broker.console.render import CALLER, page
from broker.errors import ApplicationNotFound
from broker.market.vouchers import Forecast
from broker.vouchers.states import ApplicationState, StoryEvent

SHOWN: Final = 200
STEPS_SHOWN: Final = 200
NUMBER_MAX: Final = 2**62
OFFICER_CHARACTERS_MAX: Final = 64
NOTE_CHARACTERS_MAX: Final = 256
_ACTS: Final = {"begin": StoryEvent.REVIEW_BEGUN, "refuse": StoryEvent.REFUSED}
_TO_DECIDE: Final = (ApplicationState.IN_REVIEW, ApplicationState.SUBMITTED)


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show programmes, applications and vouchers."""
    desk, caller = request.app[DESK], request[CALLER]
    programmes = await desk.ask.vouchers.programmes(caller)
    forecasts: dict[str, Forecast] = {}
    if caller.role is not Role.CITY:
        for row in programmes:
            name = row.programme.programme
            forecasts[name] = await desk.ask.vouchers.forecast(caller, name, now=desk.now)
    to_decide = [
        row for state in _TO_DECIDE for row in await desk.ask.vouchers.applications(caller, "", "", state, 0, SHOWN)
    ]
    decided = [
        row
        for row in await desk.ask.vouchers.applications(caller, "", "", None, 0, SHOWN)
        if row.state not in _TO_DECIDE
    ]
    vouchers = await desk.ask.vouchers.page(caller, "", "", "", "", SHOWN)
    return page(
        request,
        "vouchers.html",
        programmes=programmes,
        forecasts=forecasts,
        applications=[*to_decide, *decided][:SHOWN],
        vouchers=[(row, _bar(row)) for row in vouchers],
        titles=await desk.titles(),
    )


def _bar(row: Any) -> str:
    """Return how much of a voucher is used and held."""
    used = row.granted_micro_yuan - row.held_micro_yuan - row.rest_micro_yuan - row.terms.available_micro_yuan
    parts = [Part("leased", used), Part("closed", row.held_micro_yuan)]
    return charts.bar(parts, row.granted_micro_yuan, label=f"{used} / {row.granted_micro_yuan}")


async def show_application(request: web.Request) -> web.StreamResponse:
    """Show an application with its story. Raise ApplicationNotFound, also for another city's."""
    desk, caller = request.app[DESK], request[CALLER]
    row = await application_of(request)
    [programme] = await desk.ask.vouchers.programmes(caller, row.draft.programme)
    return page(
        request,
        "application.html",
        row=row,
        programme=programme.programme,
        missing=[paper for paper in programme.programme.papers.names if paper not in row.draft.papers],
        story=await desk.ask.vouchers.story_of_application(caller, row.application, STEPS_SHOWN),
        submitted=ApplicationState.SUBMITTED,
        in_review=ApplicationState.IN_REVIEW,
        titles=await desk.titles(),
    )


async def application_of(request: web.Request) -> Any:
    """Return the application that the address names. Raise ApplicationNotFound, also for another city's."""
    number = _number(request)
    found = await request.app[DESK].ask.vouchers.applications(request[CALLER], "", "", None, number - 1, 1)
    if not found or found[0].application != number:
        raise ApplicationNotFound(application=number)
    return found[0]


async def review(request: web.Request) -> web.StreamResponse:
    """Begin a review, or refuse. Raise ApplicationNotFound, VoucherStepRefused, InvalidRequest."""
    desk, caller = request.app[DESK], request[CALLER]
    form, number = await request.post(), _number(request)
    event = _ACTS[fields.one_of("act", fields.text_of(form, "act"), _ACTS)]
    officer = fields.said("officer", fields.text_of(form, "officer"), OFFICER_CHARACTERS_MAX)
    note = fields.text_of(form, "note")
    if event is StoryEvent.REFUSED or note:
        fields.said("note", note, NOTE_CHARACTERS_MAX)
    await desk.ask.office.review(caller, number, event, officer, note, now=desk.now)
    return web.Response(status=303, headers={"Location": f"/vouchers/applications/{number}"})


def _number(request: web.Request) -> int:
    text = request.match_info["application"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) < NUMBER_MAX):
        raise ApplicationNotFound(application=text[:40])
    return int(text)


ROUTES: Final = (
    web.get("/vouchers", show_all),
    web.get("/vouchers/applications/{application}", show_application),
    web.post("/vouchers/applications/{application}", review),
)
