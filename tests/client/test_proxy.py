"""A call in the clear stays on this machine, whatever the environment says about proxies."""

import pytest

from tests.client.scripted_broker import IMPATIENT, ScriptedBroker, client_of, hello


async def test_no_proxy_gets_to_see_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """$http_proxy names another machine as a rule; gRPC would send it the whole conversation, key included."""
    broker = ScriptedBroker()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody listens there: a call through it would fail
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:1")

    async with client_of(broker, IMPATIENT) as client:
        receipt = await client.submit(hello())

    assert receipt.job_id == "job-1"
