"""Keep jobs out of a round's world that their payers could not hold the money for: they would only be handed back.

What a job costs is known when it is placed. Until then it costs at least its smallest size on the cheapest cards that
one of its builds runs on; and where a commit has asked its payer already, what was asked for then. Prices fall, so
that word is good for a while only, and until anything else is asked in any pool. Pure: rows in, rows out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from broker.ids import JobId
from broker.ledger.accounts import AccountKind, AccountName
from broker.ledger.work import work_micro_yuan
from broker.store.rounds import WHOLE_MILLI
from broker.store.snapshots import WaitingRow, WorldView

ASKED_AGAIN_AFTER: Final = timedelta(minutes=5)
"""A payer who could not pay is asked again after this time, though nothing came in: prices may have fallen."""
_MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Short:
    """A job whose payer has less than must be held for it. Money in micro-yuan.

    Attributes:
        accounts: that pay for it, in the order in which they are drawn on.
        wanted: what must be held at least.
        usable: what is available on all of these together.
    """

    job: JobId
    accounts: tuple[str, ...]
    wanted: int
    usable: int


def without_short(view: WorldView, now: datetime) -> tuple[WorldView, tuple[Short, ...]]:
    """Return the view without the jobs whose payers have too little, and these; what they are promised does not stand.

    A view in which nobody pays in advance comes back as it is.
    """
    short = tuple(_short(view, now)) if view.prepaid else ()
    if not short:
        return view, ()
    out = {each.job for each in short}
    promises = tuple(replace(row, stands=row.stands and row.job not in out) for row in view.promises)
    waiting = tuple(row for row in view.waiting if row.job not in out)
    room = tuple(job for job in view.make_room_for if job not in out)
    return replace(view, waiting=waiting, promises=promises, make_room_for=room), short


def shortage(view: WorldView, row: WaitingRow, now: datetime) -> Short | None:
    """Return what a job's payer lacks, None when it has enough or does not pay in advance."""
    there = view.prepaid.get(row.city)
    if there is None or row.job in view.held:
        return None
    wanted = max(_least(view, row, {}), _asked_for(row, _fresh_since(view, now)))
    found = _accounts(row, there)
    usable = sum(there.get(account, 0) for account in found)
    return Short(row.job, found, wanted, usable) if usable < wanted else None


def _short(view: WorldView, now: datetime) -> Iterator[Short]:
    asks: dict[int, tuple[int, int]] = {}
    since = _fresh_since(view, now)
    for row in view.waiting:
        there = view.prepaid.get(row.city)
        if there is None or row.job in view.held:
            continue
        wanted = max(_least(view, row, asks), _asked_for(row, since))
        found = _accounts(row, there)
        usable = sum(there.get(account, 0) for account in found)
        if usable < wanted:
            yield Short(row.job, found, wanted, usable)


def _fresh_since(view: WorldView, now: datetime) -> datetime:
    """Return from when on a commit's word counts: what was asked before is no measure of what is asked now."""
    changes = [pool.asks_since for pool in view.pools if pool.asks_since is not None]
    return max([now - ASKED_AGAIN_AFTER + _MOMENT, *changes])


def _asked_for(row: WaitingRow, since: datetime) -> int:
    fresh = row.funds_refused_at is not None and row.funds_refused_at >= since
    return row.funds_wanted_micro_yuan if fresh else 0


def accounts(city: str, enterprise: str, vouchers: Sequence[str]) -> tuple[str, ...]:
    """Return the accounts that may pay for a job, in the order in which they are drawn on, should they be there."""
    first = [AccountName(AccountKind.VOUCHER, (city, name)).text for name in vouchers]
    own = [AccountName(AccountKind.ENTERPRISE, (city, enterprise)).text] if enterprise else []
    return (*first, *own, AccountName(AccountKind.CITY, (city,)).text)


def _accounts(row: WaitingRow, there: Mapping[str, int]) -> tuple[str, ...]:
    *others, city = accounts(row.city, row.enterprise, row.vouchers)
    return (*(account for account in others if account in there), city)


def _least(view: WorldView, row: WaitingRow, asks: dict[int, tuple[int, int]]) -> int:
    """Return what the job costs at least; `asks` remembers the cheapest ask and smallest size of each shape."""
    if row.shape_id not in asks:
        shape = view.shapes[row.shape_id]
        asks[row.shape_id] = _cheapest(view, shape["builds"]), _smallest_milli(shape)
    ask, milli = asks[row.shape_id]
    ask = min(ask, view.pinned.get(row.job, ask))  # a quote's job pays no more, though asks have risen
    return work_micro_yuan(ask, milli, row.walltime_seconds + row.grace_seconds)


def _cheapest(view: WorldView, builds: Sequence[Mapping[str, Any]]) -> int:
    stack = {model.model: model.stack for model in view.models}
    return min(
        (
            pool.ask_micro_yuan_per_card_hour
            for pool in view.pools
            for build in builds
            if stack[pool.model] == build["stack"] and (not build["models"] or pool.model in build["models"])
        ),
        default=0,
    )


def _smallest_milli(shape: Mapping[str, Any]) -> int:
    tasks = min([shape["tasks"], *(size["tasks"] for size in shape.get("smaller_sizes", ()))])
    return int(tasks * (shape.get("share_milli", 0) or WHOLE_MILLI * shape["cards_per_task"]))
