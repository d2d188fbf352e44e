"""Money from the command line, against a broker's real edge and database."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.audit.ledger_file import check_lines
from broker.clock import ManualClock
from broker.loops.chaining import Chaining
from broker.market.ledger import Ledger
from broker.market.month_reports import MonthReports
from broker.market.papers import Papers
from broker.market.uses import Uses
from broker.rpc.account_service import AccountService
from broker.store.database import Database
from tests.books import CITY, VOUCHER, a_capture, open_books
from tests.cli.commands import Ended, xisuan
from tests.cli.served import GANZHOU_KEY, OPERATOR_KEY, served
from tests.conftest import Dsns
from tests.small_world import T0


@pytest.fixture
async def home(database: Database, dsns: Dsns, tmp_path: Path) -> AsyncIterator[Path]:
    """A home folder with the keys of the operator and of Ganzhou, over books with a captured hold."""
    books = await open_books(database, dsns, voucher=10**9, acme=10**9, city=2_500_000)
    held = await books.hold(10_000_000)
    await books.ledger.capture(a_capture(held.hold, 4_000_000), now=T0)
    await Chaining(database).run_once(T0)
    clock = ManualClock(T0)
    service = AccountService(
        Ledger(database), clock, uses=Uses(database), papers=Papers(database), reports=MonthReports(database)
    )
    async with served(database, tmp_path, service, clock, [OPERATOR_KEY, GANZHOU_KEY]) as home:
        yield home


async def ledger(home: Path, *words: str) -> Ended:
    return await xisuan("ledger", *words, home=home)


async def test_a_city_lists_its_accounts_and_an_operator_all(home: Path) -> None:
    own = await ledger(home, "accounts")
    vouchers = await ledger(home, "accounts", "--operator", "--kind", "voucher", "--json")
    everything = await ledger(home, "accounts", "--operator", "--json")

    assert own.code == 0, own.err
    assert [line.split()[:3] for line in own.out.splitlines()[1:]] == [
        ["city/ganzhou", "¥2.5000", "¥0.0000"],
        ["enterprise/ganzhou/acme", "¥993.0000", "¥4.2000"],
        ["voucher/ganzhou/7", "¥997.0000", "¥1.8000"],
    ]
    assert [one["account"] for one in vouchers.data["accounts"]] == [VOUCHER]
    assert len(everything.data["accounts"]) == 8


async def test_a_balance_and_its_postings_are_shown(home: Path) -> None:
    balance = await ledger(home, "balance", VOUCHER, "--json")
    postings = await ledger(home, "postings", VOUCHER, "--limit", "2")
    loss = await ledger(home, "balance", "platform_loss", "--operator")
    foreign = await ledger(home, "balance", "platform_loss")

    assert (balance.data["available_micro_yuan"], balance.data["held_micro_yuan"]) == ("997000000", "1800000")
    assert "capture" in postings.out
    assert "-¥1.2000" in postings.out
    assert "(the newest 2; --limit 0 shows all)" in postings.out
    assert "¥0.0000" in loss.out
    assert (foreign.code, "ACCOUNT_NOT_FOUND" in foreign.err) == (1, True)


async def test_a_deposit_is_tried_then_booked_once(home: Path) -> None:
    words = ("deposit", CITY, "1000.50", "--reference", "bank slip 4711")

    tried = await ledger(home, *words, "--dry-run")
    booked = await ledger(home, *words)
    again = await ledger(home, *words, "--json")
    other = await ledger(home, *words[:2], "7", *words[3:])

    assert "would book ¥1,000.5000" in tried.err
    assert "¥1,003.0000" in tried.out
    assert "booked ¥1,000.5000 as transaction-" in booked.err
    assert (again.data["duplicate"], again.data["account"]["available_micro_yuan"]) == (True, "1003000000")
    assert (other.code, "POSTING_CONFLICT" in other.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((CITY, "ten"), 2, "is no amount of yuan"),
        ((CITY, "0.0000001"), 2, "is not a whole number of micro-yuan"),
        ((CITY, "1", "--currency", "USD"), 1, 'currency: must be "CNY"'),
        ((CITY, "0"), 1, "micro_yuan: is 0 micro-yuan"),
        ((CITY, "999999999999"), 1, "micro_yuan: is 999999999999000000 micro-yuan"),
        (("fee", "1"), 1, "account: fee cannot be in a deposit"),
        (("city/nowhere", "1"), 1, "CITY_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_booked_says_what_would_be_right(
    home: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    refused = await ledger(home, "deposit", *words, "--reference", "slip 1")

    assert refused.code == code
    assert told in refused.err


async def test_the_books_are_verified_from_outside_and_by_their_export(home: Path, dsns: Dsns) -> None:
    verified = await ledger(home, "verify", "--dsn", dsns.hub, "--json")
    exported = await ledger(home, "export", "--output", str(home / "books.jsonl"))
    checked = await ledger(home, "verify", "--file", str(home / "books.jsonl"))
    rest = await ledger(home, "export", "--after", "4")

    assert (verified.code, verified.data["findings"]) == (0, []), verified.out + verified.err
    assert verified.data["looked_at"] == {"transactions": 6, "accounts": 8}
    assert exported.code == checked.code == 0, exported.err + checked.err
    assert "looked at 6 transactions" in checked.out
    assert "nothing is wrong" in checked.out
    assert [json.loads(line)["position"] for line in rest.out.splitlines()] == [5, 6]


@pytest.mark.parametrize(
    ("cook", "told"),
    [
        (lambda lines: [lines[0].replace("1000000000", "1000000001"), *lines[1:]], "line 1 does not have the hash"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 has position 3"),
        (lambda lines: [*lines[:2], "no JSON\n", *lines[3:]], "line 3 is not a line of an export"),
        (lambda lines: [*lines[:2], "[]\n", *lines[3:]], "line 3 is not a line of an export"),
    ],
)
async def test_an_export_that_was_cooked_is_found_out(home: Path, cook: object, told: str) -> None:
    await ledger(home, "export", "--output", str(home / "books.jsonl"))
    lines = (home / "books.jsonl").read_text().splitlines(keepends=True)
    (home / "books.jsonl").write_text("".join(cook(lines)))  # type: ignore[operator]

    checked = await ledger(home, "verify", "--file", str(home / "books.jsonl"), "--json")

    assert checked.code == 1
    assert told in checked.data["findings"][0]["detail"]


def test_an_export_with_good_hashes_must_balance_and_overdraw_nobody() -> None:
    def line(position: int, before: str, postings: list[list[object]]) -> str:
        import hashlib

        text = json.dumps({"postings": postings})
        sha256 = hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()
        return json.dumps({"position": position, "sha256": sha256, "text": text})

    zeros = "00" * 32
    overdrawn = [line(1, zeros, [["city/ganzhou", "available", -5], ["fee", "available", 5]])]
    unbalanced = [line(1, zeros, [["city/ganzhou", "available", 5], ["fee", "available", 5]])]

    assert check_lines(overdrawn).problems == ["city/ganzhou is at -5 micro-yuan (available)"]
    assert check_lines(unbalanced).problems == ["line 1 has postings that do not add up to zero"]


async def test_holds_are_listed_with_what_became_of_them(home: Path) -> None:
    table = await ledger(home, "holds")
    found = (await ledger(home, "holds", "--open", "--operator", "--json")).data["holds"]

    assert "lease-7" in table.out
    assert [(hold["state"], hold["reference"], hold["city"]) for hold in found] == [
        ("HOLD_STATE_OPEN", "lease-7", "ganzhou")
    ]
    assert [part["account"] for part in found[0]["parts"]] == ["voucher/ganzhou/7", "enterprise/ganzhou/acme"]


async def test_usage_of_nobody_is_said_in_a_word(home: Path) -> None:
    ended = await xisuan("usage", "--month", "2026-03", home=home)
    wrong = await xisuan("usage", "--month", "2026-3", "--json", home=home)

    assert (ended.code, ended.out.strip()) == (0, "nothing was used")
    assert wrong.code != 0
    assert "month" in wrong.err


async def test_an_operator_says_how_a_city_pays(home: Path) -> None:
    tried = await ledger(home, "billing", "ganzhou", "prepaid", "--dry-run")
    done = await ledger(home, "billing", "ganzhou", "prepaid")
    again = (await ledger(home, "billing", "ganzhou", "prepaid", "--json")).data
    nobody = await ledger(home, "billing", "atlantis", "prepaid", "--json")

    assert tried.out.strip() == "ganzhou would be prepaid, it was metered"
    assert done.out.strip() == "ganzhou is prepaid, it was metered"
    assert again["before"] == "BILLING_PREPAID"
    assert nobody.code != 0
    assert "CITY_NOT_FOUND" in nobody.err
