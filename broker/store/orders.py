"""What agents have to be told: the live leases of a cluster, and the orders that start them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from broker.ids import JobId, LeaseId
from broker.job import Build, IfLost, JobSpec, NodeCards
from broker.lifecycle import LeaseState
from broker.policy.keys import SignedPolicy
from broker.store import policies
from broker.store.database import Connection, planned_for
from broker.store.leases import LeaseRef
from broker.store.placements import placements


@dataclass(frozen=True, slots=True)
class LiveLease:
    """What the comparison with an agent's report needs of a live lease.

    Attributes:
        ran: the agent has said before that it runs.
        stop_grace_seconds: time between TERM and KILL when it is to be stopped, None when it is not.
        cancelled: it is to be stopped because its job is to be cancelled, not for other work.
        data_ready: its job has told before that its data are ready.
    """

    ref: LeaseRef
    state: LeaseState
    ran: bool
    stop_grace_seconds: int | None
    cancelled: bool = False
    data_ready: bool = False


@dataclass(frozen=True, slots=True)
class LeaseOrder:
    """All that an agent needs to start a lease; fields as in the message of the same name."""

    ref: LeaseRef
    job: JobId
    city: str
    name: str
    build: Build
    pool: str
    nodes: tuple[NodeCards, ...]
    cards_per_task: int
    walltime_seconds: int
    grace_seconds: int
    if_lost: IfLost
    policy: SignedPolicy | None = None  # None: the lease is older than such policies


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where the output of one attempt of a job is."""

    ref: LeaseRef
    cluster: str
    live: bool
    tasks: int


_OF_A_LEASE: Final[LiteralString] = """
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS read_to, l.lease_id, l.epoch, l.state,
           l.started_at IS NOT NULL AS ran,
           CASE WHEN coalesce(j.cancel_requested_at, l.stop_ordered_at) IS NOT NULL
                THEN j.grace_seconds END AS stop_grace_seconds,
           j.cancel_requested_at IS NOT NULL AS cancelled, j.data_ready_at IS NOT NULL AS data_ready
      FROM leases l JOIN jobs j USING (job_id)
"""
LIVE: Final[LiteralString] = _OF_A_LEASE + " WHERE l.cluster = $1 AND l.state <> 'ended' ORDER BY l.lease_id"
# Whatever a statement sees was done below its `pg_snapshot_xmax`, or by its own transaction. Higher numbers come from
# another server, from which this database was restored: of leases that are what they were then.
CHANGED: Final[LiteralString] = (
    _OF_A_LEASE
    + """
     WHERE l.cluster = $1 AND l.changed_in >= $2::text::xid8
       AND l.changed_in <= greatest(pg_snapshot_xmax(pg_current_snapshot()), pg_current_xact_id_if_assigned())
     ORDER BY l.lease_id
"""
)
CHANGED_MAX: Final = 1_000
"""So many more than live are not read again and again: a transaction stays open somewhere on the server."""


class LiveLeases:
    """The live leases of a cluster as one stream knows them: read whole once, and then only what has changed.

    A lease carries the number of the transaction that changed it last. Of all numbers below `pg_snapshot_xmin` a
    statement sees what they did; so those from there on are all that the next one can see and this one could not,
    however their commits were interleaved. What is written later in the same transaction is among them.
    """

    def __init__(self, *, changed_max: int = CHANGED_MAX) -> None:
        self._changed_max = changed_max
        self._by_ref: dict[LeaseRef, LiveLease] = {}
        self._read_to = ""  # number of a transaction; empty: nothing was read yet
        self._held_up = False  # that number does not grow, so that more and more counts as changed

    async def read(self, tx: Connection, cluster: str, *, whole: bool = False) -> Mapping[LeaseRef, LiveLease]:
        """Return them as the transaction sees them. The mapping is valid until the next call; do not change it.

        A transaction that reads what it has changed itself, and is rolled back, leaves that here: read first.

        `whole`: read all of them, whatever is known.
        """
        before, whole = self._read_to, whole or self._held_up or not self._read_to
        rows = await (tx.fetch(LIVE, cluster) if whole else tx.fetch(CHANGED, cluster, before))
        if whole:
            self._by_ref, self._read_to = {}, ""
        for row in rows:
            self._take(row)
        if rows:
            self._read_to = rows[0]["read_to"]
        many = self._held_up if whole else len(rows) > len(self._by_ref) + self._changed_max
        self._held_up = many and self._read_to == before
        return self._by_ref

    def _take(self, row: Any) -> None:
        ref = LeaseRef(row["lease_id"], row["epoch"])
        if row["state"] == LeaseState.ENDED:
            self._by_ref.pop(ref, None)
        else:
            self._by_ref[ref] = LiveLease(
                ref,
                LeaseState(row["state"]),
                row["ran"],
                row["stop_grace_seconds"],
                row["cancelled"],
                row["data_ready"],
            )


