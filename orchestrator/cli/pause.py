"""`kembar pause` and `kembar resume`: whether an automatic failover may begin. Whole cluster only."""

from __future__ import annotations

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.options import Session, client_command


@click.command()
@client_command
@click.option("--for", "duration", default="1h", metavar="30m", help="s, m, h; 0: until resumed (role admin).")
@click.option("--reason", required=True, help="Shown to everybody while it lasts.")
def pause(session: Session, duration: str, reason: str) -> None:
    """Let no automatic failover begin, for a while. What has begun is finished."""
    body = {"for": duration, "reason": reason}
    answer = session.api.call("PUT", path_of(session.cluster, "pause"), body, _if_match(session))
    until = "until kembar resume" if answer.body["for_s"] == 0 else f"for {duration}"
    session.say(f"{session.cluster} is paused {until}: no automatic failover begins")
    session.give(answer.body)


@click.command()
@client_command
def resume(session: Session) -> None:
    """End a pause."""
    answer = session.api.call("DELETE", path_of(session.cluster, "pause"), headers=_if_match(session))
    session.say(f"{session.cluster} is not paused: an automatic failover may begin")
    session.give(answer.body)


def _if_match(session: Session) -> dict[str, str]:
    """The epoch that we saw, so that nobody acts on an old world."""
    shown = session.api.call("GET", path_of(session.cluster)).body
    return {"If-Match": f'"{shown["epoch"]}"'}
