"""`kembar reconcile` and `kembar rejoin` against a real server: what they print, ask, send, and how they end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from carrier import Carrier
from click.testing import CliRunner, Result
from kept_pairs import FIRST, KEPT, OVER, SECOND, STATEMENT, returned
from pairs import healthy
from test_cli import run as run_verb
from test_cli import served

from orchestrator.cli.main import main
from orchestrator.core.kept import Open
from orchestrator.core.reconcile import Merge
from orchestrator.core.requests import Kind, PreCheck, RejoinPath
from orchestrator.core.returning import Stage

WHY = ("--reason", "looked at", "--yes")


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client.yaml of this host is in the way."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KEMBAR_CLIENT", "KEMBAR_LAB", "KEMBAR_ENDPOINT", "KEMBAR_CLUSTER", "KEMBAR_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def run(carrier: Carrier, tmp_path: Path, *args: str, who: str = "olga") -> Result:
    with served(carrier) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text(f"{who}-secret\n")
        client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n")
        return CliRunner().invoke(main, ["reconcile", args[0], "-c", str(client), *args[1:]])


def test_the_list_ends_with_10_while_something_waits_for_a_person(tmp_path):
    result = run(Carrier(returned(), reports={7: OVER}), tmp_path, "list")
    lines = result.stdout.splitlines()
    assert lines[1].split() == [
        "7", "db-b", "7", "rewind", "closed", "done", "8", "5", "merged,", "3", "quarantined", "3",
    ]  # fmt: skip
    assert lines[2] == f"next  kembar reconcile discard 7 --gtid {FIRST} --reason TEXT"
    assert result.exit_code == 10
    assert run(Carrier(returned(kept=Open())), tmp_path, "list").exit_code == 0
    assert run(Carrier(), tmp_path, "list").stdout == "nothing has returned yet\n"


def test_one_return_with_its_versions_side_by_side(tmp_path):
    result = run(Carrier(returned()), tmp_path, "show", "7")
    lines = result.stdout.splitlines()
    assert lines[0] == "RECONCILE 7   db-b   opened 18:58:20   rung rewind   stage closed   merge done   epoch 7"
    assert "not truncate  mysqld has been started since" in lines
    assert "stages        detect 0.2 s, bundle 3.8 s" in lines
    at = lines.index(f"{FIRST}   update_differs")
    assert [line.split() for line in lines[at + 1 : at + 5]] == [
        ["row", "1", "shop.acct", "`id`", "=", "2", "update", "update_differs"],
        ["column", "base", "db-b", "primary"],
        ["bal", "200.00", "207.00", "150.00"],
        ["note", "NULL", "''", "NULL"],
    ]
    assert f"  after {FIRST}: decide that first" in lines
    assert "  and 2 rows more" in lines
    assert "  cannot be applied: it is a statement (CREATE TABLE)" in lines
    assert any(line.split()[2:6] == [f"{OVER.settled[0].gtid}", "discard", "done", "adam"] for line in lines)
    assert lines[-1] == f"next  kembar reconcile discard 7 --gtid {FIRST} --reason TEXT"
    assert result.exit_code == 10


@pytest.mark.parametrize("verb", ["list", "show", "plan"])
def test_a_kept_row_cannot_write_to_the_terminal(tmp_path, verb):
    """The server's own messages quote values too."""
    wild = "\x1b[2J\nnext  rm\x9b8m"
    row = replace(KEPT.transactions[0].rows[0], key=wild, table=wild, left={wild: wild}, base=None)
    kept = replace(KEPT.transactions[0], detail=f"1062 Duplicate entry '{wild}'", bar=wild, rows=(row,))
    over = replace(OVER, stopped=wild, reasons=(wild,), settled=(replace(OVER.settled[0], reason=wild),))
    snapshot = returned(over, kept=Open(1, (kept,)))
    result = run(Carrier(snapshot), tmp_path, *((verb,) if verb == "list" else (verb, "7")))
    assert result.exit_code == 10
    assert result.stdout.replace("\n", "").isprintable() and "\nnext  rm" not in result.stdout


def test_all_rows_and_columns_where_they_are_asked_for(tmp_path):
    lines = run(Carrier(returned()), tmp_path, "show", "7", "--rows").stdout.splitlines()
    assert sum(line.startswith("    id ") for line in lines) == 6
    assert not any("rows more" in line for line in lines)


