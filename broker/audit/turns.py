"""What a job had to wait for had come when it was placed. With SQL of its own, by what the job asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from broker.audit.facts import Facts


@dataclass(frozen=True, slots=True)
class Turn:
    """A lease, and one thing that its job had to wait for."""

    lease: int
    job: int
    offered_at: datetime
    what: str  # "its earliest start", or a job that it runs after
    came_at: datetime | None  # None: it has not come yet
    as_wanted: bool  # False: a job that it runs after ended in a way that it did not want


TURNS: Final = """
    WITH timed AS (
        SELECT l.lease_id, l.job_id, l.offered_at, j.city, j.spec,
               coalesce((j.spec->>'after_any_end')::boolean, false) AS any_end,
               coalesce((j.spec->>'after_data_ready')::boolean, false) AS data_will_do,
               -- An enterprise's keys are stored behind its name: those that its job names are of the same kind.
               CASE WHEN strpos(j.request_key, E'\\x1f') > 0 THEN split_part(j.request_key, E'\\x1f', 1) || E'\\x1f'
                    ELSE '' END AS keys_of
          FROM leases l JOIN jobs j USING (job_id)
         WHERE j.spec ?| ARRAY['earliest_start', 'after', 'after_request_keys']
    ), upstream AS (
        SELECT t.*, k.job_id AS before, k.ended_at, k.state, k.data_ready_at
          FROM timed t CROSS JOIN jsonb_array_elements_text(coalesce(t.spec->'after', '[]')) AS named (job)
          JOIN jobs k ON k.job_id = named.job::bigint
         UNION ALL
        SELECT t.*, k.job_id, k.ended_at, k.state, k.data_ready_at
          FROM timed t CROSS JOIN jsonb_array_elements_text(coalesce(t.spec->'after_request_keys', '[]')) AS named (key)
          JOIN jobs k ON k.city = t.city AND k.request_key = t.keys_of || named.key
    )
    SELECT lease_id, job_id, offered_at, 'its earliest start' AS what, (spec->>'earliest_start')::timestamptz, true
      FROM timed WHERE spec ? 'earliest_start'
     UNION ALL
    SELECT lease_id, job_id, offered_at, 'job-' || before,
           CASE WHEN data_will_do AND data_ready_at IS NOT NULL THEN data_ready_at ELSE ended_at END,
           any_end OR state = 'succeeded' OR (data_will_do AND data_ready_at IS NOT NULL)
      FROM upstream
     ORDER BY lease_id, what
"""


async def read(hub: Any) -> tuple[Turn, ...]:
    """Return what the tables say; `hub` is a connection that sees all cities."""
    return tuple(Turn(*r.values()) for r in await hub.fetch(TURNS))


def no_job_before_its_turn(facts: "Facts") -> Iterator[str]:
    """No job was placed before its earliest start, or before what it runs after had come as far as it must."""
    for turn in facts.turns:
        if turn.came_at is None or turn.offered_at < turn.came_at:
            yield f"lease-{turn.lease} of job-{turn.job} was placed before {turn.what} had come to its end or time"
        elif not turn.as_wanted:
            yield f"lease-{turn.lease} of job-{turn.job} was placed although {turn.what} has not succeeded"


RULES: Final = (no_job_before_its_turn,)
