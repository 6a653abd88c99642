"""What stands against a pair in its data and disks: each problem is named, and what to do about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "playbooks/filter_plugins/preflight_data.py"
GIB = 1 << 30
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preflight_data_filter", PLUGIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


module = loaded()
problems: Callable[[Any], list[str]] = module.FilterModule().filters()["preflight_data_problems"]


def disk(path: str, free_gib: float, device: int = 1, size_gib: float = 100) -> dict[str, Any]:
    return {
        "path": path,
        "device": device,
        "free_bytes": int(free_gib * GIB),
        "size_bytes": int(size_gib * GIB),
    }


def server(data_gib: float = 50, evidence: dict[str, Any] | None = None, **differing: Any) -> dict[str, Any]:
    return {
        "foreign": [],
        "plugin_dir": "/usr/lib/mysql/plugin/",
        "plugins_missing": [],
        "server_uuid": None,
        "disks": {"data": disk("/data", data_gib), "evidence": evidence or disk("/var/lib/kembar", data_gib)},
        **differing,
    }


def host(**differing: Any) -> dict[str, Any]:
    unset = {"mysqld": "mysqld  Ver 8.4.6", "holds_data": False, "provisioned": False, "holds_vip": False}
    return {**unset, **differing}


def spec(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **differing: Any) -> dict[str, Any]:
    return {
        "groups": {"db": ["db-a", "db-b"]},
        "hosts": {"db-a": host(), "db-b": host(), "witness": host()},
        "servers": {"db-a": a or server(), "db-b": b or server()},
        "server_ids": {"db-a": None, "db-b": None},
        "settings": {"db-a": None, "db-b": {}},
        "redo_log": "1G",
        **differing,
    }


def with_host(facts: dict[str, Any] | None, a: dict[str, Any]) -> dict[str, Any]:
    return {**spec(a), "hosts": {"db-a": facts, "db-b": host()}}


def test_two_servers_as_they_should_be_may_be_set_up():
    assert problems(spec(server(server_uuid=UUID), server(server_uuid=UUID.replace("3", "4")))) == []


CASES = {
    "tables that no copy would hold": (
        spec(server(foreign=[f"shop.t{number}" for number in range(7)])),
        "db-a: tables of other engines than InnoDB: shop.t0, shop.t1, shop.t2, shop.t3, shop.t4 and 2 more",
    ),
    "such a table of a server that is set up": (
        with_host(host(provisioned=True, holds_data=True), server(foreign=["shop.seen"])),
        "db-a: tables of other engines than InnoDB: shop.seen  ",
    ),
    "a server without semi-sync": (
        spec(b=server(plugins_missing=["semisync_source.so", "semisync_replica.so"])),
        "db-b: mysqld has no semisync_source.so, semisync_replica.so in /usr/lib/mysql/plugin/",
    ),
    "no room for the first data": (
        spec(server(2.5, disk("/var/lib/kembar", 50, device=2)), redo_log="2048M"),
        "db-a: 2.5 GiB free for /data, expected 3.0 GiB at least",
    ),
    "no room for evidence": (
        spec(b=server(evidence=disk("/var/lib/kembar", 0.9, device=2))),
        "db-b: 0.9 GiB free for /var/lib/kembar, expected 1.0 GiB at least",
    ),
    "no room for evidence on a small disk": (
        spec(b=server(evidence=disk("/var/lib/kembar", 0.4, device=2, size_gib=10))),
        "db-b: 0.4 GiB free for /var/lib/kembar, expected 0.5 GiB at least",
    ),
    "room for each of two, on one disk": (
        spec(server(2.9)),
        "db-a: 2.9 GiB free for /data, /var/lib/kembar, expected 3.0 GiB at least",
    ),
    "one server_id": (
        spec(server_ids={"db-a": 7, "db-b": "7"}),
        "inventory: mysql_server_id is 7 for db-a and db-b",
    ),
    "a copied data directory": (
        spec(server(server_uuid=UUID), server(server_uuid=UUID)),
        f"db-a and db-b: have one server_uuid {UUID}",
    ),
    "names of tables that the other would not find": (
        spec(settings={"db-a": {"lower_case_table_names": 1}, "db-b": {}}),
        "inventory: mysql_extra_settings gives db-a and db-b lower_case_table_names 1 and its default",
    ),
    "a size that nobody can read": (spec(redo_log="1GB"), "inventory: mysql_redo_log is '1GB'"),
    "a module that failed": (spec(servers={"db-a": None, "db-b": server()}), "db-a: cannot tell its data and disks"),
}


@pytest.mark.parametrize(("given", "line"), CASES.values(), ids=CASES)
def test_it_is_named_with_what_to_do(given, line):
    (told,) = problems(given)
    assert told.startswith(line) and "  hint: " in told


HARMLESS = {
    "plugins of a mysqld that is still to be installed": with_host(
        host(mysqld=None), server(plugins_missing=["mysql_clone.so"])
    ),
    "a full disk of a server that is set up": with_host(host(provisioned=True, holds_data=True), server(0)),
    "such a table in a pair that serves": with_host(
        host(provisioned=True, holds_data=True, holds_vip=True), server(foreign=["shop.seen"])
    ),
    "little room beside data that is there": with_host(host(holds_data=True), server(1.1)),
    "a host that does not answer": {**with_host(None, server()), "servers": {"db-a": None, "db-b": server()}},
    "one setting, however it is written": spec(
        settings={"db-a": {"innodb_page_size": 8192}, "db-b": {"innodb_page_size": "8192"}}
    ),
}


@pytest.mark.parametrize("given", HARMLESS.values(), ids=HARMLESS)
def test_nothing_is_told_of(given):
    assert problems(given) == []


def test_a_pair_of_three_is_judged_elsewhere():
    assert problems(spec(groups={"db": ["db-a", "db-b", "db-c"]}, server_ids={"db-a": 1, "db-b": 1})) == []


@pytest.mark.parametrize(("written", "size_bytes"), [("512M", 512 << 20), ("1G", GIB), ("2t", 2 << 40), (4096, 4096)])
def test_a_size_is_read_as_mysqld_reads_it(written, size_bytes):
    assert module.size_bytes(written) == size_bytes
