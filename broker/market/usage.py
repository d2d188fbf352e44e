"""Take over what agents tell of the use of leases: judged one by one, written together."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import structlog

from broker import metrics
from broker.ids import lease_text
from broker.ledger.usage import NOTHING, problem
from broker.market.reports import UsageAnswer, UsageTold
from broker.store import usage
from broker.store.database import Connection
from broker.store.usage import UsageRow

log = structlog.get_logger("usage")


async def take(
    tx: Connection, cluster: str, told: Sequence[UsageTold], now: datetime, *, skew_seconds: int
) -> tuple[UsageAnswer, ...]:
    """Store what can be true, and answer each in the order given. The caller holds the row of the cluster.

    Args:
        skew_seconds: how far the agent's minutes may be ahead of our clock, or behind the end of walltime and grace.
    """
    if not told:
        return ()
    leases = [each.ref.lease for each in told]
    metered = await usage.metered(tx, cluster, leases)
    refused = {
        each.ref: why
        for each in told
        if (
            why := problem(metered.get(each.ref.lease), each.ref.epoch, each.milli_cards, each.usage, now, skew_seconds)
        )
        is not None
    }
    await usage.put(tx, [UsageRow(each.ref.lease, each.usage) for each in told if each.ref not in refused], now)
    known = await usage.read(tx, leases)
    return tuple(
        UsageAnswer(each.ref, refused=refused[each.ref])
        if each.ref in refused
        else UsageAnswer(each.ref, (found := known.get(each.ref.lease, NOTHING)).end, found.complete)
        for each in told
    )


def tell_of_refusals(cluster: str, answers: Sequence[UsageAnswer]) -> None:
    """Count and log what was not taken; after the commit."""
    refused = [each for each in answers if each.refused is not None]
    for why, count in Counter(each.refused for each in refused if each.refused is not None).items():
        metrics.usage_refused(why, count)
        first = next(each.ref for each in refused if each.refused is why)
        log.warning("usage refused", cluster=cluster, why=why, leases=count, first=lease_text(first.lease))
