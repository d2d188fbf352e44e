"""The command watch: what happens to a city's jobs, as a live table, as lines, or as JSON lines."""

import sys
from collections import Counter, deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.cli.errors import run
from broker.cli.options import AsJson, AsOperator, City, examples
from broker.cli.output import clock_time, console, message_data, print_line, show, table
from broker.cli.settings import city_client

if TYPE_CHECKING:
    from rich.table import Table

    from broker.client import Event

EVENTS_SHOWN: Final = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "xisuan watch --city ganzhou",
            "xisuan watch --after 0 --idle-seconds-max 1 --json > everything.jsonl",
            "xisuan watch --after 4711 --json      go on behind the last event that was processed",
        )
    )(watch)


def watch(
    ctx: typer.Context,
    after: Annotated[
        int, typer.Option(min=-1, help="Cursor that was seen last; 0 is before the first event, -1 means now.")
    ] = -1,
    idle_seconds_max: Annotated[
        int, typer.Option(min=0, max=86_400, help="End when so long nothing happens; 0 goes on for ever.")
    ] = 0,
    city: City = "",
    operator: AsOperator = False,
    as_json: AsJson = False,
) -> None:
    """Follow what happens to a city's jobs: in order, without gaps, also over a broker's restart."""

    async def watched() -> None:
        live = not as_json and sys.stdout.isatty()
        async with city_client(ctx, city, operator=operator) as xisuan:
            start = await xisuan.latest_cursor() if after < 0 else after
            with _Display() if live else nullcontext() as display:
                async for event in xisuan.watch(after=start, idle_seconds_max=idle_seconds_max):
                    if display is not None:
                        display.add(event)
                    elif as_json:
                        print_line(message_data(event.wire))
                    else:
                        show("  ".join(str(cell) for cell in _row(event) if cell != ""))

    run(watched(), as_json=as_json)


class _Display:
    """The last events and how often each kind came, redrawn in place."""

    def __init__(self) -> None:
        from rich.live import Live

        self._last: deque[Event] = deque(maxlen=EVENTS_SHOWN)
        self._kinds: Counter[str] = Counter()
        self._live = Live(self._drawn(), console=console(), refresh_per_second=8)

    def __enter__(self) -> "_Display":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def add(self, event: "Event") -> None:
        """Show one more event."""
        self._last.append(event)
        self._kinds[event.kind] += 1
        self._live.update(self._drawn())

    def _drawn(self) -> "Table":
        counts = "  ".join(f"{kind} {number:,}" for kind, number in self._kinds.most_common())
        columns = ["cursor>", "time", "job", "what", "where", "how"]
        return table(columns, (_row(event) for event in self._last), title=counts or "waiting for events (Ctrl-C ends)")


def _row(event: "Event") -> tuple[object, ...]:
    placement = event.placement
    cards = sum(len(held) for held in placement.cards.values()) if placement else 0
    where = f"{placement.cluster}/{placement.pool} {cards} cards" if placement else ""
    return event.cursor, clock_time(event.at), event.job_id, event.kind, where, str(event.end) if event.end else ""
