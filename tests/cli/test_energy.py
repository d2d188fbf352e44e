"""What is measured, from the command line, against a broker's real edge and database."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.cli.reliability import PARTS
from broker.client.settings import write_key, write_profile
from broker.store.database import Database
from broker.wire.v1 import measure_service_pb2 as pb
from tests.cli.commands import xisuan
from tests.rpc.test_measure_service import Measured, open_measured


@pytest.fixture
async def measured(database: Database, tmp_path: Path) -> AsyncIterator[Measured]:
    async with open_measured(database) as measured:
        write_profile(tmp_path, endpoint=f"127.0.0.1:{measured.port}", city="ganzhou")
        write_key(tmp_path, "operator", measured.keys["operator"])
        write_key(tmp_path, "city-ganzhou", measured.keys["city"])
        yield measured


async def test_energy_is_shown_against_its_lines(measured: Measured, tmp_path: Path) -> None:
    whole = await xisuan("energy", "--operator", "--hub", "qingyang", home=tmp_path)
    own = await xisuan("energy", "--json", home=tmp_path)
    other = await xisuan("energy", "--operator", "--city", "nanjing", "--month", "2026", "--json", home=tmp_path)

    assert "energy of 2026-03, counted up to" in whole.out
    assert "PUE above its line, less green than its line" in whole.out
    assert "50.01 %" in whole.out
    assert [part["city"] for part in json.loads(own.out)["parts"]] == ["ganzhou"]
    assert [part["city"] for part in json.loads(other.out)["parts"]] == ["nanjing"]


async def test_the_energy_of_a_job_is_shown(measured: Measured, tmp_path: Path) -> None:
    shown = await xisuan("energy", "--job", "job-1", home=tmp_path)
    wrong = await xisuan("energy", "--job", "job-1", "--hub", "qingyang", home=tmp_path)

    assert "lease-1" in shown.out
    assert "so far" in shown.out
    assert wrong.code == 2


async def test_reliability_is_shown(measured: Measured, tmp_path: Path) -> None:
    shown = await xisuan("reliability", home=tmp_path)

    assert "longdong  (all)     100.00 %  100.00 % (2/2)" in shown.out
    assert [f"RELIABILITY_PART_{part.upper()}" for part in PARTS] == list(pb.ReliabilityPart.keys())[1:]
