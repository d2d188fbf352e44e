"""The curves as pictures: both axes in logarithms, and n log n through the last point but one for comparison."""

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.curves.curve import Curve
from benchmarks.result import commit, machine

if TYPE_CHECKING:  # a run without pictures does not wait for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _GREY, _RED = "#2f6690", "#b5b5b5", "#d1495b"
_COLUMNS: Final = 2


def write_png(path: Path, curves: Sequence[Curve]) -> None:
    """Write all curves as one picture."""
    _drawn(curves).savefig(path, dpi=150)


def write_html(path: Path, curves: Sequence[Curve], command: str, violations: int) -> None:
    """Write one page with the curves and their exponents, and nothing from elsewhere."""
    text = io.StringIO()
    _drawn(curves).savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    rows = "".join(f"<tr>{_cells(curve)}</tr>" for curve in curves)
    path.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>How cost grows</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}"
        "td,th{padding:.15rem .9rem .15rem 0;text-align:left}svg{width:100%;height:auto}</style>"
        f"<h1>How cost grows</h1><p><code>{html.escape(command)}</code><br>{html.escape(machine())}, commit "
        f"{html.escape(commit())}. Audit: {'clean' if not violations else f'VOID: {violations} violations'}.</p>{svg}"
        "<table><tr><th>cost</th><th>over</th><th>exponent</th><th>at the end</th><th>of n log n</th><th></th></tr>"
        f"{rows}</table></html>\n",
        encoding="utf-8",
    )


def _cells(curve: Curve) -> str:
    exponents = (curve.fit.whole, curve.fit.end, curve.fit.n_log_n)
    words = (curve.told, curve.over, *(f"{each:.2f}" for each in exponents), "steeper" if curve.fit.steep else "")
    return "".join(f"<td>{html.escape(word)}</td>" for word in words)


def _drawn(curves: Sequence[Curve]) -> "Figure":
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "xisuan"
    rows = -(-len(curves) // _COLUMNS)
    figure = Figure(figsize=(11, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes, curve in zip(grid, curves, strict=False):
        _draw(axes, curve)
    for axes in list(grid)[len(curves) :]:
        axes.set_visible(False)
    return figure


def _draw(axes: "Axes", curve: Curve) -> None:
    sizes, costs = np.array(curve.sizes, dtype=np.float64), np.array(curve.costs)
    growth = sizes * np.log(sizes)
    axes.loglog(sizes, growth * (costs[-2] / growth[-2]), "--", color=_GREY, label="n log n")
    axes.loglog(sizes, costs, "o-", color=_RED if curve.fit.steep else _BLUE, label=f"exponent {curve.fit.whole:.2f}")
    axes.set_title(curve.told, loc="left", fontsize=10)
    axes.set(xlabel=curve.over)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
