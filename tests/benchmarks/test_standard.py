"""The standard set: its commands exist, its tables come from the files and from nothing else, and are fresh."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import standard
from benchmarks.__main__ import app
from benchmarks.standard import BEGIN, END, README, RESULTS, SET, BadResults, Entry, page, read, with_figures

PAPER = f"# A paper\n\n{BEGIN}\nold\n{END}\n\nmore\n"


def result(entry: Entry, **changes: Any) -> dict[str, Any]:
    figures = {figure.name: 1234.5 + number for number, figure in enumerate(entry.figures)}
    told = {"benchmark": entry.arguments[0], "seed": 1, "machine": "2 cores", "commit": "abc", "figures": figures}
    return told | {"audit": {"violations": 0}} | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for entry in SET:
        (tmp_path / f"{entry.name}.json").write_text(json.dumps(result(entry)))
    return tmp_path


@pytest.mark.parametrize("entry", SET, ids=lambda entry: entry.name)
def test_every_command_of_the_set_exists_and_takes_its_options(entry: Entry) -> None:
    commands: Any = typer.main.get_command(app)
    name, *options = entry.arguments

    commands.commands[name].make_context(name, [*options, "--json", "x.json"])


def test_names_and_figures_are_told_once() -> None:
    assert len({entry.name for entry in SET}) == len(SET)
    for entry in SET:
        assert len({figure.name for figure in entry.figures}) == len(entry.figures)
        assert any(figure.readme for figure in entry.figures)


def test_the_tables_are_fresh() -> None:
    """`python -m benchmarks standard --tables` would change nothing."""
    found = read(RESULTS)

    assert (RESULTS / "README.md").read_text() == page(found)
    assert README.read_text() == with_figures(README.read_text(), found)
    assert {file.stem for file in RESULTS.glob("*.json")} <= {entry.name for entry in SET}


def test_the_page_shows_every_figure_of_every_file(folder: Path) -> None:
    found = read(folder)

    text = page(found)

    for entry in SET:
        assert f"## {entry.name}\n" in text
        assert f"`{entry.command}`, 2 cores, commit abc" in text
        assert all(f"| {figure.told} |" in text for figure in entry.figures)
    assert "| submitted a second | 1,2" in text


def test_the_readme_shows_its_part_and_keeps_the_rest(folder: Path) -> None:
    found = read(folder)

    text = with_figures(PAPER, found)

    assert text.startswith("# A paper\n")
    assert text.endswith(f"{END}\n\nmore\n")
    assert "\nold\n" not in text
    assert with_figures(text, found) == text
    assert "streamed, a message for each, jobs a second: 1,2" in text
    assert "Measured on: 2 cores, commit abc." in text


def test_without_files_papers_stay_as_they_are(tmp_path: Path) -> None:
    found = read(tmp_path)

    assert found == {}
    assert with_figures(PAPER, found) == PAPER
    assert "Nothing has been measured yet" in page(found)


def test_a_paper_without_the_marks_is_refused() -> None:
    with pytest.raises(BadResults, match="put the lines"):
        with_figures("# A paper\n", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no figures"),
        ("[]", "no figures"),
        ('{"figures": {}}', "no figures"),
        (json.dumps(result(SET[0], audit={"violations": 2})), "void"),
        (json.dumps(result(SET[0], figures={})), "no batched_per_second"),
    ],
)
def test_a_file_that_is_no_clean_result_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "submit.json").write_text(content)

    with pytest.raises(BadResults, match=f"{said}.*run: python -m benchmarks standard --only submit"):
        read(tmp_path)


def test_rivals_that_are_not_there_are_not_measured(tmp_path: Path) -> None:
    entry = next(entry for entry in SET if entry.name == "rivals")
    there = {f.name: 2.0 for f in entry.figures if not f.name.startswith(("slurm.", "hyperqueue.", "ray."))}
    (tmp_path / "rivals.json").write_text(json.dumps(result(entry, figures=there)))

    found = read(tmp_path)

    assert "| Slurm: the same, ms | not measured |" in page(found)
    assert "Slurm" not in with_figures(PAPER, found)


def test_a_run_that_fails_leaves_the_figures_that_stood_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said is told; and what does not begin in time is named."""
    before = (folder / "submit.json").read_text()
    broken = Entry("submit", ("submit", "--jobs", "0"), "nothing", SET[0].figures)
    monkeypatch.setattr(standard, "SET", (broken, *SET[1:]))

    with pytest.raises(typer.Exit):
        standard.main(only=["submit"], minutes=10, results=folder, tables=False)
    with pytest.raises(typer.Exit):
        standard.main(only=["ledger"], minutes=0, results=folder, tables=False)

    assert (folder / "submit.json").read_text() == before
    assert (folder / "README.md").read_text() == page(read(folder))
    assert not list(folder.glob("*.new"))
