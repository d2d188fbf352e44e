"""Logins from files, and files that others can read."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from broker import private_file
from broker.dsn import read_dsn
from broker.errors import InvalidRequest

DSN = "postgresql://broker:p%40ss@db/xisuan"


def test_a_dsn_is_itself_or_what_a_private_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text(DSN + "\n")
    file.chmod(0o600)

    assert read_dsn(DSN) == DSN
    assert read_dsn(f"@{file}") == DSN
    assert read_dsn("") == ""


@pytest.mark.parametrize(("content", "why"), [("", "one DSN"), (f"{DSN}\n{DSN}", "one DSN"), ("x" * 20_000, "one DSN")])
def test_a_file_that_holds_no_dsn_is_refused_without_showing_it(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "dsn"
    file.write_text(content)
    file.chmod(0o600)

    with pytest.raises(InvalidRequest, match=why) as error:
        read_dsn(f"@{file}", field="dsn_owner")

    assert "dsn_owner" in str(error.value)
    assert "p%40ss" not in str(error.value)


def test_a_file_that_is_missing_or_open_to_others_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_dsn(f"@{file}")
    file.write_text(DSN)
    file.chmod(0o640)
    with pytest.raises(InvalidRequest, match="chmod 600"):
        read_dsn(f"@{file}")


@pytest.mark.parametrize(
    ("mode", "owner", "us", "seen"),
    [
        (0o600, 1000, 1000, False),
        (0o400, 1000, 1000, False),
        (0o640, 1000, 1000, True),
        (0o604, 1000, 1000, True),
        (0o440, 0, 1000, False),  # a secret that a container platform mounts for a group
        (0o460, 0, 1000, True),
        (0o444, 0, 1000, True),
        (0o440, 0, 0, True),  # as root we can make it private
    ],
)
def test_who_may_read_a_secret(mode: int, owner: int, us: int, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: us)
    found = cast("os.stat_result", SimpleNamespace(st_mode=0o100000 | mode, st_uid=owner))

    assert private_file.seen_by_others(found) is seen
