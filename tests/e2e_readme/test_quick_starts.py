"""The quick starts of deploy/docs, page by page in one hub: every command works and prints what the page says."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import temporary_folder
from tests.deadlines import eventually_now
from tests.e2e_readme.test_readme import PORTS_OF_OUR_OWN, STARTED_SECONDS_MAX, Terminal
from tests.house.test_docs import ROOT

DOCS = ROOT / "deploy" / "docs"
PAGES = ("owner", "city", "operator", "finance", "enterprise", "benchmarker")
"""In the order in which they are tried: jobs need a cluster, looking needs work to see, an enterprise a voucher."""

PAGE_SECONDS_MAX = 280.0
"""Some thirty commands, each a process of its own; half a second each on an idle machine."""

PATH = 'export PATH="$PWD/.venv/bin:$PATH"\n'
BLOCK = re.compile(r"^```sh( background)?\n(.*?)^```\n((?:<!-- prints: .*? -->\n)*)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands of a page, whether they go on running, and what they print."""

    commands: str
    background: bool
    prints: tuple[str, ...]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page that are run."""
    found = BLOCK.findall((DOCS / f"{page}.md").read_text())
    return [
        Block(commands, bool(on), tuple(re.findall("<!-- prints: (.*?) -->", told))) for on, commands, told in found
    ]


def all_said(terminal: Terminal, texts: tuple[str, ...]) -> bool:
    return all(terminal.says(text) for text in texts)


class Hub:
    """A reader's folder with a broker that serves, and the terminals that were opened in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[Terminal] = []
        self.followed: list[str] = []

    def open(self, name: str, commands: str) -> Terminal:
        terminal = Terminal(self.folder, name, PATH + commands)
        self.opened.append(terminal)
        return terminal

    def follow_up_to(self, page: str) -> None:
        """Do what the pages say up to this one, those that were not done before: also when only this one is tried."""
        for each in PAGES[len(self.followed) : PAGES.index(page) + 1]:
            self.follow(each)
            self.followed.append(each)

    def follow(self, page: str) -> None:
        """Do what the page says, in one terminal; what goes on running has another one."""
        one, expected = "", list[str]()
        for number, block in enumerate(blocks(page), 1):
            if not block.background:
                one += block.commands
                expected += block.prints
                continue
            self.finish(f"{page}-{number}", one, expected)
            one, expected = "", []
            runs = self.open(f"{page}-runs", block.commands)
            eventually_now(partial(all_said, runs, block.prints), seconds=STARTED_SECONDS_MAX)
        self.finish(page, one, expected)

    def finish(self, name: str, commands: str, expected: list[str]) -> None:
        told = self.open(name, commands).finish(PAGE_SECONDS_MAX)
        for text in expected:
            assert text in told, f"{name} does not print {text!r}:\n{told}"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with temporary_folder() as folder:
        (folder / ".venv").symlink_to(sys.prefix)
        made = Hub(folder)
        broker = made.open("broker", PORTS_OF_OUR_OWN)
        eventually_now(lambda: broker.says("serving at 127.0.0.1:"), seconds=STARTED_SECONDS_MAX)
        yield made
        for terminal in reversed(made.opened):
            terminal.close()


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_a_quick_start_does_what_it_says(page: str, hub: Hub) -> None:
    hub.follow_up_to(page)


def test_every_quick_start_is_tried() -> None:
    """The six of the index, and no page beside them has commands that nothing runs."""
    table = (DOCS / "README.md").read_text().partition("How it works")[0]

    assert set(re.findall(r"\]\((\w+)\.md\)", table)) == set(PAGES)
    assert all(blocks(page) for page in PAGES)
