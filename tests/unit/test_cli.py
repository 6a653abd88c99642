"""The command line against a real server: what it prints, asks, sends, and with which code it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from carrier import Carrier
from click.testing import CliRunner, Result
from pairs import DB_A, DB_B, HELD, STEADY, aged, healthy, with_reports
from test_config import AGENT, ORCHESTRATOR

from monitoring.app import Web, bound_socket
from orchestrator.cli.client import Api
from orchestrator.cli.exits import Failed
from orchestrator.cli.main import VERBS, main
from orchestrator.cli.operation import poll
from orchestrator.cli.options import Session
from orchestrator.cli.settings import Settings, find_file
from orchestrator.core.errors import CoordinatorUnavailable
from orchestrator.core.mergepolicy import Automation
from orchestrator.core.model import Mode
from orchestrator.core.requests import Kind, PreCheck, Request, RequestState
from orchestrator.core.verifying import Difference, Outcome, Verifying, summary


@contextmanager
def served(carrier: Carrier) -> Iterator[str]:
    """The carrier's page and API on a port of its own; the URL."""
    web = Web(carrier.backend(), bound_socket("127.0.0.1", 0))
    thread = threading.Thread(target=web.run)
    thread.start()
    try:
        assert web.wait_serving(60.0)
        yield web.url
    finally:
        web.stop()
        thread.join()


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client.yaml of this host is in the way."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "KEMBAR_CLIENT",
        "KEMBAR_LAB",
        "KEMBAR_ENDPOINT",
        "KEMBAR_CLUSTER",
        "KEMBAR_TOKEN_FILE",
        "XDG_STATE_HOME",
    ):
        monkeypatch.delenv(name, raising=False)


def run(carrier: Carrier, tmp_path: Path, *args: str, who: str = "olga") -> Result:
    with served(carrier) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text(f"{who}-secret\n")
        client.write_text(f"endpoints: ['http://127.0.0.1:1', '{url}']\ntoken_file: {token}\n")
        return CliRunner().invoke(main, [args[0], "-c", str(client), *args[1:]])


def test_status_is_one_screen(tmp_path):
    result = run(Carrier(), tmp_path, "status")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "shop  HEALTHY  writes OK on db-a (VIP 192.0.2.100), db-b is ready to take over"
    assert lines[1].startswith(
        "mode SYNC   auto-failover ON   phase STEADY   epoch 7   VIP 192.0.2.100 on db-a   2026-"
    )
    assert lines[2].split() == [
        "NODE", "ROLE", "MYSQL", "RECEIVER", "HEARD", "WRITABLE", "MISSING/ERRANT", "VIP", "GATE", "PROMOTABLE", "SEEN",
    ]  # fmt: skip
    assert lines[4].split() == [
        "db-b",
        "standby",
        "9.7.4",
        "on",
        "0.1s",
        "no",
        "2",
        "/",
        "0",
        "no",
        "shut",
        "yes",
        "0.2s",
    ]
    assert result.stderr == ""


def test_status_as_json_is_one_object_and_nothing_else(tmp_path):
    result = run(Carrier(), tmp_path, "status", "-o", "json")
    shown = json.loads(result.stdout)
    assert (shown["cluster"], shown["state"], shown["epoch"], shown["vip"]["holder"]) == ("shop", "healthy", 7, "db-a")
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "", 1)


DEGRADED = healthy(cluster=replace(STEADY, mode=Mode.ASYNC, promotable=None))
CODES = {
    "healthy": (healthy(), ("--exit-code",), 0),
    "degraded, not asked for": (DEGRADED, (), 0),
    "degraded": (DEGRADED, ("--exit-code",), 3),
    "no writable primary": (healthy(leases={DB_A: aged(replace(HELD, gate_open=False))}), (), 4),
    "VIP dispute": (with_reports(standby={"has_address": True, "gate_open": True}), (), 4),
    "an orchestrator without ZooKeeper": (healthy(connected=False), (), 8),
}


