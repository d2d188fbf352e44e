"""Who pays for jobs of cities that pay in advance: their vouchers first, then the enterprise, then the city itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from broker.errors import BrokerError, VouchersNotTaken
from broker.ids import HoldId, JobId
from broker.job import JobSpec
from broker.ledger.holds import Source
from broker.ledger.work import Payer
from broker.store import quotes
from broker.store.database import Connection
from broker.store.prepaid import Work


async def payers(tx: Connection, works: Sequence[Work], now: datetime) -> dict[JobId, Payer]:
    """Return who pays for each job, all in one go; jobs that name vouchers with what these give by their rules."""
    vouchers = await voucher_sources(tx, [work for work in works if work.vouchers], now)
    return {work.job: Payer(work.city, work.enterprise, vouchers.get(work.job, ())) for work in works}


async def voucher_sources(
    tx: Connection,  # noqa: ARG001  where the vouchers are
    works: Sequence[Work],
    now: datetime,  # noqa: ARG001  when they must hold
) -> Mapping[JobId, tuple[Source, ...]]:
    """Return what the vouchers of jobs give, in the order in which the jobs name them. There is no programme yet."""
    return {work.job: () for work in works}


def voucher_objection(spec: JobSpec) -> BrokerError | None:
    """Return why a job that names vouchers cannot be taken, None when it can. There is no programme yet."""
    return VouchersNotTaken(vouchers=", ".join(spec.vouchers)) if spec.vouchers else None


async def hold_of(tx: Connection, jobs: Sequence[JobId]) -> Mapping[JobId, HoldId]:
    """Return the open holds that were made for jobs before they started, by job; their leases need no other one.

    What a quote has promised is held when it is accepted, and pays for the first attempt.
    """
    return await quotes.held(tx, jobs) if jobs else {}
