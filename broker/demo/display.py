"""What a person watches while the demo runs, and the tables at its end."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker.audit.rules import Finding
from broker.client.admin import AdminClient
from broker.client.errors import XisuanError
from broker.demo import money_tables
from broker.demo.money import Money, purses
from broker.demo.replay import Memory
from broker.demo.stage import PATIENT, Stage
from broker.demo.summary import Summary
from broker.wire.v1 import admin_service_pb2 as pb
from broker.wire.v1 import job_pb2

REFRESH_SECONDS = 0.5
_COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "started": "cyan", "leased": "blue"}


@dataclass(slots=True)
class Screen:
    """The live display. On a terminal it redraws itself, elsewhere it prints a line now and then."""

    console: Console
    stage: Stage
    note: str = ""
    programme: str = ""  # whose vouchers are shown

    async def show(self, memory: Memory) -> None:
        """Draw until cancelled; a broker that is away for a moment is said, not raised."""
        async with (
            AdminClient(self.stage.endpoint, self.stage.key("operator"), retry=PATIENT) as admin,
            purses(self.stage, self.programme) as money,
        ):
            with Live(console=self.console, refresh_per_second=4, transient=True) as live:
                overview = pb.GetOverviewResponse()
                ticks = 0
                while True:
                    try:
                        overview = await admin.overview()
                        await money.look()
                    except XisuanError as error:
                        self.note = str(error)
                    live.update(draw(overview, memory, self.note, money.latest))
                    if not self.console.is_terminal and ticks % 10 == 0:
                        self.console.print(f"{_line(overview, memory)}, {money_tables.line(money.latest)}")
                    ticks += 1
                    await asyncio.sleep(REFRESH_SECONDS)


def draw(overview: pb.GetOverviewResponse, memory: Memory, note: str, money: Money | None = None) -> RenderableType:
    """Return the whole screen."""
    done = len(memory.final)
    bar = ProgressBar(total=memory.submitted_of, completed=done, width=40)
    progress = Table.grid(padding=(0, 1))
    progress.add_row(
        "submitted",
        f"{len(memory.acknowledged)}/{memory.submitted_of}",
        "  ended",
        f"{done}/{memory.submitted_of}",
        bar,
    )
    round_line = _round_line(overview.last_round) if overview.HasField("last_round") else Text("no round yet")
    parts: list[RenderableType] = [progress, _queue(overview), _clusters(overview), round_line]
    if money is not None and money.pools:
        parts.append(money_tables.prices(money))
    if money is not None and money.vouchers:
        parts.append(money_tables.vouchers(money))
    parts.append(_events(memory))
    if note:
        parts.append(Text(note, style="yellow"))
    return Panel(Group(*parts), title="Xisuan 西算 · a day of the Philly trace, compressed", border_style="cyan")


def _queue(overview: pb.GetOverviewResponse) -> Table:
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    for entry in overview.jobs:
        counts[entry.city][entry.state] = entry.jobs
    shown = (
        ("waiting", job_pb2.JOB_STATE_PENDING),
        ("leased", job_pb2.JOB_STATE_LEASED),
        ("running", job_pb2.JOB_STATE_RUNNING),
        ("succeeded", job_pb2.JOB_STATE_SUCCEEDED),
        ("failed", job_pb2.JOB_STATE_FAILED),
    )
    table = Table(
        "city", *(name for name, _ in shown), title="queue", title_justify="left", expand=True, box=box.SIMPLE_HEAD
    )
    for city in sorted(counts):
        table.add_row(city, *(str(counts[city].get(state, 0)) for _, state in shown))
    return table


def _clusters(overview: pb.GetOverviewResponse) -> Table:
    table = Table(
        "cluster",
        "hub",
        "pool",
        "model",
        "agent",
        "cards in use",
        title="clusters",
        title_justify="left",
        expand=True,
        box=box.SIMPLE_HEAD,
    )
    for cluster in overview.clusters:
        state = pb.AgentState.Name(cluster.agent).removeprefix("AGENT_STATE_").lower()
        for pool in cluster.pools:
            cell = Table.grid(padding=(0, 1))
            cell.add_row(
                ProgressBar(total=max(1, pool.cards), completed=pool.cards_leased, width=24),
                f"{pool.cards_leased}/{pool.cards}",
            )
            table.add_row(cluster.cluster, cluster.hub, pool.pool, pool.model, state, cell)
    return table


def _round_line(last: pb.Round) -> Text:
    return Text.assemble(
        ("last round ", "bold"),
        f"#{last.round}: {last.jobs} waiting, {last.placed} placed, ",
        (f"gap {last.gap_ppm / 10_000:.2f} %", "bold green" if last.gap_ppm < 10_000 else "bold yellow"),
        f" (proven), planned in {last.plan_millis} ms, verified in {last.verify_millis} ms",
    )


def _events(memory: Memory) -> Table:
    table = Table(
        "city",
        "cursor",
        "job",
        "event",
        "where",
        title="events",
        title_justify="left",
        expand=True,
        box=box.SIMPLE_HEAD,
    )
    for city, event in memory.last_events:
        where = event.placement
        table.add_row(
            city,
            str(event.cursor),
            event.job_id,
            Text(event.kind.value, style=_COLOURS.get(event.kind.value, "")),
            "" if where is None else f"{where.cluster}/{where.pool} {_cards(where.cards)}",
        )
    return table


def _cards(cards_by_node: Mapping[str, Sequence[int]]) -> str:
    return "; ".join(f"{node}: {','.join(map(str, cards))}" for node, cards in cards_by_node.items())


def _line(overview: pb.GetOverviewResponse, memory: Memory) -> str:
    cards = sum(p.cards for c in overview.clusters for p in c.pools)
    used = sum(p.cards_leased for c in overview.clusters for p in c.pools)
    gap = overview.last_round.gap_ppm / 10_000
    return (
        f"submitted {len(memory.acknowledged)}/{memory.submitted_of}, ended {len(memory.final)}, "
        f"cards {used}/{cards}, round {overview.last_round.round}, gap {gap:.2f} %"
    )


def print_summary(console: Console, summary: Summary) -> None:
    """Print the closing table."""
    table = Table("figure", "value", title="The demo in figures", title_justify="left")
    table.add_row("jobs by state", ", ".join(f"{n} {state}" for state, n in summary.jobs_by_state.items()))
    table.add_row("jobs by city", ", ".join(f"{city} {n}" for city, n in summary.jobs_by_city.items()))
    table.add_row("card utilisation", f"{summary.utilisation:.1%} over {summary.makespan_seconds:.1f} s")
    table.add_row("waiting p50 / p99", f"{summary.wait_p50_seconds:.2f} s / {summary.wait_p99_seconds:.2f} s")
    table.add_row("rounds", f"{summary.rounds}, median {summary.round_millis_p50:.0f} ms")
    table.add_row(
        "proven gap p50 / max", f"{summary.gap_ppm_p50 / 10_000:.3f} % / {summary.gap_ppm_max / 10_000:.3f} %"
    )
    table.add_row("attempts beyond the first", str(summary.attempts_beyond_first))
    console.print(table)


def print_audit(console: Console, found: list[Finding], checked: str) -> None:
    """Print what the audit found, or that it found nothing."""
    if not found:
        console.print(f"[bold green]Audit clean[/]: {checked}")
        return
    table = Table(
        "rule", "finding", title=f"AUDIT: {len(found)} findings", title_style="bold red", title_justify="left"
    )
    for finding in found[:50]:
        table.add_row(finding.rule, finding.detail)
    console.print(table)
