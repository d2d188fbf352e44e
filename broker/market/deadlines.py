"""Whether a job can end by its `finish_by`, as far as that is certain when it is submitted.

A job is refused only when no pool that it may use could have it done in time even if nothing else ran. What is not
known counts for it: a way that nobody measured takes no time here, and where no such pool is attached one may come.
"""

from datetime import datetime, timedelta

from broker.errors import InvalidRequest, invalid
from broker.job import JobSpec
from broker.market.admission import may_use
from broker.store.catalogue_view import CatalogueView, PoolSize


def earliest_start(spec: JobSpec, city: str, pool: PoolSize | None, now: datetime, view: CatalogueView) -> datetime:
    """Return the moment before which the job certainly does not start in the pool: a lower bound, never a promise.

    This is the one place to ask. Today it knows the job's own `earliest_start` and the time that its input needs to the
    hub; whoever knows when the pool's cards are free says so here, and nothing else changes.

    Args:
        spec: the job.
        city: where its input is.
        pool: where it would run; None for one that is not known yet.
        now: aware UTC.
        view: the catalogue.
    """
    arrived = now
    if pool is not None and spec.input_gib and pool.hub not in spec.staged_hubs:
        speed = view.mib_per_second.get((city, pool.hub), 0)
        arrived += timedelta(seconds=-(-spec.input_gib * 1024 // speed) if speed else 0)
    # Data are moved when a pool has been chosen, which is not before the earliest start.
    waits = max(timedelta(0), (spec.earliest_start or now) - now)
    return arrived + waits


def too_late(spec: JobSpec, city: str, now: datetime, view: CatalogueView) -> InvalidRequest | None:
    """Return why the job certainly misses its `finish_by`, with the earliest one that it could keep; None if it may."""
    if spec.finish_by is None:
        return None
    pools: list[PoolSize | None] = [pool for pool in view.pools if may_use(spec, pool, view)]
    start = min(earliest_start(spec, city, pool, now, view) for pool in pools or [None])
    end = start + timedelta(seconds=spec.walltime_seconds)
    if end <= spec.finish_by:
        return None
    return invalid(
        "spec.finish_by",
        f"cannot be kept: with its input moved and its whole walltime the job ends at {_text(end)} at the earliest; "
        "give a later finish_by, a shorter walltime, or hubs that have the input already",
    )


def _text(at: datetime) -> str:
    """Return the time in whole seconds, not before `at`: what is named can be kept."""
    return (at + timedelta(microseconds=999_999)).isoformat(timespec="seconds")
