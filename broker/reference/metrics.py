"""The page of metrics: everything that /metrics shows, from the metrics themselves."""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from broker import metrics
from broker.reference import markdown as md

INTRODUCTION: Final = """\
`serve` offers them at `metrics_listen`, `http://127.0.0.1:7490/metrics` unless set otherwise. Closed label sets exist
from the start, so that "never" reads 0; there are no ids in labels."""

CLOSED: Final[Mapping[tuple[str, str], Sequence[str]]] = {("broker_cards", "use"): metrics.CARD_USES}
"""Closed labels of metrics that have no series before something was counted."""


def page() -> str:
    """Return the page."""
    lines = md.generated("Metrics", "`broker/metrics.py`", INTRODUCTION)
    return md.text([*lines, *md.table(["metric", "type", "labels", "when it counts"], map(_row, all_metrics()))])


def all_metrics() -> list[MetricWrapperBase]:
    """Return every metric of the broker, in the order of the module."""
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


def _row(metric: MetricWrapperBase) -> tuple[str, ...]:
    (family,) = metric.describe()
    if not family.documentation:
        raise ValueError(f"metric {family.name} has no help")
    return md.code(family.name), family.type, "; ".join(_labels(metric)), md.prose(family.documentation)


def _labels(metric: MetricWrapperBase) -> list[str]:
    """Return each label with its values, where they are closed."""
    (family,) = metric.collect()
    told = []
    for name in metric._labelnames:  # there is no public way to ask for labels that have no values yet
        values = CLOSED.get((family.name, name)) or dict.fromkeys(s.labels[name] for s in family.samples)
        told.append(md.code(name) + (": " + ", ".join(values) if values else ", open"))
    return told
