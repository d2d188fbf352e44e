"""TLS: the broker's certificate is checked against what is trusted."""

from pathlib import Path

import grpc
import pytest
import trustme

from broker.client import Client, Unavailable
from broker.wire.v1 import job_service_pb2_grpc
from tests.client.scripted_broker import IMPATIENT, QUICK, ScriptedBroker, hello


async def test_a_broker_is_trusted_by_its_certificate(tmp_path: Path) -> None:
    ours, others = trustme.CA(), trustme.CA()
    certificate = ours.issue_cert("localhost")
    for name, authority in (("ours.pem", ours), ("others.pem", others)):
        authority.cert_pem.write_to_path(str(tmp_path / name))
    broker = ScriptedBroker()
    server = grpc.aio.server()
    job_service_pb2_grpc.add_JobServiceServicer_to_server(broker, server)
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    await server.start()

    async with Client(f"localhost:{port}", "xs_test", tmp_path / "ours.pem", retry=QUICK) as client:
        receipt = await client.submit(hello())
    async with Client(f"localhost:{port}", "xs_test", tmp_path / "others.pem", retry=IMPATIENT) as stranger:
        with pytest.raises(Unavailable):
            await stranger.submit(hello())
    await server.stop(0)

    assert receipt.job_id == "job-1"
    assert len(broker.keys) == 1
