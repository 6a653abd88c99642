"""Ansible module: what a database host's server is made of, and the disks below it. Changes nothing."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: preflight_server
short_description: What a database host's server is made of, and the disks below it
description:
  - Reads files, and asks mysqld for its own folders. No server is asked or started. Changes nothing.
options:
  datadir:
    description: Where mysqld keeps its data.
    type: path
    required: true
author: Kembar
"""
EXAMPLES = """
- name: Look at the server
  preflight_server:
    datadir: /var/lib/mysql/data
"""
RETURN = """
server:
  description: The facts, by name.
  returned: always
  type: dict
"""

STATE = Path("/var/lib/kembar")
PLUGINS = ("semisync_source.so", "semisync_replica.so", "mysql_clone.so")
NAME_CUT = 16  # of a table's name, no more stands in the name of that file
OWN_SCHEMAS = ("mysql", "performance_schema", "information_schema", "sys")


def server(datadir: Path) -> dict[str, Any]:
    """What is there of data, plugins and room; empty or None where there is nothing yet."""
    plugin_dir = _plugin_dir()
    return {
        "foreign": sorted(set(_foreign(datadir))),
        "plugin_dir": plugin_dir,
        "plugins_missing": [name for name in PLUGINS if plugin_dir and not Path(plugin_dir, name).exists()],
        "server_uuid": _server_uuid(datadir / "auto.cnf"),
        "disks": {"data": _disk(datadir), "evidence": _disk(STATE)},
    }


def _foreign(datadir: Path) -> Iterator[str]:
    """Tables that describe themselves in a file of their own: one of InnoDB does so in its tablespace."""
    for file in datadir.glob("*/*.sdi"):
        table = _spelled(re.sub(r"_\d+$", "", file.stem))
        if file.parent.name not in OWN_SCHEMAS and not table.startswith("#sql"):
            yield f"{_spelled(file.parent.name)}.{table}{'...' if len(table) >= NAME_CUT else ''}"


def _spelled(name: str) -> str:
    """mysqld writes what is no letter, digit or underscore of ASCII as @ and four digits."""
    return re.sub(r"@([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), name)


def _plugin_dir() -> str | None:
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["mysqld", "--no-defaults", "--verbose", "--help"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False).stdout
        found = re.search(r"^plugin-dir\s+(\S+)", said, re.M)
        return found[1] if found else None
    return None


def _server_uuid(file: Path) -> str | None:
    read = configparser.ConfigParser(interpolation=None)
    with suppress(OSError, UnicodeDecodeError, configparser.Error):
        read.read_string(file.read_text())
    return read.get("auto", "server-uuid", fallback=None)


def _disk(path: Path) -> dict[str, Any]:
    """Of the nearest folder that is there already."""
    there = next(one for one in (path, *path.parents) if one.exists())
    found = os.statvfs(there)
    return {
        "path": str(path),
        "device": there.stat().st_dev,
        "free_bytes": found.f_bavail * found.f_frsize,
        "size_bytes": found.f_blocks * found.f_frsize,
    }


def main() -> None:
    module = AnsibleModule(argument_spec={"datadir": {"type": "path", "required": True}}, supports_check_mode=True)
    module.exit_json(changed=False, server=server(Path(module.params["datadir"])))


if __name__ == "__main__":
    main()
