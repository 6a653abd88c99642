"""site.yml on booted hosts: from nothing to a pair that fails over, and all that may be done to it under load."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from lab import inventory
from lab.hostload import HostLoad, make_application
from lab.hosts import Hosts, booted
from lab.provenance import provenance
from lab.stand import wait_for
from lab.topology import topology
from orchestrator.core.errors import StepFailed
from tests.provision.test_playbooks import PLAYBOOKS, PROGRAMS, ROOT

pytestmark = pytest.mark.lab

# What was measured, for whoever called `make test-provision`.
RESULTS = ROOT / "build/bench/provision.json"
RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+)", re.MULTILINE)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    given = topology(yaml.safe_load((ROOT / "vagrant/lab.yml").read_text()), "namespaces")
    RESULTS.unlink(missing_ok=True)
    with booted("provision", given, tmp_path_factory.mktemp("hosts")) as running:
        more = {
            "ansible_user": "root",
            "ansible_ssh_common_args": running.ssh_options(),
            "kembar_profile": "default",
        }
        inventory.write(running.place / "inventory", given, "eth0", more)
        yield running


def play(hosts: Hosts, *arguments: str) -> dict[str, int]:
    """Tasks that changed something, by host."""
    command = hosts.command(
        [str(PROGRAMS / "ansible-playbook"), "-i", str(hosts.place / "inventory/hosts.yml"), *arguments]
    )
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    began = time.monotonic()
    done = subprocess.run(command, cwd=PLAYBOOKS, env=environment, capture_output=True, text=True, check=False)
    Path(hosts.place, f"play-{time.time_ns()}.log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    changed = {host: int(count) for host, _, count in RECAP.findall(done.stdout)}
    note(
        " ".join(arguments).replace(str(hosts.place.parent), "..."),
        took_s=round(time.monotonic() - began, 1),
        changed=sum(changed.values()),
    )
    return changed


def note(what: str, **measured: object) -> None:
    known = json.loads(RESULTS.read_text())["steps"] if RESULTS.exists() else []
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps({**provenance(), "steps": [*known, {"what": what, **measured}]}, indent=1))


@contextmanager
def writes(hosts: Hosts, number: int, what: str) -> Iterator[None]:
    """A client writes through the VIP meanwhile, and loses nothing."""
    load = HostLoad(hosts, number)
    load.start()
    try:
        yield
    finally:
        load.stop()
    stretch = load.verdict()
    note(f"writes during {what}", **asdict(stretch))
    assert (stretch.lost, stretch.duplicates, stretch.two_answerers) == (0, 0, 0), stretch


def status(hosts: Hosts) -> dict[str, object]:
    told: dict[str, object] = json.loads(hosts.run("witness", "kembar", "status", "-o", "json", "||", "true"))
    return told


def compared(hosts: Hosts) -> tuple[str, list[object]] | None:
    """How the comparison of this epoch's return ended, and what it found to differ; None while it has not ended."""
    told = json.loads(hosts.run("witness", "kembar", "status", "-o", "json", "||", "true"))
    last = told["verification"]["last"]
    if last is None or last["epoch"] != told["epoch"] or last["outcome"] == "running":
        return None
    return last["outcome"], last["differences"]


def main_process(hosts: Hosts, name: str, unit: str) -> str:
    return hosts.run(name, "systemctl", "show", "--property", "MainPID", "--value", unit).strip()


def nobody(changed: dict[str, int]) -> bool:
    return bool(changed) and not any(changed.values())


def test_each_host_has_booted(hosts):
    for name in hosts.running:
        assert hosts.run(name, "systemctl", "is-system-running") == "running\n"


def test_preflight_passes(hosts):
    play(hosts, "preflight.yml")


def test_site_makes_a_pair_that_is_ready(hosts):
    play(hosts, "site.yml")
    assert status(hosts)["state"] == "healthy"
    vault = yaml.safe_load((hosts.place / "inventory/group_vars/all/vault.yml").read_text())
    make_application(hosts, str(status(hosts)["primary"]), vault["vault_mysql_root_password"])


def test_a_second_run_changes_nothing(hosts):
    assert nobody(play(hosts, "site.yml"))


def test_nothing_would_change_on_a_host_that_is_set_up(hosts):
    assert nobody(play(hosts, "site.yml", "--check", "--diff"))


def test_verify_passes(hosts):
    assert nobody(play(hosts, "verify.yml"))


def test_mysqld_is_started_by_nobody_but_the_agent(hosts):
    """Not by an administrator's habit, and not at boot."""
    standby = str(status(hosts)["standby"])
    before = main_process(hosts, standby, "mysql.service")
    with pytest.raises(StepFailed, match="manual"):
        hosts.run(standby, "systemctl", "stop", "mysql.service")
    assert main_process(hosts, standby, "mysql.service") == before
    assert hosts.run(standby, "systemctl", "is-enabled", "mysql.service", "||", "true") == "disabled\n"


def test_an_agent_that_is_frozen_is_replaced_by_systemd(hosts):
    """Its watchdog is fed by finished ticks alone."""
    standby = str(status(hosts)["standby"])
    before = main_process(hosts, standby, "kembar-agent.service")
    children = hosts.run(standby, "cat", f"/proc/{before}/task/{before}/children").split()
    hosts.run(standby, "kill", "-STOP", before, *children)
    wait_for(
        lambda: main_process(hosts, standby, "kembar-agent.service") not in ("0", before), 30, "nobody replaced it"
    )
    wait_for(lambda: status(hosts)["state"] == "healthy", 120, "the pair is not healthy again")
    assert (
        hosts.run(standby, "systemctl", "show", "--property", "Result", "--value", "kembar-agent.service")
        == "success\n"
    )


