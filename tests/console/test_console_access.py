"""Who gets in, what they see and may do, and what other sites cannot make them do."""

import json

import pytest
from aiohttp import web

from broker.caller import Role
from broker.clock import ManualClock
from broker.console import access
from broker.console.guards import COOKIE
from broker.console.logins import BURST
from broker.console.server import application
from broker.ids import job_text
from tests.console.conftest import NO_PAGES, PEOPLE, SECRET, Desk
from tests.small_world import OPERATOR, T0


def test_every_page_of_the_console_says_who_may_see_it() -> None:
    """A page without roles would be refused to everybody; one that is gone would be a row about nothing."""
    app = application(None, ManualClock(T0), secret=SECRET)  # type: ignore[arg-type]  # nothing is asked
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if isinstance(route, web.AbstractRoute) and route.method != "HEAD" and route.resource is not None
    }

    assert routes == access.MAY_SEE.keys() | access.OPEN


@pytest.mark.parametrize("who", [who for who in PEOPLE if who not in NO_PAGES])
async def test_each_role_sees_its_pages_of_the_console_and_no_other(desk: Desk, who: str) -> None:
    role = PEOPLE[who][0]
    others = {"nanjing": "/jobs/", "stranger": "/clusters/"}.get(who, "nothing")  # what is not theirs is not found

    async with desk.visitor(who) as visitor:
        for what, place in desk.places.items():
            status, _ = await visitor.get(place)
            expected = {200} if access.may(role, what) else {403}
            if (who, place) == ("office", "/"):
                expected = {303}  # to its own page
            if place.startswith(others) or (what.endswith(("/log", "{application}", "/grant")) and 200 in expected):
                expected = {404} if 200 in expected else expected
            assert {status} == expected, f"{who} {place}: {status}"


async def test_the_console_shows_a_city_nothing_of_another(desk: Desk) -> None:
    async with desk.visitor("ganzhou") as visitor:
        seen = "".join([(await visitor.get(place))[1] for place in ("/", "/queue", "/jobs")])
        status, _ = await visitor.get("/jobs?city=nanjing")

    assert job_text(desk.waits) in seen
    assert job_text(desk.foreign) not in seen
    assert "Nanjing" not in seen
    assert status == 403


async def test_an_owner_sees_its_own_clusters_in_the_console(desk: Desk) -> None:
    async with desk.visitor("stranger") as visitor:
        _, overview = await visitor.get("/")
        _, node = await visitor.get("/clusters/west/nodes/m1")
        cards = json.loads((await visitor.get("/clusters/west/cards"))[1])
        everything = json.loads((await visitor.get("/cards"))[1])

    assert "/clusters/west" in overview
    assert "/clusters/east" not in overview
    assert "m1" in node
    assert cards["pools"][0]["cards"] == ["........"]
    assert everything == [cards]


async def test_without_a_session_every_page_of_the_console_leads_to_the_login(desk: Desk) -> None:
    async with desk.visitor() as visitor:
        for place in desk.places.values():
            status, _ = await visitor.get(place)
            live, text = await visitor.get(place, **{"X-Live": "1"})
            assert (status, live, text) == (303, 401, "log in again")
        assert (await visitor.get("/static/console.css"))[0] == 200
        assert (await visitor.get("/static/..%2Fserver.py"))[0] == 404
        assert (await visitor.get("/nothing/here"))[0] == 404


async def test_console_login_refuses_wrong_keys_agents_and_too_many_tries(desk: Desk) -> None:
    async with desk.visitor() as visitor:
        assert (await visitor.log_in("xs_" + "a" * 12 + "_" + "b" * 52)).status == 401
        assert (await visitor.log_in(desk.keys["agent"])).status == 403
        assert [(await visitor.log_in("wrong")).status for _ in range(BURST - 2)] == [401] * (BURST - 2)
        refused = await visitor.log_in(desk.keys["operator"])

    assert refused.status == 429
    assert refused.headers["Retry-After"] == "1"


async def test_console_login_tells_an_enterprise_where_to_go_instead(desk: Desk) -> None:
    """Pages add up whole cities. Nothing is begun, and there is no page that would let it in with a session either."""
    async with desk.visitor() as visitor:
        answer = await visitor.log_in(desk.keys["enterprise"])
        text = await answer.text()
        status, _ = await visitor.get("/jobs")

    assert answer.status == 403
    assert "This is the key of an enterprise" in text
    assert COOKIE not in answer.cookies
    assert status == 303  # to where keys are put in
    assert [what for what in access.MAY_SEE if access.may(Role.ENTERPRISE, what)] == []


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
async def test_console_login_leads_to_no_other_site(desk: Desk, elsewhere: str) -> None:
    async with desk.visitor() as visitor:
        answer = await visitor.log_in(desk.keys["observer"], next=elsewhere)

    assert answer.headers["Location"] == "/"


