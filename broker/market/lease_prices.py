"""The price at which a gang starts: what is asked then and what others would pay, fixed for as long as it runs."""

from collections.abc import Iterable, Mapping, Sequence

from broker.job import LeasePrice
from broker.market.snapshot import Prepared
from scheduler.plan import Placement
from scheduler.policy import OpeningPrice
from scheduler.spot import start_prices


def lease_prices(
    world: Prepared,
    placements: Sequence[Placement],
    prices: Iterable[OpeningPrice],
    zones: Mapping[str, str] | None = None,
) -> dict[str, LeasePrice]:
    """Return the price of each gang that starts, by job id.

    Args:
        world: of the placements, with their jobs.
        placements: what starts.
        prices: of the last tier of a plan, by name.
        zones: by job id the zone whose prices count; a job that is not there pays those of its pool.
    """
    names = [(zones or {}).get(each.job_id, world.snapshot.pool_names[each.pool]) for each in placements]
    found = start_prices(world.snapshot, prices, placements, names)
    return {
        each.job_id: LeasePrice(
            start.ask_micro_yuan_per_card_hour,
            start.scarcity_micro_yuan_per_card_hour,
            world.pools[each.pool].rate_card,
        )
        for each, start in zip(placements, found, strict=True)
    }
