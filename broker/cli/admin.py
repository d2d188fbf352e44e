"""Commands for operators: keys, nodes, leases, the audit; quotas and power are in modules of their own."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import audit, months, moves, pauses, power, preview, probes, promises, quotas
from broker.cli.errors import run, usage
from broker.cli.options import AsJson, ClusterName, DryRun, Reason, examples
from broker.cli.output import clock_time, message_data, note, print_json, print_message, show, table, word
from broker.cli.settings import admin_client

if TYPE_CHECKING:
    from broker.wire.v1 import admin_service_pb2

app = typer.Typer(
    name="admin",
    help="For operators: keys, nodes, leases, quotas, power, the audit.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys = typer.Typer(name="keys", help="API keys: make, list, end.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys)
app.add_typer(quotas.app)
app.add_typer(power.app)
app.add_typer(months.app)
app.add_typer(preview.app)
pauses.register(app)
promises.register(app)
moves.register(app)
probes.register_admin(app)
app.command(
    epilog=examples(
        "xisuan admin audit",
        "xisuan admin audit --records lab=/var/lib/xisuan/agents/lab",
        "xisuan admin audit --dsn postgresql://auditor@db/xisuan --json",
    )
)(audit.audit)

Nodes = Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="Names; none means all of the cluster.")]


class Role(StrEnum):
    """What a key allows."""

    CITY = "city"
    AGENT = "agent"
    OPERATOR = "operator"
    OBSERVER = "observer"
    AUDITOR = "auditor"
    OWNER = "owner"
    VOUCHER_OFFICE = "voucher_office"
    ENTERPRISE = "enterprise"


class LeaseState(StrEnum):
    """States of live leases."""

    OFFERED = "offered"
    ACTIVE = "active"
    LOST = "lost"


@keys.command(
    epilog=examples(
        "xisuan admin keys create city ganzhou --note 'login node' --file ganzhou.key",
        "xisuan admin keys create enterprise ganzhou/acme --note 'Acme, build server' --file acme.key",
        "xisuan admin keys create observer --note grafana",
        "xisuan admin keys create owner longdong --file longdong.key",
        "xisuan admin keys create auditor --note 'audit of 2026' --file auditor.key",
        "xisuan admin keys create voucher_office --file ~/.local/share/xisuan/keys/voucher-office.key",
    )
)
def create(
    ctx: typer.Context,
    role: Annotated[Role, typer.Argument(help="What it allows.")],
    subject: Annotated[
        str, typer.Argument(metavar="[SUBJECT]", help="City, cluster, owner or CITY/ENTERPRISE it is for.")
    ] = "",
    note_text: Annotated[str, typer.Option("--note", help="A note for people.")] = "",
    file: Annotated[Path | None, typer.Option(help="Write the key there, readable by you only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key. It is shown this once; only its hash is stored. A city makes those of its enterprises."""

    async def created() -> "admin_service_pb2.CreateKeyResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.create_key(role.value, subject, note=note_text)

    made = run(created(), as_json=as_json)
    if file is not None:
        from broker.client.settings import write_private

        write_private(file, made.api_key + "\n")
        made.api_key = ""
        note(f"key {made.key_id} is in {file}")
    if as_json:
        print_message(made)
    elif file is None:
        note(f"key {made.key_id}; keep it now, it is shown this once:")
        show(made.api_key)


