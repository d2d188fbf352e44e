"""What the code offers is documented, the pages are fresh, and their links lead somewhere."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import broker.errors
from broker.config import Settings
from broker.reference import cli, errors, metrics, settings, wire
from broker.rpc.identity import MAY_CALL
from scheduler.reasons import Reason

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "broker" / "reference"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
MAKE_WORD = re.compile(r"`make ([a-z-]+)")


def listed(*patterns: str) -> list[Path]:
    """Return the files of the project, tracked or new, that match."""
    told = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")  # fmt: skip
    return [ROOT / name for name in told if name and (ROOT / name).is_file()]


PAPERS = listed("*.md")


def first_cells(page: str) -> set[str]:
    """Return what stands as code in the first three cells of the rows of a page's tables."""
    rows = [line.split(" | ") for line in (PAGES / page).read_text().split("\n") if line.startswith("| ")]
    return {cell.strip("| `") for row in rows for cell in row[:3]}


def test_the_reference_is_fresh() -> None:
    """`make reference` would change nothing. A process of its own: other tests count metrics in this one."""
    told = subprocess.run(
        [sys.executable, "-m", "broker.reference", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert told.returncode == 0, f"run 'make reference': {told.stdout}{told.stderr}"


def test_every_setting_metric_reason_and_method_has_its_row() -> None:
    assert set(Settings.model_fields) <= first_cells("settings.md")
    assert {metric.name for metric in metrics.all_metrics()} <= first_cells("metrics.md")
    assert {kind.reason for kind in errors.all_errors()} <= first_cells("errors.md")
    assert {method.rpartition("/")[2] for method in MAY_CALL} <= first_cells("wire.md")
    assert {reason.value for reason in Reason} <= first_cells("waiting.md")


def test_every_command_has_its_help_with_an_example() -> None:
    page = (PAGES / "cli.md").read_text()

    for path in cli.commands():
        section = page.partition(f"\n## {' '.join(('xisuan', *path))}\n")[2].partition("\n## ")[0]
        assert section, f"{path} is not on the page"
        assert "Examples:" in section or "Commands:" in section, f"{path} teaches nothing by an example"


def test_every_method_of_the_wire_says_who_may_call_it() -> None:
    """A method without roles would be refused to everybody; one that is gone would be a row about nothing."""
    methods = {
        f"/{wire.PACKAGE}.{service.name}/{method.name}"
        for source in wire.read(wire.PROTO)
        for service in source.file.service
        for method in service.method
    }

    assert methods == set(MAY_CALL)


def test_every_error_is_raised_somewhere_and_stands_in_the_tree() -> None:
    """An error that nothing raises is a promise that nobody keeps."""
    named = {
        node.id
        for file in listed("broker/*.py")
        if file.name != "errors.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name)
    }
    kinds = {kind.__name__ for kind in errors.all_errors()}

    assert kinds - {"InvalidRequest"} <= named  # invalid() makes it
    assert not [kind for kind in kinds if kind not in (broker.errors.__doc__ or "")]
    assert set(errors.WHEN) == {kind.reason for kind in errors.all_errors()}


def test_every_variable_that_is_read_is_documented() -> None:
    """What the agent gives to jobs is told by the wire; these are what people set."""
    read = set()
    for room in ("client", "cli"):
        for file in listed(f"broker/{room}/*.py"):
            read |= set(re.findall(r"XISUAN_[A-Z_]*[A-Z]", file.read_text()))

    assert read == set(settings.ENVIRONMENT)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_links_lead_somewhere(paper: Path) -> None:
    broken = []
    for found in LINK.findall(paper.read_text()):
        target, _, anchor = "".join(found).partition("#")
        if target.startswith(("https://", "http://")):
            continue
        place = (paper.parent / target).resolve() if target else paper
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors(place)):
            broken.append("".join(found))

    assert not broken


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_chores_that_are_named_exist(paper: Path) -> None:
    chores = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(MAKE_WORD.findall(paper.read_text())) <= chores


@pytest.mark.parametrize("room", ["broker", "scheduler"])
def test_decisions_are_numbered_without_gaps_and_say_their_number(room: str) -> None:
    records = sorted((ROOT / room / "decisions").glob("[0-9]*.md"))

    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        assert record.read_text().startswith(f"# {int(record.name[:4])}. ")


def test_rooms_that_papers_name_exist() -> None:
    """A path in ARCHITECTURE.md or CONTRIBUTING.md is a path here."""
    rooms = re.compile(r"`((?:broker|scheduler|proto|deploy|benchmarks|tests)/[\w./-]*)`")
    missing = [
        f"{name}: {path}"
        for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md")
        for path in rooms.findall((ROOT / name).read_text())
        if not (ROOT / path).exists()
    ]

    assert not missing


def anchors(paper: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are commonly made."""
    headings = re.findall(r"^#+ (.+)$", paper.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_names_every_room() -> None:
    """A newcomer finds each folder and loose module of the broker in ARCHITECTURE, those of deploy in its README."""
    told, deployment = (ROOT / "ARCHITECTURE.md").read_text(), (ROOT / "deploy" / "README.md").read_text()
    broker = [path for path in sorted((ROOT / "broker").iterdir()) if not path.name.startswith(("_", "py.typed"))]
    words = [f"broker/{path.name}/" if path.is_dir() else path.name for path in broker]
    folders = {file.relative_to(ROOT).parts[1] for file in listed("deploy/*/*")}

    assert [word for word in words if word not in told and word.removeprefix("broker/") not in told] == []
    assert [name for name in sorted(folders) if f"]({name}" not in deployment] == []
