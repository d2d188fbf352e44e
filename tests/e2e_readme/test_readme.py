"""The README's five minutes, done word for word: its commands in shells of their own, its program as a program."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadlines import eventually_now

README = Path(__file__).parents[2] / "README.md"
STARTED_SECONDS_MAX = 60.0
ENDED_SECONDS_MAX = 60.0
PORTS_OF_OUR_OWN = "xisuan serve --listen 127.0.0.1:0 --metrics-listen ''"
"""The one thing that is changed: somebody may be serving at the usual ports."""


def section(title: str) -> str:
    """Return what stands below a heading of the README."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#)", README.read_text() + "\n#", re.MULTILINE | re.DOTALL)
    assert found, f"the README has no part {title!r}"
    return found[1]


def blocks(language: str, text: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Terminal:
    """One shell in the reader's folder."""

    def __init__(self, folder: Path, name: str, commands: str) -> None:
        self.log = folder / f"{name}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XISUAN_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=folder,
                env=environment | {"HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def says(self, text: str) -> bool:
        """Whether it has printed this. Fails when the shell has ended badly."""
        assert self.process.poll() in (None, 0), self.log.read_text()
        return text in self.log.read_text()

    def finish(self, seconds: float = ENDED_SECONDS_MAX) -> str:
        """Wait for its end and return what it printed. Fails when a command failed."""
        code = self.process.wait(seconds)
        assert code == 0, self.log.read_text()
        return self.log.read_text()

    def close(self) -> None:
        """End everything that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@pytest.fixture
def terminals(open_folder: Path) -> Iterator[list[Terminal]]:
    """The reader's open terminals, closed at the end in the reverse order."""
    (open_folder / ".venv").symlink_to(sys.prefix)
    opened: list[Terminal] = []
    yield opened
    for terminal in reversed(opened):
        terminal.close()


@pytest.mark.e2e
def test_the_five_minutes_of_the_readme(open_folder: Path, terminals: list[Terminal]) -> None:
    """What a newcomer copies works, and prints what the README says it prints."""
    broker_block, cluster_block, job_block = blocks("sh", section("By hand"))
    (program,) = blocks("python", section("From a program"))
    assert broker_block.endswith("\nxisuan serve\n")

    broker = Terminal(open_folder, "broker", broker_block.replace("xisuan serve", PORTS_OF_OUR_OWN))
    terminals.append(broker)
    eventually_now(lambda: broker.says("serving at 127.0.0.1:"), seconds=STARTED_SECONDS_MAX)
    agent = Terminal(open_folder, "agent", cluster_block)
    terminals.append(agent)
    eventually_now(lambda: agent.says("attached"), seconds=STARTED_SECONDS_MAX)
    told = Terminal(open_folder, "jobs", job_block).finish()
    (open_folder / "hello.py").write_text(program)
    printed = Terminal(open_folder, "program", f"{sys.executable} -W error hello.py").finish()

    assert "cards 0,1,2,3,4,5,6,7 of lab-train-1" in told
    assert "the same plan, bit for bit" in told
    assert "nothing is wrong" in told
    assert "job-2 'hello': succeeded on lab/train" in printed
    assert "ASCEND_RT_VISIBLE_DEVICES=0,1,2,3,4,5,6,7" in printed


def test_the_readme_names_the_test_command() -> None:
    """What the README tells to run is what the machine that checks the project runs."""
    told = "".join(blocks("sh", section("Tests"))).split("\n")
    run = (README.parent / ".ci" / "run").read_text().split("\n")

    assert [line for line in told if line.startswith("make")] == [line for line in run if line.startswith("make")]
