"""Pictures of the allocator's figures, as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scheduler.plan import Plan
from scheduler.snapshot import Snapshot

if TYPE_CHECKING:  # a run without --plot does not wait for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _GREY = "#3b6ea5", "#b5b5b5"
_SIZES = (("1", 1), ("2-4", 4), ("5-8", 8), ("9-32", 32), ("33-128", 128), ("129-512", 512), ("513+", 2**40))
"""Cards up to which a job counts as of this size."""


def allocation(
    folder: Path, world: Snapshot, plan: Plan, figures: Mapping[str, float], curve: Sequence[tuple[float, float]]
) -> list[Path]:
    """Draw one run into `folder`, which is made if it is missing; return the files.

    Args: curve: seconds of rounds of growing budgets, and their gaps as fractions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [_ways(folder, figures), _by_size(folder, world, plan), _prices(folder, world, plan)]
    if curve:
        files.append(_gap(folder, curve))
    return files


def growth(folder: Path, jobs: Sequence[int], seconds: Sequence[float], exponent: float) -> Path:
    """Draw seconds over jobs, both in logarithms; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = _picture(f"seconds of a round, same number of steps: jobs to the power of {exponent:.2f}")
    axes.loglog(jobs, seconds, "o-", color=_BLUE)
    for x, y in zip(jobs, seconds, strict=True):
        axes.annotate(f"{y:.1f} s", (x, y), textcoords="offset points", xytext=(6, -12), fontsize=8)
    axes.set(xlabel="pending jobs", ylabel="seconds", ylim=(min(seconds) / 2, max(seconds) * 2))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.10g}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.3)
    return _saved(figure, folder / "allocate-growth.png")


def _ways(folder: Path, figures: Mapping[str, float]) -> Path:
    names = {"first_come": "first come", "density": "worth density", "one_model": "one model", "objective": "xisuan"}
    shares = {told: 100 * figures[name] / figures["bound"] for name, told in names.items() if name in figures}
    figure, axes = _picture("worth of the plan, % of the proven bound", height=0.9 + 0.5 * len(shares))
    colours = [_BLUE if told == "xisuan" else _GREY for told in shares]
    axes.bar_label(axes.barh(list(shares), list(shares.values()), color=colours), fmt="%.2f", padding=3)
    axes.set_xlim(0, max(shares.values()) * 1.15)
    axes.invert_yaxis()
    return _saved(figure, folder / "allocate-ways.png")


def _gap(folder: Path, curve: Sequence[tuple[float, float]]) -> Path:
    figure, axes = _picture("proven gap over the time given to a round, %")
    seconds, gaps = zip(*sorted(curve), strict=True)
    axes.plot(seconds, [100 * gap for gap in gaps], "o-", color=_BLUE)
    told = ""
    for x, y in zip(seconds, gaps, strict=True):
        if told != f"{100 * y:.2f}":  # rounds that ended after the same step are told once
            told = f"{100 * y:.2f}"
            axes.annotate(told, (x, 100 * y), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set(xlabel="seconds", ylabel="gap, %")
    axes.set_xlim(0, max(seconds) * 1.1)
    axes.set_ylim(0, 115 * max(gaps) or 1)
    axes.grid(alpha=0.3)
    return _saved(figure, folder / "allocate-gap.png")


def _by_size(folder: Path, world: Snapshot, plan: Plan) -> Path:
    """Draw how much of the plan's worth each size of jobs has."""
    position = {job_id: job for job, job_id in enumerate(world.job_id)}
    job = np.array([position[each.job_id] for each in plan.placements], dtype=np.int64)
    worth = np.array([each.worth_micro_yuan_per_hour for each in plan.placements], dtype=np.float64)
    share = world.shape_share_milli
    cards = (world.shape_tasks * world.shape_cards_per_task)[world.job_shape[job]]
    shared = share[world.job_shape[job]] > 0
    total = max(worth.sum(), 1.0)
    parts, low = {"shares": float(worth[shared].sum() / total)}, 0
    for told, high in _SIZES:
        parts[told] = float(worth[~shared & (cards > low) & (cards <= high)].sum() / total)
        low = high
    figure, axes = _picture("worth of the plan by size of the job, %")
    axes.bar_label(axes.bar(list(parts), [100 * part for part in parts.values()], color=_BLUE), fmt="%.1f", padding=2)
    axes.set(xlabel="cards asked for", ylabel="% of the worth")
    return _saved(figure, folder / "allocate-worth.png")


def _prices(folder: Path, world: Snapshot, plan: Plan) -> Path:
    """Draw what one more card, alone and in a block of eight, would be worth per hour, for the pools of each hub."""
    prices = plan.prices
    figure, axes = _picture("shadow price of a card, yuan an hour; each dot is a pool", height=5)
    by_block = np.array(prices.cards_micro_yuan_per_block_hour, dtype=np.float64) / 10**6
    largest = max(prices.block_cards, default=1)
    for offset, size, colour in ((-0.15, 1, _GREY), (0.15, largest, _BLUE)):
        blocks = np.array([size // block for block in prices.block_cards], dtype=np.float64)
        per_card = by_block @ blocks / size
        axes.scatter(
            world.pool_hub + offset,
            per_card,
            s=14,
            color=colour,
            label="a card alone" if size == 1 else f"a card of a block of {size}",
            alpha=0.8,
        )
    axes.set_xticks(range(len(world.hub_names)), world.hub_names, rotation=30, ha="right")
    power = prices.power_micro_yuan_per_kwh
    if power:
        told = [f"{name} {price / 10**6:.2f}" for name, price in zip(world.hub_names, power, strict=True) if price]
        axes.set_xlabel("price of power, yuan a kWh: " + (", ".join(told) or "0 everywhere"), fontsize=9)
    axes.legend(frameon=False)
    axes.grid(axis="y", alpha=0.3)
    return _saved(figure, folder / "allocate-prices.png")


def _picture(title: str, height: float = 4) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _saved(figure: "Figure", path: Path) -> Path:
    figure.savefig(path, dpi=150)
    return path
