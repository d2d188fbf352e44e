"""When a waiting job is likely to start, from the command line to processes on emulated cards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.deadlines import eventually
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, Exchange, work_until

pytestmark = pytest.mark.e2e


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """Nothing is promised, so that everything that waits has an expected start."""
    with running.exchange("promises_max=0") as made:
        made.start_agent(ASCEND)
        await made.attached(ASCEND)
        yield made


async def test_who_waits_is_told_when_it_is_likely_to_start_also_by_a_broker_that_was_killed_meanwhile(
    exchange: Exchange, open_folder: Path
) -> None:
    go = open_folder / "go"
    all_cards = ("submit", "--city", "ganzhou", "--json", "--stack", "cann", "--tasks", "2", "--cards", "8")
    first: str = exchange.xisuan(*all_cards, "--walltime", "10m", "--", *work_until(go)).data["job_id"]
    async with exchange.client() as client:
        await exchange.becomes(client, first, "running")
        second: str = exchange.xisuan(*all_cards, "--walltime", "5m", "--", "true").data["job_id"]

        async def expected() -> bool:
            return (await client.job(second)).expected_start is not None

        await eventually(expected)
        told = (await client.job(second)).expected_start
        shown = [exchange.xisuan(*words, "--city", "ganzhou").out for words in (("job", second), ("jobs",))]
        explained = exchange.xisuan("explain", second, "--city", "ganzhou").out
        exchange.broker.kill()
        exchange.start_broker()
        assert told is not None
        assert (await client.job(second)).expected_start == told
        assert all("(half of the jobs like it), by " in out for out in shown)
        assert "It is expected to start by " in explained

        go.touch()
        done = await exchange.becomes(client, second, "succeeded")
        assert done.expected_start is None
    await exchange.audit(acknowledged=[first, second])