@keys.command(
    epilog=examples(
        "xisuan admin keys generate --file operator.key",
        "xisuan serve --dsn @dsn --set operator_key=operator.key --set policy_key=policy.pem",
    )
)
def generate(
    file: Annotated[Path, typer.Option(help="Write the key there, readable by you only; must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Draw a key that no database knows yet, for the brokers' setting operator_key, which makes it known."""
    from broker.api_key import ApiKey
    from broker.client.settings import write_private

    if file.exists():
        usage(f"{file} is there already: move it away, or name another file", as_json=as_json)
    key = ApiKey.generate()
    write_private(file, key.text + "\n")
    if as_json:
        print_json({"key_id": key.key_id, "file": str(file)})
    else:
        note(f"key {key.key_id} is in {file}")


@keys.command(name="list", epilog=examples("xisuan admin keys list"))
def list_keys(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the keys, without their secrets; with a city's key those of its enterprises."""

    async def listed() -> "list[admin_service_pb2.Key]":
        async with admin_client(ctx) as xisuan:
            return await xisuan.keys()

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"keys": [message_data(one) for one in found]})
        return
    from broker.client.results import moment
    from broker.wire.v1 import admin_service_pb2 as pb

    rows = [
        (
            one.key_id,
            word(pb.Role, one.role, "ROLE_"),
            one.subject,
            one.note,
            clock_time(moment(one.created_at)),
            clock_time(moment(one.revoked_at)) if one.HasField("revoked_at") else "",
        )
        for one in found
    ]
    show(table(["key", "role", "for", "note", "made", "revoked"], rows))


@keys.command(epilog=examples("xisuan admin keys revoke 3f9c0a7be412"))
def revoke(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Public id of the key.")],
    as_json: AsJson = False,
) -> None:
    """End a key at once."""

    async def revoked() -> None:
        async with admin_client(ctx) as xisuan:
            await xisuan.revoke_key(key_id)

    run(revoked(), as_json=as_json)
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        show(f"{key_id} is revoked")


@app.command(epilog=examples("xisuan admin cordon lab node-3 node-4 --reason 'fan noise' --dry-run"))
def cordon(
    ctx: typer.Context,
    cluster: ClusterName,
    reason: Reason,
    nodes: Nodes = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give no new work to nodes; what runs there goes on."""

    async def done() -> list[str]:
        async with admin_client(ctx) as xisuan:
            return await xisuan.cordon(cluster, nodes or (), reason=reason, dry_run=dry_run)

    _tell("cordoned", run(done(), as_json=as_json), dry_run=dry_run, as_json=as_json)


@app.command(epilog=examples("xisuan admin uncordon lab node-3", "xisuan admin uncordon lab      (all of its nodes)"))
def uncordon(
    ctx: typer.Context, cluster: ClusterName, nodes: Nodes = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Give work to nodes again."""

    async def done() -> list[str]:
        async with admin_client(ctx) as xisuan:
            return await xisuan.uncordon(cluster, nodes or (), dry_run=dry_run)

    _tell("opened", run(done(), as_json=as_json), dry_run=dry_run, as_json=as_json)


@app.command(epilog=examples("xisuan admin drain lab node-3 --reason 'new firmware' --dry-run"))
def drain(
    ctx: typer.Context,
    cluster: ClusterName,
    reason: Reason,
    nodes: Nodes = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Empty nodes: no new work, and drained as soon as nothing runs there. --dry-run shows what would be waited for.

    `xisuan admin preview close` also says what the next round would do without these nodes.
    """

    async def done() -> "admin_service_pb2.DrainNodesResponse":
        async with admin_client(ctx) as xisuan:
            return await xisuan.drain(cluster, nodes or (), reason=reason, dry_run=dry_run)

    answer = run(done(), as_json=as_json)
    if as_json:
        print_json({"dry_run": dry_run, **message_data(answer)})
        return
    _tell("draining", list(answer.nodes), dry_run=dry_run, as_json=False)
    if answer.leases:
        show("these leases run there and are waited for:", leases_table(answer.leases))


@app.command(epilog=examples("xisuan admin leases", "xisuan admin leases --state lost"))
def leases(
    ctx: typer.Context,
    state: Annotated[list[LeaseState] | None, typer.Option(help="Only these; may be repeated.")] = None,
    cluster: Annotated[str, typer.Option(help="Only this cluster.")] = "",
    as_json: AsJson = False,
) -> None:
    """List live leases, oldest first."""

    async def listed() -> "list[admin_service_pb2.Lease]":
        async with admin_client(ctx) as xisuan:
            return [one async for one in xisuan.leases(states=[s.value for s in state or ()], cluster=cluster)]

    found = run(listed(), as_json=as_json)
    if as_json:
        print_json({"leases": [message_data(one) for one in found]})
    else:
        show(leases_table(found))


@app.command(
    epilog=examples("xisuan admin write-off lease-42 --reason 'li.na: node-3 is powered off, checked on site'")
)
def write_off(
    ctx: typer.Context,
    lease: Annotated[str, typer.Argument(metavar="LEASE", help="Id of a LOST lease, such as lease-42.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Vouch that nothing of a lost lease runs any more: its cards become free and its job goes on."""

    async def done() -> "admin_service_pb2.Lease":
        async with admin_client(ctx) as xisuan:
            return await xisuan.write_off(lease, reason=reason)

    ended = run(done(), as_json=as_json)
    if as_json:
        print_message(ended)
    else:
        show(f"{lease} of {ended.job_id} is written off: its cards are free")


def _tell(what: str, changed: list[str], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "nodes": changed})
    elif not changed:
        show("nothing to change")
    else:
        show(f"{'would be ' if dry_run else ''}{what}: {', '.join(changed)}")


def leases_table(found: Any) -> object:
    """Return a table of leases."""
    from broker.client.results import moment
    from broker.wire.v1 import admin_service_pb2 as pb

    rows = [
        (
            one.placement.lease_id,
            one.job_id,
            one.city,
            word(pb.LeaseState, one.state, "LEASE_STATE_"),
            f"{one.placement.cluster}/{one.placement.pool}",
            sum(len(node.cards) for node in one.placement.nodes),
            len(one.placement.nodes),
            clock_time(moment(one.offered_at)),
            clock_time(moment(one.started_at)) if one.HasField("started_at") else "",
        )
        for one in found
    ]
    return table(["lease", "job", "city", "state", "where", "cards>", "nodes>", "offered", "started"], rows)
