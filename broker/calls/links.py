"""Agents' streams as every process of a broker sees them: each has some, and reads output through the others' too."""

import asyncio
import base64
import secrets
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
        self._me = f"{process}-{secrets.token_hex(4)}"  # a process that is started again is another one
        self._elsewhere: dict[str, dict[int, tuple[str, AgentLink]]] = {}  # by cluster and process, the newest last
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
        if cluster not in self.clusters() and (there := self._elsewhere.get(cluster)):
            return next(reversed(there.values()))[1]
        return super().to(cluster)

    def _tell(self) -> None:
        self._bus.tell("links", {"process": self._process, "who": self._me, "clusters": self.clusters()})

    def _heard_links(self, told: Mapping[str, Any]) -> None:
        process, who, now = int(told["process"]), str(told.get("who", "")), set(told["clusters"])
        for cluster, there in list(self._elsewhere.items()):
            if process in there and (cluster not in now or there[process][0] != who):
                there.pop(process)[1].closed()
                if not there:
                    del self._elsewhere[cluster]
        for cluster in now:
            there = self._elsewhere.setdefault(cluster, {})
            if process not in there:
                there[process] = who, self._way(who, cluster)

    def _way(self, who: str, cluster: str) -> AgentLink:
        def send(request: LogRequest) -> None:
            self._bus.tell(
                "ask", asdict(request) | {"ref": request.ref._asdict(), "to": who, "from": self._me, "cluster": cluster}
            )

        return AgentLink(cluster, send, close=_nothing)

    def _asked(self, wanted: Mapping[str, Any]) -> None:
        if wanted["to"] == self._me:
            task = asyncio.create_task(self._answer(wanted), name="log-piece")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, wanted: Mapping[str, Any]) -> None:
        ref = LeaseRef(LeaseId(int(wanted["ref"]["lease"])), int(wanted["ref"]["epoch"]))
        answer: dict[str, Any] = {
            "to": wanted["from"],
            "from": self._me,
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
        if told["to"] != self._me:
            return
        ways = [link for who, link in self._elsewhere.get(told["cluster"], {}).values() if who == told["from"]]
        for link in ways:
            if told.get("gone"):
                link.failed(int(told["request"]))
            else:
                problem = LogProblem(told["problem"]) if told["problem"] else None
                piece = LogPiece(base64.b64decode(told["data"]), told["complete"], problem)
                link.answered(int(told["request"]), piece)


def _nothing(error: BrokerError) -> None:
    """Do nothing: a newer stream of the cluster ends an older one by its epoch, whichever process has it."""
