"""Money through a real broker: an operator books it, a city sees it, and the books prove themselves."""

from pathlib import Path

from tests.deadlines import eventually
from tests.e2e import exchange as running


async def test_money_is_booked_seen_exported_and_proved(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"
    with running.exchange() as exchange:
        slip = ("ledger", "deposit", "city/ganzhou", "250000", "--reference", "bank slip 4711")
        tried = exchange.xisuan(*slip, "--dry-run", "--json").data
        booked = exchange.xisuan(*slip, "--json").data
        again = exchange.xisuan(*slip, "--json").data
        seen = exchange.xisuan("ledger", "balance", "city/ganzhou", "--city", "ganzhou", "--json").data
        unseen = exchange.xisuan("ledger", "balance", "city/ganzhou", "--city", "nanjing", code=1)
        exchange.xisuan("admin", "keys", "create", "auditor", "--file", tmp_path / "auditor.key")
        auditor = {"XISUAN_API_KEY": (tmp_path / "auditor.key").read_text().strip()}

        async def chained() -> bool:
            exchange.xisuan("ledger", "export", "--output", books, environment=auditor)
            return len(books.read_text().splitlines()) == 1

        await eventually(chained)
        refused = exchange.xisuan(*slip[:3], "7", "--reference", "slip 2", environment=auditor, code=1)
        proved = exchange.xisuan("ledger", "verify", "--file", books)
        verified = exchange.xisuan("ledger", "verify", "--json").data
        await exchange.audit()

    assert (tried["transaction_id"], tried["opened"]) == ("", True)
    assert (booked["opened"], again["duplicate"]) == (True, True)
    assert again["transaction_id"] == booked["transaction_id"]
    assert seen["available_micro_yuan"] == "250000000000"
    assert "ACCOUNT_NOT_FOUND" in unseen.err
    assert "ROLE_REFUSED" in refused.err
    assert "nothing is wrong" in proved.out
    assert (verified["findings"], verified["looked_at"]["transactions"]) == ([], 1)
