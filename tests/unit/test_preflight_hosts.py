"""What stands against setting up a cluster: each problem of each host is named, and what to do about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "playbooks/filter_plugins/preflight.py"


def loaded() -> Callable[[Mapping[str, Any]], list[str]]:
    spec = importlib.util.spec_from_file_location("preflight_filter", PLUGIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FilterModule().filters()["preflight_problems"]


problems = loaded()
MYSQL = "/usr/sbin/mysqld  Ver 8.4.6 for Linux on x86_64 ((Ubuntu))"


def host(**differing: Any) -> dict[str, Any]:
    return {
        "now_s": 1000.5,
        "asked_s": [1000.0, 1001.0],
        "os": {"id": "ubuntu", "version": "24.04"},
        "python": "3.12.3",
        "kernel": "6.8.0-45-generic",
        "mysqld": MYSQL,
        "mysql_enabled": False,
        "mysql_active": False,
        "addresses": ["192.0.2.11", "192.0.2.12", "192.0.2.13"],
        "architecture": "amd64",
        "keepalived": False,
        "interface": ["192.0.2.11/24"],
        "holds_vip": False,
        "vip_files": [],
        "vip_answers": None,
        "flushes": [],
        "clock_offset_s": 0.001,
        "holds_data": False,
        "provisioned": False,
        **differing,
    }


def spec(**differing: Any) -> dict[str, Any]:
    return {
        "groups": {
            "db": ["db-a", "db-b"],
            "zookeeper": ["db-a", "db-b", "witness"],
            "orchestrator": ["witness", "db-b"],
        },
        "vip": "192.0.2.100",
        "subnet": "192.0.2.0/24",
        "addresses": {"db-a": "192.0.2.11", "db-b": "192.0.2.12", "witness": "192.0.2.13"},
        "secrets": {"vault_mysql_root_password": 32, "vault_mysql_replication_password": 32},
        "packages": [f"/dist/{name}_1.0_amd64.deb" for name in ("kembar", "kembar-agent", "kembar-orchestrator")],
        "hosts": {"db-a": host(), "db-b": host(), "witness": host(mysqld=None)},
        **differing,
    }


def with_host(name: str, facts: dict[str, Any] | None) -> dict[str, Any]:
    usual = spec()
    return {**usual, "hosts": {**usual["hosts"], name: facts}}


def groups(**differing: list[str]) -> dict[str, Any]:
    usual = spec()
    return {**usual, "groups": {**usual["groups"], **differing}}


def test_three_hosts_as_they_should_be_may_be_set_up():
    assert problems(spec()) == []


def test_a_cluster_that_runs_may_be_set_up_again():
    """Whoever holds the address by now, also the host that was not primary at first."""
    serving = host(holds_vip=True, provisioned=True, holds_data=True)
    other = host(vip_answers="02:00:00:00:00:12", provisioned=True, holds_data=True)
    assert problems(spec(hosts={"db-a": other, "db-b": serving, "witness": host(mysqld=None)})) == []


CASES = {
    "an even number of voters": (groups(zookeeper=["db-a", "witness"]), "inventory: group zookeeper has 2 hosts"),
    "one voter": (groups(zookeeper=["witness"]), "inventory: group zookeeper has 1 hosts"),
    "three database hosts": (groups(db=["db-a", "db-b", "witness"]), "inventory: group db has 3 hosts"),
    "no orchestrator": (groups(orchestrator=[]), "inventory: group orchestrator is empty"),
    "all voters on the pair": (
        groups(db=["db-a", "db-b", "witness"]),
        "inventory: every host of group zookeeper is one of the pair",
    ),
    "a missing secret": (
        spec(secrets={"vault_mysql_root_password": 0}),
        "vault: vault_mysql_root_password is missing or empty",
    ),
    "a password that no channel takes": (
        spec(secrets={"vault_mysql_replication_password": 33}),
        "vault: vault_mysql_replication_password has 33 characters, expected 32 at most",
    ),
    "a key that can be guessed": (
        spec(secrets={"vault_kembar_session_key": 31}),
        "vault: vault_kembar_session_key has 31 characters, expected 32 at least",
    ),
    "no packages": (spec(packages=[]), "inventory: kembar_packages holds 0 packages kembar-agent"),
    "two releases of a package": (
        spec(packages=["/dist/kembar_1_amd64.deb", "/dist/kembar_2_amd64.deb"]),
        "inventory: kembar_packages holds 2 packages kembar ",
    ),
    "a VIP outside of the subnet": (
        spec(vip="198.51.100.1"),
        "inventory: kembar_vip 198.51.100.1 is outside of kembar_subnet 192.0.2.0/24",
    ),
    "a VIP that is no address": (spec(vip="shop"), "inventory: kembar_vip 'shop', kembar_subnet '192.0.2.0/24': "),
    "MariaDB": (
        with_host("db-a", host(mysqld="mysqld  Ver 10.11.6-MariaDB for debian-linux-gnu on x86_64")),
        "db-a: mysqld is MariaDB",
    ),
    "an old MySQL": (
        with_host("db-b", host(mysqld="mysqld  Ver 8.0.9 for Linux on x86_64")),
        "db-b: mysqld is 8.0.9",
    ),
    "two versions of MySQL": (
        with_host("db-b", host(mysqld="mysqld  Ver 9.7.4 for Linux on x86_64")),
        "db-a and db-b: have different versions of mysqld",
    ),
    "a VIP in use elsewhere": (
        with_host("db-a", host(vip_answers="02:00:00:00:00:63")),
        "db-a: 02:00:00:00:00:63 answers for the virtual IP 192.0.2.100",
    ),
    "a VIP that the host itself has, without Kembar": (
        with_host("db-a", host(holds_vip=True)),
        "db-a: has the virtual IP 192.0.2.100 already",
    ),
    "a VIP in a file that is read at boot": (
        with_host("db-a", host(vip_files=["/etc/netplan/01.yaml"])),
        "db-a: /etc/netplan/01.yaml gives it the virtual IP 192.0.2.100",
    ),
    "a clock that chrony knows to be off": (
        with_host("witness", host(clock_offset_s=-0.2, mysqld=None)),
        "witness: its clock is off by 0.200 s",
    ),
    "a clock ahead of the time in which it was asked": (
        with_host("db-a", host(clock_offset_s=None, now_s=1004.0)),
        "db-a: its clock is off by 3.000 s",
    ),
    "a clock behind": (
        with_host("db-a", host(clock_offset_s=None, now_s=998.0)),
        "db-a: its clock is off by 2.000 s",
    ),
    "an unsupported release": (
        with_host("db-a", host(os={"id": "ubuntu", "version": "20.04"})),
        "db-a: ubuntu 20.04 is not supported",
    ),
    "an unsupported system": (
        with_host("db-a", host(os={"id": "fedora", "version": "41"})),
        "db-a: fedora 41 is not supported",
    ),
    "an old Python": (with_host("db-a", host(python="3.10.12")), "db-a: Python 3.10.12 is too old"),
    "an old kernel": (with_host("db-a", host(kernel="5.4.0-150-generic")), "db-a: Linux 5.4.0-150-generic is too old"),
    "keepalived": (with_host("db-b", host(keepalived=True)), "db-b: keepalived runs"),
    "a service that flushes all rules": (
        with_host("db-b", host(flushes=["nftables.service"])),
        "db-b: nftables.service flushes all rules when it starts",
    ),
    "data that nobody here has made": (
        with_host("db-a", host(holds_data=True)),
        "db-a: its data directory holds data that no playbook has made",
    ),
    "mysqld at boot, beside an agent": (
        with_host("db-a", host(mysql_enabled=True, provisioned=True)),
        "db-a: mysql.service is started at boot",
    ),
    "a server that runs already": (
        with_host("db-a", host(mysql_active=True)),
        "db-a: mysqld runs, and no playbook has made it",
    ),
    "an address that is not the host's": (
        with_host("witness", host(mysqld=None, addresses=["10.0.0.13"])),
        "witness: kembar_address 192.0.2.13 is none of its own",
    ),
    "packages for another machine": (
        with_host("db-a", host(architecture="arm64")),
        "db-a: is arm64, the packages are for amd64",
    ),
    "no such interface": (with_host("db-a", host(interface=None)), "db-a: has no interface of that name"),
    "an interface in another network": (
        with_host("db-a", host(interface=["198.51.100.7/24"])),
        "db-a: no address of 192.0.2.0/24 on its interface",
    ),
    "a host that does not answer": (with_host("witness", None), "witness: does not answer"),
}


@pytest.mark.parametrize(("given", "line"), CASES.values(), ids=CASES)
def test_it_is_named_with_what_to_do(given, line):
    found = problems(given)
    (told,) = [one for one in found if one.startswith(line)]
    assert "  hint: " in told


def test_a_clock_within_the_time_of_asking_proves_nothing():
    assert problems(with_host("db-a", host(clock_offset_s=None, now_s=1000.9))) == []


def test_a_new_host_that_has_no_mysqld_yet_may_be_set_up_beside_one_that_has():
    assert problems(with_host("db-b", host(mysqld=None))) == []


def test_all_of_it_is_told_at_once():
    given = spec(
        groups={"db": ["db-a"], "zookeeper": ["db-a", "witness"], "orchestrator": []},
        secrets={"vault_a": 0, "vault_b": 0},
        hosts={"db-a": host(keepalived=True, python="3.9.2"), "witness": None},
    )
    assert len(problems(given)) == 8
