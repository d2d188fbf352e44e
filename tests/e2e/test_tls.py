"""Beyond this machine there is no plaintext; with a certificate, client and agent speak TLS."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.conftest import temporary_folder
from tests.deadlines import eventually
from tests.e2e import exchange as running
from tests.e2e.exchange import ASCEND, Exchange, xisuan

pytestmark = pytest.mark.e2e


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    """A broker whose certificate is for this machine's names, signed by an authority of the test's own."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca, chain, key = (tmp_path / name for name in ("ca.pem", "chain.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_pem.write_to_path(key)
    for part in certificate.cert_chain_pems:
        part.write_to_path(chain, append=True)
    with running.exchange(arguments=("--tls-cert", chain, "--tls-key", key), tls_ca=ca) as made:
        yield made


def test_a_broker_refuses_to_listen_beyond_this_machine_without_a_certificate() -> None:
    with temporary_folder() as home:
        told = xisuan("serve", "--home", home, "--listen", "0.0.0.0:0", "--metrics-listen", "", environment={})
        left_running = list(home.rglob("postmaster.pid"))

    assert told.code == 1
    assert "tls_cert" in told.err or "--tls-cert" in told.err
    assert left_running == []


async def test_a_client_with_the_authority_is_served_and_one_without_is_not(exchange: Exchange, tmp_path: Path) -> None:
    trusting = {"XISUAN_TLS_CA": str(exchange.tls_ca)}
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)

    for host in ("127.0.0.1", "localhost"):
        endpoint = f"{host}:{exchange.port}"
        exchange.xisuan("--endpoint", endpoint, "jobs", "--city", "ganzhou", environment=trusting)
    wrong_authority = exchange.try_xisuan(
        "--tls-ca", other, "--patience-seconds", "1", "jobs", "--city", "ganzhou", environment={}
    )
    in_the_clear = exchange.home / "client.json"

    assert wrong_authority.code == 3
    assert "tls_ca" in in_the_clear.read_text()


async def test_an_agent_speaks_tls_too(exchange: Exchange) -> None:
    exchange.start_agent(ASCEND, endpoint=f"localhost:{exchange.port}", tls_ca=str(exchange.tls_ca))

    await exchange.attached(ASCEND)

    async with exchange.client() as city:

        async def answers() -> bool:
            return await city.latest_cursor() == 0

        await eventually(answers)
