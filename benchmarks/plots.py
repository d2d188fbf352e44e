"""Plots of benchmark figures."""

from collections.abc import Mapping
from pathlib import Path


def bars(path: Path, values: Mapping[str, float], title: str) -> None:
    """Draw one horizontal bar for each value, with the value beside it, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.6 + 0.5 * len(values)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh(list(values), list(values.values()), color="#3b6ea5")
    axes.bar_label(drawn, fmt="%.2f", padding=3)
    axes.set_xlim(0, max(values.values(), default=1) * 1.15)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
