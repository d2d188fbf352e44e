"""Months of hubs from the command line, against a broker's real edge and database: figures in, a page out."""

import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.client.settings import write_key, write_profile
from broker.store.database import Database
from tests.cli.commands import xisuan
from tests.rpc.test_measure_service import Measured, open_measured


@pytest.fixture
async def measured(database: Database, tmp_path: Path) -> AsyncIterator[Measured]:
    async with open_measured(database) as measured:
        write_profile(tmp_path, endpoint=f"127.0.0.1:{measured.port}", city="ganzhou")
        write_key(tmp_path, "operator", measured.keys["operator"])
        yield measured


async def test_figures_are_entered_and_stand_on_the_page(measured: Measured, tmp_path: Path) -> None:
    month = ("--month", "2026-03")
    entered = await xisuan(
        "admin", "figures", "set", "qingyang", *month, "--racks", "31000", "--racks-used", "20770", "--pue", "1.184",
        "--heat-mwh", "1250.5", "--source", "机房巡检", home=tmp_path,
    )  # fmt: skip
    again = await xisuan(
        "admin",
        "figures",
        "set",
        "qingyang",
        *month,
        "--pue",
        "1.184",
        "--source",
        "机房巡检",
        "--dry-run",
        home=tmp_path,
    )
    taken = await xisuan(
        "admin",
        "figures",
        "set",
        "qingyang",
        *month,
        "--withdraw",
        "pue",
        "--source",
        "broken",
        "--json",
        home=tmp_path,
    )
    listed = await xisuan("admin", "figures", "list", "qingyang", *month, home=tmp_path)
    page = tmp_path / "march.html"
    made = await xisuan("report", "month", "--hub", "qingyang", *month, "-o", str(page), home=tmp_path)

    assert "67.00 %" in entered.out
    assert "added version 1 of 2026-03" in entered.err
    assert "it was entered before, as version 1" in again.err
    assert json.loads(taken.out)["figures"]["recovered_heat_kilowatt_hours"] == "1250500"
    assert "pue_milli" not in json.loads(taken.out)["figures"]
    assert listed.out.count("qingyang") == 2
    assert f"{page} is written" in made.err
    text = page.read_text(encoding="utf-8")
    assert "20,770 of 31,000 racks" in text
    assert "1,250.5" in text


async def test_the_json_is_what_the_hash_is_of(measured: Measured, tmp_path: Path) -> None:
    """All hubs together; no page is written."""
    file = tmp_path / "march.json"

    told = await xisuan("report", "month", "--month", "2026-03", "--json", str(file), home=tmp_path)
    piped = await xisuan("report", "month", "--month", "2026-03", "--json", "-", home=tmp_path)

    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"month/2026-03: its month is open, sha256 {sha256}" in told.err
    assert piped.out.encode() == file.read_bytes()
    assert {hub["hub"] for hub in json.loads(piped.out)["hubs"]} == {"qingyang", "guian"}
    assert [name for name in os.listdir(tmp_path) if name.endswith(".html")] == []


async def test_the_page_is_also_chinese(measured: Measured, tmp_path: Path) -> None:
    page = tmp_path / "march.html"

    await xisuan("report", "month", "--month", "2026-03", "--language", "zh", "-o", str(page), home=tmp_path)

    assert '<html lang="zh">' in page.read_text(encoding="utf-8")
    assert "扩容规划" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("report", "month", "--month", "2026-04"), 1, "2026-04 has not begun"),
        (("report", "month", "--month", "2026-3"), 1, 'must be a month such as "2026-11"'),
        (("report", "month", "--month", "2026-03", "--hub", "nowhere"), 1, "There is no hub nowhere"),
        (("report", "month", "--month", "2026-03", "-o", "/nowhere/a.html"), 2, "cannot be written"),
        (("admin", "figures", "set", "qingyang", "--pue", "0.9", "--source", "s"), 2, "write for example 1.184"),
        (("admin", "figures", "set", "qingyang", "--month", "2026-03", "--source", "s"), 1, "nothing is given"),
        (("admin", "figures", "list", "nowhere"), 1, "There is no hub nowhere"),
    ],
)
async def test_what_cannot_be_is_told(
    measured: Measured, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    found = await xisuan(*arguments, home=tmp_path)

    assert found.code == code, found
    assert said in found.err
