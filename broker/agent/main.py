"""Put an agent together from its configuration and run it."""

import asyncio
import random
import secrets
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from broker.agent.agent import Agent, Link
from broker.agent.config import AgentConfig, BadConfig, load_config
from broker.agent.engines.local import LocalEngine
from broker.agent.engines.protocol import EngineError
from broker.agent.log import open_log
from broker.clock import SystemClock


async def run_agent(config: AgentConfig, stop: asyncio.Event, *, seed: int | None = None) -> None:
    """Run an agent until `stop` is set; jobs run on after that.

    Args:
        config: as `load_config` returns it.
        stop: set it to end the agent.
        seed: of the agent's luck (its id, its waiting times); None takes one from the system.
    Raises:
        BadConfig: the key file or the CA file cannot be used.
        EngineError: the engine cannot work on this machine as it is configured.
    """
    key = config.read_key()
    if config.tls_ca is not None and not config.tls_ca.is_file():
        raise BadConfig(f"tls_ca: there is no file {config.tls_ca}")
    clock = SystemClock()
    agent = Agent(
        Link(config.endpoint, config.cluster, key, config.tls_ca),
        LocalEngine(config.local_settings(), clock),
        clock=clock,
        luck=random.Random(secrets.randbits(64) if seed is None else seed),  # noqa: S311 - spreads agents, guards nothing
        version=_version(),
        log=open_log(config.log, cluster=config.cluster),
        gate=config.policy_gate(),
        probes=config.probe_commands(),
    )
    await agent.run(stop)


def main(path: Path) -> int:
    """Run the agent of this configuration until SIGTERM or SIGINT. Return the exit status."""
    try:
        asyncio.run(_run_until_told(load_config(path)))
    except (BadConfig, EngineError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _run_until_told(config: AgentConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_agent(config, stop)


def _version() -> str:
    try:
        return version("xisuan")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "unknown"
