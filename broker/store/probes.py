"""How fast a GEMM was measured on cards of a node: rows that are added and never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from broker.ids import JobId
from broker.store.database import Connection

LEASE: Final[LiteralString] = """
    SELECT l.lease_id, j.state, j.spec->'builds'->l.build::int->'command'->>0 AS program, l.cluster, p.model,
           c.engine = 'local' AS emulated,
           (SELECT min(n.node) FROM lease_nodes ln JOIN nodes n USING (node_id) WHERE ln.lease_id = l.lease_id) AS node,
           (SELECT sum(cardinality(ln.cards)) FROM lease_nodes ln WHERE ln.lease_id = l.lease_id)::int AS cards
      FROM jobs j JOIN leases l USING (job_id) JOIN pools p USING (pool_id) JOIN clusters c ON c.cluster = l.cluster
     WHERE j.job_id = $1 ORDER BY l.epoch DESC LIMIT 1
"""
ADD: Final[LiteralString] = """
    INSERT INTO probes (lease_id, cluster, node, model, cards, measured_milli_tflops, precision, emulated, at,
                        recorded_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (lease_id) DO NOTHING RETURNING true
"""
LATEST: Final[LiteralString] = """
    SELECT DISTINCT ON (p.cluster, p.model, p.node) p.cluster, c.owner, p.node, p.model, p.cards,
           p.measured_milli_tflops, p.precision, p.emulated, p.at, l.job_id, m.fp16_nameplate_milli_tflops,
           m.fp16_programme_milli_tflops, m.fp16_measured_milli_tflops
      FROM probes p JOIN leases l USING (lease_id) JOIN clusters c ON c.cluster = p.cluster
      JOIN accelerator_models m ON m.model = p.model
     WHERE $1 = '' OR p.cluster = $1
     ORDER BY p.cluster, p.model, p.node, p.at DESC
"""


@dataclass(frozen=True, slots=True)
class ProbedLease:
    """The last attempt of a job, and where it ran."""

    lease: int
    state: str
    program: str
    cluster: str
    model: str
    emulated: bool  # the engine says that its cards are
    node: str
    cards: int


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """The newest probe of a model on a node, beside what the catalogue says; thousandths of a TFLOPS, 0: not known."""

    cluster: str
    owner: str
    node: str
    model: str
    cards: int
    measured: int
    precision: str
    emulated: bool
    at: datetime
    job: JobId
    rated: int
    programme: int
    of_the_model: int  # measured, as the catalogue has it of the model


async def lease_of(tx: Connection, job: JobId) -> ProbedLease | None:
    """Return where the last attempt of a job ran; None when it had none."""
    row = await tx.fetchrow(LEASE, job)
    return None if row is None else ProbedLease(*row.values())


async def add(tx: Connection, ran: ProbedLease, measured: int, precision: str, at: datetime, key_id: str) -> bool:
    """Note what an attempt has measured; what is noted of it already stays, and the answer is no."""
    place = (ran.lease, ran.cluster, ran.node, ran.model, ran.cards)
    return bool(await tx.fetchval(ADD, *place, measured, precision, ran.emulated, at, key_id))


async def latest(tx: Connection, cluster: str = "") -> list[ProbeRow]:
    """Return the newest probe of each model and node, by cluster; "" lets all pass."""
    return [ProbeRow(*r.values()) for r in await tx.fetch(LATEST, cluster)]