def test_a_lost_host_costs_no_write_and_the_next_run_no_role(hosts):
    """The record says who is primary, whatever the inventory lists first."""
    lost, heir = str(status(hosts)["primary"]), str(status(hosts)["standby"])
    with writes(hosts, 1, f"the loss of {lost}"):
        hosts.kill(lost)
        wait_for(lambda: status(hosts)["primary"] == heir and status(hosts)["writes"] == "ok", 60, "nobody took over")
        hosts.boot(lost)
        wait_for(lambda: status(hosts)["state"] == "healthy", 300, "the pair is not healthy again")
    wait_for(lambda: compared(hosts) is not None, 120, "the return has not compared the two servers")
    assert compared(hosts) == ("equal", [])
    before = status(hosts)
    assert nobody(play(hosts, "site.yml"))
    after = status(hosts)
    assert (after["primary"], after["epoch"]) == (before["primary"], before["epoch"]) == (heir, before["epoch"])


def test_both_mysqld_are_restarted_under_load(hosts):
    before = {name: main_process(hosts, name, "mysql.service") for name in ("db-a", "db-b")}
    primary = status(hosts)["primary"]
    with writes(hosts, 2, "rolling_restart.yml"):
        play(hosts, "rolling_restart.yml")
    for name, pid in before.items():
        assert main_process(hosts, name, "mysql.service") != pid
    assert status(hosts)["standby"] == primary


def test_a_release_takes_the_place_of_another_under_load(hosts, tmp_path):
    newer = next_release(tmp_path)
    with writes(hosts, 3, "upgrade_kembar.yml"):
        play(hosts, "upgrade_kembar.yml", "-e", f"kembar_packages={newer}")
    for name in hosts.running:
        assert hosts.run(name, "dpkg-query", "--show", "--showformat", "'${Version}'", "kembar").endswith("+next")


def test_mysqld_of_a_later_package_runs_after_its_upgrade(hosts, tmp_path):
    """As distributions have it: by apt, from a repository."""
    before = {name: main_process(hosts, name, "mysql.service") for name in ("db-a", "db-b")}
    (server,) = (one for one in hosts.given.packages if one.name.startswith("mysql-server"))
    for name in before:
        publish(later(server, tmp_path), hosts.roots[name])
    with writes(hosts, 4, "upgrade_mysql.yml"):
        play(hosts, "upgrade_mysql.yml")
    for name, pid in before.items():
        asked = ["dpkg-query", "--show", "--showformat", "'${db:Status-Want} ${Version}'", "mysql-server"]
        want, version = hosts.run(name, *asked).split()
        assert (want, version[-5:]) == ("hold", "+next")
        assert main_process(hosts, name, "mysql.service") != pid
    assert status(hosts)["state"] == "healthy"


def test_certificates_are_replaced_under_load(hosts):
    asked = "cat /etc/kembar/tls/*.pem | sha256sum"
    before = {name: hosts.run(name, asked) for name in ("db-a", "db-b")}
    with writes(hosts, 5, "rotate_certs.yml"):
        play(hosts, "rotate_certs.yml")
    assert all(hosts.run(name, asked) != sums for name, sums in before.items())


def test_an_empty_host_takes_the_place_of_a_lost_one(hosts):
    lost, heir = str(status(hosts)["standby"]), str(status(hosts)["primary"])
    with writes(hosts, 6, f"replace_node.yml -e node={lost}"):
        hosts.kill(lost)
        hosts.install(lost)
        hosts.boot(lost)
        play(hosts, "replace_node.yml", "-e", f"node={lost}")
    after = status(hosts)
    assert (after["state"], after["primary"], after["standby"]) == ("healthy", heir, lost)


def test_teardown_leaves_the_data_and_nothing_of_kembar(hosts):
    play(hosts, "teardown.yml", "-e", f"confirm={hosts.topology.cluster}")
    for name in ("db-a", "db-b"):
        assert hosts.run(name, "ls", "/var/lib/mysql/data/mysql.ibd")
        assert hosts.run(name, "ls", "-d", "/etc/kembar", "/opt/kembar", "2>/dev/null", "||", "true") == ""
        assert "kembar" not in hosts.run(name, "nft", "list", "tables")


def next_release(place: Path) -> Path:
    """The packages of dist/ under a later version."""
    made = place / "next"
    made.mkdir()
    for package in (ROOT / "dist").glob("*.deb"):
        later(package, made)
    return made


def later(package: Path, into: Path) -> Path:
    """The same package under a later version, as are those of it that it depends on."""
    tree = into / package.stem
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    told = control.read_text()
    version = re.search(r"^Version: (\S+)$", told, re.MULTILINE)
    assert version is not None
    this, next_ = version[1], f"{version[1]}+next"
    told = told.replace(f"Version: {this}", f"Version: {next_}")
    control.write_text(told.replace(f"(= {this})", f"(= {next_})"))
    target = into / package.name.replace(f"_{this}_", f"_{next_}_")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(target)], check=True)
    shutil.rmtree(tree)
    return target


def publish(package: Path, root: Path) -> None:
    """A repository of that package alone, in the host of that root, and all that its apt knows: no other is reached."""
    folder = root / "srv/repository"
    folder.mkdir()
    shutil.copyfile(package, folder / package.name)
    control = subprocess.run(["dpkg-deb", "--field", str(package)], check=True, capture_output=True, text=True).stdout
    told = package.read_bytes()
    sums = f"Filename: ./{package.name}\nSize: {len(told)}\nSHA256: {hashlib.sha256(told).hexdigest()}\n"
    (folder / "Packages").write_text(control + sums)
    (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/repository ./\n")
