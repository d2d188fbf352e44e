"""Audit a demo: what the cities were told, what the tables say, what the engines recorded."""

from collections.abc import Sequence
from dataclasses import replace

from broker.audit.facts import EventFact, Facts
from broker.audit.main import gather
from broker.audit.rules import RULES, Finding, findings
from broker.client.results import Job
from broker.demo.replay import Memory
from broker.demo.stage import Stage
from broker.ids import parse_job
from broker.postgres import using


async def audit(stage: Stage, memory: Memory, jobs: Sequence[Job]) -> tuple[list[Finding], str]:
    """Return what must never happen and did, and in words what was looked at."""
    facts = await _facts(stage, memory)
    checked = (
        f"{len(RULES)} rules over {len(jobs)} jobs, {len(facts.leases)} leases, {len(facts.runs)} tasks in the "
        f"engines' own records, {len(facts.events)} events, {len(memory.seen)} seen by cities"
    )
    return findings(facts), checked


async def _facts(stage: Stage, memory: Memory) -> Facts:
    with using(stage.home / "postgres") as server:
        facts = await gather(server.dsn_hub, server.dsn_city, stage.records())
    return replace(
        facts,
        acknowledged=frozenset(parse_job(job) or 0 for job in memory.acknowledged),
        seen=tuple(
            EventFact(city, e.cursor, parse_job(e.job_id) or 0, e.kind.value, e.attempt) for city, e in memory.seen
        ),
    )
