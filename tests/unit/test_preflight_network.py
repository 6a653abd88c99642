"""What stands against a cluster on given addresses and ports: each problem is named, and what to do about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "playbooks/filter_plugins/preflight_network.py"


def loaded() -> Mapping[str, Callable[..., list[str]]]:
    spec = importlib.util.spec_from_file_location("preflight_network_filter", PLUGIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FilterModule().filters()


filters = loaded()
problems, asks = filters["preflight_network_problems"], filters["preflight_asks"]
ADDRESSES = {"db-a": "192.0.2.11", "db-b": "192.0.2.12", "witness": "192.0.2.13"}


def ports(*listening: tuple[str, int, str, str | None], unreached: tuple[str, ...] = (), firewall: bool = False) -> Any:
    """What a host says of itself: who listens (address, port, program, unit)."""
    keys = ("address", "port", "program", "unit")
    return {
        "listening": [dict(zip(keys, one, strict=True)) for one in listening],
        "unreached": list(unreached),
        "firewall": firewall,
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
        "addresses": ADDRESSES,
        "mysql_ports": [3306, 33062],
        "pages": {"witness": "", "db-b": ""},
        "hosts": {name: {} for name in ADDRESSES},
        "ports": {name: ports() for name in ADDRESSES},
        **differing,
    }


def with_ports(name: str, found: Any, **others: Any) -> dict[str, Any]:
    return spec(ports={**spec()["ports"], name: found, **others})


def test_hosts_that_reach_each_other_may_be_set_up():
    assert problems(spec()) == []


def test_a_cluster_that_runs_is_in_nobodys_way():
    serving = ports(
        ("*", 3306, "mysqld", "mysql.service"),
        ("127.0.0.1", 33062, "mysqld", "mysql.service"),
        ("192.0.2.12", 7306, "python3", "kembar-agent.service"),
        ("192.0.2.12", 2281, "java", "zookeeper.service"),
        ("192.0.2.12", 3888, "java", "zookeeper.service"),
        ("192.0.2.12", 8080, "python3", "kembar-orchestrator.service"),
        firewall=True,
    )
    assert problems(with_ports("db-b", serving)) == []


CASES = {
    "two hosts with one address": (
        spec(addresses={**ADDRESSES, "witness": "192.0.2.12"}),
        "db-b, witness: have one kembar_address 192.0.2.12",
    ),
    "a VIP that is a host's address": (
        spec(vip="192.0.2.13"),
        "witness: kembar_vip 192.0.2.13 is its kembar_address",
    ),
    "a VIP that is the network": (
        spec(vip="192.0.2.0"),
        "inventory: kembar_vip 192.0.2.0 is the network's own address of 192.0.2.0/24",
    ),
    "a VIP that is the broadcast": (
        spec(vip="192.0.2.255"),
        "inventory: kembar_vip 192.0.2.255 is the broadcast address of 192.0.2.0/24",
    ),
    "MySQL's port taken by another server": (
        with_ports("db-a", ports(("127.0.0.1", 3306, "mariadbd", "mariadb.service"))),
        "db-a: port 3306 is taken by mariadbd of mariadb.service",
    ),
    "the agent's own way in taken": (
        with_ports("db-a", ports(("[::]", 33062, "proxy", None))),
        "db-a: port 33062 is taken by proxy",
    ),
    "the exchange's port taken": (
        with_ports("db-b", ports(("0.0.0.0", 7306, "", "other.service"))),
        "db-b: port 7306 is taken by other.service",
    ),
    "ZooKeeper's port taken by another ensemble": (
        with_ports("witness", ports(("*", 2888, "java", "kafka.service"))),
        "witness: port 2888 is taken by java of kafka.service",
    ),
    "the page's port taken": (
        with_ports("witness", ports(("192.0.2.13", 8080, None, None))),
        "witness: port 8080 is taken by another program",
    ),
    "the page's own port taken": (
        {**with_ports("witness", ports(("*", 9443, "nginx", "nginx.service"))), "pages": {"witness": "0.0.0.0:9443"}},
        "witness: port 9443 is taken by nginx of nginx.service",
    ),
    "a page's address without a port": (
        {**with_ports("witness", ports()), "pages": {"witness": "192.0.2.13"}},
        "witness: kembar_orchestrator_listen is '192.0.2.13'",
    ),
    "a standby that cannot follow": (
        with_ports("db-b", ports(unreached=("192.0.2.11:3306",))),
        "db-b: does not reach db-a at 192.0.2.11:3306",
    ),
    "an orchestrator that cannot ask ZooKeeper": (
        {**with_ports("desk", ports(unreached=("192.0.2.13:2281",))), "addresses": {**ADDRESSES, "desk": "192.0.2.14"}},
        "desk: does not reach witness at 192.0.2.13:2281",
    ),
    "voters that cannot elect": (
        with_ports("witness", ports(unreached=("192.0.2.12:3888",))),
        "witness: does not reach db-b at 192.0.2.12:3888",
    ),
    "ports that nobody could ask for": (with_ports("witness", None), "witness: cannot tell its ports"),
}


@pytest.mark.parametrize(("given", "line"), CASES.values(), ids=CASES)
def test_it_is_named_with_what_to_do(given, line):
    (told,) = problems(given)
    assert told.startswith(line) and "  hint: " in told


HARMLESS = {
    "a port that this host needs for nothing": with_ports("witness", ports(("*", 3306, "mysqld", "mysql.service"))),
    "another address of the host": with_ports("db-a", ports(("10.0.0.11", 7306, "other", "other.service"))),
    "a page that was moved": {
        **with_ports("witness", ports(("*", 8080, "nginx", "nginx.service"))),
        "pages": {"witness": "192.0.2.13:9443", "db-b": ""},
    },
    "a host that does not answer itself": spec(
        hosts={"db-a": {}, "db-b": {}, "witness": None},
        ports={"db-a": ports(unreached=("192.0.2.13:2281",)), "db-b": ports(), "witness": None},
    ),
    "a new host, which the firewall of the others does not know yet": with_ports(
        "db-b", ports(unreached=("192.0.2.11:3306", "192.0.2.13:2281")), **{"db-a": ports(firewall=True)},
        witness=ports(firewall=True),
    ),
    "a VIP of a network of two": spec(
        vip="192.0.2.1", subnet="192.0.2.0/31", addresses={**ADDRESSES, "db-a": "192.0.2.0"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("given", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_told_of(given):
    assert problems(given) == []


def test_each_host_is_asked_for_what_its_parts_will_talk_to():
    quorum = [f"192.0.2.1{host}:{port}" for host in (2, 3) for port in (2888, 3888)]
    assert asks(spec(), "db-a") == ["192.0.2.12:3306", "192.0.2.12:7306", "192.0.2.12:2281", "192.0.2.13:2281", *quorum]
    assert asks({**spec(), "addresses": {**ADDRESSES, "desk": "192.0.2.14"}}, "desk") == [
        "192.0.2.11:2281",
        "192.0.2.12:2281",
        "192.0.2.13:2281",
    ]
