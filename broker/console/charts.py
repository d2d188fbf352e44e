"""Charts as SVG, made on the server: they need no script, scale, print, and follow the colours of the page. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup, escape

FLOW_WIDTH: Final = 760
FLOW_GAP: Final = 13
FLOW_NODE: Final = 10
FLOW_MARGIN: Final = 150
FLOW_LEAST: Final = 1.5
LINE_TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: a style class of the page, and how much it is."""

    kind: str
    amount: float
    label: str = ""


def bar(parts: Sequence[Part], whole: float, *, label: str) -> Markup:
    """Return a bar of parts side by side, of a whole that they need not fill."""
    spots, at = [], 0.0
    for part in parts:
        width = 100 * part.amount / whole if whole > 0 else 0.0
        if width > 0:
            spots.append(
                f'<rect class="part-{escape(part.kind)}" x="{at:.3f}" y="0" width="{width:.3f}" height="10">'
                f"<title>{escape(part.label)}</title></rect>"
            )
        at += width
    return Markup(  # noqa: S704  every text is escaped above
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<rect class="part-rest" x="0" y="0" width="100" height="10"/>{"".join(spots)}</svg>'
    )


def flow(
    amounts: Mapping[tuple[str, str], float],
    left: Sequence[str],
    right: Sequence[str],
    *,
    label: str,
    says: Mapping[str, str],
) -> Markup:
    """Return bands from the left to the right, as thick as what flows.

    Args:
        amounts: by (left, right); what is 0 has no band.
        left, right: names in the order in which they stand.
        label: what it is, for those who do not see it.
        says: what to write beside each name; a name of the left stands as "<name", one of the right as ">name".
    """
    total = sum(amounts.values())
    height = max(len(left), len(right)) * 30 + 20
    room = height - FLOW_GAP * max(len(left), len(right)) - 8
    scale = room / total if total else 0.0
    marks: list[str] = []
    starts: dict[str, float] = {}
    for side, names, x in (("<", left, FLOW_MARGIN), (">", right, FLOW_WIDTH - FLOW_MARGIN)):
        sums = [sum(amount for pair, amount in amounts.items() if pair[side == ">"] == name) for name in names]
        used = sum(max(FLOW_LEAST, each * scale) for each in sums) + FLOW_GAP * (len(names) - 1)
        y = max(4.0, (height - used) / 2)
        for name, amount in zip(names, sums, strict=True):
            thick = max(FLOW_LEAST, amount * scale)
            starts[side + name] = y
            text_x, anchor = (x - 8, "end") if side == "<" else (x + FLOW_NODE + 8, "start")
            marks.append(
                f'<rect class="flow-node" x="{x}" y="{y:.1f}" width="{FLOW_NODE}" height="{thick:.1f}"/>'
                f'<text x="{text_x}" y="{y + thick / 2:.1f}" text-anchor="{anchor}">{escape(says[side + name])}</text>'
            )
            y += thick + FLOW_GAP
    bands: list[str] = []
    for one in left:
        for other in right:
            amount = amounts.get((one, other), 0)
            if not amount:
                continue
            thick = amount * scale
            x1, x2, middle = FLOW_MARGIN + FLOW_NODE, FLOW_WIDTH - FLOW_MARGIN, FLOW_WIDTH / 2
            y1, y2 = starts["<" + one] + thick / 2, starts[">" + other] + thick / 2
            starts["<" + one] += thick
            starts[">" + other] += thick
            bands.append(
                f'<path class="flow-band" d="M{x1} {y1:.1f}C{middle} {y1:.1f} {middle} {y2:.1f} {x2} {y2:.1f}" '
                f'stroke-width="{max(FLOW_LEAST, thick):.1f}"><title>{escape(says["<" + one])} → '
                f"{escape(says['>' + other])}: {amount:,.0f}</title></path>"
            )
    return Markup(  # noqa: S704  every text is escaped above
        f'<svg class="flow" viewBox="0 0 {FLOW_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(bands)}{''.join(marks)}</svg>"
    )


@dataclass(frozen=True, slots=True)
class Series:
    """A line: points by x ascending, and its style class."""

    kind: str
    label: str
    points: Sequence[tuple[float, float]]


def lines(
    series: Sequence[Series],
    *,
    label: str,
    x_labels: Sequence[tuple[float, str]] = (),
    digits: int = 0,
    steps: bool = False,
    width: int = 760,
    height: int = 200,
) -> Markup:
    """Return lines over a common axis from 0, with what they are called at the right.

    Args:
        series: the lines.
        label: what it is, for those who do not see it.
        x_labels: places on the axis with what to write there.
        digits: of the figures at the axis.
        steps: a value holds until the next one.
        width, height: in units of the drawing; the page scales it.
    """
    points = [point for each in series for point in each.points]
    if not points:
        return Markup("")
    left, right, top, bottom = 54, 12, 8, 22
    x_min, x_max = min(x for x, _ in points), max(x for x, _ in points)
    most = _round_up(max(y for _, y in points))
    span_x = (x_max - x_min) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x_min) / span_x * (width - left - right),
            height - bottom - y / most * (height - top - bottom),
        )

    marks: list[str] = []
    for tick in range(LINE_TICKS + 1):
        value = most * tick / LINE_TICKS
        _, y = at(x_min, value)
        marks.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left - 6}" y="{y:.1f}" text-anchor="end">{value:,.{digits}f}</text>'
        )
    for x, text in x_labels:
        place, _ = at(x, 0)
        anchor = "start" if x == x_min else "end" if x == x_max else "middle"
        marks.append(f'<text x="{place:.1f}" y="{height - 6}" text-anchor="{anchor}">{escape(text)}</text>')
    for each in series:
        path = _path([at(x, y) for x, y in each.points], steps=steps)
        marks.append(
            f'<path class="line line-{escape(each.kind)}" d="{path}"><title>{escape(each.label)}</title></path>'
        )
    return Markup(  # noqa: S704  every text is escaped above
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(marks)}</svg>"
    )


def _path(points: Sequence[tuple[float, float]], *, steps: bool) -> str:
    """Return the path through points; one point alone is a dot."""
    x, y = points[0]
    if len(points) == 1:
        return f"M{x:.1f} {y:.1f}h0.1"
    pieces = [f"M{x:.1f} {y:.1f}"]
    for (_, before), (x, y) in pairwise(points):
        pieces.append(f"H{x:.1f}V{y:.1f}" if steps and before != y else f"L{x:.1f} {y:.1f}")
    return "".join(pieces)


def _round_up(value: float) -> float:
    """Return a number not below it that an axis can be parted at."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size < value:
        size *= 10
    while size / 10 >= value:
        size /= 10
    return next(size * part for part in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if size * part >= value * 0.999999)
