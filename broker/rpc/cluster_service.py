"""ClusterService: one stream for each agent, on which it says what is and is told what should be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from time import perf_counter
from typing import Any, Final

import structlog

from broker.clock import Clock
from broker.errors import DatabaseUnavailable, invalid
from broker.market.clusters import Clusters, Session, Terms
from broker.market.logs import AgentLink, AgentLinks, LogRequest
from broker.market.reports import Desired
from broker.rpc import convert_cluster as convert
from broker.rpc.identity import caller_of
from broker.wire.v1 import cluster_service_pb2 as pb
from broker.wire.v1.cluster_service_pb2_grpc import ClusterServiceServicer

HELLO_SECONDS_MAX: Final = 10.0
UNSENT_MAX: Final = 4
"""Answers that may wait to be sent: an agent that does not read is not listened to either."""

NEWS_REST_SECONDS: Final = 0.05
"""After news an agent gets the next ones so much later: what is leased meanwhile goes with them."""

NEWS_REST_SECONDS_MAX: Final = 0.5
"""News that took longer to read and hand over show that much is going on: the next ones wait as long, never longer."""

log = structlog.get_logger("agents")


class ClusterService(ClusterServiceServicer):
    """Serves `Sync`.

    Args:
        links: the streams that are open in this process, for those who read output.
        policy_key_id: key that signs placement policies; empty: none does.
    """

    def __init__(
        self, clusters: Clusters, links: AgentLinks, terms: Terms, clock: Clock, *, policy_key_id: str = ""
    ) -> None:
        self._policy_key_id = policy_key_id
        self._clusters = clusters
        self._links = links
        self._terms = terms
        self._clock = clock

    async def Sync(
        self, request_iterator: AsyncIterator[pb.SyncRequest], context: Any
    ) -> AsyncIterator[pb.SyncResponse]:
        """Keep the broker's and the engine's view of one cluster equal until either side ends the stream."""
        caller = caller_of(context)
        hello = await self._first(request_iterator)
        session = await self._clusters.attach(caller, convert.hello(hello), self._clock.now())
        stream = _Stream(self._clusters, self._terms, self._clock, session, self._policy_key_id)
        log.info("agent attached", cluster=session.cluster, instance=session.instance, epoch=session.epoch)
        self._links.connect(stream.link)
        try:
            async for response in stream.run(request_iterator):
                yield response
        finally:
            self._links.disconnect(stream.link)
            log.info("agent detached", cluster=session.cluster, instance=session.instance, epoch=session.epoch)
            # Without the database the agent merely counts as attached until it is silent for long enough.
            with suppress(DatabaseUnavailable):
                await self._clusters.detach(session)

    async def _first(self, requests: AsyncIterator[pb.SyncRequest]) -> pb.Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                async for request in requests:
                    if request.WhichOneof("message") == "hello":
                        return request.hello
                    break
        except TimeoutError:
            pass
        raise invalid("message", f"the first one must be a Hello, within {HELLO_SECONDS_MAX:.0f} seconds")


class _Stream:
    """One agent's stream after its first Hello: one task listens, one tells what has changed, the caller sends."""

    def __init__(self, clusters: Clusters, terms: Terms, clock: Clock, session: Session, policy_key_id: str) -> None:
        self._policy_key_id = policy_key_id
        self._clusters = clusters
        self._terms = terms
        self._clock = clock
        self._session = session
        self._unsent: asyncio.Queue[pb.SyncResponse | BaseException | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(UNSENT_MAX)
        self._reports = convert.Reports()
        self.link = AgentLink(session.cluster, self._ask_for_output, self._unsent.put_nowait)

    async def run(self, requests: AsyncIterator[pb.SyncRequest]) -> AsyncIterator[pb.SyncResponse]:
        """Yield what is to be sent. Raise whatever ends the stream."""
        await self._answer(convert.welcome(self._terms, self._session.epoch, self._policy_key_id))
        tasks = [asyncio.create_task(self._ended_by(work)) for work in (self._listen(requests), self._tell_news())]
        try:
            while (response := await self._unsent.get()) is not None:
                if isinstance(response, BaseException):
                    raise response
                yield response
                if response.WhichOneof("message") != "log_request":
                    self._room.release()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ended_by(self, work: Any) -> None:
        """Do the work; its end, or its error, ends the stream."""
        try:
            await work
            self._unsent.put_nowait(None)
        except Exception as error:
            self._unsent.put_nowait(error)

    async def _listen(self, requests: AsyncIterator[pb.SyncRequest]) -> None:
        async for request in requests:
            now = self._clock.now()
            match request.WhichOneof("message"):
                case "report":
                    desired = await self._clusters.report(self._session, self._reports.read(request.report), now)
                    await self._tell(desired, now)
                case "log_chunk":
                    self.link.answered(request.log_chunk.request_id, convert.log_piece(request.log_chunk))
                case "hello":
                    await self._clusters.change_inventory(self._session, convert.hello(request.hello), now)
                    await self._answer(convert.welcome(self._terms, self._session.epoch, self._policy_key_id))
                case _:
                    raise invalid("message", "must be a Hello, a Report or a LogChunk")

    async def _tell_news(self) -> None:
        while True:
            await self._session.signal.wait()
            began = perf_counter()
            desired = await self._clusters.refresh(self._session, self._clock.now())
            if desired is not None:
                await self._tell(desired, self._session.heard_at)
                took = perf_counter() - began
                await asyncio.sleep(max(NEWS_REST_SECONDS, min(took, NEWS_REST_SECONDS_MAX)))

    async def _tell(self, desired: Desired, heard_at: datetime) -> None:
        """Send what should be, unless the report on which it rests is old: late news renew what may be given up."""
        if self._clock.now() - heard_at < self._terms.suspect_after:
            await self._answer(convert.desired_to_wire(desired))

    async def _answer(self, response: pb.SyncResponse) -> None:
        await self._room.acquire()
        self._unsent.put_nowait(response)

    def _ask_for_output(self, request: LogRequest) -> None:
        self._unsent.put_nowait(convert.log_request_to_wire(request))
