"""Prices, from an owner's rate card to what a job pays: with a real broker and processes on emulated cards."""

from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import eventually
from tests.e2e.exchange import ASCEND, Exchange, work_until

pytestmark = pytest.mark.e2e


async def test_a_job_keeps_the_price_of_its_start_when_the_owner_asks_more(
    exchange: Exchange, open_folder: Path
) -> None:
    go, rates = open_folder / "go", open_folder / "rates.yaml"
    command = ["submit", "--city", "ganzhou", "--json", "--stack", "cann", "--cards", "8", "--job-ceiling", "900000000"]
    job_id: str = exchange.xisuan(*command, "--", *work_until(go)).data["job_id"]

    def now() -> Any:
        found = exchange.xisuan("prices", "--city", "ganzhou", "--cluster", ASCEND, "--json").data["pools"]
        return found[0]

    async with exchange.client() as client:
        await exchange.becomes(client, job_id, "running")

        async def priced() -> bool:
            return bool(now()["sizes"])

        await eventually(priced)
        ask = int(now()["ask_micro_yuan_per_card_hour"])
        rates.write_text(
            f"rate_cards: [{{cluster: {ASCEND}, model: ascend-910b, micro_yuan_per_card_hour: {ask + 100_000}}}]"
        )
        assert "1 changes made" in exchange.xisuan("rates", "set", str(rates)).out
        assert int(now()["ask_micro_yuan_per_card_hour"]) == ask + 100_000
        job = await client.job(job_id)
        assert job.placement is not None
        assert job.placement.ask_micro_yuan_per_card_hour == ask
        assert "fixed at its start" in exchange.xisuan("job", job_id, "--city", "ganzhou").out
        [free] = exchange.xisuan("capacity", "--city", "ganzhou", "--cluster", ASCEND, "--json").data["pools"]
        assert int(free["cards_free"]) == int(free["cards"]) - 8
        go.touch()
        await exchange.becomes(client, job_id, "succeeded")
    await exchange.audit(acknowledged=[job_id])
