"""An agent beside its broker talks to it directly, whatever the environment says about proxies."""

from pathlib import Path

import pytest

from tests.agent.scripted_broker import ScriptedBroker, serving
from tests.agent.test_agent import config, running
from tests.deadlines import eventually


async def test_no_proxy_gets_to_see_the_key(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$http_proxy names another machine as a rule; gRPC would send it the whole conversation, key included."""
    broker = ScriptedBroker()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody listens there: a stream through it would break
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")

    async def has_reported() -> bool:
        return bool(broker.streams and broker.streams[0].reports)

    async with serving(broker), running(config(open_folder, broker.port)):
        await eventually(has_reported)
