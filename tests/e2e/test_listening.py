"""Where a broker listens, and how: beyond this machine there is no plaintext."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from broker import postgres
from broker.bootstrap import local_endpoint
from broker.client.settings import host_of
from broker.rpc.tls import ListenAddress
from tests.conftest import temporary_folder
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, Exchange, xisuan

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module", params=[0, 1], ids=["one-process", "call-process"])
def exchange(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """A broker whose certificate is for this machine's names, signed by an authority of the test's own."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca, chain, key = (folder / name for name in ("ca.pem", "chain.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    tls = ("--tls-cert", chain, "--tls-key", key)
    with running.exchange(f"call_processes={request.param}", arguments=tls, tls_ca=ca) as made:
        yield made


def test_a_broker_refuses_to_listen_beyond_this_machine_without_a_certificate() -> None:
    with temporary_folder() as home:
        told = xisuan("serve", "--home", home, "--listen", "0.0.0.0:0", "--metrics-listen", "", environment={})
        made = list(home.iterdir())

    assert told.code == 1
    assert "--tls-cert" in told.err
    assert made == []


def test_a_broker_says_which_address_is_taken() -> None:
    """The address of metrics is one that a second broker on the machine easily forgets."""
    with temporary_folder() as home, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = xisuan("serve", "--home", home, "--listen", "127.0.0.1:0", "--metrics-listen", address, environment={})
        postgres.destroy(home / "postgres")

    assert told.code == 1
    assert f"{address} cannot be bound for metrics" in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("listen", "endpoint"),
    [
        ("127.0.0.1:0", "127.0.0.1:7443"),
        ("[::1]:7443", "[::1]:7443"),
        ("broker.example:7443", "broker.example:7443"),
        ("0.0.0.0:7443", "localhost:7443"),
        ("[::]:0", "localhost:7443"),
        (":7443", "localhost:7443"),
    ],
)
def test_clients_of_this_machine_get_an_endpoint_that_they_can_call(listen: str, endpoint: str) -> None:
    """Whatever the broker listens on, the profile that it writes can be used as it is."""
    written = local_endpoint(ListenAddress.parse(listen), 7443)

    assert written == endpoint
    assert host_of(written)


async def test_a_client_with_the_authority_is_served_and_one_without_is_not(exchange: Exchange, tmp_path: Path) -> None:
    trusting = {"XISUAN_TLS_CA": str(exchange.tls_ca)}
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)

    for host in ("127.0.0.1", "localhost"):
        endpoint = f"{host}:{exchange.port}"
        exchange.xisuan("--endpoint", endpoint, "jobs", "--city", "ganzhou", environment=trusting)
    exchange.xisuan("jobs", "--city", "ganzhou")  # the profile knows the certificate

    impatient = ("--patience-seconds", "1", "jobs", "--city", "ganzhou", "--json")
    refused = exchange.try_xisuan("--tls-ca", stranger, *impatient)

    assert refused.code == 3
    assert "UNAVAILABLE" in refused.err


async def test_an_agent_speaks_tls_too(exchange: Exchange) -> None:
    exchange.start_agent(ASCEND, endpoint=f"localhost:{exchange.port}", tls_ca=str(exchange.tls_ca))

    await exchange.attached(ASCEND)

    assert await exchange.agent_state(ASCEND) == "live"
