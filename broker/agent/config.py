"""The agent's configuration: a YAML file, checked whole before anything starts.

    endpoint: 127.0.0.1:7443        # where the broker listens
    cluster: gansu-lab              # the cluster that this agent speaks for
    key_file: agent-gansu-lab.key   # its API key; readable by its owner only
    state_dir: gansu-lab            # its memory; must survive a restart of the agent
    hub: qingyang                   # with policy_keys: where it stands and whose it is, checked against every
    owner: gansu-lab                #   lease's signed placement policy
    policy_keys: ["ed25519:..."]    # the broker's public keys
    engine: local
    pools:
      - {pool: ascend, model: ascend-910b, origin: domestic, nodes: 4, cards: 8, cpu_milli: 192000, memory_mib: 1048576}

Paths are relative to the file. Unknown keys are refused with a suggestion.
"""

import ipaddress
import re
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from broker.agent.engines.local import LocalSettings
from broker.agent.engines.places import Retention
from broker.agent.orders import NodeStock, PoolStock
from broker.agent.policy import PolicyGate, place
from broker.agent.probe_command import ProbeCommands, own
from broker.ids import NODE_NAME, SLUG
from broker.policy.keys import BadKey, TrustedKeys

_BYTES_MAX: Final = 4 * 1024 * 1024
_NODES_MAX: Final = 20_000
_POOLS_MAX: Final = 64
_ENDPOINT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")


class BadConfig(ValueError):
    """The configuration cannot be used; the message names every wrong field and says what would be right."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _slug(value: str) -> str:
    if not SLUG.fullmatch(value):
        raise ValueError("must be 1 to 63 characters of a-z, 0-9 and '-', starting with a letter")
    return value


class PoolConfig(_Strict):
    """Equal nodes."""

    pool: str
    """Its name, a slug, unique within the cluster."""
    model: str
    """Accelerator model, as the catalogue names it."""
    origin: Literal["", "domestic", "foreign"] = ""
    """Origin of that model, as the cluster's owner knows it; needed with `policy_keys`."""
    nodes: Annotated[int, Field(ge=1, le=_NODES_MAX)] | Annotated[list[str], Field(min_length=1, max_length=_NODES_MAX)]
    """How many, named "<cluster>-<pool>-1" and so on; or their names."""
    cards: Annotated[int, Field(ge=0, le=64)]
    """Whole cards in each node."""
    cpu_milli: Annotated[int, Field(ge=0, le=4_294_967_295)]
    """CPU of each node, in thousandths of a core."""
    memory_mib: Annotated[int, Field(ge=0, le=4_294_967_295)]
    """Memory of each node in MiB."""
    nodes_per_domain: Annotated[int, Field(ge=0, le=20_000)] = 0
    """Nodes under one leaf switch or in one super-node, in the order in which they are named; 0: not known."""

    _slugs = field_validator("pool", "model")(_slug)

    @field_validator("nodes")
    @classmethod
    def _names(cls, value: int | list[str]) -> int | list[str]:
        for name in value if isinstance(value, list) else ():
            if not NODE_NAME.fullmatch(name) or name.startswith("."):
                raise ValueError(
                    f"{name[:80]!r} is no name of a node: use a-z, A-Z, 0-9, '-', '_' and '.', and not '.' first"
                )
        return value

    def stock(self, cluster: str) -> PoolStock:
        """Return the pool as the agent works with it."""
        names = self.nodes if isinstance(self.nodes, list) else self._numbered(cluster, self.nodes)
        nodes = tuple(
            NodeStock(name, self.cards, self.cpu_milli, self.memory_mib, self._domain(i))
            for i, name in enumerate(names)
        )
        return PoolStock(self.pool, self.model, nodes)

    def _domain(self, position: int) -> str:
        """Return the fabric domain of the node in this place; names count up from 0001, so that they sort."""
        return f"{self.pool[:50]}-{position // self.nodes_per_domain + 1:04}" if self.nodes_per_domain else ""

    def _numbered(self, cluster: str, count: int) -> list[str]:
        width = len(str(count))
        return [f"{cluster}-{self.pool}-{number:0{width}}" for number in range(1, count + 1)]


