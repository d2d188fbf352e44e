"""The client needs nothing of the broker but the wire."""

import json
import subprocess
import sys


def test_importing_the_client_brings_nothing_of_the_broker() -> None:
    """Whoever has grpcio, protobuf, pydantic and PyYAML can use it."""
    code = "import broker.client, broker.client.job_file, json, sys; print(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    modules = json.loads(out)
    rooms = {".".join(name.split(".")[:2]) for name in modules if name.startswith("broker.")}

    assert rooms == {"broker.client", "broker.wire", "broker.ids", "broker.private_file"}
    assert not {"asyncpg", "numpy", "ortools", "typer", "rich", "structlog", "scheduler"} & set(modules)
