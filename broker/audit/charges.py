"""What leases pay from their start on: never more than their city would. With SQL and arithmetic of its own.

A city pays for the programme-counted FP16 that its build gets out of the cards. What a model counts may be changed by a
world; leases from before that are left alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts

SECONDS_PER_HOUR: Final = 3600
MILLI: Final = 10**3
PPM: Final = 10**6


@dataclass(frozen=True, slots=True)
class Charge:
    """What a lease pays, and what its city would pay at most. Money in micro-yuan."""

    lease: int
    job: int
    per_card_hour: int  # ask and scarcity
    milli_cards: int  # that it holds
    ceiling_per_pflops_hour: int
    ceiling_per_job: int | None
    walltime_seconds: int
    card_milli_tflops: int  # as the programme counts
    build_ppm: int  # speed of its build
    full_milli_cards: int  # of the full size, as asked for
    size_ppm: int  # speed of its size against the full one


CHARGES: Final = """
    WITH held AS (
        SELECT lease_id, sum(tasks) AS tasks,
               sum(CASE share_milli WHEN 0 THEN 1000 * cardinality(cards) ELSE tasks * share_milli END) AS milli
          FROM lease_nodes GROUP BY lease_id
    )
    SELECT l.lease_id, l.job_id, l.ask_micro_yuan_per_card_hour + l.scarcity_micro_yuan_per_card_hour,
           held.milli::bigint, j.ceiling_micro_yuan_per_pflops_hour, j.ceiling_micro_yuan_per_job, j.walltime_seconds,
           m.fp16_programme_milli_tflops, coalesce((j.spec->'builds'->l.build::int->>'speed_ppm')::bigint, 0),
           (j.spec->>'tasks')::bigint * coalesce(nullif((j.spec->>'share_milli')::bigint, 0),
                                                 1000 * (j.spec->>'cards_per_task')::bigint),
           coalesce((SELECT (size->>'speed_ppm')::bigint
                       FROM jsonb_array_elements(coalesce(j.spec->'smaller_sizes', '[]')) AS sizes (size)
                      WHERE (size->>'tasks')::bigint = held.tasks), 1000000)
      FROM leases l JOIN held USING (lease_id) JOIN jobs j USING (job_id) JOIN pools p USING (pool_id)
      JOIN accelerator_models m USING (model)
     WHERE l.ask_micro_yuan_per_card_hour IS NOT NULL
       AND l.offered_at > coalesce((SELECT max(at) FROM operator_acts WHERE act = 'apply_world'), 'epoch')
     ORDER BY l.lease_id
"""


async def read(hub: Any) -> tuple[Charge, ...]:
    """Return what the tables say; `hub` is a connection that sees all cities."""
    return tuple(Charge(*r.values()) for r in await hub.fetch(CHARGES))


def no_lease_above_its_ceiling(facts: "Facts") -> Iterator[str]:
    """No lease pays more than its job's ceilings allow, by the hour and for the whole walltime."""
    for charge in facts.charges:
        paid = charge.per_card_hour * charge.milli_cards  # thousandths of a micro-yuan an hour
        counted = charge.card_milli_tflops * charge.build_ppm * charge.full_milli_cards * charge.size_ppm
        # milli-TFLOPS are millionths of a PFLOPS; two speeds are in millionths, cards and `paid` in thousandths
        if paid * PPM * PPM * PPM > charge.ceiling_per_pflops_hour * counted:
            yield f"lease-{charge.lease} of job-{charge.job} pays more by the hour than its ceiling allows"
        whole = charge.ceiling_per_job
        if whole is not None and paid * charge.walltime_seconds > whole * MILLI * SECONDS_PER_HOUR:
            yield f"lease-{charge.lease} of job-{charge.job} would pay more for its walltime than its job may"


RULES: Final = (no_lease_above_its_ceiling,)
