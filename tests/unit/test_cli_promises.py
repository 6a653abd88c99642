"""What scripts rely on: the JSON of each command has its published shape, no document is stale, no client is heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from carrier import Carrier
from click.testing import CliRunner
from kept_pairs import FIRST, OVER, returned
from pairs import DB_B, STEADY, healthy
from pydantic import TypeAdapter
from receivers import receiver
from test_alerts_api import of
from test_cli import bare, served, written  # noqa: F401 - a fixture of every test here
from test_maintenance import Led

from orchestrator.cli.main import VERBS, main
from orchestrator.cli.outputs import OUTPUTS, printed
from orchestrator.cli.reference import DAEMONS, leaves, reference
from orchestrator.core.access import AccessRole, Token, Tokens
from orchestrator.core.model import Policy

DOCS = Path(__file__).parents[2] / "docs"
WHY = ("--reason", "x")
NOW = (*WHY, "--yes")
NO_JSON = {"runbook", "completion", "api"}  # texts of ours; what the API answers
LOCAL = {"config validate", "init", "provision"}  # they have no client


def with_returns() -> Carrier:
    return Carrier(returned(), reports={7: OVER}, obedient=True)


def with_token() -> Carrier:
    return Carrier(kept_tokens=Tokens((Token("ines", AccessRole.VIEWER, "0" * 64),)))


def prefers_b() -> Carrier:
    return Carrier(healthy(policy=Policy(preferred=DB_B)), obedient=True)


def obedient() -> Carrier:
    return Carrier(obedient=True)


# Each command at least once: its words, what follows, and of whom it is asked.
RUNS: tuple[tuple[str, tuple[str, ...], Callable[[], Carrier]], ...] = (
    ("status", (), Carrier),
    ("status", (), lambda: Carrier(healthy(cluster=None, leases={}, reports={}, incidents=(), events={}))),
    ("check", (), Carrier),
    ("explain", (), Carrier),
    ("doctor", (), Carrier),
    ("vip", (), Carrier),
    ("events", (), Carrier),
    ("history", (), Carrier),
    ("history", ("7",), Carrier),
    ("switchover", NOW, obedient),
    ("switchover", (*WHY, "--dry-run"), obedient),
    ("failback", NOW, prefers_b),
    ("failback", NOW, lambda: Carrier(healthy(policy=Policy(preferred=STEADY.primary)))),
    ("failover", ("--to", "db-b", "--accept-data-loss", "--confirm", "db-b", *WHY), obedient),
    ("verify", WHY, obedient),
    ("adopt", ("--to", "db-b", "--confirm", "shop", *WHY), obedient),
    ("ack", ("7", *WHY), obedient),
    ("reconcile list", (), with_returns),
    ("reconcile show", ("7", "--rows"), with_returns),
    ("reconcile plan", ("7",), with_returns),
    ("reconcile apply", ("7", "--gtid", FIRST, *NOW), with_returns),
    ("reconcile discard", ("7", *NOW), with_returns),
    ("rejoin", ("db-b", *NOW), with_returns),
    ("maintenance on", ("db-b", *NOW), Led),
    ("maintenance on", ("db-b", *WHY, "--dry-run"), Led),
    ("maintenance off", ("db-b",), Led),
    ("pause", WHY, Carrier),
    ("resume", (), Carrier),
    ("note", ("new disks in db-b",), obedient),
    ("token create", ("ines", "--role", "viewer", *WHY), Carrier),
    ("token list", (), with_token),
    ("token revoke", ("ines",), with_token),
    ("audit", (), Carrier),
    ("alerts list", (), Carrier),
    ("config show", (), Carrier),
    ("config set", ("preferred=db-b", *NOW), Carrier),
    ("support-bundle", ("--file", "BUNDLE"), Carrier),
)


def shaped(words: str, text: str) -> object:
    """The one object that was printed, as one of the shapes that are promised."""
    assert text.count("\n") == 1, text
    value = json.loads(text)
    whole = OUTPUTS[words][0]
    for one in OUTPUTS[words][1:]:
        whole = whole | one
    TypeAdapter(whole).validate_python(value)
    return value


@pytest.mark.parametrize(("words", "args", "carrier"), RUNS, ids=[" ".join((w, *a)) for w, a, _ in RUNS])
def test_json_is_one_object_of_its_published_shape(tmp_path, words, args, carrier):
    args = tuple(str(tmp_path / "bundle.tar.gz") if one == "BUNDLE" else one for one in args)
    with served(carrier()) as url:
        token, client = tmp_path / "token", tmp_path / "client.yaml"
        token.write_text("adam-secret\n")
        client.write_text(f"endpoints: ['{url}']\ntoken_file: {token}\n")
        result = CliRunner().invoke(main, [*words.split(), *args, "-c", str(client), "-o", "json"])
    assert result.exit_code in (0, 10), result.output
    shaped(words, result.stdout)


def test_the_local_ones_too(tmp_path, monkeypatch):
    agent, _ = written(tmp_path)
    shaped("config validate", CliRunner().invoke(main, ["config", "validate", str(agent), "-o", "json"]).stdout)
    shaped("config show", CliRunner().invoke(main, ["config", "show", "--origin", str(agent), "-o", "json"]).stdout)
    with served(Carrier(anonymous=True)) as url:
        client = ["--endpoint", url, "-o", "json"]
        monkeypatch.setenv("KEMBAR_TOKEN_FILE", str(tmp_path / "token"))
        (tmp_path / "token").write_text("adam-secret")
        policy = tmp_path / "policy.yaml"
        policy.write_text("preferred: db-a\n")
        shaped("config diff", CliRunner().invoke(main, ["config", "diff", str(policy), *client]).stdout)
        (tmp_path / "editor").write_text("#!/bin/sh\necho 'preferred: db-b' > \"$1\"\n")
        (tmp_path / "editor").chmod(0o755)
        monkeypatch.setenv("VISUAL", str(tmp_path / "editor"))
        shaped("config edit", CliRunner().invoke(main, ["config", "edit", *NOW, *client]).stdout)


def test_a_test_message_too(tmp_path, monkeypatch):
    monkeypatch.setenv("KEMBAR_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("adam-secret")
    with receiver() as there, served(of(there.url, lively=True)) as url:
        command = ["alerts", "test", "webhook", *WHY, "--endpoint", url, "-o", "json"]
        shaped("alerts test", CliRunner().invoke(main, command).stdout)


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in VERBS:
        if name not in DAEMONS:
            command = main.get_command(click.Context(main), name)
            assert command is not None
            found.update(leaves(command, (name,)))
    return found


def test_every_command_has_a_published_shape_and_is_run_here():
    known = set(commands()) - NO_JSON
    assert known == set(OUTPUTS)
    # init: tests/contract; provision: tests/provision
    elsewhere = {"config validate", "config diff", "config edit", "alerts test", "init", "provision"}
    assert known - elsewhere == {words for words, _, _ in RUNS}


def test_every_client_command_takes_the_same_options():
    shared = {"--config", "--endpoint", "--cluster", "--output", "--no-color", "--quiet", "--verbose", "--timeout"}
    for words, command in commands().items():
        if words not in LOCAL | NO_JSON - {"api"}:
            options = {name for one in command.params if isinstance(one, click.Option) for name in one.opts}
            assert shared <= options, words


def test_the_printed_documents_are_not_stale():
    assert (DOCS / "cli.md").read_text() == reference(), "make docs"
    assert (DOCS / "cli.schema.json").read_text() == printed(), "make docs"
    assert all(f"## kembar {words}\n" in reference() for words in commands())


HEAVY = """
import json, sys
from click.testing import CliRunner
from orchestrator.cli.main import main
for args in json.load(sys.stdin):
    result = CliRunner().invoke(main, args)
    heavy = {"pydantic", "aiohttp", "kazoo", "jinja2"} & set(sys.modules)
    assert not heavy, (args, heavy)
    print(json.dumps([args, result.exit_code]))
