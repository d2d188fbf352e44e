"""What commands print: tables for people, protobuf JSON (with the field names of proto/) for programs."""

import json
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console
    from rich.table import Table

T = TypeVar("T")

_PIPE_WIDTH: Final = 1000  # into a pipe nothing is wrapped or cut off

STATE_STYLES: Final[Mapping[str, str]] = {
    "pending": "yellow",
    "leased": "cyan",
    "running": "blue",
    "started": "blue",
    "succeeded": "green",
    "failed": "red",
    "lost": "red",
    "cancelled": "dim",
    "expired": "magenta",
    "live": "green",
    "suspect": "yellow",
    "never": "dim",
    "open": "green",
    "cordoned": "yellow",
    "draining": "yellow",
    "drained": "dim",
    "committed": "green",
    "rejected": "red",
}


@cache
def console() -> "Console":
    """Return the console for results."""
    from rich.console import Console

    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


@cache
def notices() -> "Console":
    """Return the console for progress and remarks: stderr, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> "Table":
    """Return a table; a column whose name ends with ">" is aligned to the right, words for states get their colour."""
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=None,
        pad_edge=False,
        show_header=any(columns),
        header_style="bold",
        title=clean(title) or None,
        title_justify="left",
    )
    for column in columns:
        made.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        cells = [clean(str(cell)) for cell in row]
        made.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "")) for cell in cells))
    return made


async def newest(pages: AsyncIterator[T], limit: int) -> list[T]:
    """Return the first so many of what comes newest first; 0 means all."""
    found: list[T] = []
    async for one in pages:
        found.append(one)
        if len(found) == limit:
            break
    return found


def show_if_cut(count: int, limit: int) -> None:
    """Say that there may be more, when as many were shown as were asked for."""
    if count and count == limit:
        show(f"(the newest {limit}; --limit 0 shows all)")


def show(*parts: object) -> None:
    """Print texts and tables for people."""
    for part in parts:
        console().print(clean(part, keep="\n") if isinstance(part, str) else part, soft_wrap=isinstance(part, str))


def note(text: str) -> None:
    """Print a remark for people to stderr."""
    notices().print(clean(text, keep="\n"), soft_wrap=True)


def print_json(data: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print plain data for programs."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def message_data(message: "Message") -> dict[str, Any]:
    """Return a message as protobuf JSON: names as in proto/, every field present, 64-bit integers as texts."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_message(message: "Message") -> None:
    """Print a message for programs."""
    print_json(message_data(message))


def print_line(data: Mapping[str, Any]) -> None:
    """Print one line of a stream of JSON lines, at once."""
    print(json.dumps(data, ensure_ascii=False), flush=True)


def clean(text: str, *, keep: str = "") -> str:
    """Return a text that cannot steer the terminal: what is not printable is shown by its number."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" for c in text)


def word(kind: Any, number: int, prefix: str) -> str:
    """Return the word for a wire enum's number: (JobState, 3, "JOB_STATE_") → "running"."""
    try:
        name: str = kind.Name(number)
    except ValueError:
        return f"unknown ({number})"
    return name.removeprefix(prefix).lower()


def clock_time(at: datetime | None) -> str:
    """Return a time as the reader's clock shows it, with the date when it is not today's."""
    if at is None:
        return ""
    return _local(at, "%H:%M:%S")


def clock_minute(at: datetime) -> str:
    """Return a time as `clock_time` does, but for what is not known to the second: the next whole minute."""
    return _local(at + timedelta(seconds=59), "%H:%M")


def _local(at: datetime, time: str) -> str:
    local = at.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return local.strftime(time if local.date() == today else f"%Y-%m-%d {time}")


def duration(seconds: float | None) -> str:
    """Return a time span with its two largest units, such as "2h30m"."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    left, parts = int(seconds), []
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{name}")
    return "".join(parts[:2])


def yuan(micro_yuan: int) -> str:
    """Return an amount of money in yuan, cut to a hundredth of a fen towards zero."""
    sign = "-" if micro_yuan < 0 else ""
    whole, rest = divmod(abs(micro_yuan), 1_000_000)
    return f"{sign}¥{whole:,}.{rest // 100:04d}"


def milli(value: int) -> str:
    """Return thousandths as a decimal number without needless zeros."""
    whole, rest = divmod(value, 1000)
    return f"{whole:,}.{rest:03d}".rstrip("0").rstrip(".") if rest else f"{whole:,}"


def part(ppm: int) -> str:
    """Return millionths as a part of one, such as "0.8"."""
    return f"{ppm / 1_000_000:.6f}".rstrip("0").rstrip(".")


def percent(ppm: int) -> str:
    """Return millionths as per cent."""
    return f"{ppm / 10_000:.2f} %"
