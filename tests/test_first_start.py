"""The first start of a broker on an empty database, finished whenever it was broken off."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker import first_start
from broker.caller import Caller, Role
from broker.client.errors import BadSettings
from broker.client.settings import resolve
from broker.config import Settings
from broker.market.identity import Identity
from broker.market.worlds import Worlds
from broker.store.database import Database

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
OPERATOR = Caller("bootstrap", Role.OPERATOR)


async def start(database: Database, home: Path) -> None:
    worlds = Worlds(database, wake=lambda: None)
    await first_start.prepare(Settings(home=home), worlds, Identity(database), OPERATOR, NOW)


async def test_what_a_first_start_left_undone_the_next_one_does(database: Database, tmp_path: Path) -> None:
    """Killed between the world and the last key, it must not leave cities and agents without keys for ever."""
    keys = tmp_path / "keys"
    in_the_way = keys / "agent-qingyang-nvidia.key"
    in_the_way.mkdir(parents=True)
    with pytest.raises(BadSettings, match="agent-qingyang-nvidia"):
        await start(database, tmp_path)
    in_the_way.rmdir()
    for key in keys.glob("city-*.key"):
        key.unlink()

    await start(database, tmp_path)

    catalogue = await Worlds(database, wake=lambda: None).catalogue(NOW)
    assert {path.name for path in keys.iterdir()} == {
        "operator.key",
        "voucher-office.key",
        *(f"city-{city}.key" for city in catalogue.cities),
        *(f"agent-{cluster}.key" for cluster in catalogue.clusters),
    }


async def test_the_voucher_office_of_this_machine_can_call_at_once(database: Database, tmp_path: Path) -> None:
    """`xisuan voucher` takes the office's key from the profile, and finds it there."""
    await start(database, tmp_path)

    found = resolve(endpoint="127.0.0.1:1", home=tmp_path, office=True, environment={})

    assert (await Identity(database).caller(found.api_key, NOW)).role is Role.VOUCHER_OFFICE


async def test_a_key_that_was_taken_away_after_the_first_start_is_not_made_again(
    database: Database, tmp_path: Path
) -> None:
    """Somebody has moved it to where it belongs."""
    await start(database, tmp_path)
    moved = next((tmp_path / "keys").glob("city-*.key"))
    moved.unlink()

    await start(database, tmp_path)

    assert not moved.exists()
