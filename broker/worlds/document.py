"""Read YAML or JSON that anybody may have written, without giving it any power.

Refused before a value is built: more than 1 MiB, anchors and aliases (a YAML bomb is nothing else), tags, more than one
document, a key twice in one mapping, keys that are not text, nesting deeper than 16. Plain scalars follow the YAML 1.2
core schema, so `no` is text and `1:30` is not ninety.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import yaml

from broker.errors import InvalidRequest, invalid

DOCUMENT_BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 16
DOCUMENT: Final = "document"
"""Name of the field in errors that concern the whole text."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is some ten times faster
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,19}")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]{1,19}\.[0-9]{0,19}|\.[0-9]{1,19}|[0-9]{1,19})(?:[eE][-+]?[0-9]{1,3})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORDS: Final = {"": None, "~": None, "null": None, "true": True, "false": False}


def parse(text: str) -> Any:
    """Return the values of the document: mappings, lists, text, numbers, dates, booleans, None.

    Raises: InvalidRequest: with the path (such as "cities[3].city") or the line of what is wrong, and the way out.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise invalid(DOCUMENT, "is not valid UTF-8: save the file as UTF-8") from None
    if size > DOCUMENT_BYTES_MAX:
        raise invalid(DOCUMENT, f"has {size} bytes, at most {DOCUMENT_BYTES_MAX} are read: split the world")
    return _parse_json(text) if text.lstrip().startswith("{") else _parse_yaml(text)


def path_of(parts: tuple[str | int, ...]) -> str:
    """Return the path as people write it: ("cities", 3, "city") is "cities[3].city"."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part[:64] if part.isprintable() else ascii(part[:64])  # keys come from outside
            text += f".{name}" if text else name
    return text or DOCUMENT


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled."""

    values: dict[str, Any] | list[Any]
    path: tuple[str | int, ...]
    key: str | None = None  # of the value that comes next, in a mapping
    seen: set[str] = field(default_factory=set)

    def put(self, value: Any) -> None:
        if isinstance(self.values, list):
            self.values.append(value)
        elif self.key is not None:
            self.values[self.key] = value
            self.key = None

    def here(self) -> tuple[str | int, ...]:
        """Return the path of the value that comes next."""
        if isinstance(self.values, list):
            return (*self.path, len(self.values))
        return self.path if self.key is None else (*self.path, self.key)


class _Builder:
    """Builds values from YAML events, one at a time, so that nothing is expanded before it was judged."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._documents = 0
        self.root: Any = None

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._refuse(event, "a second document begins here: one file is one world")
            case yaml.AliasEvent():
                raise self._refuse(event, "aliases are not allowed: write the value out")
            case yaml.ScalarEvent() | yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._node(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
            case _:  # stream starts and ends, documents end
                pass

    def _node(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._refuse(event, f"anchors (&{event.anchor}) are not allowed: write the value out")
        if event.tag is not None:
            raise self._refuse(event, f"tags ({event.tag}) are not allowed: write plain values")
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.values, dict) and top.key is None:
            self._key(top, event)
            return
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        else:
            if len(self._stack) >= DEPTH_MAX:
                raise self._refuse(event, f"nested deeper than {DEPTH_MAX} levels: flatten it")
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = top.here() if top is not None else ()
        if top is None:
            self.root = value
        else:
            top.put(value)
        if not isinstance(event, yaml.ScalarEvent):
            self._stack.append(_Open(value, path))

    def _key(self, top: _Open, event: Any) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refuse(event, "a key must be text")
        if event.value in top.seen:
            raise self._refuse(event, f"key '{event.value[:64]}' occurs twice: keep one")
        top.seen.add(event.value)
        top.key = event.value

    def _scalar(self, event: Any) -> Any:
        text = event.value
        if not event.implicit[0]:  # quoted, or a block scalar
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _DATE.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                raise self._refuse(event, f"{text} is no date: write YYYY-MM-DD") from None
        return text

    def _refuse(self, event: Any, why: str) -> InvalidRequest:
        path = self._stack[-1].here() if self._stack else ()
        return invalid(path_of(path), f"line {event.start_mark.line + 1}: {why}")


def _parse_yaml(text: str) -> Any:
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise invalid(DOCUMENT, f"{line}not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise invalid(DOCUMENT, f"not valid YAML: {str(error)[:200]}") from None
    return builder.root


def _events(text: str) -> Iterator[Any]:
    return yaml.parse(text, Loader=_LOADER)


def _parse_json(text: str) -> Any:
    try:
        values = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise invalid(DOCUMENT, f"line {error.lineno}: not valid JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise invalid(DOCUMENT, f"not valid JSON: {str(error)[:200]}") from None
    _check_depth(values)
    if "\\u" in text:  # only so can JSON write it: the text itself was valid UTF-8
        _check_characters(values)
    return values


def _check_characters(values: Any) -> None:
    """Refuse halves of surrogate pairs, which no database and no message can hold, in keys as well."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise invalid(DOCUMENT, f"{half} is half of a character: write both halves, or the character") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise invalid(DOCUMENT, f"key '{key[:64]}' occurs twice in one object: keep one")
        values[key] = value
    return values


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number that counts anything")


def _check_depth(values: Any) -> None:
    level, depth = [values], 0
    while level:
        if depth > DEPTH_MAX:
            raise invalid(DOCUMENT, f"nested deeper than {DEPTH_MAX} levels: flatten it")
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level, depth = inner, depth + 1
