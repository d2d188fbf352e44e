"""The command line with an enterprise's key: the same commands as for a city, on what is its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.client.settings import write_profile
from broker.store.database import Database
from tests.cli.commands import Ended, xisuan
from tests.conftest import Dsns
from tests.rpc.enterprise_world import Exchange, open_exchange


@dataclass
class Desk:
    """A home folder without keys, and a broker that it reaches."""

    exchange: Exchange
    home: Path

    async def __call__(self, *arguments: str, who: str = "acme") -> Ended:
        patient = ("--patience-seconds", "30")  # the broker shares a process with the planner of quotes
        return await xisuan(*patient, *arguments, home=self.home, XISUAN_API_KEY=self.exchange.keys[who])


@pytest.fixture
async def desk(database: Database, dsns: Dsns, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_exchange(database, dsns) as exchange:
        write_profile(tmp_path, endpoint=f"127.0.0.1:{exchange.port}")
        yield Desk(exchange, tmp_path)


async def test_an_enterprise_submits_looks_and_cancels(desk: Desk) -> None:
    made = await desk("submit", "--stack", "cann", "--cards", "1", "--walltime", "30m", "--json", "--", "true")
    job = made.data["job_id"]
    listed = await desk("jobs", "--json")
    shown = await desk("job", job)
    explained = await desk("explain", job)
    ended = await desk("cancel", job)
    foreign = await desk("job", desk.exchange.jobs["rival"], "--json")
    other = await desk(
        "submit",
        "--stack",
        "cann",
        "--cards",
        "1",
        "--walltime",
        "30m",
        "--enterprise",
        "rival",
        "--json",
        "--",
        "true",
    )

    assert [each.code for each in (made, listed, shown, explained, ended)] == [0] * 5, made.err + explained.err
    assert {each["job_id"] for each in listed.data["jobs"]} == {job, desk.exchange.jobs["acme"]}
    assert "acme" in shown.out
    assert foreign.error["reason"] == "JOB_NOT_FOUND"
    assert other.error["reason"] == "INVALID_REQUEST"
    assert "must be acme, whose key this is" in other.err


async def test_an_enterprise_watches_asks_for_prices_and_books(desk: Desk) -> None:
    watched = await desk("watch", "--after", "0", "--idle-seconds-max", "1")
    prices = await desk("prices")
    quoted = await desk("quote", "--stack", "cann", "--cards", "1", "--walltime", "30m", "--json", "--", "true")
    number = quoted.data["options"][0]["quote_id"]
    booked = await desk("accept", number, "--json")
    listed = await desk("quotes", "--json")

    assert [each.code for each in (watched, prices, quoted, booked, listed)] == [0] * 5, booked.err + quoted.err
    assert desk.exchange.jobs["acme"] in watched.out
    assert desk.exchange.jobs["rival"] not in watched.out
    assert booked.data["quote"]["job_id"].startswith("job-")
    assert {number, desk.exchange.quotes["acme"]} == {each["quote_id"] for each in listed.data["quotes"]}


async def test_an_enterprise_sees_its_money_papers_and_vouchers(desk: Desk) -> None:
    voucher = desk.exchange.vouchers["acme"]
    accounts = await desk("ledger", "accounts", "--json")
    usage = await desk("usage", "--json")
    invoice = await desk("invoice", "--month", "2026-03", "--json")
    asked = await desk("invoice", "--month", "2026-03", "--enterprise", "acme", "--json", who="ganzhou")
    vouchers = await desk("voucher", "list", "--json")
    evidence = await desk("voucher", "evidence", voucher, "--json")
    applied = await desk(
        "voucher", "apply", "qy-2026", "acme", "0.00001", "--contract", "HT-1", "--provider", "longdong",
        "--class", "training", "--scale-milli-pflops", "100", "--paper", "contract", "--paper", "invoice",
    )  # fmt: skip

    ended = (accounts, usage, invoice, asked, vouchers, evidence, applied)
    assert [each.code for each in ended] == [0] * 7, "".join(each.err for each in ended)
    assert {a["account"] for a in accounts.data["accounts"]} == {
        "enterprise/ganzhou/acme",
        f"voucher/ganzhou/{voucher}",
    }
    assert invoice.out == asked.out
    assert voucher in evidence.out
    assert applied.out.startswith("application-")
