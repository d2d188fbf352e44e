"""Pictures of panels as HTML and SVG, for the preview."""

import html
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.grafana.ask import Series
from deploy.grafana.model import Panel

Points = Sequence[tuple[float, float]]
"""Times and values."""

COLOURS: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#fade2a", "#37872d", "#e0b400",
    "#1f60c4", "#fa6400", "#c4162a", "#7c2ea3",
)  # fmt: skip
BY_NAME: Final[Mapping[str, str]] = {"green": "#3e9c47", "orange": "#e08a1e", "red": "#d2344a", "blue": "#3a72c4"}
WIDTH: Final = 600.0
HEIGHT: Final = 180.0
LEFT: Final = 58.0
BOTTOM: Final = 18.0
SERIES_NAMED_MAX: Final = 14
TABLE_ROWS_MAX: Final = 40


def picture(panel: Panel, found: Sequence[Series], start: float, end: float) -> str:
    """Return what a panel shows of these series between two times, seconds since 1970."""
    if not found:
        return f'<div class="picture none">no data {html.escape(panel.may_be_empty)}</div>'
    if panel.kind == "table":
        return _table(panel, found)
    if panel.kind in ("bargauge", "gauge"):
        return _bars(panel, found)
    if panel.kind == "stat":
        return _stat(panel, found)
    return _lines(panel, found, start, end)


def number(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value for people."""
    if unit == "percentunit":
        return f"{value * 100:.{1 if decimals is None else decimals}f}%"
    if unit == "s":
        return _seconds(value)
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    sign = {"currencyCNY": "¥"}.get(unit, "")
    ending = {"watt": "W", "joule": "J", "ops": "/s"}.get(unit, "")
    return f"{sign}{_short(value, decimals)}{ending}"


def _short(value: float, decimals: int | None) -> str:
    for power, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g} {letter}"
    return f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}"


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.3g} ms"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s"


def _colour(panel: Panel, value: float) -> str:
    chosen = panel.base
    for least, colour in panel.steps:
        if value >= least:
            chosen = colour
    return BY_NAME[chosen]


def _stat(panel: Panel, found: Sequence[Series]) -> str:
    boxes = "".join(
        f'<div class="stat" style="background:{_colour(panel, each.last)};font-size:{26 if len(found) == 1 else 16}px">'
        f"{number(each.last, panel.unit, panel.decimals)}</div>"
        for each in found
    )
    return f'<div class="picture">{boxes}</div>'


def _bars(panel: Panel, found: Sequence[Series]) -> str:
    most = panel.most or max((each.last for each in found), default=0.0) or 1.0
    lines = "".join(
        f'<div class="bar"><span>{html.escape(each.name)}</span><div><div style="width:'
        f'{min(100.0, max(0.0, each.last / most * 100)):.1f}%;background:{_colour(panel, each.last)}"></div></div>'
        f"<span>{number(each.last, panel.unit, panel.decimals)}</span></div>"
        for each in found
    )
    return f'<div class="picture">{lines}</div>'


def _table(panel: Panel, found: Sequence[Series]) -> str:
    names = sorted({name for each in found for name in each.labels})
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*names, "value"))
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(each.labels.get(name, ''))}</td>" for name in names)
        + f"<td>{number(each.last, panel.unit, panel.decimals)}</td></tr>"
        for each in found[:TABLE_ROWS_MAX]
    )
    return f'<div class="picture"><table><tr>{head}</tr>{rows}</table></div>'


def _lines(panel: Panel, found: Sequence[Series], start: float, end: float) -> str:
    drawn = _stacked(found) if panel.stacked else [(each, each.points, None) for each in found]
    most = max((value for _, points, _ in drawn for _, value in points), default=0.0)
    shown = [(step, colour) for step, colour in panel.steps if step <= most * 3]
    ground = _Ground(start, end, _round_up(max(most, *(step for step, _ in shown), 1e-9)))
    parts = [*_axes(ground, panel.unit)]
    parts += [ground.level(step, BY_NAME[colour], "4 3") for step, colour in shown]
    for at, (_, points, below) in enumerate(drawn):
        parts += _line(ground, points, below, COLOURS[at % len(COLOURS)])
    legend = "".join(
        f'<i style="background:{COLOURS[at % len(COLOURS)]}"></i>{html.escape(each.name)}'
        for at, each in enumerate(found[:SERIES_NAMED_MAX])
    )
    box = f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT + 4:.0f}" preserveAspectRatio="none">{"".join(parts)}</svg>'
    return f'<div class="picture">{box}</div><div class="legend">{legend}</div>'


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where times and values lie in the picture."""

    start: float
    end: float
    top: float

    def x(self, at: float) -> float:
        return LEFT + (at - self.start) / (self.end - self.start) * (WIDTH - LEFT)

    def y(self, value: float) -> float:
        return (HEIGHT - BOTTOM) * (1 - value / self.top) + 4

    def level(self, value: float, colour: str, dashes: str = "") -> str:
        height = f"{self.y(value):.1f}"
        ends = f'x1="{LEFT}" x2="{WIDTH}" y1="{height}" y2="{height}"'
        return f'<line {ends} stroke="{colour}" stroke-dasharray="{dashes}"/>'


def _axes(ground: _Ground, unit: str) -> Iterator[str]:
    for line in range(5):
        value = ground.top * line / 4
        yield ground.level(value, "#2c3235")
        yield _text(LEFT - 6, ground.y(value) + 3, "end", number(value, unit))
    for tick in range(1, 5):
        at = ground.start + (ground.end - ground.start) * tick / 5
        yield _text(ground.x(at), HEIGHT, "middle", time.strftime("%H:%M:%S", time.gmtime(at)))


def _text(x: float, y: float, anchor: str, told: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.1f}" fill="#9a9aa8" font-size="9" text-anchor="{anchor}">{told}</text>'


def _line(ground: _Ground, points: Points, below: Points | None, colour: str) -> Iterator[str]:
    path = " ".join(f"{ground.x(at):.1f},{ground.y(value):.1f}" for at, value in points)
    if below is not None:
        back = " ".join(f"{ground.x(at):.1f},{ground.y(value):.1f}" for at, value in reversed(below))
        yield f'<polygon points="{path} {back}" fill="{colour}" opacity="0.55"/>'
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    if len(points) == 1:
        yield f'<circle cx="{ground.x(points[0][0]):.1f}" cy="{ground.y(points[0][1]):.1f}" r="2" fill="{colour}"/>'


def _stacked(found: Sequence[Series]) -> list[tuple[Series, Points, Points | None]]:
    """Return each series upon those before it, with what is below it."""
    times = sorted({at for each in found for at, _ in each.points})
    sums = dict.fromkeys(times, 0.0)
    drawn: list[tuple[Series, Points, Points | None]] = []
    for each in found:
        below = [(at, sums[at]) for at in times]
        values = dict(each.points)
        for at in times:
            sums[at] += values.get(at, 0.0)
        drawn.append((each, [(at, sums[at]) for at in times], below))
    return drawn


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= value * 0.999)
