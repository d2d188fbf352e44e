"""How long jobs waited for their first lease, counted when it is committed."""

from collections.abc import Iterable
from datetime import datetime

from broker import metrics
from broker.store.rounds import LeaseDraft


def count_waits(drafts: Iterable[LeaseDraft], at: datetime) -> None:
    """Count the waits that these leases have ended at `at`; later attempts of a job are no waits of its city's."""
    for draft in drafts:
        if draft.epoch == 1 and draft.wanted_at is not None:
            metrics.waited(draft.priority, (at - draft.wanted_at).total_seconds())