"""


def test_no_client_command_is_heavy(tmp_path, monkeypatch):
    """What it does not import, it does not wait for. Those that read a configuration file do check it."""
    (tmp_path / "token").write_text("adam-secret")
    monkeypatch.setenv("KEMBAR_TOKEN_FILE", str(tmp_path / "token"))
    carrier = Carrier(replace(returned()), reports={7: OVER})
    with served(carrier) as url:
        runs = [(words.split(), args) for words, args, _ in RUNS if words != "alerts test"]
        runs += [(["api"], ("GET", "/api/v1/clusters")), (["runbook"], ("blind",)), (["completion"], ("bash",))]
        asked = [
            [*words, *(str(tmp_path / "bundle") if one == "BUNDLE" else one for one in args)]
            + (["--endpoint", url] if words[0] not in ("runbook", "completion") else [])
            + (
                ["--timeout", "0s"]
                if words[0] in ("switchover", "failover", "failback", "verify", "adopt", "rejoin")
                else []
            )
            for words, args in runs
            if words not in (["ack"], ["reconcile", "apply"], ["reconcile", "discard"])
        ]
        command = [sys.executable, "-c", HEAVY]
        done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ended) == len(asked) and {code for _, code in ended} <= {0, 1, 4, 5, 7, 10}, ended
