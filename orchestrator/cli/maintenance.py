"""`kembar maintenance`: one node may not be promoted, until somebody ends it."""

from __future__ import annotations

import time
from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.operation import ask
from orchestrator.cli.options import Session, client_command

POLL_S = 0.1


@click.group()
def maintenance() -> None:
    """Keep one node from being promoted, while somebody works on it."""


@maintenance.command()
@client_command
@click.argument("node")
@click.option("--reason", required=True, help="Shown to everybody while it lasts.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what it would mean.")
@click.option("--wait", "wait_s", type=click.FloatRange(0, 3600), default=30.0, help="Seconds until it is in force.")
def on(session: Session, node: str, reason: str, yes: bool, dry_run: bool, wait_s: float) -> None:
    """Withdraw NODE's certificate and give it none: from then on nothing promotes it, and it may be stopped."""
    shown = _look(session)
    row = _row(shown, node)
    if shown["primary"] == node:
        raise Failed(Exit.REFUSED, f"{node} is the primary", f"kembar switchover --reason {reason!r}, then again")
    session.say(
        shown["verdict"], f"{node} will not be promoted; while it lasts nobody takes over from {shown['primary']}"
    )
    if dry_run:
        session.give({"node": node, "active": bool(row["maintenance"]), "dry_run": True})
        return
    if not yes:
        ask(f"Put {node} under maintenance?")
    answer = session.api.call("PUT", _path(session, node), {"reason": reason}, _if_match(shown)).body
    deadline = time.monotonic() + wait_s
    while not answer["in_force"] and time.monotonic() < deadline:
        time.sleep(POLL_S)
        answer = session.api.call("GET", _path(session, node)).body
    session.give(answer)
    if not answer["in_force"]:
        text = f"{node} is under maintenance, yet its certificate is not withdrawn after {wait_s:g} s: do not stop it"
        raise Failed(Exit.RUNNING, text, "kembar explain")
    session.say(f"{node} is under maintenance: nothing promotes it, it may be stopped")


@maintenance.command()
@client_command
@click.argument("node")
def off(session: Session, node: str) -> None:
    """End it: NODE is certified again as soon as it holds everything."""
    shown = _look(session)
    _row(shown, node)
    answer = session.api.call("DELETE", _path(session, node), headers=_if_match(shown)).body
    session.say(f"{node} is not under maintenance: it is certified as soon as it holds everything")
    session.give(answer)


def _look(session: Session) -> dict[str, Any]:
    shown: dict[str, Any] = session.api.freshest(path_of(session.cluster)).body
    return shown


def _row(shown: dict[str, Any], node: str) -> dict[str, Any]:
    names = [one["name"] for one in shown["nodes"]]
    if node not in names:
        raise click.BadParameter(f"{node!r} is none of {', '.join(names)}", param_hint="NODE")
    return dict(shown["nodes"][names.index(node)])


def _path(session: Session, node: str) -> str:
    return path_of(session.cluster, "nodes", node, "maintenance")


def _if_match(shown: dict[str, Any]) -> dict[str, str]:
    return {"If-Match": f'"{shown["epoch"]}"'}
