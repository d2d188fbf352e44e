"""Dashboards as data, and their JSON as Grafana 11 reads it.

A panel says its unit and what it means, or it is not one. Places are given by sizes: rows are filled from the left.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["stat", "timeseries", "gauge", "bargauge", "table", "heatmap"]

SCHEMA_VERSION: Final = 39
GRID_COLUMNS: Final = 24
SOURCE: Final[Mapping[str, str]] = {"type": "prometheus", "uid": "${source}"}
UNITS: Final = frozenset(
    {"short", "percentunit", "s", "watt", "joule", "currencyCNY", "ops", "dateTimeFromNow", "bool_yes_no", "none"}
)
"""Units of Grafana that are used here."""

GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of Prometheus; `legend` names its series by their labels. `instant`: its newest value alone."""

    expr: str
    legend: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        steps: from which value on which colour; below the first one it is green, or `base`.
        may_be_empty: why it shows nothing in a healthy hub; empty: then it always shows something.
    """

    title: str
    kind: Kind
    about: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 12
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    base: str = GREEN
    stacked: bool = False
    decimals: int | None = None
    most: float | None = None
    may_be_empty: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard, by the values of a label."""

    name: str
    title: str
    metric: str
    label: str
    many: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; `uid` is part of its address and never changes."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    tags: tuple[str, ...] = field(default=("xisuan",))

    def panels(self) -> Iterator[Panel]:
        """Yield all panels."""
        for row in self.rows:
            yield from row.panels


def board_json(board: Board) -> dict[str, Any]:
    """Return the dashboard as Grafana reads it. Raise ValueError for a panel that cannot be."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": list(board.tags),
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), *map(_variable, board.variables)]},
        "annotations": {"list": []},
        "links": [
            {"type": "dashboards", "title": "Xisuan", "tags": ["xisuan"], "asDropdown": True, "includeVars": True}
        ],
        "panels": list(_placed(board)),
    }


def _placed(board: Board) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": GRID_COLUMNS, "h": 1},
            "panels": [],
        }
        y, x, line_height = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > GRID_COLUMNS:
                x, y, line_height = 0, y + line_height, 0
            number += 1
            yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": panel.height})
            x, line_height = x + panel.width, max(line_height, panel.height)
        y += line_height


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    if panel.unit not in UNITS or not panel.about or not panel.queries:
        raise ValueError(f"panel {panel.title!r} needs a known unit, a description and a query")
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": dict(SOURCE),
        "gridPos": dict(place),
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": dict(SOURCE),
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": query.instant or panel.kind == "table",
                "range": not (query.instant or panel.kind == "table"),
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for at, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps = [{"color": panel.base, "value": None}, *({"color": c, "value": v} for v, c in panel.steps)]
    found: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.decimals is not None:
        found["decimals"] = panel.decimals
    if panel.most is not None:
        found["max"] = panel.most
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 60 if panel.stacked else 10,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return found


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "bargauge":
        return {"reduceOptions": reduce, "orientation": "horizontal", "displayMode": "basic"}
    if panel.kind == "stat":
        return {"reduceOptions": reduce, "colorMode": "background", "graphMode": "area", "textMode": "auto"}
    return {"reduceOptions": reduce}


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": dict(SOURCE),
        "query": {"query": f"label_values({variable.metric}, {variable.label})", "refId": variable.name},
        "definition": f"label_values({variable.metric}, {variable.label})",
        "refresh": 2,
        "sort": 1,
        "multi": variable.many,
        "includeAll": variable.many,
        "allValue": ".*" if variable.many else None,
        "current": {"text": "All", "value": "$__all"} if variable.many else {},
    }


METRIC: Final = re.compile(r"\bbroker_[a-z0-9_]+")


def metrics_of(expr: str) -> set[str]:
    """Return the metrics that a query names, without the endings that histograms give."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC.findall(expr)}
