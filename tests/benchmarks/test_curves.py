"""How cost grows: the fit of exponents, what is judged, the pictures, and a small run."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.curves import report
from benchmarks.curves.command import FULL, PARTS, SMALL, USUAL, table
from benchmarks.curves.curve import Curve
from benchmarks.curves.fit import exponent, fit

SIZES = (1_000, 10_000, 100_000)


def curve(costs: tuple[float, ...], name: str = "round_by_jobs") -> Curve:
    return Curve(name, "a round, s", "jobs", "seconds", SIZES, costs)


@given(
    power=st.floats(0, 3),
    factor=st.floats(1e-6, 1e6),
    sizes=st.lists(st.integers(2, 10**6), min_size=2, max_size=6, unique=True).map(sorted),
)
def test_a_power_is_found_whatever_the_sizes_and_the_unit(power: float, factor: float, sizes: list[int]) -> None:
    found = fit(sizes, [factor * size**power for size in sizes])

    assert found.whole == pytest.approx(power, abs=1e-6)
    assert found.end == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize(
    ("cost", "steep"),
    [
        (lambda _: 7.0, False),
        (lambda n: n, False),
        (lambda n: n * math.log(n), False),
        (lambda n: n**1.5, True),
        (lambda n: n**2, True),
    ],
)
def test_what_is_worse_than_n_log_n_is_steep(cost: Callable[[int], float], steep: bool) -> None:
    assert fit(SIZES, [cost(n) for n in SIZES]).steep is steep


def test_a_start_that_costs_much_does_not_hide_a_steep_end() -> None:
    """The whole looks flat; it is the end that is judged."""
    found = fit(SIZES, [100 + (n / 1_000) ** 2 for n in SIZES])

    assert found.whole < found.n_log_n
    assert found.steep


@pytest.mark.parametrize(
    ("sizes", "costs", "said"),
    [
        ([10], [1.0], "at least two"),
        ([10, 20], [1.0], "2 sizes and 1 costs"),
        ([20, 10], [1.0, 2.0], "must ascend"),
        ([10, 10], [1.0, 2.0], "must ascend"),
        ([1, 10], [1.0, 2.0], "greater than 1"),
        ([10, 20], [0.0, 2.0], "greater than 0"),
    ],
)
def test_what_has_no_exponent_is_refused(sizes: list[int], costs: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit(sizes, costs)


def test_one_size_has_no_slope() -> None:
    assert exponent([5], [3.0]) == 0.0


def test_figures_have_every_size_and_the_exponents() -> None:
    figures = curve((1.0, 10.0, 100.0)).figures()

    assert figures["round_by_jobs.seconds_10000"] == 10.0
    assert figures["round_by_jobs.exponent"] == pytest.approx(1)
    assert figures["round_by_jobs.exponent_at_the_end"] == pytest.approx(1)
    assert figures["round_by_jobs.exponent_of_n_log_n"] == pytest.approx(1 + math.log10(5 / 4))


def test_steep_curves_are_marked_in_table_and_page(tmp_path: Path) -> None:
    both = [curve((1.0, 10.0, 1000.0)), curve((1.0, 2.0, 3.0), "other")]

    report.write_html(tmp_path / "curves.html", both, "python -m benchmarks curves <&>", 0)
    report.write_png(tmp_path / "curves.png", both)

    page = (tmp_path / "curves.html").read_text()
    assert page.count("<svg") == 1
    assert page.count(">steeper<") == 1
    assert "curves &lt;&amp;&gt;" in page
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert ["steeper" in cell for cell in table(both).columns[3].cells] == [True, False]


@pytest.mark.parametrize("sizes", [SMALL, USUAL, FULL])
def test_all_sizes_can_be_fitted(sizes: object) -> None:
    for name in ("jobs", "nodes", "cities", "waiting", "watchers", "attached"):
        each = getattr(sizes, name)
        assert fit(each, [1.0] * len(each)).whole == pytest.approx(0, abs=1e-9)


@pytest.mark.e2e
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (("rounds", "watchers"), {"round_by_jobs", "round_by_nodes", "round_by_cities", "watch_by_watchers"}),
        (("waiting", "nodes"), {"submit_by_waiting", "read_by_waiting", "rest_by_nodes", "read_by_nodes"}),
    ],
)
def test_a_small_run_measures_every_part(parts: tuple[str, ...], names: set[str], tmp_path: Path) -> None:
    file = tmp_path / "curves.json"
    options = ["--small", "--json", str(file), "--html", str(tmp_path / "c.html")]
    options += [word for part in parts for word in ("--only", part)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "curves", *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())
    assert (told["benchmark"], told["audit"]) == ("curves", {"violations": 0})
    assert {name.partition(".")[0] for name in told["figures"]} == names
    assert all(value > 0 for name, value in told["figures"].items() if "seconds_" in name)
    assert "<svg" in (tmp_path / "c.html").read_text()


def test_an_unknown_part_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "curves", "--only", "moon"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert all(part in done.stderr for part in ("moon", *PARTS))
