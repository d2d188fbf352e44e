"""What processes of one broker tell each other goes out once, and a line that makes no sense harms nobody."""

import asyncio
from typing import Any

from broker.calls.bus import Bus, line_of, lines_of


async def turn() -> None:
    """Let the loop of events come round."""
    await asyncio.sleep(0)


async def test_what_is_told_again_in_one_turn_goes_out_once() -> None:
    sent: list[bytes] = []
    bus = Bus()
    bus.connect(sent.append)

    bus.tell("work")
    bus.tell("cluster", "east")
    bus.tell("work")
    await turn()
    bus.tell("work")
    await turn()

    assert sent == [line_of("cluster", "east") + line_of("work", None), line_of("work", None)]


async def test_what_is_told_before_there_is_anybody_is_not_kept() -> None:
    sent: list[bytes] = []
    bus = Bus()

    bus.tell("work")
    bus.connect(sent.append)
    await turn()

    assert sent == []


def test_lines_that_make_no_sense_are_passed_over() -> None:
    heard: list[Any] = []
    bus = Bus()
    bus.on("cluster", heard.append)
    bus.on("broken", lambda value: value["missing"])

    for line in (b"not json\n", b"[]\n", b'{"topic": 1}\n', line_of("nobody", 1), line_of("broken", {}), b"\xff\n"):
        bus.hear(line)
    bus.hear(line_of("cluster", "east"))

    assert heard == ["east"]


async def test_lines_are_handed_over_until_the_other_end_is_gone() -> None:
    heard: list[bytes] = []
    reader = asyncio.StreamReader(limit=64)
    reader.feed_data(b'["a",1]\n["b",2]\n["half')
    reader.feed_eof()

    await lines_of(reader, heard.append)

    assert heard == [b'["a",1]\n', b'["b",2]\n']


async def test_a_line_without_an_end_is_the_end() -> None:
    reader = asyncio.StreamReader(limit=64)
    reader.feed_data(b"x" * 1000)

    await lines_of(reader, lambda _: None)
