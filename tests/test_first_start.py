"""The first start of a broker on an empty database, finished whenever it was broken off."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker import first_start
from broker.api_key import ApiKey
from broker.caller import Caller, Role
from broker.client.errors import BadSettings
from broker.client.settings import resolve, write_private
from broker.config import Settings
from broker.errors import InvalidRequest
from broker.market.identity import Identity
from broker.market.worlds import Worlds
from broker.policy import key_file
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


def shared_by_brokers(folder: Path, **more: object) -> Settings:
    """Settings of brokers that keep nothing of their own, as replicas in a container platform do."""
    key_file.make(folder / "policy.pem", exist_ok=True)
    home = {"home": folder / "home", "operator_key": folder / "operator.key", "policy_key": folder / "policy.pem"}
    return Settings.of(home | more)


async def test_brokers_that_share_an_operators_key_make_it_known_and_write_nothing(
    database: Database, tmp_path: Path
) -> None:
    """Else each start of each replica would leave one more operator's key in the database."""
    key, identity = ApiKey.generate(), Identity(database)
    write_private(tmp_path / "operator.key", key.text)
    settings = shared_by_brokers(tmp_path)
    worlds = [Worlds(database, wake=lambda: None) for _ in range(3)]

    await asyncio.gather(
        *(first_start.prepare(settings, each, Identity(database), OPERATOR, NOW) for each in worlds)
    )  # several replicas, all at once, on an empty database
    first_start.tell_clients(settings, "127.0.0.1:7443")

    assert (await identity.caller(key.text, NOW)).role is Role.OPERATOR
    assert [stored.key_id for stored in await identity.list()] == [key.key_id]
    assert (await worlds[0].catalogue(NOW)).hubs
    assert not settings.home.exists()


async def test_an_operators_key_that_cannot_be_one_is_refused_with_the_way_out(
    database: Database, tmp_path: Path
) -> None:
    async def refused(content: str) -> str:
        write_private(tmp_path / "operator.key", content)
        worlds = Worlds(database, wake=lambda: None)
        with pytest.raises(InvalidRequest) as error:
            await first_start.prepare(shared_by_brokers(tmp_path), worlds, identity, OPERATOR, NOW)
        return str(error.value)

    identity = Identity(database)
    auditor = await identity.create(Role.AUDITOR, "", "", NOW)
    ended = await identity.create(Role.OPERATOR, "", "", NOW)
    await identity.revoke(ended.key_id, NOW)

    assert "xisuan admin keys generate" in await refused("secret")
    assert "not an operator's" in await refused(auditor.text)
    assert "revoked" in await refused(ended.text)


def test_an_operators_key_without_a_shared_policy_key_is_refused(tmp_path: Path) -> None:
    """Each replica would sign with a key of its own, and agents would reject what the others lease."""
    with pytest.raises(InvalidRequest, match="policy_key"):
        Settings.of({"home": tmp_path, "operator_key": tmp_path / "operator.key"})
