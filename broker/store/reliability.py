"""What became of the attempts in each cluster, and how fast its cards were measured."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.store.database import Connection

PROMPT_SECONDS: Final = 120

# Ended ones by their end, which is indexed; the others are alive.
RECORDS: Final[LiteralString] = """
    WITH counted AS (
        SELECT cluster, state, end_reason, offered_at, started_at FROM leases WHERE state = 'ended' AND ended_at > $1
         UNION ALL
        SELECT cluster, state, end_reason, offered_at, started_at FROM leases WHERE state <> 'ended'
    ), attempts AS (
        SELECT cluster, count(*) AS attempts,
               count(*) FILTER (WHERE state = 'lost' OR end_reason IN ('lost', 'written_off', 'vanished')) AS lost,
               count(*) FILTER (WHERE end_reason = 'start_failed') AS start_failed,
               count(started_at) AS started,
               count(*) FILTER (WHERE started_at - offered_at <= $4 * interval '1 second') AS started_promptly
          FROM counted GROUP BY cluster
    ), newest AS (
        SELECT DISTINCT ON (cluster, model, node) cluster, model, node, measured_milli_tflops
          FROM probes WHERE NOT emulated ORDER BY cluster, model, node, at DESC
    ), by_model AS (
        SELECT cluster, model, avg(measured_milli_tflops)::bigint AS measured FROM newest GROUP BY cluster, model
    ), speed AS (
        SELECT cluster, sum(measured)::bigint AS measured,
               sum(coalesce(nullif(fp16_nameplate_milli_tflops, 0), fp16_programme_milli_tflops))::bigint AS rated
          FROM by_model JOIN accelerator_models USING (model) GROUP BY cluster
    )
    SELECT c.owner, c.cluster, coalesce(attempts, 0) AS attempts, coalesce(lost, 0) AS lost,
           coalesce(start_failed, 0) AS start_failed, coalesce(started, 0) AS started,
           coalesce(started_promptly, 0) AS started_promptly,
           coalesce(measured, 0) AS measured, coalesce(rated, 0) AS rated
      FROM clusters c LEFT JOIN attempts USING (cluster) LEFT JOIN speed USING (cluster)
     WHERE ($2 = '' OR c.owner = $2) AND ($3 = '' OR c.cluster = $3)
     ORDER BY c.owner, c.cluster
"""


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What became of attempts in a cluster; and FP16 of one card of each probed model, thousandths of a TFLOPS."""

    owner: str
    cluster: str
    attempts: int
    lost: int
    start_failed: int
    started: int
    started_promptly: int
    measured: int
    rated: int


async def records(tx: Connection, since: datetime, owner: str, cluster: str) -> list[ClusterRecord]:
    """Return the record of each cluster since a time, by owner and name; "" lets everything pass."""
    return [ClusterRecord(*r.values()) for r in await tx.fetch(RECORDS, since, owner, cluster, PROMPT_SECONDS)]
