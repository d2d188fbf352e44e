"""What cards cost now, and what they have cost."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from broker.console import charts, fields, formats
from broker.console.guards import DESK
from broker.console.render import language_of, page
from broker.console.words import say

POOLS_MAX: Final = 1000
CHANGES_MAX: Final = 5000
CHANGES_SHOWN: Final = 50
SPANS: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "hour": timedelta(hours=1)}
SIZES: Final = ("one", "two", "four", "eight", "node", "larger")
"""For how many cards together a price holds, in the order of the use case."""

CHARTED: Final = (("a", 0), ("b", 3), ("c", 4))


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show all pools with what their cards cost now."""
    desk = request.app[DESK]
    hub = fields.slug_or_empty("hub", request.query.get("hub", ""))
    found = await desk.ask.prices.page(hub, "", "", ("", ""), POOLS_MAX, now=desk.now)
    pools = [(each, _spot(each.ask.micro_yuan_per_card_hour, each.scarcity)) for each in found]
    most = max((spot or 0 for _, spots in pools for spot in spots), default=0)
    return page(request, "prices.html", pools=pools, hub=hub, sizes=SIZES, most=most, titles=await desk.titles())


async def show_one(request: web.Request) -> web.StreamResponse:
    """Show how the prices of a pool went. Raise ClusterNotFound or PoolNotFound."""
    desk, language = request.app[DESK], language_of(request)
    cluster = fields.slug("cluster", request.match_info["cluster"])
    pool = request.match_info["pool"][:63]
    span = fields.one_of("span", request.query.get("span", ""), SPANS)
    now = desk.now
    begin = now - SPANS[span]
    place, rows = await desk.ask.prices.history(cluster, pool, begin, now, CHANGES_MAX)
    points = [(row.at.timestamp(), row.spot_micro_yuan_per_card_hour) for row in rows]
    stands = [
        p.changed
        for p in await desk.ask.prices.page("", cluster, "", ("", ""), POOLS_MAX, now=now)
        if p.place.pool == pool and p.changed is not None
    ]
    if not points and stands:  # nothing changed in all this time: what was before holds
        points = [(begin.timestamp(), stands[0].spot_micro_yuan_per_card_hour)]
    if points:
        points.append((now.timestamp(), points[-1][1]))
    series = [
        charts.Series(
            kind,
            say(language, f"size.{SIZES[size]}"),
            [(at, (spot[size] or 0) / formats.MICRO) for at, spot in points if spot[size] is not None],
        )
        for kind, size in CHARTED
    ]
    when = formats.moment if span == "week" else formats.clock
    ends = [(at, when(datetime.fromtimestamp(at, UTC))) for at in (points[0][0], points[-1][0])] if points else []
    return page(
        request,
        "price.html",
        place=place,
        span=span,
        spans=list(SPANS),
        rows=list(reversed(rows))[:CHANGES_SHOWN],
        changes=len(rows),
        sizes=SIZES,
        charted=[(kind, SIZES[size]) for kind, size in CHARTED],
        chart=charts.lines(
            [each for each in series if each.points],
            label=say(language, "prices.history"),
            x_labels=ends,
            digits=2,
            steps=True,
            width=1480,
            height=300,
        ),
    )


def _spot(ask: int, scarcity: Sequence[int | None]) -> list[int | None]:
    return [None if each is None else ask + each for each in scarcity]


ROUTES: Final = (web.get("/prices", show_all), web.get("/prices/{cluster}/{pool}", show_one))
