"""What waits, and why: by reason, by city, and the jobs that wait longest last in the list of jobs."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from broker.caller import Role
from broker.console import charts, fields
from broker.console.charts import Part
from broker.console.guards import DESK
from broker.console.render import CALLER, page
from broker.lifecycle import JobState
from broker.market.pauses import Paused
from broker.market.standing import Waiting

JOBS_SHOWN: Final = 50


async def show(request: web.Request) -> web.StreamResponse:
    """Show the queue of all cities that the caller may see, or of one."""
    desk, caller = request.app[DESK], request[CALLER]
    city = fields.slug_or_empty("city", request.query.get("city", ""))
    waiting = await desk.ask.standing.waiting(caller, city)
    jobs = await desk.ask.jobs.list_page(caller, city=city, states=[JobState.PENDING], page_size=JOBS_SHOWN)
    return page(
        request,
        "queue.html",
        city=city,
        jobs_waiting=sum(each.jobs for each in waiting),
        cards_waiting=sum(each.cards for each in waiting),
        oldest_at=min((each.oldest_at for each in waiting), default=None),
        reasons=_grouped(waiting, "reason"),
        cities=_grouped(waiting, "city"),
        classes=_grouped(waiting, "priority"),
        jobs=jobs.jobs,
        more=jobs.next_page_token,
        pause=await desk.pause_of(Paused.QUEUE, city or (caller.subject if caller.role is Role.CITY else "")),
        paused=await desk.paused(Paused.QUEUE),
        titles=await desk.titles(),
        now=desk.now,
    )


def _grouped(waiting: Iterable[Waiting], by: str) -> list[tuple[str, int, int, Any, str]]:
    """Return (name, jobs, cards, since when the oldest waits, bar) by one of the names, most jobs first."""
    groups: dict[str, list[Waiting]] = defaultdict(list)
    for each in waiting:
        groups[getattr(each, by)].append(each)
    found = [
        (name, sum(e.jobs for e in group), sum(e.cards for e in group), min(e.oldest_at for e in group))
        for name, group in groups.items()
    ]
    most = max((jobs for _, jobs, _, _ in found), default=0)
    return [
        (name, jobs, cards, oldest, charts.bar([Part("waiting", jobs, f"{jobs:,}")], most, label=f"{jobs:,}"))
        for name, jobs, cards, oldest in sorted(found, key=lambda each: (-each[1], each[0]))
    ]


ROUTES: Final = (web.get("/queue", show),)
