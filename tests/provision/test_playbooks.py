"""The playbooks as Ansible and its linters read them, and preflight on hosts that are this one. Nothing is changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "playbooks"
PROGRAMS = Path(sys.executable).parent
ROLES = sorted(path.name for path in (PLAYBOOKS / "roles").iterdir())
VERBS = sorted(path.name for path in PLAYBOOKS.glob("*.yml"))
LOCAL = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
ADDRESSES = {"db-a": "127.0.0.1", "db-b": "127.0.0.2", "witness": "127.0.0.3", "db-c": "127.0.0.4"}
# Each module runs on a network that nobody else is on: the hosts' addresses, and 192.0.2.0/24, which never answers.
ALONE = f"""#!/bin/sh
exec unshare --net {"--map-root-user" if os.geteuid() else ""} sh -c '
ip link set lo up; ip address add 127.0.0.2/8 dev lo; ip address add 127.0.0.3/8 dev lo
ip route add 192.0.2.0/24 dev lo; exec "$@"' sh BEFORE {sys.executable} "$@"
"""
SECRETS = [
    name
    for name in yaml.safe_load((PLAYBOOKS / "inventory/example/group_vars/all/vault.yml.example").read_text())
    if name.startswith("vault_")
]


def run(program: str, *arguments: str, expected: int = 0) -> str:
    done = subprocess.run(
        [str(PROGRAMS / program), *arguments],
        cwd=PLAYBOOKS,
        env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, f"{program}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def inventory(folder: Path, *, pair: int = 2, voters: int = 3, before: str = "", **variables: Any) -> Path:
    """Hosts that are all this machine, with an interface that every machine has; `before` precedes each module."""
    names = [f"db-{letter}" for letter in "abc"[:pair]]
    ensemble = [*names[:2], "witness"][:voters]
    python = folder / "python"
    python.write_text(ALONE.replace("BEFORE", before))
    python.chmod(0o755)
    packages = folder / "dist"
    packages.mkdir(exist_ok=True)
    for name in ("kembar", "kembar-agent", "kembar-orchestrator"):
        (packages / f"{name}_1.0_amd64.deb").touch()
    document = {
        "all": {
            "vars": {
                **LOCAL,
                "ansible_python_interpreter": str(python),
                "ansible_host": "127.0.0.1",
                "kembar_cluster": "shop",
                "kembar_vip": "127.0.0.100",
                "kembar_subnet": "127.0.0.0/8",
                "kembar_interface": "lo",
                "kembar_packages": str(packages),
                "mysql_datadir": str(folder / "data"),
                **dict.fromkeys(SECRETS, 32 * "s"),
                **variables,
            },
            "children": {
                "db": {"hosts": {key: {"kembar_address": ADDRESSES[key]} for key in names}},
                "zookeeper": {"hosts": {key: {"kembar_address": ADDRESSES[key]} for key in ensemble}},
                "orchestrator": {"hosts": {ensemble[-1]: {}}},
            },
        }
    }
    written = folder / "hosts.json"
    written.write_text(json.dumps(document))
    return written


@pytest.mark.parametrize("verb", VERBS)
def test_the_playbook_is_understood(verb):
    run("ansible-playbook", "--syntax-check", verb)


def test_nothing_is_left_for_the_linters_to_say():
    """Production profile; nothing is excused, neither in a file of settings nor beside a line."""
    run("ansible-lint", "--offline")
    run("yamllint", "--strict", "--config-file", ".yamllint", ".")
    settings = yaml.safe_load((PLAYBOOKS / ".ansible-lint").read_text())
    assert settings["profile"] == "production"
    assert not {"skip_list", "warn_list", "enable_list"} & set(settings)
    assert not [path for path in PLAYBOOKS.rglob("*.yml") if "noqa" in path.read_text()]


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_is_described_and_nothing_else(role):
    folder = PLAYBOOKS / "roles" / role
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text())
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    readme = (folder / "README.md").read_text()
    required = {name for name, spec in specs.items() if spec.get("required")}
    assert set(specs) == set(defaults) | required
    assert [name for name in specs if f"`{name}`" not in readme] == []


def test_no_secret_has_a_default():
    example = yaml.safe_load((PLAYBOOKS / "inventory/example/group_vars/all/vault.yml.example").read_text())
    assert set(example.values()) == {""}
    for role in ROLES:
        defaults = yaml.safe_load((PLAYBOOKS / "roles" / role / "defaults/main.yml").read_text())
        for name, value in defaults.items():
            if any(word in name for word in ("password", "token", "passphrase", "session_key")):
                assert "{{ vault_" in value, f"{role}: {name}"


def test_preflight_passes_where_nothing_is_wrong(tmp_path):
    run("ansible-playbook", "-i", str(inventory(tmp_path)), "preflight.yml")


def test_preflight_tells_every_problem_of_every_host_at_once_and_nothing_is_begun(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mysql.ibd").touch()
    broken = inventory(
        tmp_path, pair=3, voters=2, vault_mysql_root_password="", kembar_vip="192.0.2.100", kembar_interface="lo"
    )
    said = run("ansible-playbook", "-i", str(broken), "site.yml", expected=2)
    for problem in (
        "group db has 3 hosts",
        "group zookeeper has 2 hosts",
        "vault_mysql_root_password is missing or empty",
        "kembar_vip 192.0.2.100 is outside of kembar_subnet 127.0.0.0/8",
        "db-a: its data directory holds data that no playbook has made",
        "db-c: its data directory holds data that no playbook has made",
    ):
        assert problem in said
    assert "Prepare every host" not in said
    assert "changed=0" in said and "changed=1" not in said


def test_preflight_tells_of_a_host_that_cannot_be_reached_beside_the_problems_of_others(tmp_path):
    given = json.loads(inventory(tmp_path, vault_kembar_admin_token="").read_text())
    given["all"]["children"]["db"]["hosts"]["db-b"] |= {"ansible_connection": "ssh", "ansible_port": 1}
    (tmp_path / "hosts.json").write_text(json.dumps(given))
    said = run("ansible-playbook", "-i", str(tmp_path / "hosts.json"), "preflight.yml", expected=2)
    assert "db-b: does not answer" in said
    assert "vault_kembar_admin_token is missing or empty" in said


def test_preflight_tells_of_ports_that_are_taken_or_not_reached(tmp_path):
    listener = tmp_path / "listener.py"
    listener.write_text(
        "import socket, subprocess, sys\n"
        "with socket.create_server(('127.0.0.1', 3888)):\n"
        "    raise SystemExit(subprocess.run(sys.argv[1:]).returncode)\n"
    )
    given = json.loads(inventory(tmp_path, before=f"{sys.executable} {listener}").read_text())
    given["all"]["children"]["zookeeper"]["hosts"]["witness"]["kembar_address"] = "192.0.2.13"
    (tmp_path / "hosts.json").write_text(json.dumps(given))
    said = run("ansible-playbook", "-i", str(tmp_path / "hosts.json"), "preflight.yml", expected=2)
    assert "db-a: port 3888 is taken by python" in said and "db-b: port" not in said
    for name in ("db-a", "db-b"):
        for port in (2281, 2888, 3888):
            assert f"{name}: does not reach witness at 192.0.2.13:{port}" in said
    assert "does not reach db-" not in said


def test_teardown_asks_for_the_clusters_name(tmp_path):
    for typed in ([], ["-e", "confirm=bank"]):
        said = run("ansible-playbook", "-i", str(inventory(tmp_path)), "teardown.yml", *typed, expected=2)
        assert "-e confirm=shop if it is meant" in said
        assert "Stop Kembar" not in said


@pytest.mark.parametrize("verb", ["switchover.yml", "rejoin.yml", "replace_node.yml"])
def test_a_host_must_be_named(tmp_path, verb):
    said = run("ansible-playbook", "-i", str(inventory(tmp_path)), verb, expected=2)
    assert "db-a or -e " in said


def test_preflight_asks_for_every_secret_that_the_example_names():
    judged = yaml.safe_load((PLAYBOOKS / "preflight.yml").read_text())[1]
    assert set(judged["vars"]["preflight_secrets"]) == set(SECRETS)
