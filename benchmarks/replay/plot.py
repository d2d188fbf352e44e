"""Pictures of a replay: who waits how long by policy, by size, and what the cluster and the queue did over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.replay.engine import Log
from benchmarks.replay.metrics import SIZES
from benchmarks.replay.workload import Workload
from scheduler.snapshot import Ints

if TYPE_CHECKING:  # a run without --plot does not wait for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS: Final = "xisuan"
_COLOURS: Final = ("#b5b5b5", "#c98a3a", "#6a9f58", "#8d6bb0", "#c05a5a", "#4aa5a5")
_BLUE: Final = "#3b6ea5"
_POINTS: Final = 600
_HOUR_S: Final = 3600


def draw(folder: Path, name: str, load: Workload, logs: Mapping[str, Log], waits: Mapping[str, Ints]) -> Sequence[Path]:
    """Draw one replay into `folder`, which is made if it is missing; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    colour = {policy: _COLOURS[at % len(_COLOURS)] for at, policy in enumerate(p for p in logs if p != OURS)}
    colour[OURS] = _BLUE
    return (
        _waits(folder / f"replay-{name}-waits.png", waits, colour),
        _sizes(folder / f"replay-{name}-sizes.png", load, waits, colour),
        _over_time(folder / f"replay-{name}-time.png", load, logs, colour),
    )


def _waits(path: Path, waits: Mapping[str, Ints], colour: Mapping[str, str]) -> Path:
    figure, [axes] = _picture("share of the jobs that waited at most so long, %", 1)
    for policy, wait in waits.items():
        minutes = np.sort(np.maximum(wait, 1)) / 60
        share = 100 * np.arange(1, minutes.size + 1) / minutes.size
        axes.step(minutes, share, where="post", label=policy, color=colour[policy], lw=2 if policy == OURS else 1.2)
    axes.set(xscale="log", xlabel="minutes waited (who did not wait stands at the left edge)", ylim=(0, 101))
    axes.xaxis.set_major_formatter("{x:,.10g}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return _saved(figure, path)


def _sizes(path: Path, load: Workload, waits: Mapping[str, Ints], colour: Mapping[str, str]) -> Path:
    cards = load.trace.cards
    chosen = {told: (cards >= low) & (cards <= high) for told, low, high in SIZES}
    chosen = {told: mask for told, mask in chosen.items() if mask.any()}
    figure, [axes] = _picture("mean waiting by size of the gang, hours", 1)
    width = 0.8 / len(waits)
    for number, (policy, wait) in enumerate(waits.items()):
        at = np.arange(len(chosen)) + (number - (len(waits) - 1) / 2) * width
        hours = [float(wait[mask].mean()) / _HOUR_S for mask in chosen.values()]
        axes.bar(at, hours, width * 0.92, label=policy, color=colour[policy])
    told = [
        f"{name.replace('_up', ' and more').replace('_', '-')}\n{int(m.sum()):,} jobs" for name, m in chosen.items()
    ]
    axes.set_xticks(range(len(chosen)), told)
    axes.set(xlabel="cards", ylabel="hours")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    return _saved(figure, path)


def _over_time(path: Path, load: Workload, logs: Mapping[str, Log], colour: Mapping[str, str]) -> Path:
    figure, [used, queue] = _picture("cards in use, %", 2)
    times = np.linspace(0, load.trace.span_s, _POINTS)
    days = times / (24 * _HOUR_S)
    for policy, log in logs.items():
        job = np.array(log.job, dtype=np.int64)
        start, end = np.array(log.start_s), np.array(log.ended_s)
        cards = load.trace.cards[job]
        busy = _sum_before(start, cards, times) - _sum_before(end, cards, times)
        again = np.array(log.preempted, dtype=np.int64)
        came = _sum_before(load.trace.submit_s, np.ones(load.jobs, dtype=np.int64), times) + _sum_before(
            end, again, times
        )
        style: dict[str, Any] = {"label": policy, "color": colour[policy], "lw": 1.8 if policy == OURS else 1.0}
        used.plot(days, 100 * busy / load.world.cards, **style)
        queue.plot(days, came - _sum_before(start, np.ones(job.size, dtype=np.int64), times), **style)
    queue.set_title("jobs that wait", loc="left", fontsize=10)
    queue.set_xlabel("days after the first arrival")
    queue.yaxis.set_major_formatter("{x:,.0f}")
    used.set_ylim(0, 102)
    used.legend(frameon=False, ncols=3, loc="lower right")
    for axes in (used, queue):
        axes.grid(alpha=0.3)
    return _saved(figure, path)


def _sum_before(at: Ints, amount: Ints, times: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Ints:
    """Return, for each time, the sum of the amounts until then."""
    order = np.argsort(at, kind="stable")
    total = np.append(0, np.cumsum(amount[order]))
    found: Ints = total[np.searchsorted(at[order], times, side="right")]
    return found


def _picture(title: str, rows: int) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 + 2.9 * rows), layout="constrained")
    found = [figure.add_subplot(rows, 1, row + 1) for row in range(rows)]
    found[0].set_title(title, loc="left", fontsize=10)
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


def _saved(figure: "Figure", path: Path) -> Path:
    figure.savefig(path, dpi=150)
    return path
