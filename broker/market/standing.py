"""Where the exchange stands, for people who look: flows, the queue by reason, a job's story, what a node carries."""

from datetime import datetime

from broker.caller import Caller
from broker.ids import JobId
from broker.job import Lease
from broker.market import access
from broker.store import standing
from broker.store.database import Database
from broker.store.standing import Flow, PoolCards, Step, Waiting

STEPS_MAX = 500
LEASES_ON_NODE_MAX = 1000

__all__ = ["Flow", "PoolCards", "Standing", "Step", "Waiting"]


class Standing:
    """Use cases of the console that nobody else has. They read and change nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def flows(self) -> list[Flow]:
        """Return what live leases hold, by hub, city and class of work. For those who may see every city."""
        async with self._database.hub() as tx:
            return await standing.flows(tx)

    async def waiting(self, caller: Caller, city: str = "") -> list[Waiting]:
        """Return what waits and why, of a city or of all that the caller may see. Raise RoleRefused."""
        seen = access.city_to_read(caller, city)
        async with access.transaction_of(self._database, caller) as tx:
            return await standing.waiting(tx, seen or "")

    async def story(self, caller: Caller, job: JobId) -> list[Step]:
        """Return what happened to a job, oldest first; nothing for one that the caller may not see."""
        async with access.transaction_of(self._database, caller) as tx:
            return await standing.story(tx, job, STEPS_MAX)

    async def cards(self, now: datetime, cluster: str = "") -> list[PoolCards]:
        """Return what every card of one cluster is, or of all, by cluster and pool."""
        async with self._database.hub() as tx:
            return await standing.cards(tx, now, cluster)

    async def leases_on(self, cluster: str, node: str) -> list[Lease]:
        """Return the live leases that hold cards of a node, oldest first. For those who may see every city."""
        async with self._database.hub() as tx:
            return await standing.leases_on_node(tx, cluster, node, LEASES_ON_NODE_MAX)
