"""`kembar token`: who may use the API, in which role, until when."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.options import Session, client_command, columns

HEAD = ["NAME", "ROLE", "EXPIRES (UTC)", "VALID", "FINGERPRINT", "KEPT IN", "MADE (UTC)", "BY"]


@click.group()
def token() -> None:
    """API tokens: make one, list them, revoke one."""


@token.command()
@client_command
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(["viewer", "operator", "admin"]))
@click.option("--for", "duration", default="90d", metavar="90d", help="s, m, h, d; 0: without an end.")
@click.option("--reason", required=True, help="For the audit.")
def create(session: Session, name: str, role: str, duration: str, reason: str) -> None:
    """Make a token for NAME and print it: nobody can show it again."""
    body = {"name": name, "role": role, "for": duration, "reason": reason}
    made = session.api.call("POST", path_of(session.cluster, "tokens"), body).body
    session.say(made["token"])
    click.echo(f"{role} of {session.cluster} until {made['expires'] or 'it is revoked'}: keep it, mode 0600", err=True)
    session.give(made)


@token.command("list")
@client_command
def list_tokens(session: Session) -> None:
    """Every token that is good for the cluster, expired ones too."""
    found = session.api.call("GET", path_of(session.cluster, "tokens")).body
    rows = [HEAD, *(_row(one) for one in found["tokens"])]
    session.say(*columns(rows))
    session.give(found, rows)


@token.command()
@client_command
@click.argument("name")
def revoke(session: Session, name: str) -> None:
    """Let NAME's token, and every session that it began, be good for nothing."""
    answer = session.api.call("DELETE", path_of(session.cluster, "tokens", name)).body
    session.say(f"{name} is revoked")
    session.give(answer)


def _row(one: dict[str, Any]) -> list[str]:
    expires, made = ((one[key] or "-")[:19].replace("T", " ") for key in ("expires", "made"))
    valid = "yes" if one["valid"] else "no"
    return [one["name"], one["role"], expires, valid, one["fingerprint"], one["source"], made, one["made_by"] or "-"]
