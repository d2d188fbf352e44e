"""Every panel of every dashboard shows something of a real exchange under load, through a real Prometheus."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.client import Job
from deploy.grafana.ask import Prometheus, answers, choices
from deploy.grafana.boards import BOARDS
from deploy.grafana.model import Board
from deploy.grafana.preview import page
from tests.conftest import temporary_folder
from tests.dashboards.programs import prometheus, ready
from tests.deadlines import eventually
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, CAMBRICON, Exchange, free_port, work_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # the exchange is made within the first test's time

RATE_INTERVAL_SECONDS = 10
SHOWN_SECONDS = 60


@dataclass(frozen=True)
class Watched:
    """An exchange with some history, and the Prometheus that has watched it."""

    exchange: Exchange
    prometheus: Prometheus


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    with temporary_folder() as folder:  # jobs, which run as nobody, may enter it
        yield folder


@pytest.fixture(scope="module")
def watched_exchange() -> Iterator[tuple[Exchange, int]]:
    port = free_port()
    with running.exchange(arguments=("--metrics-listen", f"127.0.0.1:{port}")) as made:
        made.start_agent(ASCEND)
        made.start_agent(CAMBRICON)
        yield made, port


@pytest.fixture(scope="module")
async def watched(ground: Path, watched_exchange: tuple[Exchange, int]) -> AsyncIterator[Watched]:
    exchange, port = watched_exchange
    with prometheus(ground, f"127.0.0.1:{port}") as server:
        await ready(server)
        await exchange.attached(ASCEND, CAMBRICON)
        yield Watched(exchange, server)


def submitted(exchange: Exchange, *options: str, command: list[str]) -> str:
    told = exchange.xisuan("submit", "--city", "ganzhou", "--json", "--stack", "cann", *options, "--", *command)
    return str(told.data["job_id"])


@pytest.fixture(scope="module")
async def loaded(watched: Watched, ground: Path) -> Watched:
    """Something of everything: money, power, a promise, a queue, work that ended, a call that was refused."""
    exchange, go = watched.exchange, ground / "go"
    hub = exchange.xisuan("clusters", "--json").data["clusters"][0]["hub"]
    exchange.xisuan("admin", "power", "set", hub, "--cap-kw", "5000", "--pue", "1.15", "--energy-kwh", "100000000")
    exchange.xisuan("ledger", "deposit", "city/ganzhou", "250000", "--reference", "slip 1")
    exchange.xisuan("job", "job-999999", "--city", "ganzhou", code=1)
    half = submitted(exchange, "--cards", "8", "--walltime", "10m", command=work_until(go))
    async with exchange.client() as client:
        await exchange.becomes(client, half, "running")
        gang = submitted(
            exchange, "--tasks", "2", "--cards", "8", "--walltime", "5m", "--priority", "deferrable",
            command=["true"],
        )  # fmt: skip

        async def promised() -> bool:
            job: Job = await client.job(gang)
            return job.promised is not None

        await eventually(promised, seconds=60)
        short = submitted(exchange, "--cards", "1", "--walltime", "1m", command=["true"])
        await exchange.becomes(client, short, "succeeded")
        long = submitted(exchange, "--cards", "8", "--walltime", "1h", "--priority", "urgent", command=["true"])
        await exchange.becomes(client, long, "pending")

        async def seen() -> bool:
            asked = 'min(sum(broker_placements_total) >= 2) and sum(broker_waiting_jobs{reason!="unknown"}) >= 2'
            return bool(watched.prometheus.ask("query", query=asked)["result"])

        await eventually(seen, seconds=60)
        go.touch()
        await exchange.becomes(client, gang, "succeeded")

        async def kept() -> bool:
            asked = (
                'sum(increase(broker_promises_total{fate="kept"}[1m])) > 0 and sum(rate(broker_calls_total[10s])) > 0'
            )
            return bool(watched.prometheus.ask("query", query=asked)["result"])

        submitted(exchange, "--cards", "1", "--walltime", "1m", command=["true"])
        await eventually(kept, seconds=60)
    return watched


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_panel_of_a_dashboard_returns_numbers(loaded: Watched, board: Board) -> None:
    chosen = choices(loaded.prometheus, board)
    if "city" in chosen:
        chosen["city"] = "ganzhou"
    end = time.time()

    empty = [
        panel.title
        for panel in board.panels()
        if not answers(
            loaded.prometheus, panel, chosen, start=end - SHOWN_SECONDS, end=end,
            rate_interval_seconds=RATE_INTERVAL_SECONDS,
        )
    ]  # fmt: skip

    assert all(chosen.values()), "a variable has no values"
    assert not empty


def test_no_alert_of_the_rules_fires_or_fails_in_a_healthy_exchange(loaded: Watched) -> None:
    rules = [rule for group in loaded.prometheus.ask("rules")["groups"] for rule in group["rules"]]

    assert rules
    assert not [rule["name"] for rule in rules if rule["health"] == "err"]
    assert not [rule["name"] for rule in rules if rule.get("state") == "firing"]


def test_the_preview_draws_every_dashboard(loaded: Watched, ground: Path) -> None:
    """It says what it is: no Grafana."""
    text = page(
        loaded.prometheus,
        BOARDS,
        seconds=SHOWN_SECONDS,
        end=time.time(),
        rate_interval_seconds=RATE_INTERVAL_SECONDS,
        wanted={"city": "ganzhou"},
    )

    assert "This is not Grafana" in text
    assert all(board.title in text for board in BOARDS)
    assert "no data" not in text
    assert text.count("<svg") > 40
    (ground / "preview.html").write_text(text)


def test_one_job_can_be_followed_through_the_log(loaded: Watched) -> None:
    """From its submission to its end by `job=`, in the broker's log, and on in its agent's."""
    log = loaded.exchange.broker.log.read_text()
    told = [line for line in log.splitlines() if "job-1 " in line or line.endswith("job-1")]
    agent = loaded.exchange.agents[ASCEND].log.read_text()

    for event in ("job_submitted", "job_leased", "job_started", "job_succeeded"):
        assert any(event in line for line in told), f"{event} is missing: {told}"
    assert "lease=lease-" in next(line for line in told if "job_leased" in line)
    assert "job-1" in agent
