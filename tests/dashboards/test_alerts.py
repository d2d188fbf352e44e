"""Alerts fire when they should and stay quiet when not, by promtool; each has a runbook that says what to do."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.grafana.model import metrics_of
from tests.dashboards.programs import PROMETHEUS, needed
from tests.dashboards.test_boards import EXPOSED, RULES

ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
ROOT = PROMETHEUS.parents[1]
RUNBOOKS = PROMETHEUS.parent / "runbooks"
HEADINGS = ["How to see it", "What it means", "What to do"]


def promtool(*arguments: str | Path) -> str:
    told = subprocess.run(
        [needed("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout + told.stderr


def test_rules_and_alerts_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", *sorted((PROMETHEUS / "rules").glob("*.rules.yaml")))
    assert "SUCCESS" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_and_stay_quiet_in_made_up_histories() -> None:
    assert "SUCCESS" in promtool("test", "rules", PROMETHEUS / "tests" / "alerts.yml")


def test_every_alert_has_a_history_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load((PROMETHEUS / "tests" / "alerts.yml").read_text())["tests"]
    told = {(case["name"], bool(case["promql_expr_test"][0]["exp_samples"])) for case in cases}

    assert told == {(f"{name} fires", True) for name in NAMES} | {(f"{name} quiet", False) for name in NAMES}
    for case in cases:
        assert f'alertname="{case["name"].split()[0]}"' in case["promql_expr_test"][0]["expr"]


def test_alerts_name_metrics_that_exist_and_say_how_urgent_they_are() -> None:
    for rule in RULES:
        assert metrics_of(rule["expr"]) <= EXPOSED
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook"] == f"deploy/runbooks/{alert['alert']}.md"


@pytest.mark.parametrize("name", NAMES)
def test_the_runbook_of_an_alert_says_how_to_see_it_what_it_means_and_what_to_do(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    commands = re.findall(r"`xisuan ([a-z]+(?: [a-z-]+)?)", text)
    known = (ROOT / "broker" / "reference" / "cli.md").read_text()

    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert metrics_of(text) <= EXPOSED | {name.removesuffix("_total") for name in EXPOSED}
    assert commands, "it names no command"
    for command in commands:
        first = command.split()[0]
        groups = f"\n## xisuan {first} " in known
        assert f"\n## xisuan {command if groups else first}\n" in known, command
    assert all(len(part.strip()) > 40 for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])


def test_there_is_no_runbook_without_its_alert() -> None:
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "README") == NAMES
