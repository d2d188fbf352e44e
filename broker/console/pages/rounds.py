"""Rounds: the list, and one of them opened up."""

from typing import Final

from aiohttp import web

from broker.console import charts, fields
from broker.console.guards import DESK
from broker.console.render import language_of, page
from broker.console.words import say
from broker.errors import RoundNotFound
from broker.ids import RoundId

ROUNDS_SHOWN: Final = 50
CHARTED: Final = 200
JOBS_SHOWN: Final = 200


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show the last rounds that had jobs to decide about."""
    desk, language = request.app[DESK], language_of(request)
    before = fields.number("before", request.query.get("before", ""), 0, fields.ROUND_MAX)
    found = await desk.ask.rounds.list_page(CHARTED, RoundId(before) if before else None, busy_only=True)
    gaps = [(float(r.round), r.gap_ppm / 10_000) for r in reversed(found)]
    parts = (("a", "snapshot"), ("b", "plan"), ("c", "verify"), ("d", "commit"))
    times = [
        charts.Series(
            kind,
            say(language, f"rounds.{part}"),
            [(float(r.round), float(getattr(r, f"{part}_millis"))) for r in reversed(found)],
        )
        for kind, part in parts
    ]
    ends = [(x, f"{x:.0f}") for x in dict.fromkeys((gaps[0][0], gaps[-1][0]))] if gaps else []
    return page(
        request,
        "rounds.html",
        rounds=found[:ROUNDS_SHOWN],
        more=found[ROUNDS_SHOWN - 1].round if len(found) > ROUNDS_SHOWN else 0,
        gaps=charts.lines(
            [charts.Series("a", say(language, "rounds.gap"), gaps)] if gaps else [],
            label=say(language, "rounds.gap"),
            x_labels=ends,
            digits=2,
            height=150,
        ),
        times=charts.lines(times if gaps else [], label=say(language, "rounds.millis"), x_labels=ends, height=150),
        parts_of_time=parts,
    )


async def show_one(request: web.Request) -> web.StreamResponse:
    """Show a round opened up. Raise RoundNotFound."""
    desk = request.app[DESK]
    number = fields.round_of(request)
    report = await desk.ask.rounds.get(number)
    if report is None:
        raise RoundNotFound(round=number)
    opened = await desk.ask.opened.open(number, JOBS_SHOWN)
    parts = [
        charts.Part(kind, amount, f"{name} {amount} ms")
        for kind, name, amount in (
            ("a", "snapshot", report.snapshot_millis),
            ("b", "plan", report.plan_millis),
            ("c", "verify", report.verify_millis),
            ("d", "commit", report.commit_millis),
        )
    ]
    return page(
        request,
        "round.html",
        report=report,
        opened=opened,
        time=charts.bar(parts, sum(part.amount for part in parts), label="; ".join(part.label for part in parts)),
    )


ROUTES: Final = (web.get("/rounds", show_all), web.get("/rounds/{round}", show_one))
