"""Where metrics are declared: each with a name that carries its unit, a help, and labels that are closed or stated.

Closed labels exist from the start, so that "never" reads 0. Of open ones it is said what they are: names of the
catalogue, of which there are few. No ids in labels: those go to the logs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began says nothing here, and is one more each

REGISTRY: Final = CollectorRegistry(auto_describe=True)
"""Everything."""

OF_PROCESS: Final = CollectorRegistry(auto_describe=True)
"""What a broker tells of itself, without the state of the hub, whose text is made when it is read from the tables."""

Labels = Mapping[str, Sequence[str] | str]
"""By label its values where they are closed, else what they are, in words."""

_NO_LABELS: Final[Labels] = {}


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric as the reference shows it. `buckets`: how many series a histogram has for one set of labels."""

    name: str
    kind: str
    help: str
    labels: Labels
    series_each: int = 1

    def series(self, names: Mapping[str, int]) -> int:
        """Return how many series there are at most, with so many values of each open label.

        A pool tells its cluster, hub and model, and a cluster its hub.
        """
        told = {"pool": {"cluster", "hub", "model"}, "cluster": {"hub"}}
        implied = set[str]().union(*(told.get(label, set()) for label in self.labels))
        total = self.series_each
        for label, values in self.labels.items():
            if label not in implied:
                total *= names[label] if isinstance(values, str) else len(values)
        return total


DECLARED: Final[list[Declared]] = []
"""Everything that /metrics can show, in the order of declaration."""

M = TypeVar("M", bound=MetricWrapperBase)


def counter(name: str, told: str, labels: Labels = _NO_LABELS) -> Counter:
    """Declare a counter; its name ends with _total."""
    DECLARED.append(Declared(name, "counter", told, labels))
    return _from_the_start(Counter(name, told, tuple(labels), registry=OF_PROCESS), labels)


def gauge(name: str, told: str, labels: Labels = _NO_LABELS) -> Gauge:
    """Declare a gauge of this process."""
    DECLARED.append(Declared(name, "gauge", told, labels))
    return _from_the_start(Gauge(name, told, tuple(labels), registry=OF_PROCESS), labels)


def histogram(name: str, told: str, buckets: Sequence[float], labels: Labels = _NO_LABELS) -> Histogram:
    """Declare a histogram; `buckets` are upper bounds, in the unit of the name."""
    DECLARED.append(Declared(name, "histogram", told, labels, len(buckets) + 3))
    return _from_the_start(Histogram(name, told, tuple(labels), buckets=buckets, registry=OF_PROCESS), labels)


def _from_the_start(metric: M, labels: Labels) -> M:
    REGISTRY.register(metric)
    closed = [values for values in labels.values() if not isinstance(values, str)]
    if labels and len(closed) == len(labels):
        for values in product(*closed):
            metric.labels(*values)
    return metric
