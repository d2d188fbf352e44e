"""Dashboards as Grafana would read them. No Grafana server has loaded them in these tests: none can be had here."""

import json
import re

import pytest
import yaml

from broker import metrics
from deploy.grafana.__main__ import FOLDER, stale
from deploy.grafana.boards import BOARDS
from deploy.grafana.model import GRID_COLUMNS, UNITS, Board, board_json, metrics_of
from tests.dashboards.programs import PROMETHEUS

RULES = [
    rule
    for file in sorted((PROMETHEUS / "rules").glob("*.rules.yaml"))
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
]
EXPOSED = {each.name for each in metrics.DECLARED}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


def test_the_json_of_the_dashboards_is_fresh() -> None:
    assert not stale(), "run 'make dashboards'"


@each_board
def test_dashboard_panels_have_ids_places_units_and_descriptions(board: Board) -> None:
    found = json.loads((FOLDER / f"{board.uid}.json").read_text())
    panels = found["panels"]
    taken = [
        (x, y)
        for each in panels
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]

    assert len({each["id"] for each in panels}) == len(panels)
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < GRID_COLUMNS
    for each in panels:
        if each["type"] != "row":
            assert each["description"].endswith("."), each["title"]
            assert each["fieldConfig"]["defaults"]["unit"] in UNITS
            assert each["fieldConfig"]["defaults"]["thresholds"]["steps"]


@each_board
def test_dashboard_variables_are_defined_and_used(board: Board) -> None:
    used = {
        name
        for panel in board.panels()
        for query in panel.queries
        for name in re.findall(r"\$(\w+)", query.expr + query.legend)
    } - {"__rate_interval"}
    used |= {name for variable in board.variables for name in re.findall(r"\$(\w+)", variable.metric)}

    assert used == {variable.name for variable in board.variables}


@each_board
def test_no_dashboard_names_a_metric_that_does_not_exist(board: Board) -> None:
    named = {name for panel in board.panels() for query in panel.queries for name in metrics_of(query.expr)}
    named |= {name for variable in board.variables for name in metrics_of(variable.metric)}
    recorded = {name for panel in board.panels() for q in panel.queries for name in re.findall(r"\bslo:[\w:]+", q.expr)}

    assert named <= EXPOSED
    assert recorded <= RECORDED


def test_labels_that_dashboards_ask_for_have_such_values() -> None:
    """A misspelt value of a closed label would read nothing for ever."""
    closed: dict[str, set[str]] = {}
    for each in metrics.DECLARED:
        for name, values in each.labels.items():
            if not isinstance(values, str):
                closed.setdefault(name, set()).update(values)
    asked = re.compile(r'(\w+)=~?"([\w|]+)"')
    texts = [query.expr for board in BOARDS for panel in board.panels() for query in panel.queries]
    texts += [rule["expr"] for rule in RULES]

    wrong = {
        (name, value)
        for text in texts
        for name, values in asked.findall(text)
        for value in values.split("|")
        if name in closed and value not in closed[name]
    }

    assert not wrong


def test_every_metric_is_on_a_dashboard_or_behind_an_alert() -> None:
    """What nobody looks at is not worth its series."""
    texts = [query.expr for board in BOARDS for panel in board.panels() for query in panel.queries]
    texts += [rule["expr"] for rule in RULES]

    assert {name for text in texts for name in metrics_of(text)} >= EXPOSED - UNSEEN


UNSEEN = {"broker_ledger_chain_transactions", "broker_ledger_unchained_transactions"}
"""For a look by hand."""


def test_a_dashboard_panel_without_unit_or_description_is_refused() -> None:
    from dataclasses import replace

    row = BOARDS[0].rows[0]
    bad = replace(row, panels=(replace(row.panels[0], unit="parsecs"),))

    with pytest.raises(ValueError, match="known unit"):
        board_json(replace(BOARDS[0], rows=(bad,)))