def test_show_as_json_is_one_object(tmp_path):
    result = run(Carrier(returned()), tmp_path, "show", "7", "-o", "json")
    shown = json.loads(result.stdout)
    assert ([one["gtid"] for one in shown["kept"]], result.stderr) == ([FIRST, SECOND, STATEMENT], "")
    assert run(Carrier(returned()), tmp_path, "show", "8").exit_code == 1


def test_a_plan_shows_what_each_decision_would_meet(tmp_path):
    carrier = Carrier(returned(), refusals=(PreCheck("primary", False, "db-a does not serve"),))
    result = run(carrier, tmp_path, "plan", "7", "--dry-run", who="vera")
    assert "  apply    primary: db-a does not serve" in result.stdout.splitlines()
    assert (result.exit_code, carrier.submitted) == (10, [])
    assert "  discard  possible" in run(Carrier(returned()), tmp_path, "plan", "7").stdout.splitlines()


def test_a_kept_transaction_is_applied(tmp_path):
    carrier = Carrier(returned(), obedient=True)
    result = run(carrier, tmp_path, "apply", "7", "--gtid", FIRST, *WHY)
    assert result.exit_code == 0, result.output
    (put,) = carrier.submitted
    assert (put.kind, put.returning, put.gtid, put.seen, put.edits) == (Kind.RECONCILE_APPLY, 7, FIRST, "v1", {})
    assert (put.reason, put.actor) == ("looked at", "olga")
    assert result.stdout.splitlines()[-1] == f"Done. {FIRST} is settled"


@pytest.mark.parametrize(
    "text",
    ["bal: 180.00\nnote: null\n", '{"bal": 180.00, "note": null}', '"1": {bal: 180.00, note: ~}\n'],
    ids=["YAML", "JSON", "by row"],
)
def test_values_of_a_file_are_taken_as_they_stand_there(tmp_path, text):
    (tmp_path / "edit").write_text(text)
    carrier = Carrier(returned(), obedient=True)
    result = run(carrier, tmp_path, "apply", "7", "--gtid", FIRST, "--edit", str(tmp_path / "edit"), *WHY)
    assert result.exit_code == 0, result.output
    assert carrier.submitted[0].edits == {"1": {"bal": "180.00", "note": None}}


WRONG = {
    "no such column": ("ball: 1\n", FIRST, "edit: ball: row 1 has no such column  hint: it has id, bal, note"),
    "no such row": ("2: {bal: 1}\n", FIRST, "edit: row 2: the transaction has rows 1 to 1"),
    "no mapping": ("- 1\n", FIRST, "edit:1:1: expected COLUMN: VALUE"),
    "a list": ("bal: [1]\n", FIRST, "edit:1:6: bal: expected one value"),
    "twice": ("bal: 1\nbal: 2\n", FIRST, "edit:2:6: bal: stands there twice"),
    "no YAML": ("bal: [\n", FIRST, "edit: "),
    "which of five rows": ("bal: 1\n", SECOND, "edit:1:1: the transaction has 5 rows"),
}


