"""Count jobs, agents and cards for /metrics, at an interval: a scrape reads memory and never the database."""

from collections import Counter
from datetime import datetime

from broker import metrics
from broker.lifecycle import AgentState, JobState
from broker.market.operations import Operations


class Census:
    """Sets the gauges of what there is."""

    name = "census"

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def run_once(self, now: datetime) -> int:
        """Count everything once and return how many jobs there are."""
        overview = await self._operations.overview(now)
        jobs, agents, cards = Counter[JobState](), Counter[AgentState](), Counter[tuple[str, str]]()
        for (_, state), count in overview.jobs.items():
            jobs[state] += count
        for cluster in overview.clusters:
            agents[cluster.agent] += 1
            for pool in cluster.pools:
                used = pool.cards_leased + pool.cards_foreign + pool.cards_closed
                cards[cluster.hub, "leased"] += pool.cards_leased
                cards[cluster.hub, "foreign"] += pool.cards_foreign
                cards[cluster.hub, "closed"] += pool.cards_closed
                cards[cluster.hub, "free"] += max(0, pool.cards - used)
        for job_state in JobState:
            metrics.JOBS.labels(job_state.value).set(jobs[job_state])
        for agent_state in AgentState:
            metrics.AGENTS.labels(agent_state.value).set(agents[agent_state])
        for (hub, use), count in cards.items():
            metrics.CARDS.labels(hub, use).set(count)
        return jobs.total()
