"""Papers from the command line, against a broker's real edge and database."""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.caller import Role
from broker.clock import ManualClock
from broker.market.ledger import Ledger
from broker.market.month_reports import MonthReports
from broker.market.papers import Papers
from broker.market.uses import Uses
from broker.rpc.account_service import AccountService
from broker.store.database import Database
from tests.charged import AFTER, MONTH, charged_books
from tests.cli.commands import xisuan
from tests.cli.served import GANZHOU_KEY, OPERATOR_KEY, served
from tests.conftest import Dsns

CREDIT = ("ledger", "credit", "city/ganzhou", "12.5", "--payer", "owner/longdong", "--about", "lease-1")


@pytest.fixture
async def home(database: Database, dsns: Dsns, tmp_path: Path) -> AsyncIterator[Path]:
    """A home folder with the keys of the operator, of Ganzhou and of Nanjing, over books with charged leases."""
    await charged_books(database, dsns)
    clock = ManualClock(AFTER)
    service = AccountService(
        Ledger(database), clock, uses=Uses(database), papers=Papers(database), reports=MonthReports(database)
    )
    async with served(
        database, tmp_path, service, clock, [OPERATOR_KEY, GANZHOU_KEY, ("city-nanjing", Role.CITY, "nanjing")]
    ) as home:
        yield home


async def test_an_invoice_comes_in_four_forms_that_say_the_same(home: Path) -> None:
    shown = await xisuan("invoice", "--month", MONTH, home=home)
    data = await xisuan("invoice", "--month", MONTH, "--json", home=home)
    sheet = await xisuan("invoice", "--month", MONTH, "--format", "csv", home=home)
    filed = await xisuan("invoice", "--month", MONTH, "--format", "pdf", "--out", str(home / "a.pdf"), home=home)

    assert shown.code == data.code == sheet.code == filed.code == 0, shown.err + data.err + sheet.err + filed.err
    sha256 = hashlib.sha256(data.out.encode()).hexdigest()
    assert all(f"final, sha256 {sha256}" in ended.err for ended in (shown, data, sheet, filed))
    assert data.data["totals"]["micro_yuan"] == 37_777_778
    assert "37.78" in shown.out
    assert list(csv.DictReader(io.StringIO(sheet.out)))[-1]["price_yuan"] == "37.78"
    assert (home / "a.pdf").read_bytes().startswith(b"%PDF-")


async def test_an_operator_asks_for_any_city_and_a_city_for_its_own(home: Path) -> None:
    own = await xisuan("invoice", "--month", MONTH, "--json", home=home)
    operator = await xisuan("invoice", "--month", MONTH, "--city", "ganzhou", "--operator", "--json", home=home)
    other = await xisuan("invoice", "--month", MONTH, "--city", "nanjing", home=home)
    acme = await xisuan("invoice", "--month", MONTH, "--enterprise", "acme", "--json", home=home)

    assert own.out == operator.out
    assert "nothing was charged" in other.out
    assert [line["reference"] for line in acme.data["lines"]] == ["lease-1"]


async def test_a_credit_note_is_tried_given_and_on_both_papers(home: Path) -> None:
    tried = await xisuan(*CREDIT, "--reason", "慢", "--dry-run", home=home)
    made = await xisuan(*CREDIT, "--reason", "慢", home=home)
    again = await xisuan(*CREDIT, "--reason", "慢", "--json", home=home)
    invoice = await xisuan("invoice", "--json", "--month", "2026-04", home=home)
    statement = await xisuan("statement", "--owner", "longdong", "--operator", "--month", "2026-04", home=home)

    assert "would give ¥12.5000 to city/ganzhou out of owner/longdong: lease-1: 慢" in tried.err, tried.err
    assert "gave ¥12.5000" in made.err
    assert again.data["duplicate"] is True
    assert [n["micro_yuan"] for n in invoice.data["credit_notes"]] == [12_500_000]
    assert "provisional" in invoice.err
    assert "-12.50" in statement.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("invoice", "--month", "2026-13"), 1, "month: must be a month"),
        (("invoice", "--month", "2030-01"), 1, "has not begun"),
        (("invoice", "--month", MONTH, "--enterprise", "No Slug"), 1, "enterprise: must be the name"),
        (("invoice", "--month", MONTH, "--city", "nowhere", "--operator"), 1, "CITY_NOT_FOUND"),
        (("statement", "--month", MONTH), 1, "ROLE_REFUSED"),
        (("statement", "--month", MONTH, "--operator"), 1, "owner: must be named"),
        (("ledger", "credit", "city/ganzhou", "1", "--payer", "fee", "--about", "x", "--reason", "r"), 1,
         "about: must be"),
        (("ledger", "credit", "city/ganzhou", "1", "--payer", "city/ganzhou", "--about", "lease-1", "--reason", "r"), 1,
         "payer: city/ganzhou cannot be in a credit_note"),
        (("ledger", "credit", "city/ganzhou", "x", "--payer", "fee", "--about", "lease-1", "--reason", "r"), 2,
         "is no amount of yuan"),
        (("invoice", "--month", MONTH, "--format", "csv", "--out", "/nowhere/a.csv"), 2, "cannot be written"),
    ],
)  # fmt: skip
async def test_what_cannot_be_says_what_would_be_right(
    home: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    refused = await xisuan(*words, home=home)

    assert (refused.code, told in refused.err) == (code, True), refused.err


async def test_a_report_of_use_comes_in_three_forms_and_sums(home: Path) -> None:
    shown = await xisuan("report", "use", "--month", MONTH, "--operator", "--by", "sector", home=home)
    data = await xisuan("report", "use", "--month", MONTH, "--json", home=home)
    sheet = await xisuan("report", "use", "--month", MONTH, "--operator", "--by", "city", "--format", "csv", home=home)
    both = await xisuan("report", "use", "--month", MONTH, "--by", "city", "--json", home=home)

    assert shown.code == data.code == sheet.code == 0, shown.err + data.err + sheet.err
    assert "37.78" in shown.out
    assert "its month is closed, sha256" in shown.err
    assert f"sha256 {hashlib.sha256(data.out.encode()).hexdigest()}" in data.err
    assert [row["workload_class"] for row in data.data["rows"]] == ["speech", "training"]
    rows = list(csv.DictReader(io.StringIO(sheet.out)))
    assert [(row["city"], row["micro_yuan"]) for row in rows] == [("ganzhou", "37777778"), ("all", "37777778")]
    assert both.code == 2


async def test_credit_notes_are_listed_with_what_they_are_about(home: Path) -> None:
    await xisuan(*CREDIT, "--reason", "slow", home=home)

    listed = await xisuan("ledger", "credits", "--operator", home=home)
    own = await xisuan("ledger", "credits", "--month", "2026-04", "--json", home=home)
    other = await xisuan("ledger", "credits", "--month", MONTH, home=home)

    assert all(word in listed.out for word in ("lease-1: slow", "owner/longdong", "job-1", "12.50")), listed.out
    [note] = own.data["credit_notes"]
    assert (note["lease_id"], note["note"]["micro_yuan"], note["note"].get("payer", "")) == ("lease-1", "12500000", "")
    assert "no credit notes" in other.out


async def test_the_json_of_a_command_is_the_canonical_text(home: Path) -> None:
    told = await xisuan("invoice", "--month", MONTH, "--format", "json", "--out", str(home / "a.json"), home=home)
    text = (home / "a.json").read_text()

    assert told.out == ""
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
