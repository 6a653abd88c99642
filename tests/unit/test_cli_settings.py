"""What may be changed of the policy, by whom, at which version; failback, a post-mortem, acknowledgement by id."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from carrier import Carrier
from click.testing import CliRunner
from pairs import DB_B, FAILOVER, healthy
from test_api import one
from test_cli import bare, configured, run, written  # noqa: F401 - a fixture of every test here

from monitoring.settings import merged
from orchestrator.cli.main import main
from orchestrator.core.mergepolicy import Automation
from orchestrator.core.model import Policy

CONFIG = "/api/v1/clusters/shop/config"


def test_values_are_shown_asked_for_and_recorded(tmp_path):
    carrier = Carrier()
    values = ("preferred=db-b", "reconcile.limits.rows=5", "reconcile.mode=off")
    asked = configured(carrier, tmp_path, "set", *values, "--reason", "night")
    assert (asked.exit_code, carrier.policy_version) == (5, 3), "nobody was there to be asked"
    tried = configured(carrier, tmp_path, "set", *values, "--reason", "night", "--dry-run", "-o", "json")
    assert (json.loads(tried.stdout)["preferred"], carrier.policy_version) == ("db-b", 3)
    done = configured(carrier, tmp_path, "set", *values, "--reason", "night", "--yes")
    assert done.stdout.splitlines() == [
        "reconcile.limits.rows: 1000000 -> 5",
        'reconcile.mode: "auto" -> "off"',
        'preferred: "" -> "db-b"',
    ]
    policy = carrier.snapshot.policy
    assert (policy.preferred, policy.reconcile.mode, policy.changed.actor) == (DB_B, Automation.OFF, "adam")
    back = configured(carrier, tmp_path, "set", "reconcile.limits=null", "preferred=", "--reason", "day", "--yes")
    assert (back.exit_code, carrier.snapshot.policy.reconcile.limits) == (0, Policy().reconcile.limits)
    assert carrier.snapshot.policy.reconcile.mode is Automation.OFF, "what is not named stays"


WRONG = {
    "no such node": ("preferred=db-c", 1, "/set/preferred: db-c is none of db-a, db-b"),
    "no such setting": ("prefered=db-a", 1, "/set/prefered: Extra inputs are not permitted"),
    "not a number": ("failovers_per_hour_max=many", 1, "/set/failovers_per_hour_max: Input should be a valid integer"),
    "a timing of every daemon": ("timing.renew_every_s=1", 1, "/set/timing: Extra inputs are not permitted"),
    "no value": ("preferred", 2, "KEY=VALUE is expected"),
    "a value below a value": ("preferred.x=1", 1, "/set/preferred"),
}


@pytest.mark.parametrize(("value", "code", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_and_nothing_is_recorded(tmp_path, value, code, said):
    carrier = Carrier()
    result = configured(carrier, tmp_path, "set", value, "--reason", "r", "--yes")
    assert (result.exit_code, said in result.stderr, carrier.policy_version) == (code, True, 3), result.stderr


def test_the_api_wants_the_version_that_was_seen():
    carrier = Carrier()
    body = {"set": {"preferred": "db-b"}, "reason": "x"}
    assert one(carrier, "PATCH", CONFIG, "adam", body)[0] == 428
    assert one(carrier, "PATCH", CONFIG, "adam", body, If_Match='"2"')[0] == 412
    assert one(carrier, "PATCH", CONFIG, "olga", body, If_Match='"3"')[0] == 403
    assert carrier.policy_version == 3
    status, headers, shown = one(carrier, "PATCH", CONFIG, "adam", body, If_Match='"3"')
    assert (status, headers["ETag"], shown["preferred"]) == (200, '"4"', "db-b")


def test_a_merge_patch_takes_keys_away_by_null():
    assert merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": None}, "e": [1]}) == {"a": 1, "b": {"d": 3}, "e": [1]}
    assert merged(5, {"a": {"b": None}}) == {"a": {}}


def test_diff_ends_with_1_if_something_is_different(tmp_path):
    carrier, file = Carrier(), tmp_path / "policy.yaml"
    file.write_text(configured(carrier, tmp_path, "show").stdout)
    assert configured(carrier, tmp_path, "diff", str(file)).exit_code == 0
    file.write_text("preferred: db-a\n")
    result = configured(carrier, tmp_path, "diff", str(file))
    assert (result.exit_code, result.stdout) == (1, 'preferred: "" -> "db-a"\n')


def test_what_was_edited_is_shown_and_recorded(tmp_path, monkeypatch):
    carrier, editor = Carrier(), tmp_path / "editor"
    monkeypatch.setenv("VISUAL", str(editor))
    editor.write_text('#!/bin/sh\nsed -i "s/preferred: \'\'/preferred: db-b/" "$1"\n')
    editor.chmod(0o755)
    result = configured(carrier, tmp_path, "edit", "--reason", "r", "--yes")
    assert (result.exit_code, result.stdout) == (0, 'preferred: "" -> "db-b"\n')
    editor.write_text("#!/bin/sh\necho 'prefered: db-a' > \"$1\"\n")
    wrong = configured(carrier, tmp_path, "edit", "--reason", "r", "--yes")
    assert (wrong.exit_code, "did you mean 'preferred'?" in wrong.stderr) == (1, True)
    editor.write_text("#!/bin/sh\n")
    assert configured(carrier, tmp_path, "edit", "--reason", "r", "--yes").exit_code == 6
    assert (carrier.snapshot.policy.preferred, carrier.policy_version) == (DB_B, 4)


def test_each_value_of_a_file_has_its_origin(tmp_path, monkeypatch):
    agent, _ = written(tmp_path)
    monkeypatch.setenv("KEMBAR_MYSQL__PORT", "3307")
    shown = CliRunner().invoke(main, ["config", "show", "--origin", str(agent), "-o", "json"])
    assert shown.exit_code == 0, shown.output
    found = {one["key"]: (one["value"], one["source"]) for one in json.loads(shown.stdout)["values"]}
    assert found["mysql.port"] == ("3307", "environment: KEMBAR_MYSQL__PORT")
    assert found["vip.address"][1].startswith(f"{agent}:")
    assert found["profile"] == ("default", "default") or found["profile"][1].startswith(f"{agent}:")
    assert "s3cret" not in shown.stdout
    agent.write_text("nonsense: 1\n")
    assert CliRunner().invoke(main, ["config", "show", "--origin", str(agent)]).exit_code == 1


# --- failback


def test_failback_goes_to_the_preferred_node_and_stays_there(tmp_path):
    carrier = Carrier(healthy(policy=Policy(preferred=DB_B)), obedient=True)
    result = run(carrier, tmp_path, "failback", "--reason", "as before", "--yes")
    assert result.exit_code == 0, result.output
    assert [(one.kind, one.to) for one in carrier.submitted] == [("switchover", DB_B)]
    again = run(carrier, tmp_path, "failback", "--reason", "as before", "--yes")
    assert (again.exit_code, again.stdout, len(carrier.submitted)) == (0, "db-b is primary already\n", 1)


def test_failback_without_a_preference_says_how_to_have_one(tmp_path):
    result = run(Carrier(), tmp_path, "failback", "--reason", "x", "--yes")
    assert (result.exit_code, "kembar config set preferred=NODE --reason TEXT" in result.stderr) == (5, True)
    assert run(Carrier(healthy(policy=Policy(preferred=DB_B))), tmp_path, "failback", "--reason", "x").exit_code == 5


# --- history and acknowledgement


def test_an_incident_as_markdown(tmp_path):
    lines = run(Carrier(), tmp_path, "history", "#7", "--format", "md").stdout.splitlines()
    assert lines[0] == "# Failover \\#7 of shop: ok"
    assert "## Timeline" in lines and "| detect | +0.0 | 6.0 |" in lines
    assert run(Carrier(), tmp_path, "history", "--format", "md").exit_code == 2
    assert json.loads(run(Carrier(), tmp_path, "history", "7", "--format", "md", "-o", "json").stdout)["id"] == 7


def test_only_the_failover_that_was_seen_last_is_acknowledged(tmp_path):
    earlier = replace(FAILOVER, id=3)
    carrier = Carrier(healthy(incidents=(FAILOVER, earlier)))
    result = run(carrier, tmp_path, "ack", "3", "--reason", "seen")
    assert (result.exit_code, "failover 7 came after 3" in result.stderr) == (5, True)
    assert run(carrier, tmp_path, "ack", "99", "--reason", "seen").exit_code == 5
    assert carrier.submitted == []
