"""What `kembar doctor` asks of a view: each check with what was found, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# What keeps an automatic failover from beginning -> what ends it, and its runbook.
HELD = {
    "paused": ("kembar resume", "paused"),
    "hold-down": ("kembar ack --reason TEXT", "hold-down"),
    "no leader": ("start kembar orchestrator where it does not run", "no-leader"),
    "unreadable": ("see the records", "record-unreadable"),
}
DISK_MAX_PERCENT, MEMORY_MAX_PERCENT, CLOCK_MAX_S = 90.0, 95.0, 0.05


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One check: `passed` None if nobody can say. `about`: a node, an endpoint, or the cluster."""

    about: str
    name: str
    passed: bool | None
    found: str
    mend: str = ""  # what to do
    runbook: str = ""


def of_cluster(shown: dict[str, Any]) -> Iterator[Diagnosis]:
    """The pair as a whole."""
    name, data, leader = shown["cluster"], shown["data"], shown["orchestrator"]["leader"]
    yield Diagnosis(
        name, "fresh data", not data["stale"], f"{data['age_s']:.1f} s old", "see that most ZooKeeper servers run",
        "zookeeper-lost",
    )  # fmt: skip
    yield Diagnosis(
        name, "leader", bool(leader), f"{leader or 'nobody'} leads", "start kembar orchestrator where it does not run",
        "no-leader",
    )  # fmt: skip
    broken = "; ".join(f"{one['path']}: {one['next']}" for one in shown["unreadable"])
    yield Diagnosis(name, "records", not broken, broken or "all can be read", broken, "record-unreadable")
    auto = shown["auto_failover"]
    yield Diagnosis(name, "automatic failover", auto == "on", auto, *HELD.get(auto, ("", "")))
    yield Diagnosis(name, "writes", shown["writes"] == "ok", shown["verdict"], "kembar explain", "no-writable-primary")
    vip = shown["vip"]
    agreed = bool(vip["holder"]) and vip["holder"] == vip["zookeeper"] == shown["primary"]
    seen = f"agents: {', '.join(vip['agents']) or 'nobody'}; ZooKeeper: {vip['zookeeper'] or 'nobody'}"
    yield Diagnosis(name, "virtual IP", agreed, f"{vip['address']}: {seen}", "kembar vip", "split-suspected")
    standby = next((one for one in shown["nodes"] if one["name"] == shown["standby"]), None)
    why = standby["not_promotable_because"] if standby else "nobody is known"
    ready = f"{shown['standby']} is not promotable: {why}" if why else f"{shown['standby']} is promotable"
    yield Diagnosis(name, "standby", not why, ready, "kembar explain", "no-redundancy")
    waits = shown["returns"]["waits"]
    open_ = waits[0] if waits else {"text": "nothing waits for a person", "command": "", "runbook": ""}
    runbook = open_["runbook"].rpartition("/")[2]
    yield Diagnosis(name, "decisions", not waits, open_["text"], open_["command"], runbook)
    versions = {one["mysql_version"] for one in shown["nodes"] if one["mysql_version"]}
    same = len(versions) == 1 if len(versions) else None
    yield Diagnosis(
        name, "versions of MySQL", same, " and ".join(sorted(versions)) or "not known", "give both nodes the same one",
        "return-version-differs",
    )  # fmt: skip


def of_node(node: dict[str, Any], *, standby: bool) -> Iterator[Diagnosis]:
    """One server, as its agent says. What it said long ago is not judged."""
    name, host = node["name"], node["host"]
    heard = "never heard" if node["seen_s"] is None else f"heard {node['seen_s']:.1f} s ago"
    yield Diagnosis(name, "agent", not node["stale"], heard, f"start kembar agent on {name}", "node-silent")
    if node["stale"]:
        return
    runs = node["mysqld"] == "running"
    yield Diagnosis(name, "mysqld", runs, f"{node['mysqld']}", f"see the error log on {name}", "node-in-trouble")
    refused = "; ".join(node["refusals"])
    yield Diagnosis(name, "settings", not refused, refused or "as needed", "set them as said, restart", "node-refused")
    troubles = "; ".join(node["troubles"])
    runbook = (node["runbooks"] or ["node-in-trouble"])[0].rpartition("/")[2]
    yield Diagnosis(name, "troubles", not troubles, troubles or "none", f"kembar runbook {runbook}", runbook)
    if standby:
        on = node["receiver"] == "on"
        yield Diagnosis(name, "receiver", on, f"{node['receiver']}", "kembar explain", "replication-broken")
        error = node["applier_error"]
        yield Diagnosis(name, "applier", not error, error or "no error", "repair it, START REPLICA", "applier-stopped")
        errant = node["errant"]
        alone = "not known" if errant is None else f"{errant} that the primary never saw"
        none = None if errant is None else errant == 0
        yield Diagnosis(name, "errant transactions", none, alone, "erase nothing: kembar explain", "standby-errant")
    yield from _of_host(name, host)
    offset_s = node["clock_offset_s"]
    apart = None if offset_s is None else abs(offset_s) <= CLOCK_MAX_S
    told = "not told" if offset_s is None else f"{1000 * offset_s:+.0f} ms from ZooKeeper's"
    yield Diagnosis(name, "clock", apart, told, f"see chrony on {name}", "clock-skew")


def _of_host(name: str, host: dict[str, Any]) -> Iterator[Diagnosis]:
    for what, percent, most, mend in (
        (
            "disk",
            host["disk_used_percent"],
            DISK_MAX_PERCENT,
            "make room before it is full: PURGE BINARY LOGS, or grow",
        ),
        ("memory", host["memory_used_percent"], MEMORY_MAX_PERCENT, "see what else runs there"),
    ):
        yield Diagnosis(name, what, percent <= most, f"{percent:.0f} % used", mend, "node-in-trouble")
