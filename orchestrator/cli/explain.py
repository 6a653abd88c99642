"""`kembar explain`: why nothing is happening, what it waits for, and what would end the wait."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.options import Session, client_command, columns
from orchestrator.cli.status import read_view
from orchestrator.core.rules import RULES

WHY = {rule.id: rule.why for rule in RULES}


@click.command()
@client_command
def explain(session: Session) -> None:
    """The finding, what is waited for, the command that ends it, and what could be asked for now."""
    shown = read_view(session)
    asked = shown["epoch"] is not None and session.api.answered
    actions = session.api.call("GET", path_of(session.cluster, "actions")).body["actions"] if asked else []
    found = explained(shown, actions)
    session.say(*lines(found))
    session.give(found)


def explained(shown: dict[str, Any], actions: list[dict[str, Any]]) -> dict[str, Any]:
    """As one value: every part of it in the words of the page."""
    standby = next((one for one in shown["nodes"] if one["name"] == shown["standby"]), None)
    return {
        "cluster": shown["cluster"],
        "state": shown["state"],
        "verdict": shown["verdict"],
        "finding": shown["finding"],
        "phase": shown["phase"],
        "last_rule": {"id": shown["rule"], "why": WHY.get(shown["rule"], "")} if shown["rule"] else None,
        "waiting": shown["waiting"],
        "auto_failover": shown["auto_failover"],
        "not_promotable_because": standby["not_promotable_because"] if standby else None,
        "risk": shown["risk"]["text"],
        "next": shown["next"],
        "waits": shown["returns"]["waits"],
        "actions": [
            {name: one[name] for name in ("kind", "to", "enabled", "disabled_reasons")}
            for one in actions
        ],
    }  # fmt: skip


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    last, step = found["last_rule"], found["next"]
    rule = [["last rule", f"{last['id']}: {last['why']}" if last["why"] else last["id"]]] if last else []
    why_not = found["not_promotable_because"]
    runbook = step.get("runbook", "") or found["finding"]["runbook"]
    rows = [
        ["finding", f"{found['finding']['name'] or '-'}: {found['finding']['text'] or 'nothing has been read yet'}"],
        ["phase", f"{found['phase'] or '-'}   auto-failover {found['auto_failover']}"],
        *rule,
        ["waits", found["waiting"] or "for nothing: no rule applies, and none has to"],
        *([["not ready", f"the standby is not promotable: {why_not}"]] if why_not else []),
        ["risk", found["risk"]],
        *([["next", step["text"]]] if step["text"] else []),
        *([["command", step["command"]]] if step["command"] else []),
        *(
            ["open", f"{one['text']}  ->  {one['command']}" if one["command"] else one["text"]]
            for one in found["waits"]
        ),
        *([["how", f"kembar runbook {runbook.rpartition('/')[2]}"]] if runbook else []),
        *(["may ask", _action(one)] for one in found["actions"]),
    ]
    return [f"{found['cluster']}  {found['verdict']}", *columns(rows)]


def _action(one: dict[str, Any]) -> str:
    name = one["kind"].replace("_", " ")
    return f"{name}: yes" if one["enabled"] else f"{name}: no, {'; '.join(one['disabled_reasons'])}"
