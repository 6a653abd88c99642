"""site.yml on booted hosts: from nothing to a pair that fails over, and a second run that changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import inventory
from lab.hosts import Hosts, booted
from lab.stand import wait_for
from lab.topology import topology
from orchestrator.core.errors import StepFailed
from tests.provision.test_playbooks import PLAYBOOKS, PROGRAMS, ROOT

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    given = topology(yaml.safe_load((ROOT / "vagrant/lab.yml").read_text()), "namespaces")
    with booted("provision", given, tmp_path_factory.mktemp("hosts")) as running:
        more = {
            "ansible_user": "root",
            "ansible_ssh_common_args": running.ssh_options(),
            "kembar_profile": "default",
        }
        inventory.write(running.place / "inventory", given, "eth0", more)
        yield running


def play(hosts: Hosts, *arguments: str) -> str:
    command = hosts.command(
        [str(PROGRAMS / "ansible-playbook"), "-i", str(hosts.place / "inventory/hosts.yml"), *arguments]
    )
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=PLAYBOOKS, env=environment, capture_output=True, text=True, check=False)
    Path(hosts.place, f"play-{time.time_ns()}.log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def status(hosts: Hosts) -> dict[str, object]:
    told: dict[str, object] = json.loads(hosts.run("witness", "kembar", "status", "-o", "json"))
    return told


def test_each_host_has_booted(hosts):
    for name in hosts.running:
        assert hosts.run(name, "systemctl", "is-system-running") == "running\n"


def test_preflight_passes(hosts):
    play(hosts, "preflight.yml")


def test_site_makes_a_pair_that_is_ready(hosts):
    play(hosts, "site.yml")
    assert status(hosts)["state"] == "healthy"


def test_a_second_run_changes_nothing(hosts):
    said = play(hosts, "site.yml")
    assert "changed=0" in said
    assert not [line for line in said.splitlines() if "changed=" in line and "changed=0" not in line]


def test_nothing_would_change_on_a_host_that_is_set_up(hosts):
    said = play(hosts, "site.yml", "--check", "--diff")
    assert not [line for line in said.splitlines() if "changed=" in line and "changed=0" not in line]


def test_mysqld_is_started_by_nobody_but_the_agent(hosts):
    """Not by an administrator's habit, and not at boot."""
    standby = str(status(hosts)["standby"])
    before = hosts.run(standby, "systemctl", "show", "--property", "MainPID", "--value", "mysql.service")
    with pytest.raises(StepFailed, match="manual"):
        hosts.run(standby, "systemctl", "stop", "mysql.service")
    assert hosts.run(standby, "systemctl", "show", "--property", "MainPID", "--value", "mysql.service") == before
    assert hosts.run(standby, "systemctl", "is-enabled", "mysql.service", "||", "true") == "disabled\n"


def test_a_lost_host_costs_no_role_at_the_next_run(hosts):
    """The record says who is primary, whatever the inventory lists first."""
    lost, heir = str(status(hosts)["primary"]), str(status(hosts)["standby"])
    hosts.kill(lost)
    wait_for(lambda: status(hosts)["writes"] == "ok" and status(hosts)["primary"] == heir, 60, "nobody took over")
    assert answers(hosts)
    hosts.boot(lost)
    wait_for(lambda: status(hosts)["state"] == "healthy", 300, "the pair is not healthy again")
    before = status(hosts)
    said = play(hosts, "site.yml")
    assert not [line for line in said.splitlines() if "changed=" in line and "changed=0" not in line]
    after = status(hosts)
    assert (after["primary"], after["epoch"]) == (before["primary"], before["epoch"]) == (heir, before["epoch"])


def test_teardown_leaves_the_data_and_nothing_of_kembar(hosts):
    play(hosts, "teardown.yml", "-e", "confirm=shop")
    for name in ("db-a", "db-b"):
        assert hosts.run(name, "ls", "/var/lib/mysql/data/mysql.ibd")
        assert hosts.run(name, "ls", "-d", "/etc/kembar", "/opt/kembar", "2>/dev/null", "||", "true") == ""


def answers(hosts: Hosts) -> bool:
    """Whether mysqld greets a client at the virtual IP."""
    code = f"import socket; print(len(socket.create_connection(('{hosts.topology.vip}', 3306), 5).recv(64)))"
    done = subprocess.run(hosts.command([sys.executable, "-c", code]), capture_output=True, text=True, check=True)
    return int(done.stdout) > 0
