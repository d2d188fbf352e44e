"""Every metric of the broker. Names carry units, helps say exactly when they count, labels are closed sets or stated.

`registry` declares; `events` counts what happens to jobs, `rounds` tells of the planning, `process` of this process,
`state` of the hub as it stands in the tables. Rooms call functions of these and nothing of prometheus_client.
"""

from broker.metrics import process, state
from broker.metrics.events import (
    EXPECTED_STARTS,
    PROMISES,
    QUOTES,
    USAGE_REFUSED,
    expected_start_came,
    job_event,
    placed_at_once,
    placed_by_round,
    policy_rejected,
    promise_told,
    quote_told,
    stop_ordered,
    usage_refused,
    waited,
)
from broker.metrics.exposition import exposition
from broker.metrics.registry import DECLARED, REGISTRY, Declared
from broker.metrics.rounds import leads, round_committed, round_done

__all__ = [
    "DECLARED",
    "EXPECTED_STARTS",
    "PROMISES",
    "QUOTES",
    "REGISTRY",
    "USAGE_REFUSED",
    "Declared",
    "expected_start_came",
    "exposition",
    "job_event",
    "leads",
    "placed_at_once",
    "placed_by_round",
    "policy_rejected",
    "process",
    "promise_told",
    "quote_told",
    "round_committed",
    "round_done",
    "state",
    "stop_ordered",
    "usage_refused",
    "waited",
]
