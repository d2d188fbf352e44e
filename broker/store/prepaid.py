"""What stands on the accounts of cities that pay in advance, and which work they are to pay for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString, TypeAlias

from broker.errors import CityNotFound
from broker.ids import JobId
from broker.job import WorkloadClass
from broker.ledger.work import Billing
from broker.lifecycle import Held
from broker.store.database import Connection

Balances: TypeAlias = Mapping[str, Mapping[str, int]]
"""Micro-yuan that are available, by city that pays in advance and by account; closed accounts are left out."""


@dataclass(frozen=True, slots=True)
class Work:
    """A job of a city that pays in advance, and what its payer is told of it.

    Attributes:
        vouchers: names of vouchers that pay first, in order.
        seconds: that it may run at most, by walltime and grace.
    """

    job: JobId
    city: str
    enterprise: str
    vouchers: tuple[str, ...]
    workload_class: WorkloadClass
    seconds: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where work is to run, as far as a voucher's rules ask."""

    hub: str
    owner: str
    domestic: bool


BALANCES: Final[LiteralString] = """
    SELECT c.city, a.name, b.available_micro_yuan AS available
      FROM cities c LEFT JOIN ledger_accounts a ON a.city = c.city AND a.closed_at IS NULL
      LEFT JOIN ledger_balances b USING (account_id)
     WHERE c.billing = 'prepaid'
"""


async def balances(tx: Connection) -> Balances:
    """Return what is available; a city that does not pay in advance is not among the keys."""
    found: dict[str, dict[str, int]] = {}
    for r in await tx.fetch(BALANCES):
        accounts = found.setdefault(r["city"], {})
        if r["name"] is not None:
            accounts[r["name"]] = r["available"]
    return found


BILLING_OF: Final[LiteralString] = "SELECT billing FROM cities WHERE city = $1 FOR NO KEY UPDATE"
SET_BILLING: Final[LiteralString] = "UPDATE cities SET billing = $2 WHERE city = $1"


async def billing_of(tx: Connection, city: str) -> Billing:
    """Return how a city pays, which nobody changes until the transaction ends. Raise CityNotFound."""
    found: str | None = await tx.fetchval(BILLING_OF, city)
    if found is None:
        raise CityNotFound(city=city)
    return Billing(found)


async def set_billing(tx: Connection, city: str, billing: Billing) -> None:
    """Let a city pay so from now on."""
    await tx.execute(SET_BILLING, city, billing)


WORKS: Final[LiteralString] = """
    SELECT j.job_id, j.city, j.enterprise, j.vouchers, j.spec->>'workload_class' AS workload_class,
           j.walltime_seconds + j.grace_seconds AS seconds
      FROM jobs j JOIN cities c USING (city) WHERE j.job_id = ANY($1) AND c.billing = 'prepaid'
"""


async def works(tx: Connection, jobs: Sequence[JobId]) -> dict[JobId, Work]:
    """Return those of the jobs whose cities pay in advance."""
    return {
        JobId(r["job_id"]): Work(
            JobId(r["job_id"]),
            r["city"],
            r["enterprise"],
            tuple(r["vouchers"]),
            WorkloadClass(r["workload_class"]),
            r["seconds"],
        )
        for r in await tx.fetch(WORKS, jobs)
    }


PLACES: Final[LiteralString] = """
    SELECT p.pool_id, c.hub, c.owner, m.origin = 'domestic' AS domestic
      FROM pools p JOIN clusters c USING (cluster) JOIN accelerator_models m USING (model) WHERE p.pool_id = ANY($1)
"""


async def places(tx: Connection, pools: Collection[int]) -> dict[int, Place]:
    """Return what vouchers' rules ask of these pools, by pool_id."""
    return {r["pool_id"]: Place(r["hub"], r["owner"], r["domestic"]) for r in await tx.fetch(PLACES, list(pools))}


ENTERPRISES: Final[LiteralString] = """
    SELECT name FROM ledger_accounts WHERE city = ANY($1) AND kind = 'enterprise' AND closed_at IS NULL
"""


async def enterprise_accounts(tx: Connection, cities: Sequence[str]) -> set[str]:
    """Return the accounts of enterprises of these cities that are open."""
    return {r["name"] for r in await tx.fetch(ENTERPRISES, cities)}


REFUSED: Final[LiteralString] = """
    UPDATE jobs j SET funds_wanted_micro_yuan = t.wanted, funds_refused_at = $3, waiting_reason = $4
      FROM unnest($1::bigint[], $2::bigint[]) AS t (job_id, wanted) WHERE j.job_id = t.job_id AND j.state = 'pending'
"""


async def note_refused(tx: Connection, wanted: Mapping[JobId, int], now: datetime) -> None:
    """Note of waiting jobs what their payers could not hold for them, in micro-yuan. The caller has locked them."""
    if wanted:
        await tx.execute(REFUSED, list(wanted), list(wanted.values()), now, Held.FUNDS_SHORT)
