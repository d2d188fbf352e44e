"""Where to call and with which key."""

import json
import os
import stat
from pathlib import Path

import pytest

from broker.client import BadSettings, Client
from broker.client.settings import ClientSettings, is_loopback, read_profile, resolve, write_key, write_profile


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home as `serve` leaves it, with two cities."""
    write_profile(tmp_path, endpoint="127.0.0.1:7443")
    for name in ("operator", "city-ganzhou", "city-nanjing"):
        write_key(tmp_path, name, f"xs_{name}")
    return tmp_path


def test_arguments_win_over_the_environment_and_that_over_the_profile(home: Path) -> None:
    environment = {"XISUAN_ENDPOINT": "127.0.0.1:2", "XISUAN_API_KEY": "xs_env"}

    by_profile = resolve(home=home, city="ganzhou", environment={})
    by_environment = resolve(home=home, environment=environment)
    by_arguments = resolve(endpoint="127.0.0.1:3", api_key="xs_arg", home=home, environment=environment)

    assert (by_profile.endpoint, by_profile.api_key) == ("127.0.0.1:7443", "xs_city-ganzhou")
    assert (by_environment.endpoint, by_environment.api_key) == ("127.0.0.1:2", "xs_env")
    assert (by_arguments.endpoint, by_arguments.api_key) == ("127.0.0.1:3", "xs_arg")


def test_an_empty_text_counts_as_not_given(home: Path) -> None:
    found = resolve(endpoint="", api_key="", tls_ca="", home=home, city="nanjing", environment={"XISUAN_API_KEY": ""})

    assert found.api_key == "xs_city-nanjing"


def test_a_city_that_is_named_is_meant_whatever_the_environment_holds(home: Path) -> None:
    found = resolve(home=home, city="nanjing", environment={"XISUAN_API_KEY": "xs_env", "XISUAN_CITY": "ganzhou"})

    assert found.api_key == "xs_city-nanjing"


def test_the_operator_has_a_key_of_its_own(home: Path) -> None:
    assert resolve(home=home, operator=True, environment={}).api_key == "xs_operator"


def test_which_city_is_asked_when_there_are_several(home: Path) -> None:
    with pytest.raises(BadSettings, match=r"--city .* ganzhou, nanjing"):
        resolve(home=home, environment={})


def test_the_profile_may_say_which_city(home: Path) -> None:
    write_profile(home, endpoint="127.0.0.1:7443", city="nanjing")

    assert resolve(home=home, environment={}).api_key == "xs_city-nanjing"
    assert resolve(home=home, environment={"XISUAN_CITY": "ganzhou"}).api_key == "xs_city-ganzhou"


def test_the_only_city_need_not_be_named(tmp_path: Path) -> None:
    write_profile(tmp_path, endpoint="127.0.0.1:7443")
    write_key(tmp_path, "city-ganzhou", "xs_only")

    assert resolve(home=tmp_path, environment={}).api_key == "xs_only"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"endpoint": ""}, "no endpoint: give --endpoint"),
        ({"endpoint": "http://127.0.0.1:1", "api_key": "k"}, "without http://"),
        ({"endpoint": "127.0.0.1", "api_key": "k"}, "is not host:port"),
        ({"endpoint": "127.0.0.1:0", "api_key": "k"}, "is not host:port"),
        ({"endpoint": "127.0.0.1:65536", "api_key": "k"}, "is not host:port"),
        ({"endpoint": "[::1:1", "api_key": "k"}, "is not host:port"),
        ({"endpoint": "127.0.0.1:1"}, "no API key: give --api-key"),
        ({"endpoint": "127.0.0.1:1", "city": "../operator"}, "is no city"),
        ({"endpoint": "127.0.0.1:1", "api_key": "with space"}, "printable ASCII"),
        ({"endpoint": "127.0.0.1:1", "api_key": "line\nbreak"}, "printable ASCII"),
        ({"endpoint": "127.0.0.1:1", "api_key": "键"}, "printable ASCII"),
    ],
)
def test_what_cannot_be_used_is_told_with_the_way_out(tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(BadSettings) as caught:
        resolve(home=tmp_path, environment={}, **wrong)  # type: ignore[arg-type]

    assert message in str(caught.value)


def test_a_key_that_others_can_read_is_refused(home: Path) -> None:
    path = home / "keys" / "city-ganzhou.key"
    path.chmod(0o640)

    with pytest.raises(BadSettings, match="chmod 600"):
        resolve(home=home, city="ganzhou", environment={})


def test_files_are_written_for_their_owner_only(home: Path) -> None:
    files = [path for path in home.rglob("*") if path.is_file()]

    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o700


def test_a_file_is_replaced_as_a_whole_and_stays_private(home: Path) -> None:
    """Also when an earlier writer died and left its draft behind with open rights."""
    draft = home / "keys" / f".operator.key.{os.getpid()}"
    draft.write_text("half")
    draft.chmod(0o666)

    path = write_key(home, "operator", "xs_new")

    assert path.read_text() == "xs_new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not draft.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"endpoint": 7}', "[" * 100_000, '"x"', "\xff"])
def test_a_broken_profile_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "client.json").write_bytes(content.encode("latin-1"))

    with pytest.raises(BadSettings, match=r"client\.json"):
        read_profile(tmp_path)


def test_an_endless_profile_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "client.json").write_text(json.dumps({"endpoint": "x" * 100_000}))

    with pytest.raises(BadSettings, match="larger than"):
        read_profile(tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "City-x", "a" * 81, "a/b", "a\n"])
def test_a_key_file_cannot_be_written_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSettings):
        write_key(tmp_path, name, "xs_x")


def test_the_longest_city_has_a_key_file(tmp_path: Path) -> None:
    name = "city-" + "a" * 63

    assert write_key(tmp_path, name, "xs_x").name == f"{name}.key"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("localhost", True), ("10.0.0.1", False),
     ("localhost.evil.example", False), ("broker.example", False)],
)  # fmt: skip
def test_only_loopback_is_talked_to_in_the_clear(host: str, loopback: bool) -> None:
    """An API key must not cross a wire unencrypted, and a name is not loopback because it sounds so."""
    endpoint = f"[{host}]:7443" if ":" in host else f"{host}:7443"

    assert is_loopback(host) is loopback
    assert ClientSettings(endpoint, "k").plaintext is loopback
    assert not ClientSettings(endpoint, "k", Path("ca.pem")).plaintext


async def test_a_certificate_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="tls_ca"):
        async with Client("127.0.0.1:1", "k", tmp_path / "none.pem"):
            pass


def test_the_key_is_not_printed() -> None:
    assert "secret" not in repr(ClientSettings("127.0.0.1:1", "secret"))
