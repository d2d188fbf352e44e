"""What a client city does: submit jobs, watch them, ask why they wait, read their output."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Self

from broker.client import bulk, streams
from broker.client.connection import Connection
from broker.client.errors import Unavailable
from broker.client.results import CancelledSet, Event, Explanation, Job, JobState, Receipt, Submission
from broker.client.retry import RetryPolicy
from broker.client.settings import ClientSettings, resolve
from broker.client.spec import JobSpec, PriorityClass, timestamp
from broker.wire.v1 import job_service_pb2 as pb

PAGE_SIZE: Final = 500
_POLL_SECONDS_MIN: Final = 0.05
_POLL_SECONDS_MAX: Final = 2.0


class Client(Connection):
    """Calls the broker as one city.

    Every call raises XisuanError (see `broker.client.errors`). All of them may safely be repeated, and are repeated
    here while the broker is unavailable and patience lasts.
    """

    def __init__(
        self,
        endpoint: str,
        api_key: str,
        tls_ca: str | Path | None = None,
        *,
        city: str = "",
        retry: RetryPolicy | None = None,
        call_seconds_max: float = 30.0,
        seed: int | None = None,
        own_connection: bool = False,
    ) -> None:
        """Prepare a connection; nothing is sent before the first call.

        Args:
            endpoint: "host:port"; beyond loopback TLS is used always.
            api_key: key of a city, or of an operator.
            tls_ca: file with the certificates to trust (PEM); None trusts the system's.
            city: for operators only, who must say for which city they act.
            retry, call_seconds_max, seed, own_connection: see `Connection`.
        Raises: BadSettings: endpoint or key cannot be used.
        """
        settings = ClientSettings(endpoint, api_key, Path(tls_ca) if tls_ca else None)
        super().__init__(
            settings, retry=retry, call_seconds_max=call_seconds_max, seed=seed, own_connection=own_connection
        )
        self._city = city

    @classmethod
    def from_environment(
        cls,
        *,
        endpoint: str | None = None,
        api_key: str | None = None,
        tls_ca: str | Path | None = None,
        home: str | Path | None = None,
        city: str | None = None,
        retry: RetryPolicy | None = None,
    ) -> Self:
        """Return a client by arguments, XISUAN_* variables and the profile that `xisuan serve` wrote, in this order.

        Args:
            city: whose key to take from the profile.
        Raises: BadSettings: something is missing; the message says where it was looked for.
        """
        found = resolve(endpoint=endpoint, api_key=api_key, tls_ca=tls_ca, home=home, city=city)
        return cls(found.endpoint, found.api_key, found.tls_ca, retry=retry)

    async def submit(self, spec: JobSpec, *, request_key: str | None = None) -> Receipt:
        """Submit one job; when this returns the job survives any crash.

        Args:
            request_key: the same key with the same job gives the same job again, so that a program that died may simply
                repeat itself; with another job it is refused (Conflict). None makes a new key.
        """
        key = request_key or bulk.new_key()
        request = pb.SubmitJobRequest(request_key=key, spec=spec.to_wire(), city=self._city)
        answer = await self.unary("JobService/SubmitJob", request, pb.SubmitJobResponse)
        return Receipt(answer.job_id, answer.duplicate and request_key is not None)

    def submit_many(
        self, jobs: Iterable[bulk.Item] | AsyncIterable[bulk.Item], *, batch: int = 500
    ) -> AsyncGenerator[Submission, None]:
        """Submit any number of jobs in one call and yield an answer for each, in order.

        A refused job does not stop the others: its `Submission.error` says why. Answers come when a batch is full or
        the jobs have ended. To be able to repeat a run that died, give (request key, job) pairs.

        Args:
            jobs: jobs, or (request key, job) pairs; taken no faster than the broker answers.
            batch: jobs in one message, 1 to 1000.
        """
        return bulk.submissions(self, jobs, city=self._city, batch=batch)

    async def job(self, job_id: str) -> Job:
        """Return one job. Raise NotFound when there is none that the key may see."""
        answer = await self.unary("JobService/GetJob", pb.GetJobRequest(job_id=job_id), pb.GetJobResponse)
        return Job.of(answer.job)

    async def jobs(
        self, *, states: Iterable[JobState] = (), job_set: str = "", page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[Job, None]:
        """Yield jobs, newest first, fetching pages as they are needed.

        Args:
            states: only jobs in one of these; empty means all.
            job_set: only jobs of this set; empty means all.
            page_size: jobs in one call, 1 to 1000.
        """
        request = pb.ListJobsRequest(
            states=[f"JOB_STATE_{state.name}" for state in states],
            job_set=job_set,
            city=self._city,
            page_size=page_size,
        )
        while True:
            page = await self.unary("JobService/ListJobs", request, pb.ListJobsResponse)
            for job in page.jobs:
                yield Job.of(job)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def watch(self, *, after: int = 0, idle_seconds_max: int = 0) -> AsyncGenerator[Event, None]:
        """Yield what happens to the city's jobs, gap-free and in order; broken connections are resumed.

        Args:
            after: cursor that was processed last; 0 starts at the first event ever, `latest_cursor()` at the present.
            idle_seconds_max: end when so many seconds pass without an event; 0 never ends.
        Raises: StreamGap: the broker skipped an event. InvalidRequest: the cursor is from the future.
        """
        return streams.events(self, after=after, city=self._city, idle_seconds_max=idle_seconds_max)

    async def latest_cursor(self) -> int:
        """Return the cursor of the city's last event: `watch` behind it to see only what is new."""
        return await streams.latest_cursor(self, city=self._city)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job and return it: final at once when it still waited, else when its agent confirms."""
        answer = await self.unary("JobService/CancelJob", pb.CancelJobRequest(job_id=job_id), pb.CancelJobResponse)
        return Job.of(answer.job)

    async def cancel_set(self, job_set: str, *, dry_run: bool = False) -> CancelledSet:
        """Cancel every job of a set that is not final; with `dry_run` only count them."""
        request = pb.CancelJobSetRequest(job_set=job_set, city=self._city, dry_run=dry_run)
        answer = await self.unary("JobService/CancelJobSet", request, pb.CancelJobSetResponse)
        return CancelledSet(answer.cancelled, answer.cancel_requested)

    async def update_priority(self, job_id: str, priority: PriorityClass) -> Job:
        """Change the priority of a job that waits, and return the job."""
        request = pb.UpdateJobRequest(job_id=job_id, priority=f"PRIORITY_CLASS_{priority.name}")
        return Job.of((await self.unary("JobService/UpdateJob", request, pb.UpdateJobResponse)).job)

    async def explain(self, job_id: str, *, start_by: datetime | None = None) -> Explanation:
        """Tell, pool by pool, why a job waits or where it could run, and what would start it.

        Args:
            start_by: an aware time: what would start it by then, and when it could start as it is. Without it: now.
        """
        request = pb.ExplainJobRequest(job_id=job_id, start_by=timestamp(start_by))
        return Explanation.of(await self.unary("JobService/ExplainJob", request, pb.ExplainJobResponse))

    async def logs(
        self,
        job_id: str,
        *,
        attempt: int = 0,
        task: int = 0,
        stream: Literal["stdout", "stderr"] = "stdout",
        offset: int = 0,
        follow: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the output of one task; broken connections are resumed where they broke.

        Args:
            attempt: from 1; 0 means the last one when the call begins.
            task: task of the gang, from 0.
            offset: first byte.
            follow: go on until the attempt has ended and everything was sent.
        Raises: NotFound: the job has not started yet, or there is no such task. Unavailable: its agent is away.
        """
        if attempt == 0:  # pinned, so that a resumed stream does not slip into a later attempt
            attempt = (await self.job(job_id)).attempt
        number = pb.LOG_STREAM_STDERR if stream == "stderr" else pb.LOG_STREAM_STDOUT
        pieces = streams.output(
            self, job_id=job_id, attempt=attempt, task=task, stream=number, offset=offset, follow=follow
        )
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def wait(self, job_id: str, *, timeout_seconds: float | None = None) -> Job:
        """Wait until a job is final and return it.

        Raises: Unavailable: it was not final after `timeout_seconds`; the job is not touched.
        """
        return await self._wait_until(job_id, lambda job: job.final, timeout_seconds)

    async def wait_started(self, job_id: str, *, timeout_seconds: float | None = None) -> Job:
        """Wait until a job runs or is final and return it. Raises: as `wait`."""
        return await self._wait_until(job_id, lambda job: job.final or job.state is JobState.RUNNING, timeout_seconds)

    async def _wait_until(self, job_id: str, done: Callable[[Job], bool], timeout_seconds: float | None) -> Job:
        """Ask again and again, less and less often: news is at most a tenth of the waiting time late."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        while not done(job := await self.job(job_id)):
            waited = clock.time() - began
            left = float("inf") if timeout_seconds is None else timeout_seconds - waited
            if left <= 0:
                raise Unavailable(
                    f"{job_id} is still {job.state} after {timeout_seconds} s; the job goes on, ask again later",
                    code="DEADLINE_EXCEEDED",
                    reason="WAIT_TIMEOUT",
                )
            await asyncio.sleep(min(max(waited / 10, _POLL_SECONDS_MIN), _POLL_SECONDS_MAX, left))
        return job
