"""`kembar alerts`: what persons are told of, what waits in which channel, and a test message."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.options import Session, client_command, columns

POLL_S = 0.2
HEAD = ["CHANNEL", "KIND", "FROM", "WAITING", "SENT", "GIVEN UP", "LAST SENT (UTC)", "TROUBLE"]


@click.group()
def alerts() -> None:
    """What persons are told of, and through which channels."""


@alerts.command(name="list")
@client_command
def list_(session: Session) -> None:
    """Alerts that are open, and the queue of each channel."""
    answer = session.api.call("GET", _path(session)).body
    opened = [f"{one['severity']}  {one['key']}  since {one['at']}  {one['text']}" for one in answer["raised"]]
    session.say(*(opened or ["no alert is open"]))
    rows = [_row(one) for one in answer["channels"]]
    session.say(*columns([HEAD, *rows]) if rows else ("no channel: see alerts.channels in orchestrator.yaml",))
    session.give(answer, [HEAD, *rows])


@alerts.command()
@client_command
@click.argument("channel")
@click.option("--reason", required=True, help="Shown in the message, with your name.")
@click.option("--wait", "wait_s", type=click.FloatRange(0, 3600), default=30.0, help="Seconds until it must be sent.")
def test(session: Session, channel: str, reason: str, wait_s: float) -> None:
    """Send a message that is marked as a test through CHANNEL, by the way of every alert; needs role admin."""
    headers, before = {"Idempotency-Key": uuid4().hex}, _of(session, channel)
    body = {"channel": channel, "reason": reason}
    queued = session.api.call("POST", _path(session, "test"), body, headers).body
    deadline = time.monotonic() + wait_s
    present = _of(session, channel)
    while queued["name"] in present["waiting"] and time.monotonic() < deadline:
        time.sleep(POLL_S)
        present = _of(session, channel)
    session.give(present | {"id": queued["id"]})
    if queued["name"] in present["waiting"]:
        why = present["trouble"] or "the leader has not come to it yet"
        text = f"{queued['id']} still waits after {wait_s:g} s: {why}"
        raise Failed(Exit.RUNNING, text, "it is tried for a day: kembar alerts list")
    if present["last_sent"] != queued["id"] and present["given_up"] > before["given_up"]:
        raise Failed(Exit.FAILED, f"{channel} refuses it: {present['trouble']}", "see the channel in orchestrator.yaml")
    session.say(f"{queued['id']} was taken by {channel}")


def _path(session: Session, *parts: str) -> str:
    return path_of(session.cluster, "alerts", *parts)


def _of(session: Session, channel: str) -> dict[str, Any]:
    found = session.api.call("GET", _path(session)).body["channels"]
    names = [str(one["name"]) for one in found]
    if channel not in names:
        raise Failed(Exit.FAILED, f"no channel is called {channel!r}", f"alerts.channels: {', '.join(names) or 'none'}")
    return dict(found[names.index(channel)])


def _row(one: dict[str, Any]) -> list[str]:
    numbers = [str(one[name]) for name in ("sent", "given_up")]
    last = one["last_sent_at"][:19].replace("T", " ") or "-"
    return [one["name"], one["kind"], one["severity"], str(len(one["waiting"])), *numbers, last, one["trouble"] or "-"]
