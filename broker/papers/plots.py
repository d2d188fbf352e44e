"""Plots as SVG for pages that are read in a browser and on paper: no script, nothing from elsewhere. Pure.

Colours are classes of the page: `part-KIND` fills, `line-KIND` draws, `policy` is a line to be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

TICKS: Final = 4
_ENDS: Final = (0.1, 0.12, 0.16, 0.2, 0.24, 0.28, 0.32, 0.36, 0.4, 0.48, 0.6, 0.8, 1.0)
LEFT: Final = 56
RIGHT: Final = 14
TOP: Final = 12
BOTTOM: Final = 24


@dataclass(frozen=True, slots=True)
class Series:
    """A part of each column: its kind, what it is called, and its amount at each place, none below 0."""

    kind: str
    label: str
    amounts: Sequence[float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points by x, ascending."""

    kind: str
    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Policy:
    """A line that something is held against, and what to write at it."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values of a plot stand."""

    width: int
    height: int
    low: float
    high: float

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def x(self, share: float) -> float:
        return LEFT + share * (self.width - LEFT - RIGHT)


def columns(
    places: Sequence[str],
    series: Sequence[Series],
    *,
    label: str,
    digits: int = 0,
    policy: Policy | None = None,
    high: float = 0.0,
    width: int = 500,
    height: int = 200,
) -> Markup:
    """Return columns of parts that stand on each other, one for each place.

    Args:
        places: what to write below; an empty text writes nothing.
        series: the parts, from below.
        label: what it is, for those who do not see it.
        digits: of the figures at the axis.
        policy: a line across.
        high: where the axis ends at least.
        width, height: in units of the drawing; the page scales it.
    """
    totals = [sum(each.amounts[i] for each in series) for i in range(len(places))]
    most = max((*totals, high, policy.at if policy else 0.0), default=0.0)
    frame = _Frame(width, height, 0.0, high if high and most <= high else round_up(most))
    marks = _axis(frame, digits)
    step = 1 / max(1, len(places))
    wide = (frame.x(step) - frame.x(0)) * 0.74
    for i, place in enumerate(places):
        middle, below = frame.x((i + 0.5) * step), 0.0
        for each in series:
            amount = each.amounts[i]
            if amount > 0:
                top = frame.y(below + amount)
                marks.append(
                    f'<rect class="part-{escape(each.kind)}" x="{middle - wide / 2:.1f}" y="{top:.1f}" '
                    f'width="{wide:.1f}" height="{frame.y(below) - top:.2f}">'
                    f"<title>{escape(each.label)}: {amount:,.{digits + 1}f}</title></rect>"
                )
                below += amount
        if place:
            marks.append(f'<text x="{middle:.1f}" y="{height - 7}" text-anchor="middle">{escape(place)}</text>')
    return _drawn(frame, [*marks, *_policy(frame, policy)], label)


def curves(
    series: Sequence[Curve],
    *,
    label: str,
    x_labels: Sequence[tuple[float, str]],
    low: float = 0.0,
    high: float = 0.0,
    digits: int = 0,
    policy: Policy | None = None,
    width: int = 500,
    height: int = 200,
) -> Markup:
    """Return lines over one axis; the x axis reaches over all `x_labels`. Otherwise as `columns`.

    `low`, `high`: where the y axis begins, and ends at least.
    """
    points = [point for each in series for point in each.points]
    most = max((*(y for _, y in points), high, policy.at if policy else low), default=0.0)
    frame = _Frame(width, height, low, high if high and most <= high else low + round_up(most - low))
    xs = [x for x, _ in x_labels] or [x for x, _ in points] or [0.0]
    first, span = min(xs), (max(xs) - min(xs)) or 1.0
    marks = _axis(frame, digits)
    for x, text in x_labels:
        share = (x - first) / span
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        marks.append(f'<text x="{frame.x(share):.1f}" y="{height - 7}" text-anchor="{anchor}">{escape(text)}</text>')
    for each in series:
        at = [(frame.x((x - first) / span), frame.y(y)) for x, y in each.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in at) + ("h0.1" if len(at) == 1 else "")
        if at:
            marks.append(
                f'<path class="line line-{escape(each.kind)}" d="{path}"><title>{escape(each.label)}</title></path>'
            )
            marks += [
                f'<circle class="dot-{escape(each.kind)}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'
                for x, y in (at if len(at) <= 14 else at[-1:])
            ]
    ends_above = policy is not None and any(each.points and each.points[-1][1] >= policy.at for each in series)
    return _drawn(frame, [*marks, *_policy(frame, policy, below=ends_above)], label)


def meter(parts: Sequence[tuple[str, float]], whole: float, *, label: str, line: float | None = None) -> Markup:
    """Return a bar of parts (kind, amount) side by side, of a whole that they need not fill; `line` is a mark on it."""
    spots, at = [], 0.0
    for kind, amount in parts:
        width = 100 * amount / whole if whole > 0 else 0.0
        if width > 0:
            spots.append(f'<rect class="part-{escape(kind)}" x="{at:.3f}" y="1" width="{width:.3f}" height="8"/>')
        at += width
    mark = ""
    if line is not None and whole > 0:
        x = 100 * line / whole
        mark = f'<line class="policy" x1="{x:.3f}" x2="{x:.3f}" y1="0" y2="10"/>'
    return Markup(  # noqa: S704  every text is escaped above
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<rect class="part-rest" x="0" y="1" width="100" height="8"/>{"".join(spots)}{mark}</svg>'
    )


def round_up(value: float) -> float:
    """Return a number not below it that an axis can be parted at."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size < value:
        size *= 10
    while size / 10 >= value:
        size /= 10
    return next(size * part for part in _ENDS if size * part >= value * 0.999999)


def _axis(frame: _Frame, digits: int) -> list[str]:
    marks = []
    for tick in range(TICKS + 1):
        value = frame.low + (frame.high - frame.low) * tick / TICKS
        y = frame.y(value)
        marks.append(
            f'<line class="grid" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{value:,.{_digits(frame, digits)}f}</text>'
        )
    return marks


def _digits(frame: _Frame, digits: int) -> int:
    """Return as many digits as the ticks need to be told apart."""
    step = (frame.high - frame.low) / TICKS
    return next((more for more in range(digits, digits + 6) if abs(step * 10**more - round(step * 10**more)) < 1e-6), 3)


def _policy(frame: _Frame, policy: Policy | None, *, below: bool = False) -> list[str]:
    """Return a line across with its text at the right end, below it where what is drawn ends above it."""
    if policy is None:
        return []
    y = frame.y(policy.at)
    text_y = y + 12 if below else y - 4
    return [
        f'<line class="policy" x1="{LEFT}" x2="{frame.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="policy-text" x="{frame.width - RIGHT}" y="{text_y:.1f}" text-anchor="end">'
        f"{escape(policy.label)}</text>"
    ]


def _drawn(frame: _Frame, marks: Sequence[str], label: str) -> Markup:
    return Markup(  # noqa: S704  every text is escaped above
        f'<svg class="plot" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(marks)}</svg>"
    )
