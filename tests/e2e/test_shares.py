"""Shares of cards, from the command line to processes that run side by side on one emulated card."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.exchange import ASCEND, Exchange, work_until

pytestmark = pytest.mark.e2e


def submitted(exchange: Exchange, *options: str, command: list[str]) -> str:
    told = exchange.xisuan("submit", "--city", "ganzhou", "--json", "--stack", "cann", *options, "--", *command)
    job_id: str = told.data["job_id"]
    return job_id


def entries(exchange: Exchange) -> list[dict[str, Any]]:
    """The engine's own record."""
    return [json.loads(line) for line in (exchange.record(ASCEND) / "engine.jsonl").read_text().splitlines()]


async def test_two_halves_of_a_card_run_at_the_same_time(exchange: Exchange, open_folder: Path) -> None:
    """Both run before either may end; the engine's record, the job and the audit say the same."""
    go = open_folder / "go"
    jobs = [submitted(exchange, "--share", "500", command=work_until(go)) for _ in range(2)]

    async with exchange.client() as client:
        running = await asyncio.gather(*(exchange.becomes(client, job, "running") for job in jobs))
        placements = [job.placement for job in running]
        assert placements[0] is not None
        assert placements[1] is not None
        assert placements[0].cards == placements[1].cards
        assert [p.share_milli for p in placements if p] == [500, 500]
        shown = exchange.xisuan("job", jobs[0], "--city", "ganzhou").out
        go.touch()
        for job in jobs:
            await exchange.becomes(client, job, "succeeded")

    assert "1 x 0.5 card" in shown
    assert "1 task of 0.5 card each" in shown
    ran = [(entry["kind"], entry["milli"]) for entry in entries(exchange) if entry["job"] in jobs and "task" in entry]
    assert ran == [("start", 500), ("start", 500), ("end", 500), ("end", 500)]
    await exchange.audit(acknowledged=jobs)


async def test_a_job_is_told_its_share_and_the_size_it_runs_with(exchange: Exchange) -> None:
    """Seventeen tasks of a whole card do not fit into sixteen; four of a quarter do."""
    say = ["sh", "-c", 'echo "$XISUAN_SHARE_MILLI $XISUAN_TASKS"']
    elastic = submitted(exchange, "--tasks", "17", "--smaller", "2:0.5", command=say)
    shared = submitted(exchange, "--tasks", "4", "--share", "250", command=say)

    async with exchange.client() as client:
        for job in (elastic, shared):
            await exchange.becomes(client, job, "succeeded")

    assert exchange.xisuan("logs", elastic, "--task", "1", "--city", "ganzhou").out == "1000 2\n"
    assert exchange.xisuan("logs", shared, "--task", "3", "--city", "ganzhou").out == "250 4\n"
    told = exchange.xisuan("job", elastic, "--city", "ganzhou").out
    assert "17 x 1 cards or 2 (speed 0.5)" in told
    assert "2 tasks" in told


async def test_what_cannot_be_is_refused_with_the_way_out(exchange: Exchange) -> None:
    """By the field of the request; what the catalogue does not have, with what it has."""
    submit = ("submit", "--city", "ganzhou", "--stack", "cann")

    both = exchange.xisuan(*submit, "--share", "250", "--cards", "2", "--", "true", code=1)
    owner = exchange.xisuan(*submit, "--owner", "longdong-computin", "--", "true", code=1)
    share = exchange.xisuan(*submit, "--share", "1000", "--", "true", code=2)

    assert "spec.cards_per_task" in both.err
    assert "did you mean 'longdong-computing'?" in owner.err
    assert "share_milli" in share.err
