"""doctor, support-bundle, api and completion: what they find, and what never leaves the host."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from carrier import Carrier
from click.testing import CliRunner
from kept_pairs import OVER, returned
from pairs import DB_B, STANDBY, aged, healthy, with_reports
from test_cli import bare, run, served  # noqa: F401 - a fixture of every test here

from orchestrator.cli.main import VERBS, main
from orchestrator.cli.redaction import LEFT_OUT, redacted, without_rows
from orchestrator.core.model import HostFacts
from orchestrator.core.requests import Kind, Request, RequestState
from orchestrator.core.verifying import Difference, Outcome, Verifying, summary


def test_doctor_finds_nothing_in_a_healthy_pair(tmp_path):
    with served(Carrier(anonymous=True)) as url:
        result = CliRunner().invoke(main, ["doctor", "--endpoint", url])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "shop: every check passed"), result.output
    assert f"ok  {url}" in result.stdout.replace("   ", "  ")


WRONG = {
    "settings": (
        {"refusals": ("sync_binlog is 0, needed 1",)},
        "db-b: settings: set them as said, restart   kembar runbook node-refused",
    ),
    "receiver": ({"receiver_connected": False}, "db-b: receiver: kembar explain   kembar runbook replication-broken"),
    "disk": (
        {"host": HostFacts(disk_used_percent=97.0)},
        "db-b: disk: make room before it is full: PURGE BINARY LOGS, or grow   kembar runbook node-in-trouble",
    ),
}


@pytest.mark.parametrize(("standby", "told"), WRONG.values(), ids=WRONG)
def test_doctor_says_what_mends_each_failure(tmp_path, standby, told):
    result = run(Carrier(with_reports(standby=standby)), tmp_path, "doctor", "--node", "db-b")
    assert result.exit_code == 1
    assert told in result.stdout.splitlines()


def test_doctor_judges_no_server_by_what_it_said_long_ago(tmp_path):
    silent = healthy(reports={DB_B: aged(replace(STANDBY, refusals=("x",)), 60.0)})
    found = json.loads(run(Carrier(silent), tmp_path, "doctor", "--node", "db-b", "-o", "json").stdout)
    assert [(one["name"], one["passed"]) for one in found["checks"]] == [("agent", False)]
    assert run(Carrier(), tmp_path, "doctor", "--node", "db-z").exit_code == 2


def test_doctor_names_the_orchestrator_that_is_dead(tmp_path):
    result = run(Carrier(), tmp_path, "doctor")
    assert result.exit_code == 1
    assert any(line.startswith("no  http://127.0.0.1:1") for line in result.stdout.splitlines())
    assert result.stdout.splitlines()[-1].startswith("shop: 1 of ")


def test_doctor_says_who_is_dead_when_nobody_can_be_asked(tmp_path):
    result = CliRunner().invoke(main, ["doctor", "--endpoint", "http://127.0.0.1:1,http://127.0.0.1:2"])
    assert result.exit_code == 1
    about = [line.split()[:2] for line in result.stdout.splitlines()[1:4]]
    assert about == [["no", "http://127.0.0.1:1"], ["no", "http://127.0.0.1:2"], ["no", "ZooKeeper"]]


# --- what never leaves the host

SECRETS = {
    "token": "olga-secret",
    "mysql": "Correct.Horse-Battery",
    "webhook": "wh-0123456789abcdef",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "inline": "inline-pass-77",
    "bearer": "eyJhbGciOiJIUzI1NiJ9.unknown",
    "sql": "sqlpass99",
    "url": "proxypass",
}


def planted(tmp_path: Path) -> list[str]:
    """Configuration and a log with every secret, as options of the command."""
    (tmp_path / "mysql").write_text(SECRETS["mysql"] + "\n")
    (tmp_path / "webhook").write_text(SECRETS["webhook"])
    (tmp_path / "tokens").write_text(f"- {{name: lab, role: admin, sha256: {SECRETS['hash']}}}\n")
    config, log = tmp_path / "orchestrator.yaml", tmp_path / "agent.log"
    config.write_text(
        f"name: witness\ntokens_file: {tmp_path}/tokens\nmysql: {{password_file: {tmp_path}/mysql}}\n"
        f"alerts:\n  - {{name: ops, url: 'https://me:{SECRETS['url']}@hooks.example.com/', "
        f"secret_file: {tmp_path}/webhook}}\nold_password: {SECRETS['inline']}\n"
    )
    lines = [f"connected with {secret}" for name, secret in SECRETS.items() if name in ("mysql", "webhook", "inline")]
    lines += [
        f"CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='{SECRETS['sql']}'",
        f"CREATE USER x IDENTIFIED BY '{SECRETS['sql']}'",
        f"Authorization: Bearer {SECRETS['bearer']}",
        f"token {SECRETS['hash']} of {SECRETS['token']}",
        "epoch 7: db-a serves",
    ]
    log.write_text("\n".join(lines) + "\n")
    return ["--include", str(config), "--log", str(log)]


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        return {one.name.partition("/")[2]: tar.extractfile(one).read().decode() for one in tar.getmembers()}


def test_a_bundle_tells_much_and_no_secret(tmp_path):
    target = tmp_path / "bundle.tar.gz"
    carrier = Carrier(returned(), reports={7: OVER})
    result = run(carrier, tmp_path, "support-bundle", "--file", str(target), *planted(tmp_path))
    assert result.exit_code == 0, result.output
    parts = unpacked(target)
    assert {"status.json", "status.txt", "explain.txt", "events.json", "incidents/7.txt", "metrics.txt"} <= set(parts)
    assert {"config/orchestrator.yaml", f"logs{tmp_path}/agent.log", "MANIFEST.json"} <= set(parts)
    whole = "\n".join(parts.values())
    assert not [name for name, secret in SECRETS.items() if secret in whole]
    assert "epoch 7: db-a serves" in whole and "tokens_file" in whole, "what is no secret is there"
    assert target.stat().st_mode & 0o777 == 0o600
    assert any(one.startswith("audit: ") for one in json.loads(parts["MANIFEST.json"])["left_out"]), "olga is no admin"


def test_no_row_of_a_client_is_in_a_bundle(tmp_path):
    target = tmp_path / "bundle.tar.gz"
    shown = json.loads(run(Carrier(returned()), tmp_path, "status", "-o", "json").stdout)
    rows = [row for one in shown["returns"]["transactions"] for row in one["rows"]]
    assert rows, "there is something to leave out"
    run(Carrier(returned()), tmp_path, "support-bundle", "--file", str(target))
    kept = json.loads(unpacked(target)["status.json"])["returns"]["transactions"]
    assert [one["rows"] for one in kept] == [
        f"{LEFT_OUT}: {len(one['rows'])}" for one in shown["returns"]["transactions"]
    ]
    assert without_rows({"rows": 5, "a": [{"edits": {"1": {}}}]}) == {"rows": 5, "a": [{"edits": f"{LEFT_OUT}: 1"}]}


def test_what_a_comparison_found_is_in_a_bundle_without_its_values(tmp_path):
    target, log = tmp_path / "bundle.tar.gz", tmp_path / "agent.log"
    found = Difference("row", "shop.people", "id=7", "'private \n one'", "'private two'")
    ended = Verifying("v", 7, "olga", outcome=Outcome.DIFFERS, ended="2026-11-24T18:00:00Z", differing=1)
    ended = replace(ended, differences=(found,))
    waiting = f"for a person, as db-b is no copy: {found}; kembar rejoin db-b --path clone --reason TEXT makes it one"
    done = Request("v", Kind.VERIFY, DB_B, "monthly", "olga", 7, RequestState.DONE, summary(ended), verified=ended)
    log.write_text(f"alert: {waiting!r}\n")
    pair = with_reports(standby={"differing": (found,), "verified": ended}, waiting=waiting, requests={"v": done})
    run(Carrier(pair), tmp_path, "support-bundle", "--file", str(target), "--log", str(log))
    parts = unpacked(target)
    assert [name for name, text in parts.items() if "private" in text] == []
    said = [name for name, text in parts.items() if "row shop.people" in text]
    assert {"status.json", "status.txt", "operations.json", f"logs{tmp_path}/agent.log"} <= set(said)


def test_a_bundle_is_made_when_nobody_answers(tmp_path):
    """That is when it is needed; it says what it lacks."""
    target = tmp_path / "bundle.tar.gz"
    command = ["support-bundle", "--endpoint", "http://127.0.0.1:1", "--file", str(target), *planted(tmp_path)]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, f"logs{tmp_path}/agent.log" in unpacked(target)) == (0, True)
    assert "left out: status: no orchestrator answers" in result.stdout
    wrong = CliRunner().invoke(main, [*command, "--file", str(tmp_path / "nowhere" / "x")])
    assert wrong.exit_code == 1


def test_short_words_are_no_secrets_and_what_looks_like_one_is():
    assert redacted("db is up", ["db", "", "up"]) == "db is up"
    assert redacted("see https://a:b@c/ there", ()) == f"see https://{LEFT_OUT}c/ there"
    assert redacted("PASSWORD = 'it''s \\' mine' next", ()) == f"PASSWORD = {LEFT_OUT} next"


# --- api and completion


def test_a_raw_call(tmp_path):
    shown = json.loads(run(Carrier(), tmp_path, "api", "get", "/api/v1/clusters").stdout)
    assert shown["clusters"][0]["cluster"] == "shop"
    body = '{"for": "30m", "reason": "x"}'
    carrier = Carrier()
    put = run(
        carrier, tmp_path, "api", "PUT", "/api/v1/clusters/shop/pause", "-d", body, "-H", "If-Match:7", "-o", "json"
    )
    assert (put.exit_code, json.loads(put.stdout)["active"], len(carrier.pauses)) == (0, True, 1)
    assert "# HELP kembar_epoch" in run(Carrier(), tmp_path, "api", "GET", "/metrics").stdout
    for wrong in (["GET", "clusters"], ["GET", "/x", "-d", "{"], ["GET", "/x", "-H", "If-Match"], ["HEAD", "/x"]):
        assert run(Carrier(), tmp_path, "api", *wrong).exit_code == 2
    assert run(Carrier(), tmp_path, "api", "GET", "/api/v1/nothing").exit_code == 1


def test_a_shell_completes_our_words(tmp_path):
    script = tmp_path / "kembar.bash"
    script.write_text(CliRunner().invoke(main, ["completion", "bash"]).stdout)
    command = ["bash", "-c", f"source {script} && complete -p kembar"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"-F _kembar_completion kembar", told)
    asked = CliRunner().invoke(
        main,
        [],
        env={"_KEMBAR_COMPLETE": "bash_complete", "COMP_WORDS": "kembar st", "COMP_CWORD": "1"},
        prog_name="kembar",
    )
    assert asked.stdout == "plain,status\n" and "status" in VERBS
