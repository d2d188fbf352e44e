"""A real Prometheus, as the deployment configures it, for tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from deploy.grafana.ask import Prometheus, Refused
from tests.deadlines import eventually
from tests.e2e.exchange import free_port

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"


def needed(program: str) -> str:
    """Return where a program is that `make setup` installs. Where it must be there, its absence fails."""
    found = shutil.which(program)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{program} is missing: run 'make setup'")
    if found is None:
        pytest.skip(f"{program} is missing: run 'make setup'")
    return found


@contextmanager
def prometheus(folder: Path, target: str, seconds: int = 1) -> Iterator[Prometheus]:
    """Run a Prometheus with the deployment's configuration and rules, but one target and a faster pulse."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"}
    config["rule_files"] = [str(PROMETHEUS / "rules" / "*.rules.yaml")]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                needed("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


async def ready(server: Prometheus) -> None:
    """Wait until it has scraped its target."""

    async def scraped() -> bool:
        try:
            return bool(server.ask("query", query='up{job="xisuan"} == 1')["result"])
        except Refused:
            return False

    await eventually(scraped, seconds=30)