@pytest.mark.parametrize(("snapshot", "options", "code"), CODES.values(), ids=CODES)
def test_exit_codes_of_status(tmp_path, snapshot, options, code):
    assert run(Carrier(snapshot), tmp_path, "status", *options).exit_code == code


def test_nobody_answers(tmp_path):
    result = CliRunner().invoke(main, ["status", "--endpoint", "http://127.0.0.1:1"])
    assert result.exit_code == 8
    assert "no orchestrator answers: http://127.0.0.1:1: " in result.stderr
    assert CliRunner().invoke(main, ["status"]).exit_code == 8, "nothing is configured"


def test_not_authorised(tmp_path):
    assert run(Carrier(), tmp_path, "status", who="nobody").exit_code == 9
    assert run(Carrier(), tmp_path, "switchover", "--reason", "x", "--yes", who="vera").exit_code == 9


def test_a_switchover_is_checked_asked_for_and_followed(tmp_path):
    carrier = Carrier(obedient=True)
    result = run(carrier, tmp_path, "switchover", "--to", "db-b", "--reason", "kernel patch", "--yes")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[:2] == ["Pre-checks", "  ok   target"]
    assert lines[-5:] == [
        "   +0 ms  fence    took 9 ms",
        "   +9 ms  drain    took 22 ms",
        "  +31 ms  promote  took 21 ms",
        "  +52 ms  vip      took 8 ms",
        "Done in 71 ms. db-b serves",
    ]
    assert [(r.to, r.reason, r.actor, r.epoch) for r in carrier.submitted] == [("db-b", "kernel patch", "olga", 7)]


def test_a_switchover_as_json(tmp_path):
    result = run(Carrier(obedient=True), tmp_path, "switchover", "--reason", "x", "--yes", "-o", "json")
    operation = json.loads(result.stdout)
    assert (operation["state"], operation["total_ms"], operation["to"]) == ("done", 71.0, "db-b")


def test_a_dry_run_changes_nothing(tmp_path):
    carrier = Carrier()
    result = run(carrier, tmp_path, "switchover", "--reason", "x", "--dry-run", "-o", "json", who="vera")
    assert (result.exit_code, json.loads(result.stdout)["admitted"], carrier.submitted) == (0, True, [])


def test_a_failed_check_is_shown_and_ends_with_5(tmp_path):
    carrier = Carrier(refusals=(PreCheck("backlog", False, "db-b has 5000 transactions to apply"),))
    result = run(carrier, tmp_path, "switchover", "--reason", "x", "--yes")
    assert result.exit_code == 5
    assert "  no   backlog: db-b has 5000 transactions to apply" in result.stdout


def test_without_a_person_and_without_yes_nothing_begins(tmp_path):
    carrier = Carrier()
    result = run(carrier, tmp_path, "switchover", "--reason", "x")
    assert (result.exit_code, carrier.submitted) == (5, [])
    assert "--yes" in result.stderr


def test_a_switchover_that_does_not_end_in_time_goes_on(tmp_path):
    carrier = Carrier()
    result = run(carrier, tmp_path, "switchover", "--reason", "x", "--yes", "--timeout", "0s")
    assert result.exit_code == 7
    assert carrier.submitted[0].id in result.stderr


def test_a_request_is_put_and_followed_through_a_short_silence(tmp_path):
    """A new leader is found within seconds; a key lets the request be put once only."""
    carrier = Carrier(obedient=True)
    silences = [CoordinatorUnavailable("ConnectionLoss")] * 2

    def interrupted() -> None:
        if silences:
            raise silences.pop()

    carrier.before_submit = interrupted
    result = run(carrier, tmp_path, "switchover", "--reason", "x", "--yes")
    assert (result.exit_code, len(carrier.submitted), silences) == (0, 1, []), result.output


def test_nobody_who_answers_any_more_is_no_end_of_the_operation():
    with served(Carrier(anonymous=True)) as url:
        api = Api(Settings((url,)))
    with pytest.raises(Failed) as ended:
        poll(Session(api, "shop"), "/api/v1/clusters/shop/operations/abc", 0.0, "", 0.0)
    assert (ended.value.exit_code, "operation abc may go on" in ended.value.message) == (7, True)


