"""`kembar vip`: who holds the virtual IP, as its agents, ZooKeeper and the network have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from orchestrator.cli.exits import Exit, leave
from orchestrator.cli.options import Session, client_command, columns, yes_no
from orchestrator.cli.status import read_view

HEAD = ["SEEN BY", "HOLDER", "HOW"]


@click.command()
@client_command
def vip(session: Session) -> None:
    """Who holds the virtual IP, seen by each agent, by ZooKeeper and by ARP; 4 if they disagree or nobody does."""
    found = held(read_view(session))
    rows = [HEAD, *([one["by"], one["holder"] or "-", one["how"]] for one in found["seen"])]
    session.say(found["text"], *columns(rows))
    session.give(found, rows)
    leave(Exit.DONE if found["agreed"] else Exit.NO_PRIMARY)


def held(shown: dict[str, Any]) -> dict[str, Any]:
    """Each view of it, and whether all that can tell name the primary."""
    address, holders = shown["vip"], shown["vip"]["agents"]
    seen = [*(_by_agent(node) for node in shown["nodes"]), _by_lease(address["zookeeper"]), *_by_arp(shown)]
    claims = list(dict.fromkeys(one["holder"] for one in seen if one["holder"]))
    agreed = len(holders) == 1 and claims == [shown["primary"]] == [address["zookeeper"]]
    agreed = agreed and not shown["data"]["stale"]
    if agreed:
        text = f"{address['address']} is on {claims[0]}: all who can tell agree"
    elif len(holders) > 1:
        text = f"{address['address']} is DISPUTED by {' and '.join(holders)}: stop the one that is not primary"
    else:
        named = f"claimed by {' and '.join(claims)}, primary is {shown['primary']}" if claims else "on no node"
        text = f"{address['address']} is {named}: see kembar explain"
    return {"address": address["address"], "agreed": agreed, "text": text, "primary": shown["primary"], "seen": seen}


def _by_agent(node: dict[str, Any]) -> dict[str, Any]:
    has, gate = node["has_address"], yes_no(node["gate_open"], "open", "shut")
    stale = ", long ago" if node["stale"] else ""
    holder = node["name"] if has and node["gate_open"] and not node["stale"] else None
    return {"by": f"agent of {node['name']}", "holder": holder, "how": f"address {yes_no(has)}, gate {gate}{stale}"}


def _by_lease(holder: str | None) -> dict[str, Any]:
    how = "its lease is held and its gate open" if holder else "no lease is held with an open gate"
    return {"by": "ZooKeeper", "holder": holder, "how": how}


def _by_arp(shown: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """By who answers for it on the network of the orchestrator; an older one does not look."""
    arp = shown["vip"].get("arp")
    if arp is not None:
        how = f"{arp['hardware']} answers for it" if arp["hardware"] else "nobody is seen to answer for it"
        stranger = arp["hardware"] if arp.get("foreign") else None  # neither node's
        who = f"ARP of {shown['orchestrator']['instance']}"
        yield {"by": who, "holder": arp["node"] or stranger, "how": how}
