"""Commands about clusters: clusters, nodes, cluster attach."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.attach import attach
from broker.cli.errors import run
from broker.cli.options import AsJson, ClusterName, examples
from broker.cli.output import clock_time, message_data, milli, print_json, show, table, word, yuan
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("xisuan clusters", "xisuan clusters --hub qingyang --json"))(clusters)
    app.command(epilog=examples("xisuan nodes qingyang-a", "xisuan nodes qingyang-a --json | jq '.nodes[].node'"))(
        nodes
    )
    group = typer.Typer(
        name="cluster", help="Bring a cluster into the exchange.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command(
        epilog=examples(
            "xisuan cluster attach --cluster lab --hub qingyang --owner lab --inventory pools.yaml --dry-run",
            "xisuan cluster attach --cluster lab --hub qingyang --owner lab --inventory pools.yaml --ask h20=9000000",
            "The inventory is YAML:",
            "pools: [{pool: a, model: h20, nodes: 4, cards: 8, cpu_milli: 64000, memory_mib: 1048576}]",
        )
    )(attach)

    @group.callback()
    def _only_groups() -> None:
        """Bring a cluster into the exchange."""

    app.add_typer(group)


def clusters(
    ctx: typer.Context,
    hub: Annotated[str, typer.Option(help="Only clusters of this hub.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show clusters, their pools and the use of their cards."""

    async def listed() -> "list[admin_service_pb2.Cluster]":
        async with admin_client(ctx) as xisuan:
            return await xisuan.clusters(hub=hub)

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"clusters": [message_data(one) for one in found]})
        return
    columns = [
        "cluster", "title", "hub", "owner", "engine", "agent", "heard", "pool", "model", "nodes>", "cards>", "leased>",
        "foreign>", "closed>", "FP16 P>", "racks>", "ask/card·h>",
    ]  # fmt: skip
    show(table(columns, [row for one in found for row in _pool_rows(one)]))


def nodes(ctx: typer.Context, cluster: ClusterName, as_json: AsJson = False) -> None:
    """Show the nodes of a cluster: which cards are leased, which are in foreign use."""

    async def listed() -> "list[admin_service_pb2.Node]":
        async with admin_client(ctx) as xisuan:
            return [node async for node in xisuan.nodes(cluster)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"nodes": [message_data(one) for one in found]})
        return
    from broker.wire.v1 import admin_service_pb2 as pb

    columns = ["node", "pool", "mode", "cards>", "leased", "foreign", "cores>", "GiB>", "remark"]
    rows = [
        (
            one.node,
            one.pool,
            "down" if one.down else word(pb.NodeMode, one.mode, "NODE_MODE_"),
            one.cards,
            _ranges(one.leased_cards),
            _ranges(one.foreign_cards),
            milli(one.cpu_milli),
            milli(one.memory_mib * 1000 // 1024),
            "; ".join(text for text in (one.mode_reason, one.detail) if text),
        )
        for one in found
    ]
    show(table(columns, rows))


def _pool_rows(one: "admin_service_pb2.Cluster") -> list[tuple[object, ...]]:
    """Return a row for each pool; the cluster's own facts stand in the first one only."""
    from broker.client.results import moment
    from broker.wire.v1 import admin_service_pb2 as pb

    heard = clock_time(moment(one.heard_at)) if one.HasField("heard_at") else ""
    agent = word(pb.AgentState, one.agent, "AGENT_STATE_")
    facts: tuple[object, ...] = (one.cluster, one.title, one.hub, one.owner, one.engine, agent, heard)
    if not one.pools:
        return [(*facts, "(none yet)", *("",) * 9)]
    rows = []
    for pool in one.pools:
        figures = [f"{n:,}" for n in (pool.nodes, pool.cards, pool.cards_leased, pool.cards_foreign, pool.cards_closed)]
        racks = milli(pool.racks_milli) if pool.racks_milli else ""
        ask = yuan(pool.ask_micro_yuan_per_card_hour)
        rows.append((*facts, pool.pool, pool.model, *figures, milli(pool.fp16_milli_pflops), racks, ask))
        facts = ("",) * len(facts)
    return rows


def _ranges(indices: Iterable[int]) -> str:
    """Return indices of cards as people write them: 0-3,6."""
    numbers = sorted(indices)
    told: list[str] = []
    start = 0
    for position, number in enumerate(numbers):
        if position + 1 < len(numbers) and numbers[position + 1] == number + 1:
            continue
        first = numbers[start]
        told.append(str(first) if first == number else f"{first}-{number}")
        start = position + 1
    return ",".join(told)
