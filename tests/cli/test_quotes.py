"""Quotes and bookings from the command line, against a broker's real edge and database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.client.settings import write_key, write_profile
from broker.store.database import Database
from tests.cli.commands import xisuan
from tests.rpc.test_market_service import Market, open_market, with_prices

JOB = ("--stack", "cann", "--tasks", "2", "--cards", "8", "--walltime", "1h", "--", "./train.sh")


@pytest.fixture
async def market(database: Database, tmp_path: Path) -> AsyncIterator[Market]:
    async with open_market(database) as market:
        await with_prices(market)
        write_profile(tmp_path, endpoint=f"127.0.0.1:{market.port}", city="ganzhou")
        write_key(tmp_path, "operator", market.keys["operator"])
        write_key(tmp_path, "city-ganzhou", market.keys["city"])
        yield market


async def test_a_quote_is_shown_accepted_and_listed(market: Market, tmp_path: Path) -> None:
    shown = await xisuan("quote", *JOB, home=tmp_path)
    bound = await xisuan("accept", "quote-1", "--key", "k", home=tmp_path)
    again = await xisuan("accept", "quote-1", "--key", "k", "--json", home=tmp_path)
    listed = await xisuan("quotes", "--state", "accepted", home=tmp_path)
    none = await xisuan("quotes", "--state", "missed", "--operator", home=tmp_path)

    assert "longdong/ascend" in shown.out
    assert "¥51.2000" in shown.out
    assert "nothing is held" in shown.out
    assert bound.out.startswith("job-1 starts in longdong/ascend by ")
    assert (again.data["duplicate"], again.data["quote"]["job_id"]) == (True, "job-1")
    assert "accepted" in listed.out
    assert none.out == "no quotes\n"


async def test_a_window_is_booked_in_one_go_or_only_looked_at(market: Market, tmp_path: Path) -> None:
    """One that nobody may hold is refused, and what it would cost is shown."""
    window = ("--not-before", "2026-03-02T00:00+08:00")

    tried = await xisuan("book", *window, "--dry-run", "--json", *JOB, home=tmp_path)
    made = await xisuan("book", *window, "--json", *JOB, home=tmp_path)
    poor = await xisuan("book", "--ceiling", "1", *JOB, home=tmp_path)

    assert tried.data["options"][0]["state"] == "QUOTE_STATE_OPEN"
    assert made.data["quote"]["state"] == "QUOTE_STATE_ACCEPTED"
    assert made.data["quote"]["not_before"] == "2026-03-01T16:00:00Z"
    assert (poor.code, "beyond the ceiling" in poor.out) == (1, True)


async def test_a_file_with_more_than_one_job_and_a_wrong_state_are_refused(market: Market, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    one = "{name: a, cards_per_task: 1, walltime: 1h, builds: [{stack: cann, command: [a]}]}"
    file.write_text(f"jobs: [{one}, {one}]")

    two = await xisuan("quote", "--file", str(file), home=tmp_path)
    state = await xisuan("quotes", "--state", "gone", home=tmp_path)
    nobody = await xisuan("accept", "quote-99", home=tmp_path)

    assert (two.code, "a quote is for one" in two.err) == (2, True)
    assert state.code == 2
    assert (nobody.code, "There is no quote quote-99" in nobody.err) == (1, True)
