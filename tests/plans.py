"""Plans of PostgreSQL, as EXPLAIN tells them in JSON."""

from collections.abc import Iterator
from typing import Any


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)
