"""Output is read from whichever process the call came to, through the one that has the agent's stream."""

import asyncio
from dataclasses import dataclass, field

import pytest

from broker.calls.bus import Bus, line_of
from broker.calls.links import SharedLinks
from broker.errors import AgentUnreachable, BrokerError
from broker.ids import LeaseId
from broker.market.logs import AgentLink, LogPiece, LogProblem, LogRequest, LogStream
from broker.store.leases import LeaseRef

REF = LeaseRef(LeaseId(7), 2)


class Processes:
    """Two processes of a broker, and what carries lines between them."""

    def __init__(self) -> None:
        self.buses = Bus(), Bus()
        self.links = tuple(SharedLinks(bus, number) for number, bus in enumerate(self.buses))
        for here, there in ((0, 1), (1, 0)):
            self.buses[here].connect(lambda lines, there=there: self._carry(lines, there))  # type: ignore[misc]

    def _carry(self, lines: bytes, there: int) -> None:
        for line in lines.splitlines(keepends=True):
            self.buses[there].hear(line)


@dataclass
class Agent:
    """An agent that answers with what it was asked; or does not."""

    answers: bool = True
    problem: LogProblem | None = None
    asked: list[LogRequest] = field(default_factory=list)
    link: AgentLink = field(init=False)

    def __post_init__(self) -> None:
        self.link = AgentLink("east", self._hear, self._close)

    def _hear(self, request: LogRequest) -> None:
        self.asked.append(request)
        if self.answers:
            data = b"" if self.problem else f"{request.stream} from {request.offset} \xff".encode()
            self.link.answered(request.request, LogPiece(data, complete=True, problem=self.problem))

    def _close(self, error: BrokerError) -> None:
        raise error


async def connected(agent: Agent) -> Processes:
    """Return processes of which the second one has the agent's stream, and the first one knows it."""
    processes = Processes()
    processes.links[1].connect(agent.link)
    await told()
    return processes


async def told() -> None:
    """Let what was told arrive."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_piece_is_read_through_the_other_process() -> None:
    processes = await connected(agent := Agent())

    piece = await processes.links[0].to("east").ask(REF, 3, LogStream.STDERR, 5, timeout_seconds=5)

    assert piece == LogPiece("stderr from 5 \xff".encode(), complete=True)
    assert [(each.ref, each.task) for each in agent.asked] == [(REF, 3)]


async def test_a_problem_comes_through_as_well() -> None:
    processes = await connected(Agent(problem=LogProblem.UNKNOWN_TASK))

    piece = await processes.links[0].to("east").ask(REF, 9, LogStream.STDOUT, 0, timeout_seconds=5)

    assert piece == LogPiece(b"", complete=True, problem=LogProblem.UNKNOWN_TASK)


async def test_an_agent_of_no_process_is_unreachable_at_once() -> None:
    processes = Processes()

    with pytest.raises(AgentUnreachable):
        processes.links[0].to("east")


async def test_who_reads_when_the_agent_goes_is_told_at_once() -> None:
    processes = await connected(agent := Agent(answers=False))
    reading = asyncio.create_task(processes.links[0].to("east").ask(REF, 0, LogStream.STDOUT, 0, timeout_seconds=60))
    await told()

    processes.links[1].disconnect(agent.link)

    with pytest.raises(AgentUnreachable):
        await asyncio.wait_for(reading, 5)
    with pytest.raises(AgentUnreachable):
        processes.links[0].to("east")


async def test_a_process_that_comes_later_hears_who_has_which_agent() -> None:
    processes = await connected(Agent())
    late = SharedLinks(processes.buses[0], 0)  # in the place of the process that was there

    processes.buses[0].tell("hello", 0)
    await told()

    assert (await late.to("east").ask(REF, 0, LogStream.STDOUT, 0, timeout_seconds=5)).complete


async def test_an_agent_that_comes_to_another_process_is_found_there() -> None:
    processes = await connected(before := Agent())
    processes.links[0].connect((after := Agent()).link)
    await told()

    for links in processes.links:
        await links.to("east").ask(REF, 0, LogStream.STDOUT, 0, timeout_seconds=5)

    assert len(after.asked) + len(before.asked) == 2
    assert after.asked


async def test_an_answer_to_a_process_that_is_no_more_goes_to_nobody() -> None:
    """The one in its place counts its questions from 1 again, and would give one city another's output."""
    processes = await connected(agent := Agent(answers=False))
    old = asyncio.create_task(processes.links[0].to("east").ask(REF, 0, LogStream.STDOUT, 0, timeout_seconds=60))
    await told()
    again = SharedLinks(processes.buses[0], 0)
    processes.buses[0].tell("hello", 0)
    await told()
    new = asyncio.create_task(again.to("east").ask(REF, 1, LogStream.STDOUT, 0, timeout_seconds=60))
    await told()

    agent.link.answered(agent.asked[0].request, LogPiece(b"of the first", complete=True))
    await told()
    waits = not new.done()
    agent.link.answered(agent.asked[1].request, LogPiece(b"of the second", complete=True))

    assert waits
    assert (await asyncio.wait_for(new, 5)).data == b"of the second"
    old.cancel()


async def test_what_is_told_late_of_an_agent_that_has_moved_hides_it_from_nobody() -> None:
    """Its old stream is half open at the other process, which tells of it until it notices."""
    links = SharedLinks(bus := Bus(), 0)
    for process, clusters in ((2, ["east"]), (1, ["east", "west"]), (1, ["west"])):
        bus.hear(line_of("links", {"process": process, "who": f"{process}-x", "clusters": clusters}))

    assert links.to("east").cluster == "east"


async def test_a_read_that_fails_fails_no_other_one() -> None:
    processes = await connected(agent := Agent(answers=False))
    way = processes.links[0].to("east")
    asks = [asyncio.create_task(way.ask(REF, n, LogStream.STDOUT, 0, timeout_seconds=60)) for n in range(2)]
    await told()

    agent.link.failed(agent.asked[0].request)
    await told()
    agent.link.answered(agent.asked[1].request, LogPiece(b"well", complete=True))

    with pytest.raises(AgentUnreachable):
        await asyncio.wait_for(asks[0], 5)
    assert (await asyncio.wait_for(asks[1], 5)).data == b"well"
