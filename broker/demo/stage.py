"""Set the demo's stage: one broker with its embedded PostgreSQL, and an agent for each cluster of the laptop world."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from broker.client.admin import AdminClient
from broker.client.retry import RetryPolicy
from broker.client.settings import read_key, read_profile
from broker.demo.programs import DemoFailed, Program
from broker.policy.key_file import NAME
from broker.worlds.loader import bundled, load
from broker.worlds.schema import World

WORLD_NAME: Final = "laptop"
SETTINGS: Final = ("usage_interval_seconds=5", "charge_interval_seconds=60")
"""Of the broker: charges come as often as they may, for a demo does not last for hours."""

READY_SECONDS_MAX: Final = 60.0
PATIENT: Final = RetryPolicy(delay_seconds_max=0.5, give_up_after_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Stage:
    """The running programs and how to reach them."""

    folder: Path
    broker: Program
    agents: dict[str, Program]  # by cluster
    cities: tuple[str, ...]
    stacks: tuple[str, ...]  # software stacks for which there are cards
    console: str  # its address for a browser

    @property
    def home(self) -> Path:
        """The broker's home, with keys and profile."""
        return self.folder / "home"

    @property
    def endpoint(self) -> str:
        """Where the broker listens."""
        return read_profile(self.home)["endpoint"]

    def key(self, name: str) -> str:
        """Return a key that `serve` wrote: "operator", "city-<city>", "agent-<cluster>"."""
        return read_key(self.home / "keys" / f"{name}.key")

    def records(self) -> dict[str, Path]:
        """Return where each cluster's engine keeps its own record."""
        return {cluster: self.folder / "agents" / cluster for cluster in self.agents}


@contextmanager
def set_up(folder: Path | None, *, keep: bool) -> Iterator[Stage]:
    """Start everything and wait until it is ready; at the end stop everything and, without `keep`, remove it.

    Raises: DemoFailed.
    """
    place = Path(tempfile.mkdtemp(prefix="xisuan-demo-")) if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o711)  # jobs of an unprivileged user must reach their own working directories below
    stage = _stage(place)
    clean = False
    try:
        stage.broker.start()
        stage.broker.wait_until((stage.home / "client.json").exists, "no client profile yet")
        _start_agents(stage)
        asyncio.run(_until_attached(stage))
        yield stage
        clean = True
    finally:
        if not keep:
            for agent in stage.agents.values():
                agent.stop()
            stage.broker.stop()
            if clean and folder is None:
                shutil.rmtree(place, ignore_errors=True)


def _stage(place: Path) -> Stage:
    world = _world()
    stacks = {model.model: model.stack for model in world.accelerator_models}
    # One port for the whole demo: a broker that is killed and started again must be found where it was.
    console = f"127.0.0.1:{_free_port()}"
    serve = (
        "serve", "--home", str(place / "home"), "--listen", f"127.0.0.1:{_free_port()}", "--metrics-listen", "",
        "--console", console,
    )  # fmt: skip
    chosen = [word for setting in SETTINGS for word in ("--set", setting)]
    return Stage(
        folder=place,
        broker=Program("broker", (*serve, "--world", WORLD_NAME, *chosen), place / "broker.log"),
        agents={
            c.cluster: Program(
                f"agent {c.cluster}", ("agent", "--config", str(_config(place, c.cluster))), place / f"{c.cluster}.log"
            )
            for c in world.clusters
        },
        cities=tuple(city.city for city in world.cities),
        stacks=tuple(sorted({stacks[pool.model] for c in world.clusters for pool in c.pools})),
        console=f"http://{console}/",
    )


def _config(place: Path, cluster: str) -> Path:
    return place / "agents" / f"{cluster}.yaml"


def _start_agents(stage: Stage) -> None:
    world = _world()
    origins = {model.model: model.origin for model in world.accelerator_models}
    trusted = [(stage.home / NAME).with_suffix(".pub").read_text(encoding="ascii").strip()]
    for cluster in world.clusters:
        state = stage.folder / "agents" / cluster.cluster
        state.mkdir(parents=True, exist_ok=True)
        pools: list[dict[str, Any]] = [
            {
                "pool": pool.pool,
                "model": pool.model,
                "origin": origins[pool.model],
                "nodes": pool.nodes,
                "cards": pool.cards_per_node,
                "cpu_milli": pool.cpu_milli_per_node,
                "memory_mib": pool.memory_mib_per_node,
            }
            for pool in cluster.pools
        ]
        _config(stage.folder, cluster.cluster).write_text(
            yaml.safe_dump(
                {
                    "endpoint": stage.endpoint,
                    "cluster": cluster.cluster,
                    "key_file": str(stage.home / "keys" / f"agent-{cluster.cluster}.key"),
                    "state_dir": str(state),
                    "hub": cluster.hub,
                    "owner": cluster.owner,
                    "policy_keys": trusted,
                    "pools": pools,
                }
            )
        )
        stage.agents[cluster.cluster].start()


async def _until_attached(stage: Stage) -> None:
    """Wait until every agent's inventory is known."""
    wanted = len(stage.agents)
    end = asyncio.get_running_loop().time() + READY_SECONDS_MAX
    async with AdminClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as admin:
        while True:
            live = [c for c in await admin.clusters() if c.pools and c.HasField("heard_at")]
            if len(live) >= wanted:
                return
            for agent in stage.agents.values():
                if agent.process is not None and agent.process.poll() is not None:
                    raise DemoFailed(f"{agent.name} ended:\n{agent.tail()}\nsee {agent.log}")
            if asyncio.get_running_loop().time() > end:
                raise DemoFailed(f"only {len(live)} of {wanted} agents attached; see the logs in {stage.folder}")
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stacks_in(hub: str) -> frozenset[str]:
    """Return the software stacks of a hub's cards."""
    world = _world()
    stacks = {model.model: model.stack for model in world.accelerator_models}
    return frozenset(stacks[pool.model] for c in world.clusters if c.hub == hub for pool in c.pools)


def _world() -> World:
    return load(bundled(WORLD_NAME))
