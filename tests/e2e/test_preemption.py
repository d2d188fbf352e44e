"""An emergency has the cards of preemptible work, from the command line to processes on emulated cards."""

from pathlib import Path

import pytest

from broker.client import Job
from tests.e2e.exchange import Exchange, work_until
from tests.e2e.test_promises import submitted

pytestmark = pytest.mark.e2e

ALL = ("--tasks", "2", "--cards", "8")


async def test_preemptible_work_makes_way_for_an_emergency_and_comes_back(
    exchange: Exchange, open_folder: Path
) -> None:
    """It hears TERM, has its grace for a checkpoint, and runs again when the emergency is over."""
    go, over = open_folder / "go", open_folder / "over"
    trap = f"trap 'echo checkpoint written; exit 0' TERM; while [ ! -e {go} ]; do sleep 0.1; done"
    soft = submitted(
        exchange, *ALL, "--walltime", "10m", "--preemptible", "--grace", "20s", command=["bash", "-c", trap]
    )  # fmt: skip
    async with exchange.client() as client:
        await exchange.becomes(client, soft, "running")
        urgent = submitted(exchange, *ALL, "--walltime", "5m", command=work_until(over))
        exchange.xisuan("update", urgent, "--priority", "emergency", "--operator")

        await exchange.becomes(client, urgent, "running")
        assert "checkpoint written" in exchange.xisuan("logs", soft, "--city", "ganzhou").out
        waits: Job = await client.job(soft)
        assert (waits.state, waits.preemptions) == ("pending", 1)
        assert "once" in exchange.xisuan("job", soft, "--city", "ganzhou").out
        shown = exchange.xisuan("rounds", "list", "--busy-only", "--json").data["rounds"]
        assert sum(one.get("stopped", 0) for one in shown) == 1
        (number,) = [one["round"] for one in shown if one.get("stopped")]
        assert "the same plan, bit for bit" in exchange.xisuan("rounds", "replay", str(number)).out
        over.touch()
        await exchange.becomes(client, soft, "running")
        go.touch()
        for each in (soft, urgent):
            await exchange.becomes(client, each, "succeeded")
    await exchange.audit(acknowledged=[soft, urgent])
