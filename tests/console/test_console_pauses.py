"""Pauses in the console: seen before they are done, with a reason, by operators alone; told wherever they matter."""

import pytest
from aiohttp import ClientResponse

from broker.ids import job_text
from broker.lifecycle import JobState
from tests.console.conftest import Desk, Visitor

PLACES = [("queue", "nanjing", "/pause?city=nanjing"), ("cluster", "east", "/pause?cluster=east")]


async def send(visitor: Visitor, place: str, what: str, name: str, **more: str) -> ClientResponse:
    return await visitor.send(place, form_token=await visitor.token(), what=what, name=name, **more)


@pytest.mark.parametrize(("what", "name", "place"), PLACES)
async def test_the_console_shows_what_a_pause_would_do_and_then_does_it(
    desk: Desk, what: str, name: str, place: str
) -> None:
    async with desk.visitor("operator") as visitor:
        _, before = await visitor.get(place)
        unsaid = await send(visitor, "/pause", what, name)
        done = await send(visitor, "/pause", what, name, reason="budget under review")
        _, listed = await visitor.get(place)
        _, told = await visitor.get("/queue?city=nanjing" if what == "queue" else "/clusters/east")
        resumed = await send(visitor, "/resume", what, name)
        _, after = await visitor.get("/pause")

    assert "Nothing is changed yet" in before
    assert "Worth of the next round" in before
    assert "Nothing is paused." in before
    assert (unsaid.status, done.status, done.headers["Location"]) == (400, 303, "/pause")
    assert "budget under review" in listed
    assert "Worth of the next round" not in listed  # it is paused: there is nothing to be seen before
    assert "budget under review" in told
    assert resumed.status == 303
    assert "Nothing is paused." in after


async def test_a_queue_that_was_paused_in_the_console_starts_nothing_and_says_so(desk: Desk) -> None:
    waits = await desk.table.submit("nanjing", cards_per_task=1)
    async with desk.visitor("operator") as visitor, desk.visitor("nanjing") as city:
        await send(visitor, "/pause", "queue", "nanjing", reason="budget under review")
        await desk.table.round()
        state = await desk.table.world.state_of(waits)
        _, queue = await city.get("/queue")
        _, job = await city.get(f"/jobs/{job_text(waits)}")
        _, overview = await visitor.get("/")
        await send(visitor, "/resume", "queue", "nanjing")
        await desk.table.round()

    assert state is JobState.PENDING
    assert "the queue is paused <small>QUEUE_PAUSED</small>" in queue
    assert "This queue is paused." in queue
    assert 'action="/resume"' not in queue
    assert "budget under review" in job
    assert "Paused now: queues 1, clusters 0" in overview
    assert await desk.table.world.state_of(waits) is JobState.LEASED


async def test_only_operators_pause_in_the_console_and_others_look(desk: Desk) -> None:
    async with desk.visitor("auditor") as auditor, desk.visitor("ganzhou") as city:
        _, seen = await auditor.get("/pause?city=ganzhou")
        refused = [
            await send(auditor, "/pause", "queue", "ganzhou", reason="x"),
            await send(auditor, "/resume", "queue", "ganzhou"),
            await send(city, "/pause", "queue", "nanjing", reason="x"),
        ]

    assert "Worth of the next round" in seen
    assert 'name="reason"' not in seen
    assert [each.status for each in refused] == [403] * 3


async def test_a_pause_from_another_site_does_nothing_in_the_console(desk: Desk) -> None:
    form = {"what": "queue", "name": "ganzhou", "reason": "x"}
    async with desk.visitor("operator") as visitor:
        token = await visitor.token()
        refused = [
            await visitor.send("/pause", **form),
            await visitor.send("/pause", {"Origin": "https://evil.example"}, form_token=token, **form),
        ]
        _, after = await visitor.get("/pause")

    assert [each.status for each in refused] == [403, 403]
    assert "Nothing is paused." in after


@pytest.mark.parametrize(
    ("what", "name", "reason", "status"),
    [
        ("queue", "nowhere", "x", 404),
        ("cluster", "nowhere", "x", 404),
        ("planet", "ganzhou", "x", 400),
        ("queue", "Not A City", "x", 400),
        ("queue", "ganzhou", "x" * 201, 400),
        ("queue", "ganzhou", "a\x07b", 400),
    ],
)
async def test_nonsense_to_pause_is_refused_in_the_console(
    desk: Desk, what: str, name: str, reason: str, status: int
) -> None:
    async with desk.visitor("operator") as visitor:
        assert (await send(visitor, "/pause", what, name, reason=reason)).status == status
