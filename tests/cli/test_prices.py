"""Rates, prices and capacity from the command line, against a broker's real edge and database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.client.settings import write_key, write_profile
from broker.store.database import Database
from tests.cli.commands import xisuan
from tests.rpc.test_market_service import Market, open_market, with_prices


@pytest.fixture
async def market(database: Database, tmp_path: Path) -> AsyncIterator[Market]:
    async with open_market(database) as market:
        write_profile(tmp_path, endpoint=f"127.0.0.1:{market.port}", city="ganzhou")
        write_key(tmp_path, "operator", market.keys["operator"])
        write_key(tmp_path, "city-ganzhou", market.keys["city"])
        yield market


async def test_rates_are_set_from_a_file_and_listed(market: Market, tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text(
        "rate_cards:\n"
        '  - {cluster: longdong, model: ascend-910b, micro_yuan_per_card_hour: {"0-8": 2500000, "8-24": 3500000}}\n'
        "bounds:\n"
        "  - {model: ascend-910b, floor_micro_yuan_per_card_hour: 1000000}\n"
    )

    tried = await xisuan("rates", "set", str(file), "--dry-run", home=tmp_path)
    none = await xisuan("rates", "list", home=tmp_path)
    made = await xisuan("rates", "set", str(file), home=tmp_path)
    again = await xisuan("--api-key", market.keys["owner"], "rates", "set", str(file), "--json", home=tmp_path)
    listed = await xisuan("rates", "list", home=tmp_path)

    assert tried.out.endswith("2 changes would be made\n")
    assert none.out == "no rate cards are set: nothing is asked\n"
    assert (
        "rate card of longdong for ascend-910b: 0-8: 2500000, 8-24: 3500000 from 2026-03-01T16:00+08:00 on" in made.out
    )
    assert again.code == 1  # an owner sets no bounds
    assert "¥2.5000 to ¥3.5000" in listed.out
    assert "¥1.0000" in listed.out


async def test_what_is_wrong_is_told_with_the_way_out(market: Market, tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text("rate_cards: [{cluster: longdng, model: ascend-910b, micro_yuan_per_card_hour: 1}]")

    refused = await xisuan("rates", "set", str(file), home=tmp_path)
    missing = await xisuan("rates", "set", str(tmp_path / "no.yaml"), home=tmp_path)

    assert refused.code == 1
    assert "rate_cards[0].cluster: there is no cluster 'longdng': did you mean 'longdong'?" in refused.err
    assert missing.code == 2


async def test_prices_and_capacity_are_shown_to_a_city(market: Market, tmp_path: Path) -> None:
    await with_prices(market)

    now = await xisuan("prices", "--city", "ganzhou", home=tmp_path)
    comparable = await xisuan("prices", "--pflops", home=tmp_path)
    before = await xisuan("prices", "--history", "longdong/ascend", "--operator", "--json", home=tmp_path)
    free = await xisuan("capacity", "--hub", "qingyang", home=tmp_path)
    nothing = await xisuan("capacity", "--hub", "guian", home=tmp_path)
    wrong = await xisuan("prices", "--history", "longdong", home=tmp_path)

    assert now.out.splitlines()[1].split() == [
        "qingyang", "longdong/ascend", "ascend-910b", "¥3.2000", "¥3.2000", "¥3.2000", "¥3.2000", "¥3.3600", "¥3.3600",
    ]  # fmt: skip
    assert "¥10.5000" in comparable.out
    assert [len(change["sizes"]) for change in before.data["changes"]] == [5]  # those that had begun at T0
    assert "32 x 1, 16 x 2, 8 x 4, 4 x 8" in free.out
    assert nothing.out == "no pools\n"
    assert wrong.code == 2