def test_one_that_need_not_be_followed(tmp_path):
    result = run(Carrier(), tmp_path, "switchover", "--reason", "x", "--yes", "--no-wait", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (0, "requested")


def test_another_operation_is_running(tmp_path):
    running = Request("winner", Kind.SWITCHOVER, "db-b", "first", "adam", 7, RequestState.RUNNING)
    result = run(Carrier(healthy(requests={"winner": running})), tmp_path, "switchover", "--reason", "x", "--yes")
    assert result.exit_code == 5
    assert "operation running: switchover to db-b by adam is running" in result.stderr


def test_history_and_a_timeline(tmp_path):
    lines = run(Carrier(), tmp_path, "history").stdout.splitlines()
    assert lines[1].split()[:5] == ["7", "failover", "2026-11-21", "18:55:00.371", "db-b"]
    lines = run(Carrier(), tmp_path, "history", "7").stdout.splitlines()
    assert lines[0].startswith("failover #7  db-b -> db-a  auto (mysqld on db-b exited, F5)")
    assert [line.split()[0] for line in lines[2:6]] == ["detect", "fence", "drain", "promote"]
    assert json.loads(run(Carrier(), tmp_path, "history", "-o", "json").stdout)["incidents"][0]["id"] == 7
    assert run(Carrier(), tmp_path, "history", "99").exit_code == 1


def test_pause_and_resume(tmp_path):
    carrier = Carrier()
    assert run(carrier, tmp_path, "pause", "--for", "30m", "--reason", "disk swap").exit_code == 0
    assert run(carrier, tmp_path, "resume").exit_code == 0
    assert [(p.active, p.for_s, p.reason) for p in carrier.pauses] == [(True, 1800.0, "disk swap"), (False, 0.0, "")]
    assert run(carrier, tmp_path, "pause", "--for", "0", "--reason", "x").exit_code == 9
    assert run(carrier, tmp_path, "pause").exit_code == 2


def test_where_a_client_file_is_looked_for(tmp_path):
    lab = tmp_path / "state" / "kembar" / "lab" / "demo" / "client.yaml"
    own = tmp_path / ".config" / "kembar" / "client.yaml"
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert find_file(None, environ) is None
    for path in (lab, own):
        path.parent.mkdir(parents=True)
        path.write_text("endpoints: []\n")
        assert find_file(None, environ) == path
    assert find_file(None, environ | {"KEMBAR_LAB": "demo"}) == lab, "whoever names a lab means it"
    assert find_file(None, environ | {"KEMBAR_CLIENT": "/x"}) == Path("/x")
    assert find_file("/y", environ | {"KEMBAR_CLIENT": "/x"}) == Path("/y")


def test_a_wrong_client_file_is_a_usage_error(tmp_path):
    path = tmp_path / "client.yaml"
    path.write_text("endpoint: http://127.0.0.1:1\nzookeeper: 192.0.2.1:2181\n")
    result = CliRunner().invoke(main, ["status", "-c", str(path)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{path}: endpoint: unknown key  hint: did you mean 'endpoints'?",
        f"{path}: zookeeper: expected a list of texts",
    ]


def written(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("agent", "replication"):
        (tmp_path / name).write_text("s3cret")
        (tmp_path / name).chmod(0o600)
    agent, orchestrator = tmp_path / "agent.yaml", tmp_path / "orchestrator.yaml"
    agent.write_text(
        AGENT.replace("SECRETS", str(tmp_path)).replace("    - 192.0.2.11:2181\n    - 192.0.2.12:2181\n", "")
    )
    orchestrator.write_text(ORCHESTRATOR)
    return agent, orchestrator


def test_validate_a_file_alone_and_files_together(tmp_path):
    agent, orchestrator = written(tmp_path)
    assert CliRunner().invoke(main, ["config", "validate", str(agent)]).exit_code == 0
    assert CliRunner().invoke(main, ["config", "validate", str(agent), str(orchestrator)]).exit_code == 0
    orchestrator.write_text(ORCHESTRATOR.replace("192.0.2.100", "192.0.2.101"))
    result = CliRunner().invoke(main, ["config", "validate", str(agent), str(orchestrator), "-o", "json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"] == [
        f"{orchestrator}:9:10: clusters[0].vip: vip differs from {agent}  hint: all files of a cluster agree"
    ]


def test_validate_reports_the_mistakes_of_all_files(tmp_path):
    agent, orchestrator = written(tmp_path)
    agent.write_text(agent.read_text().replace("port: 3306", "prot: 3306"))
    orchestrator.write_text(ORCHESTRATOR.replace("name: witness", "nam: witness"))
    result = CliRunner().invoke(main, ["config", "validate", str(agent), str(orchestrator)])
    assert result.exit_code == 1
    assert f"{agent}:12:3: mysql.prot: unknown key  hint: did you mean 'port'?" in result.stderr.splitlines()
    assert f"{orchestrator}:1:1: nam: unknown key  hint: did you mean 'name'?" in result.stderr.splitlines()


def test_help_names_every_verb_and_imports_none():
    code = (
        "import sys; from orchestrator.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print([m for m in sys.modules if m.split('.')[0] in ('agents', 'lab', 'pydantic', 'yaml')])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert all(f"  {verb} " in out for verb in VERBS)
    assert out.splitlines()[-1] == "[]"


def test_status_carries_little():
    """What it does not import, it does not wait for."""
    code = (
        "import sys; from orchestrator.cli.main import main\n"
        "try: main()\n"
        "finally: heavy = {'pydantic', 'aiohttp', 'kazoo', 'jinja2'} & set(sys.modules); assert not heavy, heavy"
    )
    with served(Carrier(anonymous=True)) as url:
        subprocess.run([sys.executable, "-c", code, "status", "--endpoint", url], check=True, capture_output=True)


# --- verify

FOUND = Difference("row", "shop.acct", "id=2", "bal=150", "bal=207")
RUNS = Verifying(
    "r", 7, "olga", outcome=Outcome.RUNNING, doing="shop.acct", percent=42.0, tables=9, tables_done=3,
    equal=40, hot=2, rows=4000, rows_per_s=1500.0, eta_s=30.0,
)  # fmt: skip
DIFFERS = replace(RUNS, outcome=Outcome.DIFFERS, percent=100.0, differing=1, differences=(FOUND,), diverged=1)


def verified(outcome: Verifying | None, tmp_path: Path, *args: str) -> tuple[Result, list[Request]]:
    """`kembar verify` with a leader that answers at once, by this."""
    carrier = Carrier()
    put = carrier.put

    def answer(request: Request) -> None:
        if outcome is None:
            put(replace(request, state=RequestState.FAILED, answer="db-b became primary in epoch 8"))
        else:
            put(replace(request, state=RequestState.DONE, answer=summary(outcome), verified=outcome))

    carrier.put = answer  # type: ignore[method-assign]
    return run(carrier, tmp_path, "verify", *args), carrier.submitted


def test_equal_nodes_are_told_with_how_much_was_compared(tmp_path):
    equal = replace(DIFFERS, outcome=Outcome.EQUAL, differing=0, differences=())
    result, submitted = verified(equal, tmp_path, "--table", "shop.acct", "--table", "shop.x")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Done. 9 of 9 tables, 4000 rows: equal")
    assert [(one.kind, one.to, one.tables) for one in submitted] == [(Kind.VERIFY, DB_B, ("shop.acct", "shop.x"))]


def test_a_difference_is_named_with_both_versions_and_the_next_command(tmp_path):
    result, _ = verified(DIFFERS, tmp_path)
    assert result.exit_code == 10
    assert result.stdout.splitlines()[-2:] == [
        "  row shop.acct (id=2): primary bal=150; standby bal=207",
        "next  kembar rejoin db-b --path clone --reason TEXT",
    ]
    as_json, _ = verified(DIFFERS, tmp_path, "-o", "json")
    shown = json.loads(as_json.stdout)
    assert (as_json.exit_code, shown["progress"]["differences"][0]["key"]) == (10, "id=2")


def test_a_row_cannot_write_to_the_terminal(tmp_path):
    """Whoever may write a row must not be able to hide it, or to add lines of his own."""
    found = replace(FOUND, key="id=\x1b[8m", standby="note=\x1b[2J\nDone. equal\u202e")
    result, _ = verified(replace(DIFFERS, differences=(found,)), tmp_path)
    assert result.stdout.splitlines()[-2] == (
        r"  row shop.acct (id=\x1b[8m): primary bal=150; standby note=\x1b[2J\nDone. equal\u202e"
    )
    assert result.stdout.replace("\n", "").isprintable()


def test_one_that_a_failover_ended_has_failed(tmp_path):
    result, _ = verified(None, tmp_path)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "Failed. db-b became primary in epoch 8")


def test_how_far_it_is_is_followed_and_it_goes_on_without_us(tmp_path):
    snapshot = with_reports(standby={"verifying": RUNS})
    carrier = Carrier(snapshot, tick_s=0.1)
    submit = carrier.submit

    def begun(cluster: str, request: Request) -> None:
        submit(cluster, request)
        standby = replace(snapshot.reports[DB_B].value, verifying=replace(RUNS, id=request.id))
        carrier.snapshot = replace(carrier.snapshot, reports={**snapshot.reports, DB_B: aged(standby)})

    carrier.submit = begun  # type: ignore[method-assign]
    result = run(carrier, tmp_path, "verify", "--timeout", "0s")
    line = "42.0 %  shop.acct  table 4 of 9  chunks 40 equal, 2 hot, 0 diverged  1500 rows/s  ETA 30s"
    assert result.exit_code == 7 and line in result.stdout and line in result.stderr


def test_not_waiting_ends_at_once(tmp_path):
    result = run(Carrier(), tmp_path, "verify", "--no-wait", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (0, "requested")


def test_a_table_without_its_schema_is_refused_by_name(tmp_path):
    result = run(Carrier(), tmp_path, "verify", "--table", "acct")
    assert result.exit_code == 1
    assert "/tables/0" in result.stderr


def test_status_shows_what_was_compared_and_what_differs(tmp_path):
    ended = replace(DIFFERS, ended="2026-11-24T18:59:00.000Z")
    snapshot = with_reports(standby={"verified": ended, "verifying": RUNS, "differing": (FOUND,)})
    result = run(Carrier(snapshot), tmp_path, "status")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert (
        "verified 2026-11-24T18:59:00.000Z by olga: 9 of 9 tables, 4000 rows: 1 differences: row shop.acct (id=2):"
        " bal=150 on the primary, bal=207 on the standby"
    ) in lines
    assert "verify 42.0 % shop.acct, asked by olga" in lines
    assert f"differs {FOUND}" in lines
    shown = json.loads(run(Carrier(snapshot), tmp_path, "status", "-o", "json").stdout)["verification"]
    assert (shown["last"]["share_percent"], shown["running"]["percent"], len(shown["differing"])) == (100.0, 42.0, 1)


def configured(carrier: Carrier, tmp_path: Path, *args: str, who: str = "adam") -> Result:
    """`kembar config` with a verb of the client."""
    with served(carrier) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text(f"{who}-secret\n")
        client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n")
        return CliRunner().invoke(main, ["config", args[0], "-c", str(client), *args[1:]])


def test_the_policy_that_is_shown_is_what_may_be_recorded(tmp_path: Path):
    carrier, file = Carrier(), tmp_path / "policy.yaml"
    file.write_text("reconcile: {mode: off, limits: {rows: 5}, tables: [{match: s.t, policy: delta(n)}]}\n")
    recorded = configured(carrier, tmp_path, "set", "--file", str(file), "--reason", "night", "--yes")
    assert recorded.exit_code == 0, recorded.output
    assert recorded.stdout.splitlines() == [
        "reconcile.limits.rows: 1000000 -> 5",
        'reconcile.mode: "auto" -> "off"',
        'reconcile.tables: [] -> [{"match": "s.t", "type": null, "policy": "delta(n)", "always_quarantine": false}]',
    ]
    before = carrier.snapshot.policy
    assert (before.reconcile.mode, before.changed.reason) == (Automation.OFF, "night")
    shown = configured(carrier, tmp_path, "show", who="vera")
    assert shown.stdout.startswith("# changed by adam: night\nreconcile:\n  mode: 'off'\n")
    file.write_text(shown.stdout)
    again = configured(carrier, tmp_path, "set", "--file", str(file), "--reason", "night", "--yes")
    assert again.stdout == "nothing is different from before\n"
    assert carrier.snapshot.policy == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reconcile: {tables: [{match: s.t, policy: odd}]}", "1:22: reconcile.tables[0]: policy='odd': expected"),
        ("mode: auto", "1:1: mode: unknown key  hint: known here: reconcile, preferred"),
        ("reconcile: {limit: 3}", "1:13: reconcile.limit: unknown key  hint: did you mean 'limits'?"),
    ],
)
def test_a_policy_file_with_a_mistake_is_not_recorded(tmp_path: Path, text: str, said: str):
    carrier, file = Carrier(), tmp_path / "policy.yaml"
    file.write_text(text)
    result = configured(carrier, tmp_path, "set", "--file", str(file), "--reason", "r")
    assert result.exit_code == 1 and said in result.stderr
    assert carrier.policy_version == 3


def test_whoever_may_not_record_a_policy_is_told_what_is_needed(tmp_path: Path):
    file = tmp_path / "policy.yaml"
    file.write_text("reconcile: {}\n")
    result = configured(Carrier(), tmp_path, "set", "--file", str(file), "--reason", "r", who="olga")
    assert result.exit_code == 9 and "role admin" in result.stderr


def run_group(carrier: Carrier, tmp_path: Path, group: str, verb: str, *args: str) -> Result:
    """As `run`, by adam, for a verb below another one."""
    with served(carrier) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text("adam-secret\n")
        client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n")
        return CliRunner().invoke(main, [group, verb, "-c", str(client), *args])


def test_a_token_is_printed_alone_listed_without_it_and_revoked(tmp_path):
    carrier = Carrier()
    made = run_group(carrier, tmp_path, "token", "create", "ines", "--role", "operator", "--reason", "on call")
    assert made.exit_code == 0 and len(made.stdout.strip()) == 43, made.output
    assert "operator of shop until 2027-02-22" in made.stderr
    listed = run_group(carrier, tmp_path, "token", "list")
    row = next(line.split() for line in listed.stdout.splitlines() if line.startswith("ines"))
    assert (row[1], row[2], row[4], row[6]) == ("operator", "2027-02-22", "yes", "cluster")
    assert made.stdout.strip() not in listed.stdout
    assert run_group(carrier, tmp_path, "token", "revoke", "ines").stdout == "ines is revoked\n"
    again = run_group(carrier, tmp_path, "token", "revoke", "ines")
    assert (again.exit_code, "hint: see kembar token list" in again.stderr) == (1, True)


def test_the_audit_is_a_table_with_the_newest_first(tmp_path):
    carrier = Carrier()
    run(carrier, tmp_path, "pause", "--for", "30m", "--reason", "disk\x1b[2Jswap")
    run(carrier, tmp_path, "audit", who="olga")
    lines = run(carrier, tmp_path, "audit", who="adam").stdout.splitlines()
    assert lines[1].split()[2:8] == ["olga", "operator", "127.0.0.1", "GET", "audit", "-"]
    assert "forbidden" in lines[1]
    assert "pause 30m  7" in lines[2] and "disk\\x1b[2Jswap" in lines[2]
    assert run(carrier, tmp_path, "audit", "--limit", "1", who="adam").stdout.count("\n") == 2
