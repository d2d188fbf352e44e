"""The page of metrics: everything that /metrics can show, from the declarations themselves."""

from collections.abc import Mapping
from typing import Final

from broker import metrics
from broker.metrics import Declared
from broker.reference import markdown as md

LARGE_HUB: Final[Mapping[str, int]] = {
    "city": 34,
    "hub": 10,
    "cluster": 40,
    "pool": 160,
    "model": 12,
    "method": 80,
    "loop": 20,
    "engine": 1,
    "owner": 1,
}
"""Of a large national exchange: how many values an open label has. A cluster has one engine and one owner."""

SERIES_MAX: Final = 15_000
"""A Prometheus of one core takes a hundred times as many."""

INTRODUCTION: Final = """\
`serve` offers them at `metrics_listen`, `http://127.0.0.1:7490/metrics` unless set otherwise. Closed label sets exist
from the start, so that "never" reads 0; there are no ids in labels. Open labels are names of the catalogue, and few: in
an exchange of {clusters} clusters, {pools} pools and {cities} cities there are at most {series} series, {most} of them
for one name.

What says "hub" or "pool" of labels is the state of the hub: the broker that leads reads it from the tables, at most a
tenth of the time, and the others do not show it, so that sums over brokers are right. Everything else is told by each
broker of itself. Dashboards, rules and alerts that use these metrics are in `deploy/`."""


def page() -> str:
    """Return the page."""
    counts = {each.name: each.series(LARGE_HUB) for each in all_metrics()}
    introduction = INTRODUCTION.format(
        clusters=LARGE_HUB["cluster"],
        pools=LARGE_HUB["pool"],
        cities=LARGE_HUB["city"],
        series=f"{sum(counts.values()):,}",
        most=f"{max(counts.values()):,}",
    )
    lines = md.generated("Metrics", "`broker/metrics/`", introduction)
    columns = ["metric", "type", "labels", "series at most", "when it counts"]
    return md.text([*lines, *md.table(columns, (_row(each, counts[each.name]) for each in all_metrics()))])


def all_metrics() -> list[Declared]:
    """Return every metric of the broker, in the order of declaration."""
    return metrics.DECLARED


def _row(metric: Declared, series: int) -> tuple[str, ...]:
    labels = "; ".join(
        f"{md.code(name)}: {values if isinstance(values, str) else ', '.join(values)}"
        for name, values in metric.labels.items()
    )
    return md.code(metric.name), metric.kind, labels, f"{series:,}", md.prose(metric.help)
