"""Jobs: the list, and one job with its story, place, price, why it waits, and its output as it is written."""

from typing import Final

from aiohttp import web

from broker.console import fields, sentences
from broker.console.guards import DESK
from broker.console.render import CALLER, language_of, page
from broker.errors import AgentUnreachable, LogsNotFound
from broker.lifecycle import JOB_FINAL, Held, JobState
from broker.market.logs import LogStream
from broker.market.pauses import Paused

JOBS_SHOWN: Final = 50
LOG_BYTES_MAX: Final = 256 * 1024
OFFSET_MAX: Final = 2**53
TASKS_MAX: Final = 1_000_000

_STATES: Final = {"": "", **{state.value: state for state in JobState}}
_STREAMS: Final = {stream.value: stream for stream in LogStream}


async def show_all(request: web.Request) -> web.StreamResponse:
    """Show jobs, newest first."""
    desk, caller = request.app[DESK], request[CALLER]
    state = fields.one_of("state", request.query.get("state", ""), _STATES)
    city = fields.slug_or_empty("city", request.query.get("city", ""))
    found = await desk.ask.jobs.list_page(
        caller,
        city=city,
        states=[JobState(state)] if state else [],
        page_size=JOBS_SHOWN,
        page_token=request.query.get("page", ""),
    )
    return page(
        request,
        "jobs.html",
        jobs=found.jobs,
        more=found.next_page_token,
        state=state,
        city=city,
        states=list(JobState),
        titles=await desk.titles(),
        now=desk.now,
    )


async def show_one(request: web.Request) -> web.StreamResponse:
    """Show a job. Raise JobNotFound, also for another city's."""
    desk, caller, language = request.app[DESK], request[CALLER], language_of(request)
    job = await desk.ask.jobs.get(caller, fields.job_of(request))
    waits = job.state is JobState.PENDING
    explanation = await desk.ask.explain(caller, job.job) if waits else None
    return page(
        request,
        "job.html",
        job=job,
        spec=job.spec,
        story=await desk.ask.standing.story(caller, job.job),
        explanation=explanation,
        pause=await desk.pause_of(Paused.QUEUE, job.city) if job.waiting_reason == Held.QUEUE_PAUSED else None,
        offers=[] if explanation is None else [sentences.offer(language, each) for each in explanation.changes],
        tasks=0 if job.placement is None else job.placement.tasks,
        live=job.state not in JOB_FINAL,
        expected=None if job.expected_start is None else job.expected_start.ahead(desk.now),
        titles=await desk.titles(),
        now=desk.now,
    )


async def log(request: web.Request) -> web.StreamResponse:
    """Return what a task has written from an offset on, as text; the header says where to go on."""
    desk, caller = request.app[DESK], request[CALLER]
    stream = _STREAMS[fields.one_of("stream", request.query.get("stream", ""), _STREAMS)]
    task = fields.number("task", request.query.get("task", ""), 0, TASKS_MAX)
    offset = fields.number("offset", request.query.get("offset", ""), 0, OFFSET_MAX)
    data = bytearray()
    end = offset
    try:
        pieces = desk.ask.logs.read(caller, fields.job_of(request), 0, task, stream, offset, follow=False)
        async for at, piece in pieces:
            data += piece
            end = at + len(piece)
            if len(data) >= LOG_BYTES_MAX:
                break
    except (LogsNotFound, AgentUnreachable) as error:
        return web.Response(status=404, text=str(error), headers={"X-Offset": str(offset)})
    return web.Response(text=data.decode("utf-8", "replace"), content_type="text/plain", headers={"X-Offset": str(end)})


ROUTES: Final = (
    web.get("/jobs", show_all),
    web.get("/jobs/{job}", show_one),
    web.get("/jobs/{job}/log", log),
)
