"""Prometheus' own tool judges the alert rules, and the queries of the dashboard; fetched if the host lacks it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from lab.fetch import fetch

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
RULES_FILE = ROOT / "monitoring/alerts.yml"
RULES = yaml.safe_load(RULES_FILE.read_text())
ALERTS = RULES["groups"][0]["rules"]


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    return found or str(fetch(("prometheus",), closure=False) / "usr/bin/promtool")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def judged(promtool: str, folder: Path, rules: object) -> subprocess.CompletedProcess[str]:
    """What the cases make of these rules."""
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(ROOT / "tests/contract/alert_rules.yml", folder)
    return run(promtool, "test", "rules", str(folder / "alert_rules.yml"))


def test_the_rules_can_be_loaded(promtool):
    found = run(promtool, "check", "rules", str(RULES_FILE))
    assert found.returncode == 0, found.stdout + found.stderr


def test_each_rule_speaks_and_is_silent_when_it_should(promtool, tmp_path):
    found = judged(promtool, tmp_path, RULES)
    assert found.returncode == 0, found.stdout + found.stderr


def test_rules_that_never_speak_are_noticed(promtool, tmp_path):
    broken = deepcopy(RULES)
    for rule in broken["groups"][0]["rules"]:
        rule["expr"] = "vector(0) > 1"
    assert noticed(judged(promtool, tmp_path, broken)) == {rule["alert"] for rule in ALERTS}


def test_rules_that_do_not_wait_are_noticed(promtool, tmp_path):
    """What comes and goes within the time must wake nobody."""
    broken = deepcopy(RULES)
    waited = {rule["alert"] for rule in broken["groups"][0]["rules"] if rule.pop("for", None)}
    assert noticed(judged(promtool, tmp_path, broken)) == waited


def noticed(found: subprocess.CompletedProcess[str]) -> set[str]:
    """The alerts of which a case failed."""
    return set(re.findall(r"alertname: (\w+)", found.stdout + found.stderr))


def test_the_queries_of_the_dashboard_are_understood(promtool, tmp_path):
    board = json.loads((ROOT / "monitoring/grafana/kembar.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    queries += [one["expr"] for one in board["annotations"]["list"]]
    rules = [{"record": f"board:{n}", "expr": query.replace("$cluster", "shop")} for n, query in enumerate(queries)]
    (tmp_path / "board.yml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    found = run(promtool, "check", "rules", str(tmp_path / "board.yml"))
    assert found.returncode == 0 and f"{len(queries)} rules found" in found.stdout, found.stdout + found.stderr