@pytest.mark.parametrize(("text", "gtid", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_names_place_and_value_and_sends_nothing(tmp_path, text, gtid, said):
    (tmp_path / "edit").write_text(text)
    carrier = Carrier(returned())
    result = run(carrier, tmp_path, "apply", "7", "--gtid", gtid, "--edit", str(tmp_path / "edit"), *WHY)
    assert result.exit_code == 2
    assert f"{tmp_path}/{said}" in result.stderr
    assert carrier.submitted == []


def test_apply_alone_lets_a_waiting_merge_go_on(tmp_path):
    waiting = replace(
        OVER, stage=Stage.REJOIN, merge=Merge.WAITING, waits="8 transactions are more than the limit of 5"
    )
    carrier = Carrier(returned(waiting, kept=Open()), obedient=True)
    result = run(carrier, tmp_path, "apply", "7", *WHY)
    assert result.exit_code == 0, result.output
    assert [(put.kind, put.returning) for put in carrier.submitted] == [(Kind.RECONCILE_APPROVE, 7)]


def test_apply_alone_applies_nothing_else_and_says_so(tmp_path):
    carrier = Carrier(returned())
    result = run(carrier, tmp_path, "apply", "7", *WHY)
    assert (result.exit_code, carrier.submitted) == (10, [])
    assert "nothing was applied; name one of its 3 kept transactions" in result.stderr
    assert f"kembar reconcile apply 7 --gtid {FIRST} --reason TEXT" in result.stderr
    assert run(Carrier(returned(kept=Open())), tmp_path, "apply", "7", *WHY).exit_code == 5


def test_one_kept_transaction_is_discarded(tmp_path):
    carrier = Carrier(returned(), obedient=True)
    result = run(carrier, tmp_path, "discard", "7", "--gtid", FIRST, *WHY, "-o", "json")
    assert (json.loads(result.stdout)["state"], result.exit_code) == ("done", 0)
    assert [(put.kind, put.gtid, put.seen) for put in carrier.submitted] == [(Kind.RECONCILE_DISCARD, FIRST, "v1")]


def test_all_of_a_return_are_discarded_one_after_the_other(tmp_path):
    carrier = Carrier(returned(), obedient=True)
    result = run(carrier, tmp_path, "discard", "7", *WHY)
    assert result.exit_code == 0, result.output
    assert [put.gtid for put in carrier.submitted] == [FIRST, SECOND, STATEMENT]
    assert run(Carrier(returned(kept=Open())), tmp_path, "discard", "7", *WHY).exit_code == 5


def test_a_transaction_that_is_not_open_is_named_with_those_that_are(tmp_path):
    result = run(Carrier(returned()), tmp_path, "discard", "7", "--gtid", "x:1", *WHY)
    assert result.exit_code == 5
    assert f"no open transaction 'x:1': open are {FIRST}, {SECOND}, {STATEMENT}" in result.stderr


@pytest.mark.parametrize("verb", ["apply", "discard"])
def test_without_a_person_and_without_yes_nothing_is_decided(tmp_path, verb):
    carrier = Carrier(returned())
    result = run(carrier, tmp_path, verb, "7", "--gtid", FIRST, "--reason", "x")
    assert (result.exit_code, carrier.submitted) == (5, [])
    assert "--yes" in result.stderr
    assert "bal" in result.stdout, "the versions are shown before anything is asked"


@pytest.mark.parametrize("verb", ["apply", "discard"])
def test_a_dry_run_decides_nothing(tmp_path, verb):
    carrier = Carrier(returned(), refusals=(PreCheck("order", False, "decide another first"),))
    result = run(carrier, tmp_path, verb, "7", "--gtid", SECOND, "--reason", "x", "--dry-run", who="vera")
    assert (result.exit_code, carrier.submitted) == (5, [])
    assert "  no   order: decide another first" in result.stdout


def test_who_may_not_decide_ends_with_9(tmp_path):
    assert run(Carrier(returned()), tmp_path, "discard", "7", "--gtid", FIRST, *WHY, who="vera").exit_code == 9


@pytest.mark.parametrize(
    "args", [("apply", "7"), ("discard", "0", *WHY), ("show", "seven"), ("apply", "7", "--edit", "x", *WHY)]
)
def test_what_is_no_such_command(tmp_path, args):
    assert run(Carrier(returned()), tmp_path, *args).exit_code == 2


def test_a_node_is_brought_back(tmp_path):
    stopped = replace(OVER, stage=Stage.STOPPED, stopped="no space")
    carrier = Carrier(returned(stopped), obedient=True)
    result = run_verb(carrier, tmp_path, "rejoin", "db-b", "--path", "clone", *WHY)
    assert result.exit_code == 0, result.output
    (put,) = carrier.submitted
    assert (put.kind, put.to, put.path) == (Kind.REJOIN, "db-b", RejoinPath.CLONE)
    assert run_verb(Carrier(), tmp_path, "rejoin", "db-b", "--path", "rewind", *WHY).exit_code == 2


def test_status_names_what_waits_with_the_next_command(tmp_path):
    lines = run_verb(Carrier(returned()), tmp_path, "status").stdout.splitlines()
    (opened,) = [line for line in lines if line.startswith("open ")]
    assert opened.split(None, 1)[1] == (
        "reconcile #7: 3 transactions kept, each with two versions  ->  kembar reconcile show 7"
    )
    assert lines[-2].startswith("next ") and lines[-2].endswith("kembar reconcile show 7")
    assert lines[-1].split(None, 1) == ["how", "kembar runbook decision-needed"]
    assert not any(
        line.startswith("open ") for line in run_verb(Carrier(healthy()), tmp_path, "status").stdout.splitlines()
    )


def test_a_choice_that_is_being_made_shows_in_status(tmp_path):
    carrier = Carrier(returned())
    assert run(carrier, tmp_path, "discard", "7", "--gtid", FIRST, *WHY, "--timeout", "0s").exit_code == 7
    lines = run_verb(carrier, tmp_path, "status").stdout.splitlines()
    assert any(f"of {FIRST} is requested, asked by olga" in line for line in lines)
    assert KEPT.total == 3
