"""The page of one cluster in blocks: each is one element, so that what changed can be sent by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from monitoring.forms import place_of
from monitoring.rendering import ENVIRONMENT

MACROS: Any = ENVIRONMENT.get_template("blocks.html.j2").module
KEPT_SHOWN = 10  # transactions that wait for a decision; the page of their return has all
# Of an incident under way, by the phase of the record: what is done, under way and to come.
LIVE: Mapping[str, tuple[str, ...]] = {
    "failover": ("detect", "fence", "take over: drain, promote, VIP, verify"),
    "switchover": ("hand over: gate shut, all sent", "take over: drain, promote, VIP, verify"),
}
NOW = {"FENCING": 1, "SWITCHING": 0}  # the place in that list; whoever has the record already takes over


def shared(view: Mapping[str, Any]) -> dict[str, str]:
    """What everybody who may see the cluster sees alike, by the id of its element; charts are apart."""
    blocks = {
        "verdict": MACROS.verdict(view),
        "freshness": MACROS.freshness(view),
        "vip": MACROS.vip(view),
        "banners": MACROS.banners(view),
        "next": MACROS.next(view, place_of(str(view["cluster"]), view["next"]["command"])),
        "operation": MACROS.operation(view, phases(view)),
        "readiness": MACROS.readiness(view),
        "control": MACROS.control(view),
        "reconcile": MACROS.reconcile(view, KEPT_SHOWN),
        "verification": MACROS.verification(view),
        "event-list": MACROS.event_list(view),
        "history": MACROS.history(view),
    }
    nodes = {f"node-{node['name']}": MACROS.node(view, node, "") for node in view["nodes"]}
    return {id: str(block).strip() for id, block in {**blocks, **nodes}.items()}


def charts(drawn: Mapping[str, str]) -> dict[str, str]:
    """The element that holds the charts of each node; it is nested in that of the node."""
    return {f"charts-{name}": str(MACROS.charts(name, Markup(html))).strip() for name, html in drawn.items()}  # noqa: S704 - made by chart()


def own(view: Mapping[str, Any], actions: list[dict[str, Any]], asked: Mapping[str, Any] | None) -> dict[str, str]:
    """What depends on who looks: the actions that are offered, and the operation that was asked for."""
    return {
        "actions": str(MACROS.actions(view, actions)).strip(),
        "asked": str(MACROS.asked(asked)).strip(),
    }


def whole(view: Mapping[str, Any], drawn: Mapping[str, str], mine: Mapping[str, str]) -> dict[str, Markup]:
    """Every block as the first answer has it, with the charts in their nodes."""
    found = {**shared(view), **mine}
    for node in view["nodes"]:
        filled = MACROS.node(view, node, Markup(drawn[node["name"]]))  # noqa: S704 - made by chart()
        found[f"node-{node['name']}"] = str(filled)
    return {id: Markup(html) for id, html in found.items()}  # noqa: S704 - made by the macros, which escape


def phases(view: Mapping[str, Any]) -> list[dict[str, str]]:
    """Where the incident under way is; empty if none is."""
    last = view["last_incident"]
    if last is None or last["outcome"] != "running":
        return []
    names = LIVE[last["kind"]]
    now = NOW.get(str(view["phase"]), len(names) - 1)
    states = ["done" if n < now else "now" if n == now else "next" for n in range(len(names))]
    return [{"name": name, "state": state} for name, state in zip(names, states, strict=True)]