class AgentConfig(_Strict):
    """Everything that an agent needs to know."""

    endpoint: str
    """Where the broker listens, HOST:PORT."""
    cluster: str
    """The cluster that this agent speaks for."""
    key_file: Path
    """File with its API key; readable by its owner only."""
    state_dir: Path
    """Its memory and the engine's record; must survive a restart of the agent."""
    hub: str = ""
    """Hub that the cluster stands in; needed with `policy_keys`."""
    owner: str = ""
    """Who owns the cluster; needed with `policy_keys`."""
    policy_keys: Annotated[list[str], Field(max_length=16)] = Field(default_factory=list)
    """Public keys of the broker, each as "ed25519:" and Base64. With them a lease starts only when its placement policy
    is signed by one of them and holds for the hub, owner and origins named here; without any nothing is checked."""
    tls_ca: Path | None = None
    """Certificates that the broker's is checked against; needed as soon as the broker is not on this machine."""
    engine: Literal["local"] = "local"
    """What runs the jobs; "local" runs them as processes on this machine, on emulated cards."""
    run_as: Annotated[str, Field(min_length=1, max_length=32)] = "auto"
    """User of the jobs: "auto", "each-lease" (a number of its own for each), or the name of an account; never root."""
    work_dir: Path | None = None
    """Where jobs' working directories are made; by default beside the state, when jobs can reach that."""
    log_bytes_max: Annotated[int, Field(ge=1024, le=1 << 40)] = 64 * 1024 * 1024
    """Most bytes that are kept of one output of one task."""
    retention_hours: Annotated[float, Field(ge=0, le=87_600)] = 168.0
    """How long output and working directories of ended leases are kept."""
    retained_leases_max: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    """Most ended leases whose output and working directories are kept."""
    probe_command: Annotated[
        dict[str, Annotated[list[str], Field(min_length=1, max_length=64)]], Field(max_length=64)
    ] = Field(default_factory=dict)
    """What a probe runs on real cards, by software stack; `broker/agent/probe.py` says what it has to print. Stacks
    that are not named run the agent's own program, which measures the processors of this machine."""
    log: Literal["console", "json"] = "console"
    """How the agent's own log lines look."""
    pools: Annotated[list[PoolConfig], Field(min_length=1, max_length=_POOLS_MAX)]
    """Its inventory."""

    _slugs = field_validator("cluster")(_slug)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        found = _ENDPOINT.fullmatch(self.endpoint)
        if found is None or not 0 < int(found["port"]) < 65536:
            raise ValueError("endpoint: must be HOST:PORT, for example 127.0.0.1:7443")
        if self.tls_ca is None and not _is_loopback(found["host"]):
            raise ValueError(
                "tls_ca: the broker is not on this machine, and the key must not travel in the clear: name a CA file"
            )
        self._check_policy_fields()
        names = [node.node for pool in self.stock() for node in pool.nodes]
        twice = (
            next((name for name in sorted(set(names)) if names.count(name) > 1), None)
            if len(set(names)) < len(names)
            else None
        )
        if twice is not None:
            raise ValueError(f"pools: node {twice!r} is there twice: names are unique within the cluster")
        if len({pool.pool for pool in self.pools}) < len(self.pools):
            raise ValueError("pools: a pool is there twice: names are unique within the cluster")
        return self

    def _check_policy_fields(self) -> None:
        if not self.policy_keys:
            return
        for name in ("hub", "owner"):
            if not SLUG.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}: needed with policy_keys, which are checked against it: write its slug")
        missing = next((pool.pool for pool in self.pools if not pool.origin), None)
        if missing is not None:
            raise ValueError(f"pools: {missing} has no origin, needed with policy_keys: write domestic or foreign")
        try:
            TrustedKeys.parse(self.policy_keys)
        except BadKey as error:
            raise ValueError(f"policy_keys: {error}") from error

    def policy_gate(self) -> PolicyGate | None:
        """Return the check of placement policies, None without keys."""
        if not self.policy_keys:
            return None
        origins = {pool.pool: pool.origin for pool in self.pools}
        here = place(self.cluster, hub=self.hub, owner=self.owner, origins=origins, pools=self.stock())
        return PolicyGate(TrustedKeys.parse(self.policy_keys), here)

    def probe_commands(self) -> ProbeCommands:
        """Return what probes run here."""
        return ProbeCommands({stack: tuple(words) for stack, words in self.probe_command.items()}, own())

    def stock(self) -> tuple[PoolStock, ...]:
        """Return the inventory."""
        return tuple(pool.stock(self.cluster) for pool in self.pools)

    def local_settings(self) -> LocalSettings:
        """Return what the local engine needs to know."""
        return LocalSettings(
            state_dir=self.state_dir,
            pools=self.stock(),
            work_dir=self.work_dir,
            run_as=self.run_as,
            log_bytes_max=self.log_bytes_max,
            retention=Retention(self.retention_hours, self.retained_leases_max),
        )

    def read_key(self) -> str:
        """Return the API key. Raise BadConfig when the file cannot be used or others can read it."""
        try:
            mode = self.key_file.stat().st_mode
            key = self.key_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadConfig(f"key_file: {self.key_file} cannot be read: {error}") from error
        if stat.S_IMODE(mode) & 0o077:
            raise BadConfig(f"key_file: others can read {self.key_file}: chmod 600 {self.key_file}")
        if not key or not key.isprintable() or " " in key:
            raise BadConfig(f"key_file: {self.key_file} does not hold one API key on one line")
        return key


