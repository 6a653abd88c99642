"""`kembar note`: a line of the event log, of what is done beside the pair."""

from __future__ import annotations

import time
from uuid import uuid4

import click

from orchestrator.cli.client import Answer, Api, path_of
from orchestrator.cli.exits import Exit, Failed
from orchestrator.cli.operation import poll
from orchestrator.cli.options import Session, client_command

PUT_S = 15.0  # until it is taken, though nobody answers at first
WAIT_S = 10.0  # until the leader has written it


@click.command()
@client_command
@click.argument("text")
@click.option("--severity", type=click.Choice(("info", "warning")), default="info", help="As events are chosen by.")
def note(session: Session, text: str, severity: str) -> None:
    """Write TEXT to the event log, with your name: what is done to the hosts, for whoever reads it later."""
    taken = put(session.api, session.cluster, text, severity, until=time.monotonic() + PUT_S)
    location, deadline, operation = taken.headers["location"], time.monotonic() + WAIT_S, taken.body
    while not operation["ended"] and (left_s := deadline - time.monotonic()) > 0:
        operation = poll(session, location, left_s, "", deadline).body
    session.give(operation)
    if not operation["ended"]:
        why = f"the note is kept, and no leader has written it to the event log after {WAIT_S:.0f} s"
        raise Failed(Exit.RUNNING, why, f"kembar api GET {location}")
    session.say(f"noted: {operation['reason']}")


def put(api: Api, cluster: str, text: str, severity: str, *, until: float) -> Answer:
    """Ask for it, once, of whoever answers until that time of the monotonic clock. Raises Failed."""
    body, headers = {"text": text, "severity": severity}, {"Idempotency-Key": uuid4().hex}
    return api.persistent("POST", path_of(cluster, "notes"), body, headers, until=until)
