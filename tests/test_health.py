"""What a broker answers to those who start it, balance its calls, and scrape it."""

import asyncio
import gzip
import socket
import struct
import sys
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from broker import health as checks


@pytest.fixture
async def health() -> checks.Health:
    return checks.Health()


@pytest.fixture
async def url(health: checks.Health) -> str:
    registry = CollectorRegistry()
    Counter("jobs", "Jobs.", registry=registry).inc(7)
    return f"http://127.0.0.1:{checks.serve('127.0.0.1', 0, lambda: generate_latest(registry), health)}"


def told(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  our own server
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def ask(url: str) -> tuple[int, str]:
    return await asyncio.to_thread(told, url)


async def test_a_broker_is_live_from_the_start_and_ready_while_it_takes_calls(url: str, health: checks.Health) -> None:
    before = await ask(f"{url}/readyz"), await ask(f"{url}/livez")
    health.ready = True
    serving = await ask(f"{url}/readyz")
    health.serves = lambda: False  # the processes that take its calls are all away
    unserved = await ask(f"{url}/readyz")
    health.serves = lambda: True
    health.ready = False
    ending = await ask(f"{url}/readyz")

    assert (before[0][0], before[1]) == (503, (200, "ok\n"))
    assert serving == (200, "ok\n")
    assert (unserved[0], ending[0]) == (503, 503)
    assert "takes no calls" in ending[1]


async def test_a_broker_whose_loop_hangs_is_not_live(
    url: str, health: checks.Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probes answer from threads of their own, or a hanging broker would look like a dead one."""
    monkeypatch.setattr(checks, "LIVE_SECONDS_MAX", 0.2)
    health.ready = True
    answers: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: answers.extend(told(f"{url}{path}") for path in ("/livez", "/readyz")))

    asking.start()
    asking.join(20)  # the event loop is this thread: it hangs

    assert [code for code, _ in answers] == [503, 503]
    assert all("has not answered" in text for _, text in answers)
    assert (await ask(f"{url}/livez"))[0] == 200


async def test_metrics_are_beside_them(url: str) -> None:
    code, text = await ask(f"{url}/metrics")

    assert code == 200
    assert "jobs_total 7.0" in text


async def test_metrics_are_packed_for_who_can_unpack_them(url: str) -> None:
    asked = urllib.request.Request(f"{url}/metrics", headers={"Accept-Encoding": "gzip"})  # noqa: S310  our own server

    with await asyncio.to_thread(urllib.request.urlopen, asked, timeout=20) as answer:
        body, encoding = answer.read(), answer.headers["Content-Encoding"]

    assert encoding == "gzip"
    assert b"jobs_total 7.0" in gzip.decompress(body)


async def test_who_says_nothing_keeps_nobody_else_waiting(url: str) -> None:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as garbled:
        garbled.sendall(b"\x16\x03\x01 what is this?\r\n\r\n")

        assert (await ask(f"{url}/livez"))[0] == 200


async def test_the_next_broker_has_the_address_at_once(health: checks.Health) -> None:
    """Connections of probes that were closed a moment ago do not keep it."""
    code = (
        "import asyncio, sys\nfrom broker import health\n"
        "async def main():\n"
        "    print(health.serve('127.0.0.1', int(sys.argv[1]), bytes, health.Health()), flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.readline)\n"
        "asyncio.run(main())"
    )
    port = "0"
    for _ in range(2):
        first = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, port, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert first.stdin is not None
        assert first.stdout is not None
        port = (await first.stdout.readline()).decode().strip()
        assert port, "it could not bind"
        assert (await ask(f"http://127.0.0.1:{port}/livez"))[0] == 200  # its side closes first
        first.kill()
        await first.wait()


async def test_an_address_in_use_is_an_error(health: checks.Health) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            checks.serve("127.0.0.1", taken.getsockname()[1], bytes, health)


async def test_who_asks_and_does_not_wait_is_no_error(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Prometheus hangs up when an answer takes longer than it waits."""
    port = int(url.rsplit(":", 1)[1])

    def hang_up() -> None:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    await asyncio.to_thread(hang_up)

    assert "jobs_total 7" in (await ask(f"{url}/metrics"))[1]
    assert "Traceback" not in capfd.readouterr().err