KNOWN: Final[LiteralString] = "SELECT lease_id FROM leases WHERE cluster = $1 AND lease_id = ANY($2)"


async def known(tx: Connection, cluster: str, leases: Iterable[LeaseId]) -> set[LeaseId]:
    """Return those of the leases that the cluster has or once had, with any epoch."""
    asked = list(leases)
    return {LeaseId(r["lease_id"]) for r in await tx.fetch(KNOWN, cluster, asked)} if asked else set()


ORDERS: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch, l.build, l.city, j.job_id, j.spec
      FROM leases l JOIN jobs j USING (job_id)
     WHERE l.lease_id = ANY($1)
     ORDER BY l.lease_id
"""


async def orders(tx: Connection, leases: Sequence[LeaseId]) -> list[LeaseOrder]:
    """Return the leases in full, as their agent has to start them, oldest first."""
    if not leases:
        return []
    async with planned_for(tx, len(leases)):
        placed, signed = await placements(tx, leases), await policies.of_leases(tx, leases)
        rows = await tx.fetch(ORDERS, leases)
    found = []
    for row in rows:
        lease = LeaseId(row["lease_id"])
        spec = JobSpec.from_json(row["spec"])
        found.append(
            LeaseOrder(
                ref=LeaseRef(lease, row["epoch"]),
                job=JobId(row["job_id"]),
                city=row["city"],
                name=spec.name,
                build=spec.builds[row["build"]],
                pool=placed[lease].pool,
                nodes=placed[lease].nodes,
                cards_per_task=spec.cards_per_task,
                walltime_seconds=spec.walltime_seconds,
                grace_seconds=spec.grace_seconds,
                if_lost=spec.if_lost,
                policy=signed.get(lease),
            )
        )
    return found


# Row-level security shows a city its own jobs only, and leases with them.
JOB_EXISTS: Final[LiteralString] = "SELECT true FROM jobs WHERE job_id = $1"
ATTEMPT: Final[LiteralString] = """
    SELECT l.lease_id, l.epoch, l.cluster, l.state <> 'ended' AS live,
           (SELECT sum(tasks) FROM lease_nodes n WHERE n.lease_id = l.lease_id) AS tasks
      FROM leases l
     WHERE l.job_id = $1 AND ($2 = 0 OR l.epoch = $2)
     ORDER BY l.epoch DESC LIMIT 1
"""


async def job_exists(tx: Connection, job: JobId) -> bool:
    """Tell whether there is such a job that the transaction may see."""
    return bool(await tx.fetchval(JOB_EXISTS, job))


async def attempt(tx: Connection, job: JobId, number: int) -> Attempt | None:
    """Return where an attempt of the job runs or ran, the last one for 0; None when it was never placed."""
    row = await tx.fetchrow(ATTEMPT, job, number)
    if row is None:
        return None
    return Attempt(LeaseRef(LeaseId(row["lease_id"]), row["epoch"]), row["cluster"], row["live"], row["tasks"])


@dataclass(frozen=True, slots=True)
class Offered:
    """What a cluster has been offered and does not run yet: how many leases, and the last of them."""

    leases: int
    last: LeaseId


OFFERED: Final[LiteralString] = """
    SELECT cluster, count(*) AS leases, max(lease_id) AS last
      FROM leases WHERE state = 'offered' AND cluster = ANY($1) GROUP BY cluster
"""


async def offered(tx: Connection, clusters: Sequence[str]) -> dict[str, Offered]:
    """Return what each of the clusters has been offered; those that have not are left out."""
    rows = await tx.fetch(OFFERED, clusters)
    return {row["cluster"]: Offered(row["leases"], LeaseId(row["last"])) for row in rows}
