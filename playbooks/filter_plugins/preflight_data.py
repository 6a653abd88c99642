"""What stands against a pair on these servers, data and disks, all of it at once. Pure: facts in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GIB = 1 << 30
FIRST_BYTES = GIB  # system tables, undo and the first binary log, beside the redo log
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": GIB, "T": GIB << 10}
# A copy of one server runs under the settings of the other, which must not contradict what its data were made with.
ALIKE = ("innodb_data_file_path", "innodb_page_size", "innodb_undo_directory", "lower_case_table_names")
SHOWN = 5

Spec = Mapping[str, Any]


def preflight_data_problems(spec: Spec) -> list[str]:
    """Lines as those of `preflight_problems`, about what the two servers hold and stand on.

    `spec` is the same; `servers` is what the module preflight_server found on each host of the pair, None if it could
    not; `server_ids` and `settings` (mysql_extra_settings) by name, `redo_log` a size as MySQL takes it.
    """
    try:
        size_bytes(spec["redo_log"])
    except ValueError:
        return [f"inventory: mysql_redo_log is {spec['redo_log']!r}  hint: a size as mysqld reads it: 512M, 1G"]
    found = []
    for name, server in sorted(spec["servers"].items()):
        facts = spec["hosts"][name]
        if facts is not None and server is None:
            found.append(f"{name}: cannot tell its data and disks  hint: ansible-playbook -v preflight.yml says why")
        elif facts is not None:
            lines = (*_server(facts, server, spec), *_disks(facts, server, spec["redo_log"]))
            found += [f"{name}: {line}" for line in lines]
    return [*found, *_pair(spec)]


def _server(facts: Mapping[str, Any], server: Mapping[str, Any], spec: Spec) -> Iterator[str]:
    """A table that somebody made in a pair that runs is no reason to keep help away from it."""
    foreign = server["foreign"]
    if foreign and not _runs(spec):
        more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
        named = ", ".join(foreign[:SHOWN]) + more
        yield f"tables of other engines than InnoDB: {named}  hint: ALTER TABLE ... ENGINE = InnoDB, before all else"
    if facts["mysqld"] and server["plugins_missing"]:
        missing = ", ".join(server["plugins_missing"])
        yield f"mysqld has no {missing} in {server['plugin_dir']}  hint: the plugins of the same package and release"


def _disks(facts: Mapping[str, Any], server: Mapping[str, Any], redo_log: str | int) -> Iterator[str]:
    """Not of a server that is set up: its agent watches them, and a full one is no reason to keep help away."""
    if facts["provisioned"]:
        return
    needs: dict[int, int] = {}
    for use, disk in server["disks"].items():
        needs[disk["device"]] = needs.get(disk["device"], 0) + _needed_bytes(use, disk, facts, redo_log)
    for device, needed in sorted(needs.items()):
        here = [disk for disk in server["disks"].values() if disk["device"] == device]
        if here[0]["free_bytes"] < needed:
            paths = ", ".join(disk["path"] for disk in here)
            yield (
                f"{here[0]['free_bytes'] / GIB:.1f} GiB free for {paths}, expected {needed / GIB:.1f} GiB at least"
                "  hint: a larger disk, or a smaller mysql_redo_log"
            )


def _runs(spec: Spec) -> bool:
    pair = [spec["hosts"].get(name) for name in spec["groups"].get("db", ())]
    return any(facts and facts["provisioned"] and facts["holds_vip"] for facts in pair)


def _needed_bytes(use: str, disk: Mapping[str, Any], facts: Mapping[str, Any], redo_log: str | int) -> int:
    if use == "data":
        return 0 if facts["holds_data"] else size_bytes(redo_log) + FIRST_BYTES
    return int(min(GIB, disk["size_bytes"] // 20))  # what the agent keeps free of evidence: with less it takes none


def size_bytes(text: str | int) -> int:
    """`512M`, `1G` or a plain number of bytes, as mysqld reads them. Raises ValueError."""
    written = str(text).strip().upper()
    return int(written[:-1]) * UNITS[written[-1]] if written[-1:] in UNITS else int(written)


def _pair(spec: Spec) -> Iterator[str]:
    names = sorted(spec["groups"].get("db", ()))
    if len(names) != 2:
        return
    both = " and ".join(names)
    ids = [spec["server_ids"].get(name) for name in names]
    if ids[0] and str(ids[0]) == str(ids[1]):
        yield f"inventory: mysql_server_id is {ids[0]} for {both}  hint: another for each, or none: there is a default"
    uuids = [(spec["servers"].get(name) or {}).get("server_uuid") for name in names]
    if uuids[0] and uuids[0] == uuids[1]:
        yield f"{both}: have one server_uuid {uuids[0]}  hint: remove auto.cnf from the copied data directory"
    first, second = (spec["settings"].get(name) or {} for name in names)
    for setting in ALIKE:
        if str(first.get(setting)) != str(second.get(setting)):
            told = " and ".join(str(one.get(setting, "its default")) for one in (first, second))
            yield f"inventory: mysql_extra_settings gives {both} {setting} {told}  hint: the same for both"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_data_problems": preflight_data_problems}
