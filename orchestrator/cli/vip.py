"""`kembar vip`: who holds the virtual IP, as its agents, ZooKeeper and this host's neighbours have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.cli.exits import Exit, leave
from orchestrator.cli.options import Session, client_command, columns, yes_no
from orchestrator.cli.status import read_view

NEIGHBOURS = Path("/proc/net/arp")
INCOMPLETE = "00:00:00:00:00:00"
HEAD = ["SEEN BY", "HOLDER", "HOW"]


@click.command()
@client_command
def vip(session: Session) -> None:
    """Who holds the virtual IP, seen by each agent, by ZooKeeper and from here; 4 if they disagree or nobody does."""
    shown = read_view(session)
    text = NEIGHBOURS.read_text(encoding="ascii") if NEIGHBOURS.is_file() else ""
    found = held(shown, neighbour(text, shown["vip"]["address"]))
    rows = [HEAD, *([one["by"], one["holder"] or "-", one["how"]] for one in found["seen"])]
    session.say(found["text"], *columns(rows))
    session.give(found, rows)
    leave(Exit.DONE if found["agreed"] else Exit.NO_PRIMARY)


def held(shown: dict[str, Any], mac: str) -> dict[str, Any]:
    """Each view of it, and whether all of them name one node. `mac`: of the neighbour that has it here, or empty."""
    address, holders = shown["vip"], shown["vip"]["agents"]
    seen = [_by_agent(node) for node in shown["nodes"]]
    by_lease = address["zookeeper"]
    lease = "its lease is held and its gate open" if by_lease else "no lease is held with an open gate"
    seen.append({"by": "ZooKeeper", "holder": by_lease, "how": lease})
    here = f"the neighbour {mac} answers for it" if mac else "no neighbour with it in this host's table"
    seen.append({"by": "this host", "holder": None, "how": here})
    agreed = len(holders) == 1 and by_lease == holders[0] == shown["primary"] and not shown["data"]["stale"]
    if agreed:
        text = f"{address['address']} is on {by_lease}: agents and ZooKeeper agree"
    elif len(holders) > 1:
        text = f"{address['address']} is DISPUTED by {' and '.join(holders)}: stop the one that is not primary"
    else:
        claims = dict.fromkeys(one["holder"] for one in seen if one["holder"])
        named = f"claimed by {' and '.join(claims)}, primary is {shown['primary']}" if claims else "on no node"
        text = f"{address['address']} is {named}: see kembar explain"
    return {"address": address["address"], "agreed": agreed, "text": text, "primary": shown["primary"], "seen": seen}


def neighbour(table: str, address: str) -> str:
    """The hardware address that this host's neighbour table has for it, empty if none."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4 and fields[0] == address and fields[3] != INCOMPLETE:
            return fields[3]
    return ""


def _by_agent(node: dict[str, Any]) -> dict[str, Any]:
    has, gate = node["has_address"], yes_no(node["gate_open"], "open", "shut")
    stale = ", long ago" if node["stale"] else ""
    holder = node["name"] if has and node["gate_open"] and not node["stale"] else None
    return {"by": f"agent of {node['name']}", "holder": holder, "how": f"address {yes_no(has)}, gate {gate}{stale}"}