async def test_the_console_cookie_and_headers_are_strict(desk: Desk) -> None:
    async with desk.visitor() as visitor:
        answer = await visitor.log_in(desk.keys["operator"])
        cookie = answer.headers["Set-Cookie"]
        page = await visitor.session.get("/")

    assert cookie.startswith(COOKIE)
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert desk.keys["operator"].rpartition("_")[2] not in cookie
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"


async def test_a_revoked_key_ends_its_console_session(desk: Desk) -> None:
    async with desk.visitor("observer") as visitor:
        assert (await visitor.get("/"))[0] == 200

        key_id = desk.keys["observer"].split("_")[1]
        await desk.operations.revoke_key(OPERATOR, key_id, now=desk.clock.now())

        assert (await visitor.get("/"))[0] == 303


async def test_console_forms_of_other_sites_and_sessions_do_nothing(desk: Desk) -> None:
    drain = {"act": "drain", "nodes": "n1", "reason": "test"}
    async with desk.visitor("operator") as visitor, desk.visitor("operator") as other:
        token, foreign = await visitor.token(), await other.token()
        place = "/clusters/east/close"
        refused = [
            await visitor.send(place, **drain),
            await visitor.send(place, form_token=foreign, **drain),
            await visitor.send(place, {"Origin": "https://evil.example"}, form_token=token, **drain),
            await visitor.send(place, {"Sec-Fetch-Site": "cross-site"}, form_token=token, **drain),
        ]
        _, cluster = await visitor.get("/clusters/east")

    assert [each.status for each in refused] == [403] * 4
    assert "state-draining" not in cluster


async def test_only_operators_close_nodes_in_the_console(desk: Desk) -> None:
    async with desk.visitor("observer") as visitor:
        token = await visitor.token()
        answer = await visitor.send("/clusters/east/close", form_token=token, act="drain", nodes="n1", reason="test")
        _, preview = await visitor.get("/clusters/east/close?nodes=n1")

    assert answer.status == 403
    assert 'name="reason"' not in preview


async def test_hostile_names_are_shown_and_not_run_in_the_console(desk: Desk) -> None:
    async with desk.visitor("operator") as visitor:
        _, job = await visitor.get(f"/jobs/{job_text(desk.runs)}")

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in job
    assert "<script>alert" not in job


@pytest.mark.parametrize(
    "place",
    [
        "/jobs?state=dancing", "/jobs?page=x", "/queue?city=Not+A+City", "/rounds?before=-1", "/prices?hub=%00",
        "/clusters/east/close?act=burn", "/clusters/east/close?nodes=%3Cb%3E", "/prices/east/main?span=century",
        "/jobs/job-1/log?offset=x", "/pause?city=Not+A+City", "/pause?cluster=%00",
    ],
)  # fmt: skip
async def test_wrong_questions_to_the_console_are_told_what_is_wrong(desk: Desk, place: str) -> None:
    async with desk.visitor("operator") as visitor:
        status, text = await visitor.get(place)

    assert status == 400
    assert "must be" in text


@pytest.mark.parametrize("place", ["/jobs/job-0", "/jobs/job-999999", "/rounds/0", "/rounds/x", "/clusters/none"])
async def test_what_is_not_there_is_not_found_in_the_console(desk: Desk, place: str) -> None:
    async with desk.visitor("operator") as visitor:
        assert (await visitor.get(place))[0] == 404


@pytest.mark.parametrize(
    ("place", "headers"),
    [
        ("/", {"Cookie": "xisuan_console=" + "A" * 6000}),
        ("/", {"Cookie": "xisuan_console=\x80\xff; =; ;;"}),
        ("/", {"If-None-Match": '"' + "x" * 4000 + '"'}),
        ("/", {"Accept-Language": "zh;q=nan,en;q=1e999," + "de;q=0.1," * 500}),
        ("/jobs/job-" + "9" * 18, {}),
        ("/rounds/" + "9" * 18, {}),
        ("/clusters/..%2f..%2fetc%2fpasswd", {}),
        ("/static/..%2f..%2f..%2fetc%2fpasswd", {}),
        ("/jobs?city=%00&state=%ff", {}),
        ("/queue?city=" + "a" * 5000, {}),
    ],
)
async def test_nonsense_in_a_request_to_the_console_is_no_fault_of_its_own(
    desk: Desk, place: str, headers: dict[str, str]
) -> None:
    """No 500: what makes no sense is a wrong question, not found, or as if it were not there."""
    async with desk.visitor("operator") as visitor:
        status, text = await visitor.get(place, **headers)

    assert status < 500, text[:300]
    assert "Traceback" not in text
    assert "root:" not in text


async def test_a_login_that_is_too_long_is_refused_and_the_console_goes_on(desk: Desk) -> None:
    async with desk.visitor() as visitor:
        answer = await visitor.log_in("x" * 900_000)
        after = await visitor.get("/login")

    assert 400 <= answer.status < 500
    assert after[0] == 200
