"""What preflight finds out about a real server, by its files alone."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from lab.mysqld import find_mysqld
from tests.contract.mysqlpair import servers
from tests.provision.test_playbooks import PLAYBOOKS

pytestmark = pytest.mark.lab

ENGINES = {"seen": "MyISAM", "basket": "MEMORY", "list": "CSV", "a_name_that_is_long": "MyISAM", "a-x": "MyISAM"}


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preflight_server", PLAYBOOKS / "library/preflight_server.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_of_other_engines_are_seen_and_those_of_the_server_itself_are_not():
    with servers(1, {"disabled_storage_engines": '""', "sql_require_primary_key": "OFF"}) as (server,):
        server.start()
        server.database.set_writable()
        for table, engine in ENGINES.items():
            server.rows(f"CREATE TABLE shop.`{table}` (id INT NOT NULL) ENGINE = {engine}")
        server.rows("CREATE TABLE shop.kept (id INT PRIMARY KEY) ENGINE = InnoDB")
        found = loaded().server(server.instance.datadir)
        uuid = server.sql("SELECT @@server_uuid")
    assert found["foreign"] == ["shop.a-x", "shop.a_name_that_is_l...", "shop.basket", "shop.list", "shop.seen"]
    assert found["server_uuid"] == uuid


def test_the_plugins_of_a_server_are_where_it_looks_for_them(tmp_path, monkeypatch):
    binary = find_mysqld()
    mysqld = tmp_path / "mysqld"
    where = [f"--basedir={binary.basedir}", f"--plugin-dir={tmp_path}"]
    mysqld.write_text(f'#!/bin/sh\nexec {shlex.join(binary.command)} "$@" {shlex.join(where)}\n')
    mysqld.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name in ("semisync_source.so", "mysql_clone.so"):
        Path(tmp_path, name).touch()
    found = loaded().server(tmp_path / "data")
    assert Path(found["plugin_dir"]) == tmp_path
    assert found["plugins_missing"] == ["semisync_replica.so"]
    assert found["foreign"] == [] and found["server_uuid"] is None
