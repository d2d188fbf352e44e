"""Who pays for jobs of cities that pay in advance: their vouchers first, then the enterprise, then the city itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from broker.errors import BrokerError, VoucherRefused
from broker.ids import JobId
from broker.job import JobSpec
from broker.ledger.holds import Source
from broker.ledger.work import Payer
from broker.store import vouchers
from broker.store.database import Connection
from broker.store.prepaid import Place, Work
from broker.vouchers import paying
from broker.vouchers.paying import Refusal, Refused, Voucher


async def payers(tx: Connection, works: Sequence[tuple[Work, Place]], now: datetime) -> dict[JobId, Payer]:
    """Return who pays for each job at the place where it is to run, all in one go.

    A voucher that may not pay for that work gives nothing: who stands behind it pays.
    """
    known = await vouchers.for_payment(tx, {name for work, _ in works for name in work.vouchers})
    return {work.job: Payer(work.city, work.enterprise, _sources(work, place, known, now)) for work, place in works}


def voucher_objection(
    city: str, spec: JobSpec, known: Mapping[str, Voucher], now: datetime, *, own: str = ""
) -> BrokerError | None:
    """Return why a job that names vouchers cannot be taken, None when it can: one of them could pay nowhere.

    Args:
        city: that submits it.
        known: the vouchers that it names, as far as they are there.
        now: aware UTC.
        own: the enterprise whose key submits it, to which those of others look the same as none; empty: a city's.
    """
    for name in spec.vouchers:
        voucher = known.get(name)
        if own and voucher is not None and voucher.enterprise != own:
            voucher = None
        hub = "" if voucher is None or (spec.allowed_hubs and voucher.hub not in spec.allowed_hubs) else voucher.hub
        work = paying.Work(city, spec.enterprise, spec.workload_class, domestic=True, owner="", hub=hub)
        found = paying.paying(voucher, work, now, named=name)
        if isinstance(found, Refused):
            # Another city's looks the same as none.
            reason = Refusal.NOT_FOUND if found.reason is Refusal.FOREIGN_CITY else found.reason
            return VoucherRefused(voucher=name, refusal=reason, sentence=found.sentence)
    return None


def _sources(work: Work, place: Place, known: Mapping[str, Voucher], now: datetime) -> tuple[Source, ...]:
    there = paying.Work(
        work.city, work.enterprise, work.workload_class, domestic=place.domestic, owner=place.owner, hub=place.hub
    )
    found = [paying.paying(known.get(name), there, now, named=name) for name in work.vouchers]
    return tuple(each for each in found if isinstance(each, Source) and each.ratio_ppm > 0)
