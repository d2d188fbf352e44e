"""Play the trace: each city submits when its time comes, watches its events, and remembers what it was told."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from broker.client import Build, Client, JobSpec
from broker.client.results import Event, EventKind, Job
from broker.client.spec import PriorityClass, WorkloadClass
from broker.demo.funding import Funds
from broker.demo.stage import PATIENT, Stage
from broker.demo.trace import Submission

LAST_EVENTS_SHOWN: Final = 8
SETTLE_SECONDS_MAX: Final = 120.0
_FINAL: Final = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED, EventKind.EXPIRED})


@dataclass(slots=True)
class Memory:
    """What the cities were told; the audit compares it with what is stored."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # job id -> city
    seen: list[tuple[str, Event]] = field(default_factory=list)  # city, event, in order of arrival
    final: set[str] = field(default_factory=set)  # ids of jobs whose end was seen
    by_kind: Counter[str] = field(default_factory=Counter)
    submitted_of: int = 0  # how many the trace will submit

    @property
    def last_events(self) -> list[tuple[str, Event]]:
        """The newest events, oldest first."""
        return self.seen[-LAST_EVENTS_SHOWN:]

    @property
    def complete(self) -> bool:
        """Whether everything was submitted and every job's end was seen."""
        return len(self.acknowledged) == self.submitted_of and self.final >= set(self.acknowledged)


class Replay:
    """Plays submissions through real clients, one for each city."""

    def __init__(self, stage: Stage, submissions: Sequence[Submission], funds: Funds | None = None) -> None:
        """`funds`: who pays; None: the cities' jobs name nobody."""
        self._stage = stage
        self._funds = funds or Funds()
        self._submissions = submissions
        self.memory = Memory(submitted_of=len(submissions))

    async def run(self, meanwhile: Callable[[Memory], Coroutine[None, None, None]]) -> None:
        """Submit everything in its time and wait for every job's end; `meanwhile` runs beside it and is cancelled then.

        Raises: TimeoutError: some jobs did not end in time.
        """
        by_city: dict[str, list[Submission]] = defaultdict(list)
        for submission in self._submissions:
            by_city[submission.city].append(submission)
        last = self._submissions[-1].at_seconds
        beside = asyncio.create_task(meanwhile(self.memory))
        watchers = [asyncio.create_task(watch(self._stage, city, self.memory)) for city in by_city]
        try:
            async with asyncio.timeout(last + SETTLE_SECONDS_MAX):
                async with asyncio.TaskGroup() as group:
                    for city, planned in by_city.items():
                        group.create_task(self._submit(city, planned))
                while not self.memory.complete:
                    for task in (*watchers, beside):
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.05)
        finally:
            for task in (*watchers, beside):
                task.cancel()
            await asyncio.gather(*watchers, beside, return_exceptions=True)

    async def jobs(self) -> list[Job]:
        """Return every job of every city, as the broker knows it now."""
        found = []
        for city in sorted({s.city for s in self._submissions}):
            async with self._client(city) as client:
                found += [job async for job in client.jobs()]
        return found

    def _client(self, city: str) -> Client:
        return Client(self._stage.endpoint, self._stage.key(f"city-{city}"), retry=PATIENT)

    async def _submit(self, city: str, planned: Sequence[Submission]) -> None:
        clock = asyncio.get_running_loop()
        began = clock.time()
        async with self._client(city) as client:
            for submission in planned:
                await asyncio.sleep(max(0.0, began + submission.at_seconds - clock.time()))
                receipt = await client.submit(_spec(submission, self._funds), request_key=submission.name)
                self.memory.acknowledged[receipt.job_id] = city


async def watch(stage: Stage, city: str, memory: Memory) -> None:
    """Remember every event of a city, until cancelled."""
    async with (
        Client(stage.endpoint, stage.key(f"city-{city}"), retry=PATIENT) as client,
        aclosing(client.watch()) as events,
    ):
        async for event in events:
            memory.seen.append((city, event))
            memory.by_kind[event.kind.value] += 1
            if event.kind in _FINAL:
                memory.final.add(event.job_id)


def _spec(submission: Submission, funds: Funds) -> JobSpec:
    purse = funds.purses.get(submission.city)
    return JobSpec(
        name=submission.name,
        tasks=submission.tasks,
        cards_per_task=submission.cards_per_task,
        cpu_milli_per_task=1000,
        memory_mib_per_task=2048,
        walltime_seconds=submission.walltime_seconds,
        priority=PriorityClass(submission.priority),
        workload_class=WorkloadClass(submission.workload_class),
        enterprise=purse.enterprise if purse else "",
        vouchers=[purse.voucher] if purse and funds.stacks & set(submission.stacks) else [],
        builds=[Build(stack=stack, command=list(submission.command)) for stack in submission.stacks],
    )
