"""`kembar provision` runs the playbooks by ansible-runner, in a process of its own, and says what failed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from monitoring.app import Web, bound_socket
from orchestrator.cli.outputs import Provisioned
from tests.provision.test_playbooks import LOCAL, PROGRAMS, ROOT, inventory

KEMBAR = PROGRAMS / "kembar"


def provision(*arguments: str | Path, expected: int) -> tuple[str, str]:
    command = [str(KEMBAR), "provision", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == expected, f"{done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout, done.stderr


def test_a_playbook_that_ends_well_is_tallied_by_host(tmp_path):
    said, _ = provision("preflight", "-i", inventory(tmp_path), "-o", "json", expected=0)
    told = json.loads(said)
    Provisioned.model_validate(told)
    assert (told["status"], told["failures"]) == ("successful", [])
    assert told["hosts"]["db-a"] == {"ok": 3, "changed": 0, "failed": 0, "unreachable": 0}


def test_a_refusal_is_told_line_by_line(tmp_path):
    broken = inventory(tmp_path, pair=3, vault_kembar_admin_token="")
    said, error = provision("preflight", "-i", broken, expected=1)
    assert "inventory: group db has 3 hosts" in error
    assert "vault: vault_kembar_admin_token is missing or empty" in error
    assert "localhost" in said


def test_an_unknown_playbook_is_refused_with_those_that_there_are(tmp_path):
    _, error = provision("sites", "-i", inventory(tmp_path), expected=2)
    assert "no playbook 'sites'" in error
    assert "rolling_restart" in error


def test_a_setting_reaches_the_playbook(tmp_path):
    _, error = provision("teardown", "-i", inventory(tmp_path), "-e", "confirm=bank", expected=1)
    assert "-e confirm=shop if it is meant" in error


def test_nothing_of_a_run_stays_behind(tmp_path):
    before = set(Path("/tmp").glob("kembar-provision-*"))
    provision("preflight", "-i", inventory(tmp_path), "-o", "json", expected=0)
    assert set(Path("/tmp").glob("kembar-provision-*")) <= before
    assert not (ROOT / "playbooks/artifacts").exists()


def test_an_interrupted_worker_is_told(tmp_path):
    """It says nothing of a result, so neither do we."""
    code = (
        "import sys; from orchestrator.adapters import provision as p;"
        "sys.executable = '/bin/false';"
        "list(p.events(p.Job('/', 'site.yml', '/dev/null')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "without a result" in done.stderr


@pytest.fixture
def carrier(monkeypatch):
    """The orchestrator in memory that the tests of API and command line have."""
    monkeypatch.syspath_prepend(str(ROOT / "tests/unit"))
    return importlib.import_module("carrier").Carrier(obedient=True)


@contextmanager
def reported_to(carrier, folder: Path, who: str = "olga") -> Iterator[tuple[str, ...]]:
    """The options that report to a real server."""
    web = Web(carrier.backend(), bound_socket("127.0.0.1", 0))
    thread = threading.Thread(target=web.run)
    thread.start()
    try:
        assert web.wait_serving(5.0)
        (folder / "token").write_text(f"{who}-secret\n")
        client = folder / "client.yaml"
        client.write_text(f"endpoints: ['http://127.0.0.1:1', '{web.url}']\ntoken_file: {folder / 'token'}\n")
        yield ("--report", "-c", str(client))
    finally:
        web.stop()
        thread.join()


def notes(carrier) -> list[tuple[str, str, str]]:
    events = [one for _, one in sorted(carrier.snapshot.events.items()) if one.type == "note.added"]
    return [(one.actor, one.severity, one.text) for one in events]


def test_what_a_run_did_stands_in_the_event_log(tmp_path, carrier):
    with reported_to(carrier, tmp_path) as options:
        provision("preflight", "-i", inventory(tmp_path), *options, expected=0)
        broken = inventory(tmp_path, vault_kembar_admin_token="")
        provision("preflight", "-i", broken, *options, expected=1)
    begun, ended, _, failed = notes(carrier)
    assert begun[:2] == ended[:2] == ("olga", "info")
    assert begun[2].startswith("kembar provision preflight began on db-a, db-b, localhost, witness, by ")
    assert ended[2].startswith("kembar provision preflight ended: successful after ")
    assert "changed: db-a 0, db-b 0, localhost 0, witness 0" in ended[2]
    assert failed[1] == "warning" and "vault_kembar_admin_token is missing or empty" in failed[2]


def test_a_report_that_nobody_takes_changes_no_exit_code(tmp_path, carrier):
    with reported_to(carrier, tmp_path, who="vera") as options:
        _, error = provision("preflight", "-i", inventory(tmp_path), *options, expected=0)
    assert error.count("not in the event log: forbidden: vera has role viewer, this needs operator") == 2, error
    assert notes(carrier) == []


def test_a_report_to_nobody_is_refused_before_anything_is_done(tmp_path):
    client = tmp_path / "client.yaml"
    client.write_text("endpoints: []\n")
    _, error = provision("preflight", "-i", inventory(tmp_path), "--report", "-c", client, expected=2)
    assert "--report: no endpoint is configured" in error and "Look" not in error


def waiting(folder: Path, gate: Path) -> tuple[Path, Path]:
    """A playbook whose task opens a pipe for reading, and so waits until somebody writes; the hosts: this one."""
    task = {"name": "Wait for a word", "ansible.builtin.command": f"cat {gate}", "changed_when": False}
    play = {"name": "Wait", "hosts": "all", "gather_facts": False, "tasks": [task]}
    (folder / "wait.yml").write_text(yaml.safe_dump([play]))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"db-a": LOCAL}}}))
    return folder, folder / "hosts.yml"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_an_interrupted_run_ends_what_it_began(tmp_path, carrier, number):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    folder, hosts = waiting(tmp_path, gate)
    with reported_to(carrier, tmp_path) as options:
        command = [str(KEMBAR), "provision", "wait", "-i", str(hosts), "--playbooks", str(folder), *options]
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with run, gate.open("w"):  # as soon as the task has it open
            below = psutil.Process(run.pid).children(recursive=True)
            assert any("cat" in one.name() for one in below)
            run.send_signal(number)
            _, error = run.communicate(timeout=60)
            assert psutil.wait_procs(below, timeout=60)[1] == []
    if number == signal.SIGKILL:
        return
    assert run.returncode == 1 and "interrupted at db-a: Wait for a word" in error, error
    assert notes(carrier)[-1][1] == "warning" and "ended: canceled" in notes(carrier)[-1][2]
    assert "it was at db-a: Wait for a word" in notes(carrier)[-1][2]
