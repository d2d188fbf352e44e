"""Ask Prometheus what a dashboard asks: variables filled in as Grafana fills them, for the preview and for tests."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.grafana.model import Board, Panel, Query, Variable

ANSWER_SECONDS_MAX: Final = 30.0
POINTS: Final = 240
_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Refused(Exception):
    """Prometheus does not answer a query, or not at all; the message says what it says."""


@dataclass(frozen=True, slots=True)
class Series:
    """What came back: a name as the legend says, its labels, and points in time (seconds since 1970)."""

    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus by its address, such as "http://127.0.0.1:9090"."""

    url: str

    def ask(self, path: str, **arguments: object) -> Any:
        """Return the data of an answer. Raise Refused."""
        query = urllib.parse.urlencode({name: str(value) for name, value in arguments.items()})
        address = f"{self.url.rstrip('/')}/api/v1/{path}?{query}"
        if not address.startswith(("http://", "https://")):
            raise Refused(f"{self.url} is no address: give it as http://HOST:PORT")
        try:
            with urllib.request.urlopen(address, timeout=ANSWER_SECONDS_MAX) as answer:  # noqa: S310  checked above
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Refused(f"{path}: {error.read().decode(errors='replace')[:500]}") from error
        except (OSError, ValueError) as error:
            raise Refused(f"{self.url} does not answer: {error}") from error

    def values(self, variable: Variable) -> list[str]:
        """Return what can be chosen of a variable, ascending; other variables in it let everything pass."""
        selector = re.sub(r"\$\w+", ".*", variable.metric)
        found: list[str] = self.ask(f"label/{variable.label}/values", **{"match[]": selector})
        return sorted(found)


def choices(prometheus: Prometheus, board: Board) -> dict[str, str]:
    """Return what stands for each variable at first: everything, or the first value where only one can be chosen."""
    found = {}
    for variable in board.variables:
        values = prometheus.values(variable)
        found[variable.name] = ".*" if variable.many else (values[0] if values else "")
    return found


def filled(expr: str, chosen: Mapping[str, str], rate_interval_seconds: int) -> str:
    """Return a query with its variables filled in. Raise KeyError for one that is not there."""
    expr = expr.replace("$__rate_interval", f"{rate_interval_seconds}s")
    return re.sub(r"\$(\w+)", lambda found: chosen[found.group(1)], expr)


def answers(
    prometheus: Prometheus,
    panel: Panel,
    chosen: Mapping[str, str],
    *,
    start: float,
    end: float,
    rate_interval_seconds: int,
) -> list[Series]:
    """Return what a panel's queries give between two times, points without a number left out. Raise Refused."""
    found = []
    for query in panel.queries:
        expr = filled(query.expr, chosen, rate_interval_seconds)
        if query.instant or panel.kind == "table":
            result = prometheus.ask("query", query=expr, time=end)["result"]
        else:
            step = max(1.0, (end - start) / POINTS)
            result = prometheus.ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        found += [series for each in result if (series := _series(query, each)).points]
    return found


def _series(query: Query, given: Mapping[str, Any]) -> Series:
    labels = {name: value for name, value in given["metric"].items() if name != "__name__"}
    points: Sequence[tuple[float, str]] = given.get("values") or [given["value"]]
    told = tuple((float(at), float(value)) for at, value in points if math.isfinite(float(value)))
    name = _LABEL.sub(lambda found: labels.get(found.group(1), ""), query.legend) or ", ".join(labels.values())
    return Series(name, labels, told)
