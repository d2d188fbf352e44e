"""Markdown from facts: the few forms that the pages need."""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

_CODE: Final = re.compile(r"(`[^`]*`)")
_NUMERIC_NAMES: Final = {"jobs": "count", "connections": "count"}
_UNITS: Final = {
    "seconds": "s",
    "hours": "h",
    "bytes": "bytes",
    "mib": "MiB",
    "ratio": "0 to 1",
    "ppm": "millionths",
    "micros": "µs",
}


def generated(title: str, source: str, introduction: str = "") -> list[str]:
    """Return the head of a generated page."""
    head = [f"# {title}", "", f"<!-- Written by `make reference` from {source}: change it there. -->", ""]
    return [*head, introduction, ""] if introduction else head


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table, with an empty one at the end. Cells are Markdown already."""
    lines = [_line(columns), "|" + "---|" * len(columns)]
    return [*lines, *map(_line, rows), ""]


def text(lines: Iterable[str]) -> str:
    """Return a page as text: no trailing blanks, one newline at the end."""
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def code(value: object) -> str:
    """Return a value as code, an empty one as nothing."""
    return f"`{value}`" if str(value) else ""


def prose(given: str) -> str:
    """Return text of comments and docstrings so that Markdown shows it as it was written."""
    parts = _CODE.split(" ".join(given.split()))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def unit_of(name: str) -> str:
    """Return the unit that a name tells by its last words, for people; empty when it tells none."""
    words = [word for word in name.split("_") if word not in {"max", "min", "kept"}]
    return _UNITS.get(words[-1], _NUMERIC_NAMES.get(words[-1], ""))


def range_of(field: FieldInfo) -> str:
    """Return the bounds of a field's value, of its length, or of both; empty when nothing is stated."""
    bounds: dict[str, Any] = {}
    for entry in field.metadata:
        for bound in getattr(entry, "metadata", [entry]):
            bounds[type(bound).__name__] = bound
    told = [_span(bounds, "Ge", "Le", "ge", "le"), _span(bounds, "MinLen", "MaxLen", "min_length", "max_length")]
    return told[0] or (f"{told[1]} entries" if told[1] and not _is_text(field) else told[1] and f"{told[1]} characters")


def enum_comments(kind: type[StrEnum], source: Path, *, lenient: bool = False) -> dict[str, str]:
    """Return the comment behind each member of an enumeration, by the member's name.

    Args:
        lenient: take the name itself for the meaning where there is no comment.
    Raises: ValueError: a member has no comment; it is documented there or nowhere.
    """
    content = source.read_text(encoding="utf-8")
    lines = content.split("\n")
    found = next(n for n in ast.walk(ast.parse(content)) if isinstance(n, ast.ClassDef) and n.name == kind.__name__)
    comments = {}
    for member in found.body:
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
            comment = lines[member.lineno - 1][member.end_col_offset or 0 :].strip()
            if not comment.startswith("# ") and not lenient:
                raise ValueError(f"{source.name}: {kind.__name__}.{member.targets[0].id} has no comment behind it")
            comments[member.targets[0].id] = comment[2:] or "as its name says"
    return comments


def _span(bounds: Mapping[str, Any], low: str, high: str, low_name: str, high_name: str) -> str:
    least = f"{getattr(bounds[low], low_name):,}" if low in bounds else ""
    most = f"{getattr(bounds[high], high_name):,}" if high in bounds else ""
    return f"{least} to {most}" if least and most else least or (most and f"at most {most}")


def _is_text(field: FieldInfo) -> bool:
    return field.annotation is str


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _escaped(part: str) -> str:
    return part.replace("<", "&lt;").replace("*", "\\*")
