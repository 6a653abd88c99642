"""Alert rules and dashboard: whatever they ask for is told, with these labels, and leads to a runbook."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from told import OUTGOING, full, text

from orchestrator.cli.main import main
from tests.queries import metric_named, wrongs

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text())["groups"][0]["rules"]
CASES = yaml.safe_load((ROOT / "tests/contract/alert_rules.yml").read_text())["tests"]
BOARD = json.loads((ROOT / "monitoring/grafana/kembar.json").read_text())
ALERTS = sorted({rule["alert"] for rule in RULES})
BOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
COMMAND = re.compile(r"`(kembar [^`]*)`")


def board_queries():
    yield from (one["expr"] for one in BOARD["annotations"]["list"])
    yield from (one["query"]["query"] for one in BOARD["templating"]["list"] if one["type"] == "query")
    yield from (target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", []))


def test_a_query_for_what_nobody_tells_is_found():
    assert wrongs('max by (cluster) (kembar_epoch{cluster="shop"})') == []
    assert wrongs("kembar_failovers")
    assert wrongs('kembar_epoch{node="db-a"}')
    assert wrongs("max by (node) (kembar_epoch)")
    assert wrongs("kembar_write_outage_seconds")
    assert wrongs("up")


@pytest.mark.parametrize("query", [rule["expr"] for rule in RULES], ids=[rule["alert"] for rule in RULES])
def test_rules_ask_for_what_is_told(query):
    assert wrongs(query) == []


@pytest.mark.parametrize("query", list(board_queries()))
def test_the_dashboard_asks_for_what_is_told(query):
    assert wrongs(query.removeprefix("label_values(")) == []


def test_the_values_of_labels_that_are_asked_for_exist():
    """A state that was renamed would make a rule silent for ever."""
    told = text(full(), outgoing=OUTGOING)
    for query in [*(rule["expr"] for rule in RULES), *board_queries()]:
        for label, value in re.findall(r'(state|mode|severity|outcome|role)="(\w+)"', query):
            assert f'{label}="{value}"' in told, query


def test_every_rule_is_shown_speaking_and_silent():
    told = {name: [] for name in ALERTS}
    for case in CASES:
        for one in case["alert_rule_test"]:
            told[one["alertname"]].append(bool(one["exp_alerts"]))
    assert {name: set(seen) for name, seen in told.items()} == {name: {True, False} for name in ALERTS}


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_every_rule_says_how_bad_what_and_what_to_do(rule):
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    book = ROOT / rule["annotations"]["runbook_url"]
    assert f"Alert: `{rule['alert']}`" in book.read_text()


@pytest.mark.parametrize("book", BOOKS, ids=[book.stem for book in BOOKS])
def test_runbooks_name_commands_and_pages_that_exist(book):
    for command in COMMAND.findall(book.read_text()):
        follow(main, shlex.split(command)[1:])
    for link in re.findall(r"\]\(([^)#]+)", book.read_text()):
        assert (book.parent / link).exists(), link


def follow(group: click.Command, words: list[str]) -> None:
    """Down the tree of commands; then every option must be one of the last command's."""
    while isinstance(group, click.Group) and words:
        found = group.get_command(click.Context(group), words[0])
        assert found is not None, words
        group, words = found, words[1:]
    known = {name for parameter in group.params for name in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known, words


def test_panels_lie_beside_one_another_and_have_a_title():
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert panel["title"] and not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_series_names_of_histograms_are_known():
    assert metric_named("kembar_tick_duration_seconds_count").name == "kembar_tick_duration_seconds"
    with pytest.raises(KeyError):
        metric_named("kembar_epoch_count")
