"""The report of a run: one HTML page with its figures and pictures, and nothing from elsewhere."""

import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.load.histogram import merged, millis, of_seconds
from benchmarks.load.run import Ran
from benchmarks.load.sampling import PARTS
from benchmarks.result import commit, in_short, machine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = ("#2f6690", "#d1495b", "#3a7d44", "#e0a030", "#6d597a", "#2a9d8f")
_TAIL: Final = np.concatenate([np.linspace(0, 90, 91), 100 - np.logspace(1, -3, 60)])
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0}
td,th{padding:.15rem .9rem .15rem 0;text-align:left;border-bottom:1px solid #e4e7eb}td:nth-child(n+2){text-align:right}
.void{color:#b00020;font-weight:600}.clean{color:#2d6a4f}p{max-width:50rem;color:#444}
.figures{columns:24rem;column-gap:2.5rem}.figures table{width:100%}.figures td:nth-child(2){padding-right:0}
@media(max-width:32rem){.figures{columns:auto;font-size:.82rem}}
figure{margin:0}svg{width:100%;height:auto}.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(28rem,1fr));gap:1rem}
"""


def write(path: Path, command: str, figures: Mapping[str, float], ran: Ran, cards: int) -> None:
    """Write the page."""
    pictures = [
        ("Arrivals and acknowledgements by second", _throughput),
        ("Longest and mean time to the acknowledgement by second", _ack_over_time),
        ("Latencies by percentile", _by_percentile),
        ("Submitted to leased, over time", _to_lease),
        ("Jobs that wait, and leases", _queue),
        ("Cards in use", lambda axes, each: _cards(axes, each, cards)),
        ("Rounds: seconds, and gap to the bound", _rounds),
        ("Prices of pools, yuan per card-hour (8 cards)", _prices),
        ("CPU by process, cores", _cpu),
        ("Memory by process, MiB", _memory),
    ]
    drawn = "".join(f"<figure><h2>{html.escape(title)}</h2>{_svg(draw, ran)}</figure>" for title, draw in pictures)
    clean = '<span class="clean">clean</span>'
    void = f'<span class="void">VOID: {len(ran.findings)} findings</span>'
    rows = "".join(f"<tr><td>{html.escape(n)}</td><td>{in_short(v)}</td></tr>" for n, v in figures.items())
    found = "".join(f"<li>{html.escape(f.rule)}: {html.escape(f.detail)}</li>" for f in ran.findings[:100])
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Xisuan load</title><style>{_STYLE}</style>"
        f"<h1>Load on a whole exchange</h1><p><code>{html.escape(command)}</code><br>{html.escape(machine())}, commit "
        f"{html.escape(commit())}. Latencies count from when a submission was due (open loop), not from when it could "
        f"be sent. Audit: {void if ran.findings else clean}.</p>{f'<ul>{found}</ul>' if found else ''}"
        f'<div class="grid">{drawn}</div><h2>Figures</h2><div class="figures"><table>{rows}</table></div></html>\n',
        encoding="utf-8",
    )


def _svg(draw: "Callable[[Axes, Ran], None]", ran: Ran) -> str:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = "xisuan"
    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained")
    draw(axes, ran)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=5)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def _by_second(ran: Ran) -> np.ndarray:
    """Return [S, 3]: acknowledgements, mean and longest seconds of all clients, second by second."""
    tables = [each.ack_by_second for each in ran.results if each.ack_by_second.size]
    length = max((len(t) for t in tables), default=0)
    found = np.zeros((length, 3))
    for table in tables:
        found[: len(table), 0] += table[:, 0]
        found[: len(table), 1] += table[:, 0] * table[:, 1]
        found[: len(table), 2] = np.maximum(found[: len(table), 2], table[:, 2])
    found[:, 1] /= np.maximum(found[:, 0], 1)
    return found


def _throughput(axes: "Axes", ran: Ran) -> None:
    table = _by_second(ran)
    axes.plot(table[:, 0], color=_COLOURS[0], label="acknowledged")
    leased = ran.outcome.leases[:, 1] - ran.begins_at
    if leased.size:
        axes.plot(np.bincount(np.maximum(leased, 0).astype(np.int64)), color=_COLOURS[2], label="leased")
    axes.set(xlabel="seconds", ylabel="a second")


def _ack_over_time(axes: "Axes", ran: Ran) -> None:
    table = _by_second(ran)
    axes.plot(1000 * table[:, 2], color=_COLOURS[1], label="longest")
    axes.plot(1000 * table[:, 1], color=_COLOURS[0], label="mean")
    axes.set(xlabel="seconds", ylabel="ms", yscale="log")


def _by_percentile(axes: "Axes", ran: Ran) -> None:
    leases = ran.outcome.leases
    started = leases[~np.isnan(leases[:, 2])]
    shown = {
        "acknowledged": merged(each.ack for each in ran.results),
        "leased": of_seconds((leases[:, 1] - leases[:, 0]).tolist()),
        "started after its lease": of_seconds((started[:, 2] - started[:, 1]).tolist()),
        "event seen": merged(each.lag for each in ran.results),
    }
    for colour, (name, found) in zip(_COLOURS, shown.items(), strict=False):
        if found.get_total_count():
            axes.plot(1 / (1 - _TAIL / 100 + 1e-9), [millis(found, p) for p in _TAIL], color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlim=(1, 1e5), xlabel="one of so many is slower", ylabel="ms")


def _to_lease(axes: "Axes", ran: Ran) -> None:
    leases = ran.outcome.leases
    if leases.size:
        every = max(1, len(leases) // 4000)
        at, seconds = leases[::every, 0] - ran.begins_at, leases[::every, 1] - leases[::every, 0]
        axes.plot(at, 1000 * np.maximum(seconds, 1e-4), ".", markersize=2, alpha=0.4, color=_COLOURS[0])
    axes.set(xlabel="submitted at second", ylabel="ms", yscale="log")


def _of(ran: Ran, read: Callable[[Any], float]) -> tuple[Sequence[float], Sequence[float]]:
    return [s.at for s in ran.samples], [read(s) for s in ran.samples]


def _queue(axes: "Axes", ran: Ran) -> None:
    axes.plot(*_of(ran, lambda s: s.pending), color=_COLOURS[1], label="waiting")
    axes.plot(*_of(ran, lambda s: s.leases), color=_COLOURS[2], label="leases")
    axes.set(xlabel="seconds", ylim=(0, None))


def _cards(axes: "Axes", ran: Ran, cards: int) -> None:
    axes.plot(*_of(ran, lambda s: 100 * s.cards / cards), color=_COLOURS[0])
    axes.set(xlabel="seconds", ylabel=f"% of {cards:,}", ylim=(0, 100))


def _rounds(axes: "Axes", ran: Ran) -> None:
    rounds = ran.outcome.rounds[ran.outcome.rounds[:, 2] > 0]
    at = rounds[:, 0] - ran.begins_at
    axes.plot(at, rounds[:, 1], ".-", color=_COLOURS[0], linewidth=0.7, markersize=3, label="seconds")
    axes.plot(at, rounds[:, 5] / 10_000, ".", color=_COLOURS[3], markersize=3, label="gap, %")
    axes.set(xlabel="seconds", ylim=(0, None))


def _prices(axes: "Axes", ran: Ran) -> None:
    prices = ran.outcome.prices
    axes.plot(prices[:, 0] - ran.begins_at, prices[:, 1] / 1e6, ".", markersize=2, alpha=0.5, color=_COLOURS[4])
    axes.set(xlabel="seconds", xlim=(0, max((s.at for s in ran.samples), default=1)))


def _cpu(axes: "Axes", ran: Ran) -> None:
    at = np.array([s.at for s in ran.samples])
    for colour, part in zip(_COLOURS, PARTS, strict=True):
        used = np.array([s.cpu_seconds[part] for s in ran.samples])
        if at.size > 1:
            axes.plot(at[1:], np.diff(used) / np.diff(at), color=colour, label=part)
    axes.set(xlabel="seconds", ylim=(0, None))


def _memory(axes: "Axes", ran: Ran) -> None:
    for colour, part in zip(_COLOURS, PARTS, strict=True):
        axes.plot(*_of(ran, lambda s, part=part: s.memory_mib[part]), color=colour, label=part)  # type: ignore[misc]
    axes.set(xlabel="seconds", ylim=(0, None))
