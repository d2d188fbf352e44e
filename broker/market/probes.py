"""Use cases of probes: a job has measured how fast cards are, and what was measured so far.

A probe is a job like any other whose program is called `xisuan-probe`; what that runs is the cluster's agent's to know.
An operator reads what it printed and records it. Which cluster, node and model it was is taken from its lease, and
whether its cards are real from the engine: an emulated result never passes for a real one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from broker.caller import Caller
from broker.errors import ClusterNotFound, JobNotFound, invalid
from broker.ids import JobId, job_text
from broker.lifecycle import JobState
from broker.store import acts, nodes, probes
from broker.store.database import Database
from broker.store.probes import ProbeRow

PROGRAM: Final = "xisuan-probe"


class Probes:
    """Measured speed of cards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, caller: Caller, job: JobId, measured_milli_tflops: int, precision: str, *, now: datetime
    ) -> None:
        """Record what a probe has measured, once for each attempt.

        Raises: JobNotFound. InvalidRequest: the job is no probe, or has not succeeded.
        """
        async with self._database.hub() as tx:
            ran = await probes.lease_of(tx, job)
            if ran is None:
                raise JobNotFound(job=job_text(job))
            if ran.program != PROGRAM:
                raise invalid("job_id", f"names a job that runs no {PROGRAM}: start one with `xisuan admin probe`")
            if ran.state != JobState.SUCCEEDED:
                raise invalid("job_id", f"names a probe that is {ran.state}: record it when it has succeeded")
            if not await probes.add(tx, ran, measured_milli_tflops, precision, now, caller.key_id):
                return
            detail = {"job": job_text(job), "measured_milli_tflops": measured_milli_tflops, "node": ran.node}
            await acts.record(tx, at=now, key_id=caller.key_id, act="record_probe", subject=ran.cluster, detail=detail)

    async def latest(self, cluster: str) -> Sequence[ProbeRow]:
        """Return the newest probe of each model and node. Raise ClusterNotFound."""
        async with self._database.hub() as tx:
            if cluster and not await nodes.cluster_exists(tx, cluster):
                raise ClusterNotFound(cluster=cluster)
            return await probes.latest(tx, cluster)
