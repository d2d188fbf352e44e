"""Curves of allocated GPU % over arrived load."""

from collections.abc import Mapping, Sequence
from pathlib import Path

LOAD_FIRST = 75
"""Below it all policies place everything."""


def draw(folder: Path, workload: str, curves: Mapping[str, Sequence[Mapping[int, float]]]) -> Path:
    """Draw the mean over seeds of every policy into `folder`, which is made if it is missing; return the file."""
    import matplotlib  # here, so that a run without --plot does not wait for it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, seeds in curves.items():
        loads = [load for load in sorted(seeds[0]) if load >= LOAD_FIRST and all(load in seed for seed in seeds)]
        axes.plot(loads, [sum(seed[load] for seed in seeds) / len(seeds) for load in loads], label=name)
    axes.set(xlabel="arrived, % of GPU capacity", ylabel="allocated, % of GPU capacity", title=f"openb, {workload}")
    axes.grid(alpha=0.3)
    axes.legend()
    file = folder / f"openb-{workload}.png"
    figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return file
