"""What a person watches while enterprises fight for a budget, and the tables at the end."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker.client.admin import AdminClient
from broker.client.errors import XisuanError
from broker.client.results import Job, JobState
from broker.demo import money_tables
from broker.demo.display import REFRESH_SECONDS
from broker.demo.money import Money, purses, used
from broker.demo.money_tables import yuan
from broker.demo.replay import Memory
from broker.demo.rush_books import Books
from broker.demo.rush_plan import Bid
from broker.demo.stage import PATIENT, Stage
from broker.wire.v1 import admin_service_pb2 as pb

LAST_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Won:
    """A grant, in micro-yuan, and what the budget had after it."""

    voucher: str
    micro_yuan: int
    left_micro_yuan: int


@dataclass(slots=True)
class Fight:
    """How the fight stands, as enterprises and officers were told."""

    bids: Sequence[Bid]
    budget_micro_yuan: int
    applied: int = 0
    won: dict[str, Won] = field(default_factory=dict)  # by enterprise
    lost: dict[str, str] = field(default_factory=dict)  # enterprise -> reason
    jobs: dict[str, str] = field(default_factory=dict)  # enterprise -> job
    news: list[tuple[str, str, str]] = field(default_factory=list)  # enterprise, what, what is left
    money: Money = field(default_factory=Money)
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.memory.submitted_of = len(self.bids)

    @property
    def left(self) -> int:
        """The least that the budget was told to have, in micro-yuan: answers do not come in order."""
        return min((won.left_micro_yuan for won in self.won.values()), default=self.budget_micro_yuan)

    def win(self, bid: Bid, won: Won) -> None:
        """Take note of a grant."""
        self.won[bid.enterprise] = won
        self.news.append((bid.enterprise, f"granted {yuan(won.micro_yuan)}", f"{yuan(won.left_micro_yuan)} left"))

    def lose(self, bid: Bid, reason: str) -> None:
        """Take note of a refusal."""
        self.lost[bid.enterprise] = reason
        self.news.append((bid.enterprise, f"refused {yuan(bid.micro_yuan)}", reason))

    def told(self) -> str:
        """Return how it stands, in a few words."""
        jobs = len(self.bids)
        return (
            f"applied {self.applied}/{jobs}, granted {len(self.won)}, refused {len(self.lost)}, "
            f"budget {yuan(self.left)} left; jobs submitted {len(self.memory.acknowledged)}, "
            f"ended {len(self.memory.final)}"
        )


async def show(stage: Stage, console: Console, fight: Fight, programme: str) -> None:
    """Draw until cancelled."""
    async with (
        AdminClient(stage.endpoint, stage.key("operator"), retry=PATIENT) as admin,
        purses(stage, programme) as money,
    ):
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            overview, note, ticks = pb.GetOverviewResponse(), "", 0
            while True:
                try:
                    overview, fight.money = await admin.overview(), await money.look()
                    note = ""
                except XisuanError as error:
                    note = str(error)
                live.update(draw(fight, overview, note))
                if not console.is_terminal and ticks % 5 == 0:
                    console.print(f"{fight.told()}, {_cards(overview)}, {money_tables.line(fight.money)}")
                ticks += 1
                await asyncio.sleep(REFRESH_SECONDS)


def draw(fight: Fight, overview: pb.GetOverviewResponse, note: str) -> RenderableType:
    """Return the whole screen."""
    gone = fight.budget_micro_yuan - fight.left
    held = sum(v.held_micro_yuan for v in fight.money.vouchers)
    bars = Table.grid(padding=(0, 1))
    for name, done, of, told in (
        ("budget granted", gone, fight.budget_micro_yuan, f"{yuan(gone)} of {yuan(fight.budget_micro_yuan)} yuan"),
        (
            "answered",
            len(fight.won) + len(fight.lost),
            len(fight.bids),
            f"{len(fight.won)} won, {len(fight.lost)} lost",
        ),
        ("held of vouchers", held, max(1, gone), f"{yuan(held)} yuan"),
        ("jobs ended", len(fight.memory.final), len(fight.bids), f"{len(fight.memory.final)} of {len(fight.bids)}"),
    ):
        bars.add_row(name, ProgressBar(total=of, completed=done, width=40), told)
    news = Table("enterprise", "told", "", title="who got what", title_justify="left", expand=True, box=box.SIMPLE_HEAD)
    for enterprise, what, more in fight.news[-LAST_SHOWN:]:
        news.add_row(enterprise, Text(what, style="green" if what.startswith("granted") else "red"), more)
    parts: list[RenderableType] = [bars, Text(_cards(overview)), money_tables.prices(fight.money), news]
    if note:
        parts.append(Text(note, style="yellow"))
    title = f"Xisuan 西算 · {len(fight.bids)} enterprises, one budget"
    return Panel(Group(*parts), title=title, border_style="cyan")


def _cards(overview: pb.GetOverviewResponse) -> str:
    pools = [pool for cluster in overview.clusters for pool in cluster.pools]
    return f"cards in use {sum(p.cards_leased for p in pools)}/{sum(p.cards for p in pools)}"


def print_end(console: Console, fight: Fight, books: Books, jobs: Sequence[Job], money: Money) -> None:
    """Print who got what by city, and what the books say of the budget."""
    table = Table("city", title="Who got what, ¥", title_justify="left")
    for name in ("enterprises", "vouchers", "granted", "too late", "jobs done", "paid by voucher"):
        table.add_column(name, justify="right")
    by_city: dict[str, list[Bid]] = {}
    for bid in fight.bids:
        by_city.setdefault(bid.city, []).append(bid)
    done = Counter(job.city for job in jobs if job.state is JobState.SUCCEEDED)
    paid = Counter[str]()
    for voucher in money.vouchers:
        paid[voucher.city] += used(voucher)
    rows = []
    for city, bids in sorted(by_city.items()):
        won = [fight.won[bid.enterprise] for bid in bids if bid.enterprise in fight.won]
        rows.append((len(bids), len(won), sum(w.micro_yuan for w in won), len(bids) - len(won), done[city], paid[city]))
        table.add_row(city, *_row(rows[-1]))
    table.add_section()
    table.add_row("total", *_row(tuple(map(sum, zip(*rows, strict=True)))))
    console.print(table)
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(Counter(fight.lost.values()).items()))
    console.print(f"refused: {reasons or 'nobody'}")
    _print_books(console, fight, books)


def _row(cells: tuple[int, ...]) -> list[str]:
    enterprises, vouchers, granted, late, done, paid = cells
    return [str(enterprises), str(vouchers), yuan(granted), str(late), str(done), yuan(paid)]


def _print_books(console: Console, fight: Fight, books: Books) -> None:
    total = books.granted + books.left
    console.print(
        f"granted {yuan(books.granted)} + left {yuan(books.left)} = {yuan(total)}, "
        f"the budget was {yuan(fight.budget_micro_yuan)}; it never had less than {yuan(books.lowest)}"
    )
    console.print(f"vouchers held {yuan(books.held_most)} at most at a time, for jobs that ask for a month")
    if books.problems:
        console.print(f"[bold red]The books are wrong[/]: {'; '.join(books.problems)}")
        return
    console.print(
        f"[bold green]Books verified[/]: {books.transactions} transactions, each hash right, no voucher and no budget "
        f"ever below zero; the last one is {books.last_sha256}"
    )
