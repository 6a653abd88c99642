"""What of a lab runs where, as plain values and as text. Asks processes and ZooKeeper; changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab import faults, namespaces, processes
from lab.processes import Process
from lab.stand import Stand
from lab.topology import Node

FROZEN = "Tt"


def standing(stand: Stand) -> dict[str, Any]:
    """The whole lab, ready for JSON. Raises Refused if it does not stand."""
    facts = stand.facts()
    shown = stand.snapshot()
    modes = stand.zookeeper_modes()
    return {
        "lab": stand.name,
        "folder": str(stand.files.root),
        "profile": facts.profile,
        "page": facts.url,
        "versions": {"mysql": facts.mysql_version, "zookeeper": facts.zookeeper_version},
        "state": shown["state"] if shown else "unknown",
        "verdict": shown["verdict"] if shown else "no orchestrator answers",
        "vip": str(stand.topology.vip),
        "nodes": [_node(stand, node, modes) for node in stand.topology.nodes],
    }


def text(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    rows = [["NODE", "ADDRESS", "WHAT", "PID", "STATE"]]
    for node in found["nodes"]:
        name, address = node["name"], node["address"]
        for one in node["processes"]:
            state = " ".join(filter(None, (one["state"], one.get("mode"))))
            rows.append([name, address, one["what"], str(one["pid"] or "-"), state])
            name = address = ""
        if not node["processes"]:
            rows.append([name, address, "-", "-", ""])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    versions = found["versions"]
    return [
        f"lab {found['lab']}  {found['state'].upper()}  {found['verdict']}",
        f"page {found['page']}   MySQL {versions['mysql']}   ZooKeeper {versions['zookeeper']}   "
        f"profile {found['profile']}   files {found['folder']}",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
    ]


def state(process: Process | None) -> str:
    """`runs`, `frozen` or `ended`."""
    if process is None or not process.lives():
        return "ended"
    letter = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "frozen" if letter in FROZEN else "runs"


def _node(stand: Stand, node: Node, modes: dict[str, str]) -> dict[str, Any]:
    recorded = processes.recorded(stand.files.root)
    found = [
        _process(name.removesuffix(f"-{node.name}"), process)
        for name, process in recorded.items()
        if name.endswith(f"-{node.name}")
    ]
    for one in found:
        if one["what"] == "zookeeper":
            one["mode"] = modes.get(str(node.address), "-")
    if node in stand.topology.pair:
        found.insert(1, _process("agent's worker", faults.worker(stand, node)))
        found.insert(2, _process("mysqld", faults.mysqld_process(stand, node)))
    if "client" in node.groups:
        found += [
            _process(name, process)
            for name, process in recorded.items()
            if name.startswith("meter-") and process.lives()
        ]
    return {
        "name": node.name,
        "address": str(node.address),
        "namespace": namespaces.namespace(stand.name, node.name),
        "link": "up" if namespaces.carrier(stand.name, node.name) else "down",
        "processes": found,
    }


def _process(what: str, process: Process | None) -> dict[str, Any]:
    found = state(process)
    return {"what": what, "pid": process.pid if process and found != "ended" else None, "state": found}
