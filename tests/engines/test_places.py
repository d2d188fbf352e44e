"""Where jobs work on the disk, and for how long what they leave behind is kept."""

import os
from pathlib import Path

import pytest

from broker.agent.engines.accounts import Account, Accounts
from broker.agent.engines.places import Retention, choose_work_root
from broker.agent.engines.protocol import EngineError

STRANGER = Account(12_345, 12_345, "stranger")
STRANGERS = Accounts(lambda _lease: STRANGER, False, "")


def settled(folders: Path, work: Path, name: str, age_hours: float) -> None:
    """A settled lease of that age, with a working directory."""
    (folders / name).mkdir(parents=True)
    (work / name / "task-0").mkdir(parents=True)
    mark = folders / name / "settled"
    mark.touch()
    then = mark.stat().st_mtime - age_hours * 3600
    os.utime(mark, (then, then))


async def test_what_is_old_or_too_much_is_deleted(tmp_path: Path) -> None:
    """The oldest first; what is not settled is never touched."""
    folders, work = tmp_path / "leases", tmp_path / "work"
    for number, age_hours in enumerate([200.0, 3.0, 2.0, 1.0]):
        settled(folders, work, f"lease-{number}.1", age_hours)
    (folders / "lease-9.1").mkdir()

    await Retention(hours=100, leases_max=2).prune(folders, work)

    assert sorted(path.name for path in folders.iterdir()) == ["lease-2.1", "lease-3.1", "lease-9.1"]
    assert sorted(path.name for path in work.iterdir()) == ["lease-2.1", "lease-3.1"]


def test_working_directories_lie_beside_the_state(open_folder: Path) -> None:
    """When jobs can reach that; they may pass through, and list nothing."""
    root = choose_work_root(None, open_folder / "state", STRANGERS)

    assert root == open_folder / "state" / "work"
    assert root.stat().st_mode & 0o777 == 0o711


def test_a_work_dir_that_jobs_cannot_reach_is_refused(open_folder: Path) -> None:
    """With the field and the way out."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(EngineError, match="work_dir: stranger cannot enter"):
        choose_work_root(closed / "work", open_folder / "state", STRANGERS)


@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_a_work_dir_of_everybody_is_refused_and_left_alone(open_folder: Path, mode: int) -> None:
    """As /tmp is: anybody could put a link where root makes a folder; and closing it would break the machine."""
    shared = open_folder / "shared"
    shared.mkdir()
    shared.chmod(mode)

    with pytest.raises(EngineError, match=r"work_dir: .* anybody may write into it"):
        choose_work_root(shared, open_folder / "state", STRANGERS)

    assert shared.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else's")
def test_a_work_dir_of_somebody_else_is_refused(open_folder: Path) -> None:
    """Its owner could put links into it."""
    foreign = open_folder / "foreign"
    foreign.mkdir(mode=0o755)
    os.chown(foreign, 12_345, 12_345)

    with pytest.raises(EngineError, match=r"work_dir: .* belongs to others"):
        choose_work_root(foreign, open_folder / "state", STRANGERS)


async def test_folders_nested_however_deep_are_deleted(tmp_path: Path) -> None:
    """A job can make a nest deeper than Python's recursion, than a path is long, and than files may be open."""
    folders, work = tmp_path / "leases", tmp_path / "work"
    settled(folders, work, "lease-1.1", age_hours=200)
    handle = os.open(work / "lease-1.1", os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("nest", dir_fd=handle)
        inner = os.open("nest", os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)

    await Retention(hours=100).prune(folders, work)

    assert [*folders.iterdir(), *work.iterdir()] == []
