"""Latencies in HDR histograms: microseconds, three figures, up to ten minutes; mergeable, and small to send."""

from collections.abc import Iterable, Mapping
from typing import Final

from hdrh.histogram import HdrHistogram

MICROS_MAX: Final = 600_000_000
FIGURES: Final = 3
PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)


def histogram() -> HdrHistogram:
    """Return an empty one."""
    return HdrHistogram(1, MICROS_MAX, FIGURES)


def record(into: HdrHistogram, seconds: float) -> None:
    """Count a latency; what is longer than ten minutes counts as that."""
    into.record_value(min(max(int(seconds * 1e6), 1), MICROS_MAX))


def merged(parts: Iterable[bytes]) -> HdrHistogram:
    """Return the sum of encoded histograms."""
    found = histogram()
    for part in parts:
        found.decode_and_add(part)
    return found


def of_seconds(values: Iterable[float]) -> HdrHistogram:
    """Return the histogram of these latencies."""
    found = histogram()
    for value in values:
        record(found, value)
    return found


def millis(found: HdrHistogram, percentile: float) -> float:
    """Return a percentile in milliseconds; 0 of an empty one."""
    return float(found.get_value_at_percentile(percentile)) / 1000 if found.get_total_count() else 0.0


def figures(name: str, found: HdrHistogram) -> Mapping[str, float]:
    """Return the percentiles as figures, such as `ack_p99_ms`."""
    return {f"{name}_p{p:g}_ms".replace(".", "_"): millis(found, p) for p in PERCENTILES}
