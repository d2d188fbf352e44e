"""Tell agents that are connected here what another broker has offered them: its own wake stays in its own process."""

from datetime import datetime

from broker.market.clusters import ClusterSignals
from broker.store import orders
from broker.store.database import Database


class Offers:
    """Wakes the streams of clusters whose offered leases have changed since the last look.

    An agent would hear of them with one of its next reports in any case (`Terms.reread_seconds`), as they are changes.
    """

    name = "offers"

    def __init__(self, database: Database, signals: ClusterSignals) -> None:
        self._database = database
        self._signals = signals
        self._seen: dict[str, orders.Offered] = {}

    async def run_once(self, now: datetime) -> int:  # noqa: ARG002  it is compared, not timed
        """Look once; nothing is asked while no agent is connected here. Return how many clusters were woken."""
        here = self._signals.subscribed()
        if not here:
            self._seen = {}
            return 0
        async with self._database.hub_once() as tx:
            offered = await orders.offered(tx, here)
        news = [cluster for cluster, found in offered.items() if self._seen.get(cluster) != found]
        self._seen = offered
        for cluster in news:
            self._signals.wake(cluster)
        return len(news)
