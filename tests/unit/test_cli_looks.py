"""What a person looks at when woken: check, explain, vip, events, in every format, and whoever answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import yaml
from carrier import Carrier
from click.testing import CliRunner
from pairs import DB_A, DB_B, HELD, SETTLED, STEADY, aged, healthy, with_reports
from test_cli import bare, run, served  # noqa: F401 - a fixture of every test here

from monitoring.app import Web, bound_socket
from orchestrator.cli.client import Api
from orchestrator.cli.following import follow
from orchestrator.cli.main import main
from orchestrator.cli.settings import Settings
from orchestrator.cli.vip import held
from orchestrator.core.model import Mode
from orchestrator.core.requests import Pause

DEGRADED = healthy(cluster=replace(STEADY, mode=Mode.ASYNC, promotable=None))
CLOSED = healthy(leases={DB_A: aged(replace(HELD, gate_open=False))})
DISPUTED = with_reports(standby={"has_address": True, "gate_open": True})

CHECKS = {
    "healthy": (healthy(), 0, "KEMBAR OK - shop: writes OK on db-a"),
    "no standby": (DEGRADED, 1, "KEMBAR WARNING - shop: writes OK on db-a"),
    "paused": (healthy(paused=True, pause=Pause(True, 60, "x", "olga")), 1, "KEMBAR WARNING - "),
    "nobody leads": (
        healthy(leader=""),
        1,
        "KEMBAR WARNING - shop: writes OK on db-a (VIP 192.0.2.100), db-b is ready",
    ),
    "nobody serves": (CLOSED, 2, "KEMBAR CRITICAL - shop: no writes"),
    "two hold the address": (DISPUTED, 2, "KEMBAR CRITICAL - "),
    "no ZooKeeper": (healthy(connected=False), 3, "KEMBAR UNKNOWN - shop: unknown"),
}


@pytest.mark.parametrize(("snapshot", "code", "begins"), CHECKS.values(), ids=CHECKS)
def test_check_is_one_short_line_with_figures(tmp_path, snapshot, code, begins):
    result = run(Carrier(snapshot), tmp_path, "check")
    assert (result.exit_code, result.stdout.count("\n")) == (code, 1)
    assert result.stdout.startswith(begins)
    assert " | age=" in result.stdout and " open=0" in result.stdout
    assert len(result.stdout.encode()) <= 201


def test_nobody_takes_over_while_nobody_leads(tmp_path):
    shown = json.loads(run(Carrier(healthy(leader="")), tmp_path, "status", "-o", "json").stdout)
    assert shown["auto_failover"] == "no leader"
    assert shown["risk"] == {
        "text": "if db-a died now: no automatic failover (no orchestrator leads); db-b holds everything",
        "automatic": False,
    }


def test_a_long_text_is_cut_and_the_figures_are_not(tmp_path):
    longest = healthy(vip="é" * 300)
    result = run(Carrier(longest), tmp_path, "check")
    assert result.stdout.endswith(" open=0\n")
    assert 195 <= len(result.stdout.encode()) <= 201


def test_check_says_unknown_when_nobody_answers():
    result = CliRunner().invoke(main, ["check", "--endpoint", "http://127.0.0.1:1"])
    assert result.exit_code == 3
    assert result.stdout.startswith("KEMBAR UNKNOWN - no orchestrator answers: http://127.0.0.1:1: ")


def test_what_is_wrong_with_the_call_of_a_monitor_is_not_critical(tmp_path):
    path = tmp_path / "client.yaml"
    path.write_text("endpoint: x\n")
    result = CliRunner().invoke(main, ["check", "-c", str(path)])
    assert (result.exit_code, result.stdout.count("\n")) == (3, 1)
    assert result.stdout.startswith(f"KEMBAR UNKNOWN - {path}: endpoint: unknown key")
    assert CliRunner().invoke(main, ["check", "--nonsense"]).exit_code == 3


def test_explain_says_what_is_waited_for_and_what_may_be_asked(tmp_path):
    lines = run(Carrier(healthy(waiting="for db-b to be certified")), tmp_path, "explain").stdout.splitlines()
    assert lines[0] == "shop  writes OK on db-a (VIP 192.0.2.100), db-b is ready to take over"
    assert "last rule  U2: the standby holds everything again" in lines
    assert "waits      for db-b to be certified" in lines
    assert "may ask    switchover: yes" in lines
    shown = json.loads(run(Carrier(), tmp_path, "explain", "-o", "json").stdout)
    assert shown["actions"][0]["kind"] == "switchover"
    assert {"kind", "to", "enabled", "disabled_reasons"} == set(shown["actions"][0])


def test_vip_is_agreed_upon(tmp_path):
    result = run(Carrier(), tmp_path, "vip")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "192.0.2.100 is on db-a: all who can tell agree"
    assert lines[2].split(None, 3)[:4] == ["agent", "of", "db-a", "db-a    address yes, gate open"]


VIPS = {
    "two agents": (DISPUTED, "192.0.2.100 is DISPUTED by db-a and db-b: stop the one that is not primary"),
    "nobody": (
        replace(with_reports(primary={"has_address": False, "gate_open": False}), leases={}),
        "192.0.2.100 is on no node: see kembar explain",
    ),
    "agent and lease": (
        with_reports(primary={"has_address": False}),
        "192.0.2.100 is claimed by db-a, primary is db-a: see kembar explain",
    ),
}


@pytest.mark.parametrize(("snapshot", "text"), VIPS.values(), ids=VIPS)
def test_vip_ends_with_4_unless_all_agree(tmp_path, snapshot, text):
    result = run(Carrier(snapshot), tmp_path, "vip")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (4, text)


def test_arp_is_believed_as_much_as_agents_are():
    shown = Carrier().backend().view(healthy())
    cases = (("db-a", False, True), (None, False, True), ("db-b", False, False), (None, True, False))
    for node, foreign, agreed in cases:
        shown["vip"]["arp"] = {"hardware": "02:00:00:00:00:0a", "node": node, "foreign": foreign}
        found = held(shown)
        assert (found["agreed"], found["seen"][-1]["by"]) == (agreed, "ARP of witness")


def test_events_by_time_and_severity(tmp_path):
    lines = run(Carrier(), tmp_path, "events").stdout.splitlines()
    assert lines[1:] == [
        "2026-11-21 18:55:00.467  warning   failover.completed  db-a serves",
        "2026-11-21 18:55:04.000  info      mode.sync           db-b holds everything",
    ]
    assert len(run(Carrier(), tmp_path, "events", "--severity", "warning").stdout.splitlines()) == 2
    since = run(Carrier(), tmp_path, "events", "--since", "2026-11-21T18:55:01", "-o", "json").stdout
    assert [one["id"] for one in json.loads(since)["events"]] == ["000412"]
    assert run(Carrier(), tmp_path, "events", "--since", "1s").stdout == "nothing\n"
    wrong = run(Carrier(), tmp_path, "events", "--since", "yesterday")
    assert (wrong.exit_code, "2026-11-21T18:55" in wrong.stderr) == (2, True)


FOLLOW = "from orchestrator.cli.main import main; main()"


def test_events_are_followed_and_taken_up_at_the_next_orchestrator():
    """The one that was listened to ends; the other has what happened meanwhile, and nothing is told twice."""
    first, second = Carrier(anonymous=True), Carrier(anonymous=True)
    leading = Web(first.backend(), bound_socket("127.0.0.1", 0))
    thread = threading.Thread(target=leading.run)
    thread.start()
    with served(second) as other:
        assert leading.wait_serving(60.0)
        command = [sys.executable, "-c", FOLLOW, "events", "-f", "-o", "json", "--endpoint", f"{leading.url},{other}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told = [json.loads(child.stdout.readline()) for _ in range(2)]
            happened(first, 413)
            told.append(json.loads(child.stdout.readline()))
            happened(second, 413, 414)
            leading.stop()
            thread.join()
            told.append(json.loads(child.stdout.readline()))
            child.terminate()
    assert [one["id"] for one in told] == ["000411", "000412", "000413", "000414"]


def happened(carrier: Carrier, *numbers: int) -> None:
    events = carrier.snapshot.events | {number: replace(SETTLED, number=number) for number in numbers}
    carrier.snapshot = replace(carrier.snapshot, events=events)


def test_following_gives_up_when_nobody_answers():
    command = ["events", "-f", "--patience", "0", "--endpoint"]
    with served(Carrier(anonymous=True)) as url:
        pass
    assert CliRunner().invoke(main, [*command, url]).exit_code == 8


def test_a_fresh_orchestrator_is_asked_before_a_stale_one_is_believed(tmp_path):
    with served(Carrier(healthy(connected=False), anonymous=True)) as stale, served(Carrier(anonymous=True)) as fresh:
        result = CliRunner().invoke(main, ["status", "--endpoint", f"{stale},{fresh}", "-v"])
        assert (result.exit_code, result.stdout.split()[1]) == (0, "HEALTHY")
        assert result.stderr == f"answered: {fresh}\n"
        result = CliRunner().invoke(main, ["status", "--endpoint", f"{stale},http://127.0.0.1:1"])
        assert (result.exit_code, result.stdout.split()[1]) == (8, "UNKNOWN")


def test_every_format_says_the_same(tmp_path):
    shown = json.loads(run(Carrier(), tmp_path, "status", "-o", "json").stdout)
    found = yaml.safe_load(run(Carrier(), tmp_path, "status", "-o", "yaml").stdout)
    assert found["nodes"] == shown["nodes"] and found["state"] == shown["state"]
    rows = [line.split("\t") for line in run(Carrier(), tmp_path, "status", "-o", "tsv").stdout.splitlines()]
    assert [row[0] for row in rows] == ["NODE", DB_A, DB_B]
    assert {len(row) for row in rows} == {18}
    wide = run(Carrier(), tmp_path, "status", "-o", "wide").stdout.splitlines()
    assert "CONNECTIONS" in wide[2] and " 142 " in wide[3]
    leaves = run(Carrier(), tmp_path, "explain", "-o", "tsv").stdout.splitlines()
    assert "finding.name\thealthy" in leaves


def test_quiet_leaves_the_exit_code(tmp_path):
    result = run(Carrier(CLOSED), tmp_path, "status", "-q")
    assert (result.exit_code, result.output) == (4, "")


def test_colour_is_left_out_if_asked(tmp_path, monkeypatch):
    with served(Carrier(anonymous=True)) as url:
        command = ["status", "--endpoint", url]
        assert "\x1b[" in CliRunner().invoke(main, command, color=True).stdout
        assert "\x1b[" not in CliRunner().invoke(main, [*command, "--no-color"], color=True).stdout
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b[" not in CliRunner().invoke(main, command, color=True).stdout


def test_whoever_comes_back_after_too_long_is_shown_the_whole_anew():
    with served(Carrier(anonymous=True)) as url:
        first = next(follow(Api(Settings((url,))), "/api/v1/clusters/shop/stream", "000001", 0.0))
    assert (first.kind, first.id) == ("snapshot", "412")
