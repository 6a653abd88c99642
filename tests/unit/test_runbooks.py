"""Whatever a person can meet has its runbook, every runbook is met somewhere, and its commands exist."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest
from carrier import Carrier
from click.testing import CliRunner
from pairs import DB_A, STEADY, healthy, with_reports
from test_api import one

from agents.binlog.contents import Reason
from agents.evidence import Trouble
from monitoring import manual
from monitoring.problems import STATUS
from monitoring.view import view
from orchestrator.cli.main import VERBS, main
from orchestrator.cli.status import screen
from orchestrator.core import runbooks
from orchestrator.core.alerts import ALERTS, THRESHOLDS
from orchestrator.core.analysis import Finding
from orchestrator.core.conflicts import HARMLESS, Conflict
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import PreCheck
from orchestrator.core.returning import Rung, Stage

ROOT = Path(__file__).parents[2]
MET = {
    **{f"finding {one}": runbooks.of_finding(one) for one in Finding if one is not Finding.HEALTHY},
    **{f"alert {one}": runbooks.of_alert(one) for one in ALERTS},
    **{f"trouble {one}": runbooks.of_trouble(f"{one}: why") for one in Trouble},
    **{f"check {one}": runbooks.of_check(one) for one in runbooks.CHECKS},
    **{f"return {one}": runbooks.of_return(f"{one}: why") for one in runbooks.RETURN_CODES},
    **{f"problem {one}": runbooks.of_problem(one) for one in STATUS},
}
# Those that Prometheus' rules lead to.
RULES = {Path(one).stem for one in re.findall(r"runbook_url: (\S+)", (ROOT / "monitoring/alerts.yml").read_text())}


@pytest.mark.parametrize("what", MET)
def test_what_a_person_meets_has_its_runbook(what: str) -> None:
    text = manual.read(MET[what])
    assert text is not None, f"write docs/runbooks/{MET[what]}.md"
    assert text.startswith("# ")


def test_every_runbook_is_met_somewhere() -> None:
    assert set(manual.names()) == {*MET.values(), *RULES}


@pytest.mark.parametrize("name", manual.names())
def test_a_runbook_is_short_and_says_what_it_means_what_is_safe_and_what_to_do(name: str) -> None:
    text = manual.read(name) or ""
    assert "**What it means.**" in text and "**Do.**" in text and ("**Safe.**" in text or "**Do not.**" in text)
    assert len(text) < 3000
    commands = [line.split() for block in re.findall(r"```\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert all(words[0] == "kembar" and words[1] in VERBS for words in commands), name
    assert commands or name in RULES


def test_options_in_runbooks_are_options_of_their_commands() -> None:
    known: dict[str, str] = {}
    for name in manual.names():
        for command in re.findall(r"^kembar ([^\n]*)$", manual.read(name) or "", re.M):
            words = command.split()
            verb = words[:2] if words[1:] and words[1].islower() and not words[1].startswith("-") else words[:1]
            path = " ".join(verb)
            known.setdefault(path, CliRunner().invoke(main, [*verb, "--help"]).output)
            assert "Usage:" in known[path], command
            for option in (word for word in words if word.startswith("--")):
                assert option in known[path], f"{name}: {command}: {option}"


def _literals(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def test_every_pre_check_of_the_source_is_known_here() -> None:
    found = set()
    for path in (ROOT / "orchestrator").rglob("*.py"):
        for node in _literals(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PreCheck":
                assert isinstance(node.args[0], ast.Constant), f"{path}: the name of a pre-check is a word"
                found.add(node.args[0].value)
    assert found == set(runbooks.CHECKS)


CODED = re.compile(r"^([a-z]+(?:_[a-z]+)+)(?:: | at |$)")
# Words before a colon that are no code: what something is about.
NO_CODES = {"server_uuid", "plugin_load_add"}


def test_every_code_of_a_return_in_the_source_is_known_here() -> None:
    """The reasons of the log by their own list; the others as they begin a refusal."""
    assert {str(one) for one in Reason} <= set(runbooks.RETURN_CODES)
    found = set()
    for path in [*(ROOT / "agents/reconcile").glob("*.py"), *(ROOT / "agents/binlog").glob("*.py")]:
        for node in _literals(path):
            if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
                code = CODED.match(str(node.values[0].value))
                found |= {code[1]} if code else set()
    assert found - NO_CODES <= set(runbooks.RETURN_CODES)
    assert found >= {"clone_failed", "evidence_incomplete", "rewind_mismatch", "version_differs"}


def test_every_trouble_of_an_agent_is_known_here() -> None:
    assert {*runbooks.TROUBLES, "SYNC_STALLED"} == {str(one) for one in Trouble}
    assert runbooks.of_trouble("TAIL_KEPT: it has no end") == "node-in-trouble"


def test_every_reason_to_keep_a_transaction_is_explained() -> None:
    text = manual.read("decision-needed") or ""
    assert set(re.findall(r"^\| `(\w+)`", text, re.M)) == {str(one) for one in Conflict if one not in HARMLESS}


def test_the_documentation_names_every_alert() -> None:
    text = (ROOT / "docs/alerts.md").read_text()
    table = text.partition("## What is told")[2].partition("Each is opened")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(ALERTS)
    for row in re.findall(r"^\| (`[^|]*) \| (\w+) \| ([^|]*) \|$", table, re.M):
        for alert in set(re.findall(r"`(\w+)`", row[0])) & set(THRESHOLDS):
            assert (THRESHOLDS[alert].severity, THRESHOLDS[alert].after_s) == (row[1], SECONDS[row[2]]), alert


SECONDS = {"at once": 0.0, "10 s": 10.0, "15 s": 15.0, "30 s": 30.0, "2 min": 120.0, "5 min": 300.0, "1 h": 3600.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stray_gtid: executed is 1, expected 2", "return-stray-gtid"),
        ("rewind: 1111:5 was DDL (ddl)", "return-ddl"),
        ("clone: clone_failed: no network", "return-clone-failed"),
        ("rewind_mismatch at 1111:5: gone; take the next rung", "return-rewind-mismatch"),
        ("what nobody has a code for", "return-stopped"),
    ],
)
def test_a_return_leads_to_the_runbook_of_its_code(text: str, expected: str) -> None:
    assert runbooks.of_return(text) == expected


# --- linked from where they are needed


def test_a_finding_and_the_next_step_are_linked() -> None:
    shown = view(healthy(finding="standby_lost", finding_text="db-b is lost", waiting="for db-b to return"), 0.0, "now")
    assert shown["finding"]["runbook"] == shown["next"]["runbook"] == "/runbooks/standby-lost"
    calm = view(healthy(), 0.0, "now")
    assert (calm["finding"]["runbook"], calm["next"]["runbook"]) == ("", "")


def test_troubles_and_refusals_of_a_node_are_linked() -> None:
    snapshot = with_reports(standby={"refusals": ("gtid_mode=OFF",), "troubles": ("STORAGE_DEAD: no write",)})
    shown = view(snapshot, 0.0, "now")
    assert shown["nodes"][1]["runbooks"] == ["/runbooks/node-refused", "/runbooks/trouble-storage-dead"]
    assert shown["next"]["runbook"] == "/runbooks/node-refused"


def test_a_return_that_stopped_is_linked() -> None:
    record = Reconcile(
        9, 7, DB_A, Rung.CLONE, Stage.STOPPED, stopped="no_clone_plugin: not active here", reasons=("rewind: x (ddl)",)
    )
    shown = view(healthy(returning=record, cluster=STEADY), 0.0, "now")
    assert shown["returns"]["present"]["runbooks"] == ["/runbooks/return-no-clone-plugin", "/runbooks/return-ddl"]
    assert shown["returns"]["waits"][0]["runbook"] == "/runbooks/return-no-clone-plugin"


def test_a_failed_pre_check_and_a_problem_are_linked() -> None:
    carrier = Carrier(refusals=(PreCheck("backlog", False, "too much"),))
    body = {"kind": "switchover", "to": "db-b", "reason": "patch", "dry_run": True}
    status, _, answer = one(carrier, "POST", "/api/v1/clusters/shop/operations", "olga", body)
    linked = {check["name"]: check["runbook"] for check in answer["checks"]}
    assert status == 200 and linked["backlog"] == "/runbooks/check-backlog" and linked["target"] == ""
    _, _, problem = one(Carrier(), "GET", "/api/v1/clusters/none", "vera")
    assert problem["runbook"].startswith("/runbooks/problem-")


def test_the_page_links_what_is_wrong() -> None:
    snapshot = with_reports(standby={"troubles": ("CLIENT_LOCK: waits",)}, finding="standby_differs", finding_text="x")
    _, _, text = one(Carrier(replace(snapshot, waiting="for a person")), "GET", "/c/shop", "vera")
    assert text.count('href="/runbooks/standby-differs"') == 2 and 'href="/runbooks/trouble-client-lock"' in text


def test_every_orchestrator_serves_them_to_everybody() -> None:
    status, headers, text = one(Carrier(), "GET", "/runbooks/standby-lost")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert text == (ROOT / "docs/runbooks/standby-lost.md").read_text()
    _, _, listed = one(Carrier(), "GET", "/runbooks/")
    assert [line.split()[0] for line in listed.splitlines()] == [f"/runbooks/{name}" for name in manual.names()]
    for wrong in ("none", "..%2f..%2fREADME", "Standby-Lost", "standby-lost.md"):
        assert one(Carrier(), "GET", f"/runbooks/{wrong}")[0] == 404


def test_status_names_the_runbook_below_the_next_step() -> None:
    snapshot = healthy(finding="standby_lost", finding_text="db-b is lost", waiting="for db-b to return")
    lines = screen(view(snapshot, 0.0, "now"))
    assert lines[-1].split(None, 1) == ["how", "kembar runbook standby-lost"]
    assert not [line for line in screen(view(healthy(), 0.0, "now")) if "runbook" in line]


def test_the_command_prints_one_as_it_was_given() -> None:
    for given in ("standby-lost", "standby_lost", "/runbooks/standby-lost"):
        assert CliRunner().invoke(main, ["runbook", given]).output == manual.read("standby-lost")
    listed = CliRunner().invoke(main, ["runbook"]).output
    assert len(listed.splitlines()) == len(manual.names())
    wrong = CliRunner().invoke(main, ["runbook", "standby-lots"])
    assert wrong.exit_code == 2 and "standby-lost" in wrong.output
