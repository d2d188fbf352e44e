"""Agents' streams as every process of a broker sees them: each has some, and reads output through the others' too."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from broker.calls.bus import Bus
from broker.errors import AgentUnreachable, BrokerError
from broker.ids import LeaseId
from broker.market.logs import AgentLink, AgentLinks, LogPiece, LogProblem, LogRequest, LogStream
from broker.store.leases import LeaseRef

ANSWER_SECONDS_MAX: Final = 10.0
"""Whoever asked gives up as soon: see `Logs`."""


class SharedLinks(AgentLinks):
    """Links to the agents that are connected to any process of this broker. Each tells the others which it has."""

    def __init__(self, bus: Bus, process: int) -> None:
        """`process`: the number of this one, 0 for the broker's own."""
        super().__init__()
        self._bus = bus
        self._process = process
        self._elsewhere: dict[str, tuple[int, AgentLink]] = {}  # by cluster
        self._answering: set[asyncio.Task[None]] = set()
        bus.on("links", self._heard_links)
        bus.on("hello", lambda _: self._tell())
        bus.on("ask", self._asked)
        bus.on("answer", self._answered)

    def connect(self, link: AgentLink) -> None:
        """Make this the cluster's stream, and let the others know."""
        super().connect(link)
        self._tell()

    def disconnect(self, link: AgentLink) -> None:
        """Forget the stream, if it is still the cluster's, and let the others know."""
        super().disconnect(link)
        self._tell()

    def to(self, cluster: str) -> AgentLink:
        """Return the cluster's stream, or a way to the process that has it. Raise AgentUnreachable: there is none."""
        if cluster not in self.clusters() and cluster in self._elsewhere:
            return self._elsewhere[cluster][1]
        return super().to(cluster)

    def _tell(self) -> None:
        self._bus.tell("links", {"process": self._process, "clusters": self.clusters()})

    def _heard_links(self, told: Mapping[str, Any]) -> None:
        process, now = int(told["process"]), set(told["clusters"])
        for cluster, (other, link) in list(self._elsewhere.items()):
            if other == process and cluster not in now:
                del self._elsewhere[cluster]
                link.closed()
        for cluster in now:
            if cluster not in self._elsewhere or self._elsewhere[cluster][0] != process:
                self._elsewhere[cluster] = process, self._way(process, cluster)

    def _way(self, process: int, cluster: str) -> AgentLink:
        def send(request: LogRequest) -> None:
            wanted = asdict(request) | {"to": process, "from": self._process, "cluster": cluster}
            self._bus.tell("ask", wanted)

        return AgentLink(cluster, send, close=_nothing)

    def _asked(self, wanted: Mapping[str, Any]) -> None:
        if wanted["to"] == self._process:
            task = asyncio.create_task(self._answer(wanted), name="log-piece")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, wanted: Mapping[str, Any]) -> None:
        ref = LeaseRef(LeaseId(int(wanted["ref"]["lease"])), int(wanted["ref"]["epoch"]))
        answer: dict[str, Any] = {
            "to": wanted["from"],
            "from": self._process,
            "cluster": wanted["cluster"],
            "request": wanted["request"],
        }
        try:
            piece = await super().to(wanted["cluster"]).ask(
                ref, int(wanted["task"]), LogStream(wanted["stream"]), int(wanted["offset"]),
                timeout_seconds=ANSWER_SECONDS_MAX,
            )  # fmt: skip
        except AgentUnreachable:
            self._bus.tell("answer", answer | {"gone": True})
            return
        answer |= {"data": base64.b64encode(piece.data).decode(), "complete": piece.complete}
        self._bus.tell("answer", answer | {"problem": piece.problem})

    def _answered(self, told: Mapping[str, Any]) -> None:
        process, link = self._elsewhere.get(told["cluster"], (0, None))
        if told["to"] != self._process or told["from"] != process or link is None:
            return
        if told.get("gone"):
            link.closed()
        else:
            problem = LogProblem(told["problem"]) if told["problem"] else None
            link.answered(int(told["request"]), LogPiece(base64.b64decode(told["data"]), told["complete"], problem))


def _nothing(error: BrokerError) -> None:
    """Do nothing: a newer stream of the cluster ends an older one by its epoch, whichever process has it."""
