"""`kembar provision` runs the playbooks by ansible-runner, in a process of its own, and says what failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestrator.cli.outputs import Provisioned
from tests.provision.test_playbooks import PROGRAMS, ROOT, inventory

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
    assert told["hosts"]["db-a"] == {"ok": 1, "changed": 0, "failed": 0, "unreachable": 0}


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