def load_config(path: Path) -> AgentConfig:
    """Read and check the file. Raise BadConfig with everything that is wrong in it."""
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise BadConfig(f"{path}: larger than {_BYTES_MAX} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} cannot be read: {error}") from error
    return parse_config(text, source=str(path), base=path.resolve().parent)


def parse_config(text: str, *, source: str, base: Path) -> AgentConfig:
    """Check the text of a file; paths in it are relative to `base`. Raise BadConfig with everything that is wrong."""
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise BadConfig(f"{source}: aliases (*name) are not allowed")  # the means of every YAML bomb
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise error if isinstance(error, BadConfig) else BadConfig(f"{source}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise BadConfig(f"{source}: must be a mapping with the keys {', '.join(AgentConfig.model_fields)}")
    for key in ("key_file", "state_dir", "tls_ca", "work_dir"):
        if isinstance(values.get(key), str):
            values[key] = base / _path(f"{source}: {key}", values[key])
    try:
        return AgentConfig.model_validate(values)
    except ValidationError as error:
        raise BadConfig(f"{source}: " + "; ".join(_problems(error))) from None


def _path(field: str, text: str) -> Path:
    """Return the path with "~" and "~user" filled in. Raise BadConfig when it can be none."""
    if "\0" in text:
        raise BadConfig(f"{field}: a path holds no zero byte")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise BadConfig(f"{field}: {text[:80]!r} is in the home of nobody: write the whole path") from None


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        place = problem["loc"]
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
        if problem["type"] == "extra_forbidden":
            yield f"{field}: unknown key{_suggestion(place)}"
        else:
            text = problem["msg"].removeprefix("Value error, ")
            yield f"{field}: {text}" if field else text


def _suggestion(place: tuple[Any, ...]) -> str:
    known: type[BaseModel] = PoolConfig if place[0] == "pools" and len(place) > 1 else AgentConfig
    near = get_close_matches(str(place[-1]), known.model_fields, n=1)
    return f", did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known.model_fields)}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
