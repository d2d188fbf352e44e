"""A city that pays in advance, from an empty account to a charged job: real broker, agent, and processes."""

from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import eventually
from tests.e2e.exchange import Exchange, work_until

pytestmark = pytest.mark.e2e


async def test_a_prepaid_job_waits_for_money_runs_and_is_charged_to_the_second(
    exchange: Exchange, open_folder: Path
) -> None:
    """The agent's minutes are charged, the owner is paid, the rest of what was held is free again; the audit agrees."""
    go = open_folder / "go"
    assert "is prepaid, it was metered" in exchange.xisuan("ledger", "billing", "ganzhou", "prepaid").out
    command = ["submit", "--city", "ganzhou", "--json", "--stack", "cann", "--cards", "2", "--walltime", "30m"]
    job_id: str = exchange.xisuan(*command, "--", *work_until(go)).data["job_id"]

    def usage() -> list[Any]:
        found: list[Any] = exchange.xisuan("usage", job_id, "--city", "ganzhou", "--json").data["usage"]
        return found

    def balance(account: str) -> dict[str, Any]:
        found: dict[str, Any] = exchange.xisuan("ledger", "balance", account, "--operator", "--json").data
        return found

    async with exchange.client() as client:

        async def waits_for_money() -> bool:
            return (await client.job(job_id)).waiting_reason == "FUNDS_SHORT"

        await eventually(waits_for_money)
        assert "It waits for money" in exchange.xisuan("explain", job_id, "--city", "ganzhou").out
        exchange.xisuan("ledger", "deposit", "city/ganzhou", "1000", "--reference", "slip 1")
        await exchange.becomes(client, job_id, "running")
        [hold] = exchange.xisuan("ledger", "holds", "--city", "ganzhou", "--open", "--json").data["holds"]
        [running] = usage()
        assert running["hold_id"] == hold["hold_id"]
        assert int(balance("city/ganzhou")["held_micro_yuan"]) > 0
        go.touch()
        await exchange.becomes(client, job_id, "succeeded")

    async def settled() -> bool:
        [one] = usage()
        return one.get("complete", False) and int(balance("city/ganzhou").get("held_micro_yuan", 0)) == 0

    await eventually(settled)
    [one] = usage()
    charged = int(one.get("charged_micro_yuan", 0))
    assert charged == int(one["micro_yuan_per_card_hour"]) * 2 * int(one.get("seconds", 0)) // 3600
    assert int(balance("city/ganzhou")["available_micro_yuan"]) == 1_000_000_000 - charged
    await exchange.audit(acknowledged=[job_id])
