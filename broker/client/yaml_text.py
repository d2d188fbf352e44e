"""YAML and JSON from strangers: plain data, of bounded size and depth, every key once. No aliases, so no bombs."""

import json
from collections.abc import Callable, Hashable
from typing import Any, Final

import yaml

BYTES_MAX: Final = 16 * 1024 * 1024
DEPTH_MAX: Final = 20


class BadText(ValueError):
    """The text is not plain data; the message says where and what to do."""


def parse(text: bytes, *, json_only: bool = False) -> Any:
    """Return the data in a YAML or JSON document.

    Args:
        json_only: take it for JSON, which is read many times faster.
    Raises: BadText: too large, too deep, a key twice, an alias, a tag, several documents, or a mistake in the syntax.
    """
    if len(text) > BYTES_MAX:
        raise BadText(f"has {len(text)} bytes, at most {BYTES_MAX} are read: split it")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise BadText(f"is not UTF-8 ({error.reason} at byte {error.start})") from error
    return _json(decoded) if json_only else _yaml(decoded)


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BadText(f"the key {key[:80]!r} stands there twice in one object")
            found[key] = value
        return found

    def no_constant(name: str) -> Any:
        raise BadText(f"{name} is no JSON number")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_constant)
    except RecursionError as error:
        raise BadText(f"is nested deeper than {DEPTH_MAX} levels") from error
    except BadText:
        raise
    except ValueError as error:
        raise BadText(f"is not JSON: {error}") from error


def _yaml(text: str) -> Any:
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Plain)  # noqa: S506  # _Plain is a SafeLoader that allows less
    except BadText:
        raise
    except yaml.YAMLError as error:
        raise BadText(f"is not YAML: {' '.join(str(error).split())[:300]}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a date such as 2026-13-45
        raise BadText(f"is not YAML: {str(error)[:300]}") from error


def _check_events(text: str) -> None:
    """Look at the syntax before anything is built: an alias is refused while it is still one word."""
    depth, documents = 0, 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadText(f"{_place(event)} an anchor or alias (& or *) is not allowed: write the value out")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            raise BadText(f"{_place(event)} a tag (!) is not allowed")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > DEPTH_MAX:
            raise BadText(f"{_place(event)} it is nested deeper than {DEPTH_MAX} levels")
        if documents > 1:
            raise BadText(f"{_place(event)} there is a second document (---): put the jobs into one list under `jobs:`")


def _place(event: yaml.Event) -> str:
    at = event.start_mark
    return f"line {at.line + 1}, column {at.column + 1}:" if at else ""


class _Plain(yaml.CSafeLoader):
    """A safe loader that refuses a key that stands in a mapping twice."""


def _mapping(loader: _Plain, node: yaml.MappingNode) -> dict[Hashable, Any]:
    found: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        where = f"line {key_node.start_mark.line + 1}, column {key_node.start_mark.column + 1}:"
        if key_node.tag == "tag:yaml.org,2002:merge":
            raise BadText(f"{where} a merge key (<<) is not allowed: write the values out")
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise BadText(f"{where} the key {ascii(key)[:80]} is not a text: write it in quotes")
        if key in found:
            raise BadText(f"{where} the key {key[:80]!r} stands there twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_construct: Callable[..., Any] = _mapping
_Plain.add_constructor("tag:yaml.org,2002:map", _construct)
