"""Tables of the demo's money: spot prices, vouchers, an invoice in short, a budget. Pure: answers in, tables out."""

from collections import defaultdict
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from broker.demo.money import Closing, Money, used
from broker.papers.fen import exact_yuan
from broker.papers.paper import Paper


def yuan(micro_yuan: int) -> str:
    """Return an amount in yuan, exactly, with a column's width."""
    return f"{micro_yuan // 1_000_000:,}.{micro_yuan % 1_000_000:06d}"


def prices(money: Money) -> Table:
    """Return what cards cost now, in yuan per card-hour: the ask, and the spot price of one card and of most."""
    table = _live("prices, ¥ per card-hour", "cluster", "model", "ask>", "spot: one card>", "largest>")
    for pool in money.pools:
        spots = [size.spot_micro_yuan_per_card_hour for size in pool.sizes]
        ask = pool.ask_micro_yuan_per_card_hour
        cells = [_moved(spot, ask) for spot in (spots[:1] + spots[-1:] if spots else [ask, ask])]
        table.add_row(pool.cluster, pool.model, exact_yuan(ask), *cells)
    return table


def vouchers(money: Money) -> Table:
    """Return what vouchers have given: held for work that runs, used for work that is done."""
    table = _live("vouchers, ¥", "city", "enterprise", "voucher", "granted>", "held>", "used>", "left>")
    for one in money.vouchers:
        table.add_row(
            one.city,
            one.enterprise,
            one.voucher,
            exact_yuan(one.granted_micro_yuan),
            yuan(one.held_micro_yuan),
            yuan(used(one)),
            yuan(one.available_micro_yuan),
        )
    return table


def line(money: Money) -> str:
    """Return the same in a few words, for where nothing can be redrawn."""
    held, gone = sum(v.held_micro_yuan for v in money.vouchers), sum(used(v) for v in money.vouchers)
    spots = [size.spot_micro_yuan_per_card_hour for pool in money.pools for size in pool.sizes]
    told = f"spot {exact_yuan(min(spots))} to {exact_yuan(max(spots))} yuan/card-hour, " if spots else ""
    return f"{told}vouchers {yuan(held)} held, {yuan(gone)} used"


def print_closing(console: Console, closing: Closing) -> None:
    """Print the invoice in short and the budget."""
    console.print(invoice(closing.invoice))
    console.print(budget(closing))
    forecast = closing.forecast
    for what, burn in (("the budget, by grants,", forecast.budget), ("what is granted, by use,", forecast.granted)):
        day = f"lasts until {burn.runs_out}" if burn.runs_out else "is not used up at this rate"
        console.print(f"{what} {day} ({exact_yuan(burn.micro_yuan_per_day)} yuan a day; {forecast.method})")
    if closing.open_holds:
        console.print(f"[yellow]{closing.open_holds} holds are not settled yet: what they come to is not in these[/]")


@dataclass(slots=True)
class _Row:
    leases: int = 0
    price: int = 0
    by_voucher: int = 0


def invoice(paper: Paper) -> Table:
    """Return an invoice in short: by cluster and model instead of by lease, and who paid."""
    state = "provisional, its month is open" if paper.provisional_at is not None else "final"
    rows: dict[tuple[str, str, str], _Row] = defaultdict(_Row)
    for each in paper.lines:
        row = rows[each.hub, each.cluster, each.model]
        row.leases += 1
        row.price += each.micro_yuan
        row.by_voucher += each.voucher_micro_yuan
    table = Table(
        "hub", "cluster", "model", title=f"Invoice {paper.party}, {paper.month} ({state}), ¥", title_justify="left"
    )
    for name in ("leases", "price", "by voucher", "paid by the city"):
        table.add_column(name, justify="right")
    for place, row in sorted(rows.items()):
        table.add_row(*place, str(row.leases), yuan(row.price), yuan(row.by_voucher), yuan(row.price - row.by_voucher))
    table.add_section()
    all_leases, price = len(paper.lines), sum(row.price for row in rows.values())
    by_voucher = sum(row.by_voucher for row in rows.values())
    table.add_row("total", "", "", str(all_leases), yuan(price), yuan(by_voucher), yuan(price - by_voucher))
    return table


def budget(closing: Closing) -> Table:
    """Return what became of a budget: granted, held, used, left."""
    programme, all_of_it = closing.programme, closing.vouchers
    table = Table("of the budget", title=f"Voucher programme {programme.programme} (emulated), ¥", title_justify="left")
    table.add_column("yuan", justify="right")
    granted = sum(v.granted_micro_yuan for v in all_of_it)
    held, gone = sum(v.held_micro_yuan for v in all_of_it), sum(map(used, all_of_it))
    table.add_row("budget", yuan(programme.budget_micro_yuan))
    table.add_row(f"granted in {len(all_of_it)} vouchers", yuan(granted))
    table.add_row("  held for work that runs", yuan(held))
    table.add_row("  used", yuan(gone))
    table.add_row("  left on vouchers", yuan(granted - held - gone))
    table.add_row("left to grant", yuan(programme.left_micro_yuan))
    return table


def _moved(spot: int, ask: int) -> str:
    return f"[bold yellow]▲ {exact_yuan(spot)}[/]" if spot > ask else exact_yuan(spot)


def _live(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", expand=True, box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left")
    return table
