"""Figures of a run, from what clients, tables and samples say. Pure."""

from typing import Final

import numpy as np

from benchmarks.load.histogram import figures as percentiles
from benchmarks.load.histogram import merged, millis, of_seconds
from benchmarks.load.outcome import Outcome
from benchmarks.load.run import Ran
from benchmarks.load.sampling import PARTS

PROBES_MIN: Final = 20
"""Fewer small calls than that beside the load say nothing about their 99th percentile."""


def figures(ran: Ran, seconds: float, cards: int) -> dict[str, float]:
    """Return the figures by name, the unit last."""
    results, leases = ran.results, ran.outcome.leases
    acknowledged = sum(each.counts.acknowledged for each in results)
    due = sum(each.counts.acknowledged + sum(each.counts.refused.values()) + each.not_sent for each in results)
    to_lease, to_start = leases[:, 1] - leases[:, 0], leases[:, 2] - leases[:, 1]
    found = {
        "due": float(due),
        "submitted": float(ran.outcome.stored),
        "not_sent": float(sum(each.not_sent for each in results)),
        "refused": float(sum(sum(each.counts.refused.values()) for each in results)),
        "submitted_per_second": ran.outcome.stored / seconds,
        "placed": float(leases.shape[0]),
        "placed_per_second": _rate(leases[:, 1]),
        "placed_per_second_peak": _peak(leases[:, 1]),
        **percentiles("ack", merged(each.ack for each in results)),
        **percentiles("submit_to_lease", of_seconds(to_lease.tolist())),
        **with_prices(ran.outcome),
        **percentiles("lease_to_start", of_seconds(to_start[~np.isnan(to_start)].tolist())),
        **percentiles("event_lag", merged(each.lag for each in results)),
        **_stall(ran),
        **_rounds(ran),
        **_machine(ran, cards),
        "lost": float(acknowledged - ran.outcome.stored) if acknowledged > ran.outcome.stored else 0.0,
        "drained": float(ran.drained),
    }
    if ran.told is not None:
        found |= {"node_failures": float(ran.told.node_failures), "cuts": float(ran.told.cuts)}
        found["broken_streams"] = float(ran.told.broken_streams)
    return found


def with_prices(outcome: Outcome) -> dict[str, float]:
    """Return what those waited for a lease who came when there were prices: after the first round was committed.

    Without prices nobody is placed at once, so a short run says as much of how a broker begins as of how it goes on.
    """
    leases, committed = outcome.leases, outcome.rounds[outcome.rounds[:, 6] > 0]
    if not committed.size:
        return {}
    later = leases[leases[:, 0] >= committed[0, 0] + committed[0, 1]]
    if not later.size:
        return {}  # nobody is no latency of 0
    waited = of_seconds((later[:, 1] - later[:, 0]).tolist())
    return {f"with_prices_{name}": value for name, value in percentiles("submit_to_lease", waited).items()}


def _rate(at: np.ndarray) -> float:
    """Return events a second between the fifth and the 95th of a hundred of them."""
    if at.size < 20:
        return 0.0
    first, last = np.quantile(at, (0.05, 0.95))
    return float(0.9 * at.size / max(last - first, 1e-9))


def _peak(at: np.ndarray) -> float:
    """Return the most events in one second of the clock."""
    return float(np.bincount((at - at.min()).astype(np.int64)).max()) if at.size else 0.0


def _stall(ran: Ran) -> dict[str, float]:
    """Return the 99th percentile of small calls while rounds ran, while none did, and the difference."""
    probes = np.array([probe for each in ran.results for probe in each.probes], dtype=np.float64).reshape(-1, 2)
    during = ran.outcome.during_rounds(probes[:, 0])
    inside, outside = probes[during, 1], probes[~during, 1]
    found = {
        "rpc_during_rounds_p99_ms": millis(of_seconds(inside.tolist()), 99.0),
        "rpc_between_rounds_p99_ms": millis(of_seconds(outside.tolist()), 99.0),
    }
    if min(inside.size, outside.size) >= PROBES_MIN:
        found["rpc_stall_p99_ms"] = found["rpc_during_rounds_p99_ms"] - found["rpc_between_rounds_p99_ms"]
    return found


def _rounds(ran: Ran) -> dict[str, float]:
    rounds = ran.outcome.rounds
    busy = rounds[(rounds[:, 6] == 1) & (rounds[:, 2] > 0)]
    if not busy.size:
        return {"rounds": 0.0}
    return {
        "rounds": float(busy.shape[0]),
        "round_seconds_mean": float(busy[:, 1].mean()),
        "round_seconds_max": float(busy[:, 1].max()),
        "placed_by_rounds": float(busy[:, 3].sum()),
        "stale": float(busy[:, 4].sum()),
        "gap_percent_mean": float(busy[:, 5].mean() / 10_000),
    }


def _machine(ran: Ran, cards: int) -> dict[str, float]:
    if len(ran.samples) < 2:
        return {}
    first, last = ran.samples[0], ran.samples[-1]
    span = max(last.at - first.at, 1e-9)
    found = {f"{part}_cores": (last.cpu_seconds[part] - first.cpu_seconds[part]) / span for part in PARTS}
    found["broker_peak_mib"] = max(s.memory_mib["broker"] + s.memory_mib["calls"] for s in ran.samples)
    found["planning_peak_mib"] = max(s.memory_mib["planning"] for s in ran.samples)
    found["database_active_share"] = last.database_active_seconds / span
    found["pending_max"] = float(max(s.pending for s in ran.samples))
    found["leases_max"] = float(max(s.leases for s in ran.samples))
    found["utilisation_max_percent"] = 100 * max(s.cards for s in ran.samples) / cards
    return found
