"""What was counted of energy against the leases that drew it. With SQL of its own.

Counted are card-seconds by month, cluster and city; of energy they are the part that no change of a world alters.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts


@dataclass(frozen=True, slots=True)
class Counted:
    """Card-seconds of a month in a cluster by a city: as counted, how many of them green, and as its leases say."""

    month: date
    cluster: str
    city: str
    counted: Decimal
    green: Decimal
    of_leases: Decimal


@dataclass(frozen=True, slots=True)
class EnergyFacts:
    """What the tables say of energy."""

    counts: tuple[Counted, ...] = ()
    certificates_wrong: tuple[int, ...] = field(default=())  # leases with one that is alive, or says more than it may


# A lease that is still noted as open was counted to the last, whatever has become known of its end since.
COUNTS: Final = """
    WITH span AS (
        SELECT generate_series(date_trunc('month', since AT TIME ZONE 'Asia/Shanghai'),
                               until AT TIME ZONE 'Asia/Shanghai', '1 month') AS month, since, until
          FROM energy_counted
    ), months AS (
        SELECT month::date AS month, greatest(since, month AT TIME ZONE 'Asia/Shanghai') AS begins,
               least(until, (month + interval '1 month') AT TIME ZONE 'Asia/Shanghai') AS ends
          FROM span
    ), known AS (
        SELECT lease_id, cluster, city, offered_at,
               CASE WHEN o.lease_id IS NULL THEN coalesce(ended_at, 'infinity') ELSE 'infinity' END AS ends
          FROM leases LEFT JOIN energy_open o USING (lease_id)
    ), lived AS (
        SELECT m.month, l.cluster, l.city,
               sum((SELECT sum(CASE WHEN n.share_milli = 0 THEN 1000 * array_length(n.cards, 1)
                                    ELSE n.share_milli * n.tasks END) FROM lease_nodes n WHERE n.lease_id = l.lease_id)
                   * 0.001 * extract(epoch FROM least(l.ends, m.ends) - greatest(l.offered_at, m.begins)))
               AS card_seconds
          FROM months m JOIN known l ON l.offered_at < m.ends AND l.ends > m.begins
         GROUP BY m.month, l.cluster, l.city
    ), counted AS (
        SELECT month, cluster, city, sum(card_seconds) AS card_seconds, sum(green_card_seconds) AS green
          FROM energy_counts GROUP BY month, cluster, city
    )
    SELECT month, cluster, city, coalesce(c.card_seconds, 0), coalesce(c.green, 0), coalesce(l.card_seconds, 0)
      FROM counted c FULL JOIN lived l USING (month, cluster, city) ORDER BY month, cluster, city
"""
CERTIFICATES: Final = """
    SELECT e.lease_id FROM lease_energy e LEFT JOIN leases l USING (lease_id)
     WHERE l.state IS DISTINCT FROM 'ended' OR l.city <> e.city OR e.green_joules > e.meter_joules
        OR e.it_joules > e.meter_joules
     ORDER BY e.lease_id
"""


async def read(hub: Any) -> EnergyFacts:
    """Return what the tables say; `hub` is a connection that sees all cities."""
    return EnergyFacts(
        tuple(Counted(*r.values()) for r in await hub.fetch(COUNTS)),
        tuple(r["lease_id"] for r in await hub.fetch(CERTIFICATES)),
    )


def energy_is_what_leases_drew(facts: "Facts") -> Iterator[str]:
    """What is counted of a month is what its leases drew, to the microsecond, and no more of it is green than all."""
    for each in facts.energy.counts:
        where = f"{each.month:%Y-%m}, {each.cluster}, {each.city}"
        if each.counted != each.of_leases:
            yield f"{where}: {each.counted} card-seconds are counted, its leases drew {each.of_leases}"
        if not 0 <= each.green <= each.counted:
            yield f"{where}: {each.green} card-seconds of {each.counted} are green"
    for lease in facts.energy.certificates_wrong:
        yield f"lease-{lease} has a certificate of energy that cannot be right"


RULES: Final = (energy_is_what_leases_drew,)
