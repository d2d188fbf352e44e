"""The command cluster attach: from an inventory file to a registered cluster and an agent that can be started."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.errors import run, usage
from broker.cli.options import AsJson, DryRun
from broker.cli.output import milli, note, print_json, show, table
from broker.cli.settings import admin_client, home_of

if TYPE_CHECKING:
    from broker.agent.config import AgentConfig
    from broker.wire.v1.admin_service_pb2 import GetCatalogueResponse


@dataclass(frozen=True, slots=True)
class Registration:
    """What the broker is told about a cluster."""

    cluster: str
    hub: str
    owner: str
    title: str
    ask_micro_yuan_per_card_hour: dict[str, int]


@dataclass(frozen=True, slots=True)
class AgentFiles:
    """The agent's files, and its configuration as text and as checked."""

    config_path: Path
    key_path: Path
    text: str
    config: "AgentConfig"


def attach(
    ctx: typer.Context,
    cluster: Annotated[str, typer.Option(help="Name of the cluster, a slug.")],
    hub: Annotated[str, typer.Option(help="Hub that it stands in; see `xisuan world show`.")],
    owner: Annotated[str, typer.Option(help="Who owns it, a slug.")],
    inventory: Annotated[Path, typer.Option(help="YAML file with its pools.")],
    title: Annotated[str, typer.Option(help="Name for people [the cluster's name].")] = "",
    ask: Annotated[
        list[str] | None, typer.Option(metavar="MODEL=MICRO_YUAN", help="What a card of a model costs for an hour.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register a cluster and write its agent's configuration and key.

    Which cards are free is not declared: the agent measures it, and respects processes that did not come through here.
    """
    registration = Registration(cluster, hub, owner, title, _asks(ask or [], as_json=as_json))

    async def prepared_and_registered() -> AgentFiles:
        async with admin_client(ctx) as xisuan:
            settings = xisuan.settings
            known = await xisuan.catalogue()
            files = _prepare(
                home_of(ctx), registration, inventory, settings.endpoint, settings.tls_ca, known, as_json=as_json
            )
            if not as_json:
                _show_inventory(files.config)
                if not known.policy_keys:
                    note("the broker signs no placement policies (an older release): this agent will not check any")
            if not dry_run:
                files.config_path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
                key = await xisuan.register_cluster(
                    cluster,
                    hub=hub,
                    owner=owner,
                    title=title,
                    ask_micro_yuan_per_card_hour=registration.ask_micro_yuan_per_card_hour,
                )
                _write(files, key)
        return files

    files = run(prepared_and_registered(), as_json=as_json)
    if as_json:
        print_json(_data(files, registered=not dry_run))
    elif dry_run:
        show(f"would register {cluster} in {hub} for {owner} and write {files.config_path}; nothing was done")
    else:
        note(f"{cluster} is registered; its key is in {files.key_path}. Start its agent with:")
        show(f"xisuan agent --config {files.config_path}")


def _prepare(
    home: Path,
    registration: Registration,
    inventory: Path,
    endpoint: str,
    tls_ca: Path | None,
    known: "GetCatalogueResponse",
    *,
    as_json: bool,
) -> AgentFiles:
    """Return the agent's files, checked as the agent will check them. Ends the program when the inventory is wrong.

    Raises InvalidRequest: the catalogue lacks the hub, a model, or what has an ask.
    """
    import yaml

    from broker.agent.config import BadConfig, parse_config
    from broker.client.settings import KEYS

    cluster = registration.cluster
    config_path = (home / "agents" / f"{cluster}.yaml").absolute()
    key_path = (home / KEYS / f"agent-{cluster}.key").absolute()
    values: dict[str, Any] = {
        "endpoint": endpoint,
        "cluster": cluster,
        "key_file": str(key_path),
        "state_dir": str(config_path.with_suffix("")),
        **({"tls_ca": str(tls_ca.absolute())} if tls_ca else {}),
        "engine": "local",
        "pools": _pools(inventory, as_json=as_json),
    }
    try:
        config = parse_config(yaml.safe_dump(values), source=str(inventory), base=config_path.parent)
        _check_known(registration, config, {h.hub for h in known.hubs}, {m.model for m in known.models})
        # What the agent checks placement policies against; from now on its owner's word, not the broker's.
        origins = {m.model: m.origin for m in known.models}
        values["hub"], values["owner"] = registration.hub, registration.owner
        values["policy_keys"] = list(known.policy_keys)
        values["pools"] = [{"origin": origins[pool["model"]], **pool} for pool in values.pop("pools")]
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        config = parse_config(text, source=str(inventory), base=config_path.parent)
    except BadConfig as error:
        usage(str(error), as_json=as_json)
    if config_path.exists() and config_path.read_text(encoding="utf-8") != text:
        usage(f"{config_path} is there already and differs: move it away, or change it by hand", as_json=as_json)
    return AgentFiles(config_path, key_path, text, config)


def _pools(inventory: Path, *, as_json: bool) -> list[Any]:
    from broker.client import yaml_text

    try:
        data = yaml_text.parse(inventory.read_bytes())
    except (OSError, yaml_text.BadText) as error:
        usage(f"{inventory}: {error}", as_json=as_json)
    if not isinstance(data, dict) or set(data) != {"pools"} or not isinstance(data["pools"], list):
        usage(f"{inventory}: must hold one key, `pools`, with a list of pools (see --help)", as_json=as_json)
    pools: list[Any] = data["pools"]
    return pools


def _check_known(registration: Registration, config: "AgentConfig", hubs: set[str], models: set[str]) -> None:
    """Refuse what the broker would refuse later, when the agent attaches. Raises InvalidRequest."""
    from broker.client import FieldProblem, InvalidRequest

    problems = []
    if registration.hub not in hubs:
        problems.append(FieldProblem("hub", f"is not in the catalogue; there are {', '.join(sorted(hubs))}"))
    for number, pool in enumerate(config.pools):
        if pool.model not in models:
            description = f"{pool.model} is not in the catalogue: see `xisuan world show`"
            problems.append(FieldProblem(f"pools[{number}].model", description))
    offered = {pool.model for pool in config.pools}
    asked = sorted(registration.ask_micro_yuan_per_card_hour.keys() - offered)
    problems += [FieldProblem("ask", f"no pool has model {model}") for model in asked]
    if problems:
        raise InvalidRequest("the cluster cannot be attached", fields=problems, reason="INVALID_REQUEST")


def _write(files: AgentFiles, key: str) -> None:
    from broker.client.settings import write_private

    write_private(files.key_path, key + "\n")
    write_private(files.config_path, files.text)


def _asks(given: list[str], *, as_json: bool) -> dict[str, int]:
    asks = {}
    for text in given:
        model, _, amount = text.partition("=")
        if not amount.isdecimal():
            usage(f"--ask {text[:80]!r} must be MODEL=MICRO_YUAN, such as h20=9000000 for 9 yuan", as_json=as_json)
        asks[model] = int(amount)
    return asks


def _show_inventory(config: "AgentConfig") -> None:
    rows = []
    for pool in config.stock():
        node = pool.nodes[0]
        count = len(pool.nodes)
        named = node.node if count == 1 else f"{node.node} ... {pool.nodes[-1].node}"
        cards = f"{count * node.cards:,}"
        rows.append(
            (pool.pool, pool.model, count, node.cards, cards, milli(node.cpu_milli), node.memory_mib // 1024, named)
        )
    columns = ["pool", "model", "nodes>", "cards each>", "cards>", "cores each>", "GiB each>", "names"]
    show(table(columns, rows, title=f"inventory of {config.cluster}"))


def _data(files: AgentFiles, *, registered: bool) -> dict[str, Any]:
    return {
        "cluster": files.config.cluster,
        "registered": registered,
        "config": str(files.config_path),
        "key_file": str(files.key_path),
        "pools": [pool.model_dump() for pool in files.config.pools],
    }
