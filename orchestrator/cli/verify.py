"""`kembar verify`: the standby's data is compared with the primary's, while both work."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, Failed, leave
from orchestrator.cli.operation import CODES, Wish, checked, poll, seconds
from orchestrator.cli.options import Session, age, client_command

POLL_S = 5.0  # one long poll, which ends as soon as there is something new
PAUSE_S = 0.5  # between two of them: a line for each chunk would be too many


@click.command()
@client_command
@click.option("--table", "tables", multiple=True, metavar="SCHEMA.TABLE", help="Only this one; may be repeated.")
@click.option("--reason", default="asked for by hand", help="For the history.")
@click.option("--dry-run", is_flag=True, help="Only the pre-checks.")
@click.option("--wait/--no-wait", default=True, help="Follow it to its end.")
@click.option("--timeout", default="86400s", metavar="60s", help="How long to follow; it goes on without us.")
def verify(
    session: Session, tables: tuple[str, ...], reason: str, dry_run: bool, wait: bool, timeout: str
) -> None:  # fmt: skip
    """Compare all rows, definitions and accounts of both nodes, without locks. 10: they differ."""
    timeout_s = seconds(timeout)
    wish = Wish("verify", "", reason, {"tables": list(tables)} if tables else {})
    checks = checked(session, wish, dry_run=dry_run)
    path = path_of(session.cluster, "operations")
    headers = {"If-Match": f'"{checks["epoch"]}"', "Idempotency-Key": uuid4().hex}
    accepted = session.api.call("POST", path, wish.body(dry_run=False), headers)
    operation = accepted.body
    session.say(f"Verification {operation['id']} of {operation['to']} accepted, epoch {operation['epoch']}")
    if not wait:
        session.give(operation)
        leave(Exit.DONE)
    operation = _follow(session, accepted.headers["location"], timeout_s)
    session.give(operation)
    leave(_end(session, operation))


def _follow(session: Session, location: str, timeout_s: float) -> dict[str, Any]:
    """The operation at its end. Raises Failed 7 when the time is over."""
    deadline, tag, last = time.monotonic() + timeout_s, "", ""
    while True:
        left_s = max(min(deadline - time.monotonic(), POLL_S), 0.0)
        answer = poll(session, location, left_s, tag, deadline)
        operation: dict[str, Any] = answer.body
        tag = answer.headers.get("etag", "")
        if operation["ended"]:
            return operation
        line = progress_line(operation["progress"])
        if line != last:
            session.say(line)
            last = line
        if time.monotonic() >= deadline:
            session.give(operation)
            raise Failed(Exit.RUNNING, f"{line}, after {timeout_s:.0f} s: it goes on", "kembar status")
        time.sleep(min(PAUSE_S, max(deadline - time.monotonic(), 0.0)))


def progress_line(shown: dict[str, Any] | None) -> str:
    """How far it is, in one line."""
    if shown is None:
        return "  it has not begun yet"
    return (
        f"  {shown['percent']:5.1f} %  {shown['doing']}  table {min(shown['tables_done'] + 1, shown['tables'])} of"
        f" {shown['tables']}  chunks {shown['equal']} equal, {shown['hot']} hot, {shown['diverged']} diverged "
        f" {shown['rows_per_s']:.0f} rows/s  ETA {age(shown['eta_s'])}"
    )


def _end(session: Session, operation: dict[str, Any]) -> Exit:
    session.say(f"{operation['state'].capitalize()}. {operation['answer']}")
    for check in operation["failed_checks"]:
        session.say(f"  no   {check}")
    shown = operation["progress"]
    if operation["state"] != "done" or shown is None or shown["outcome"] != "differs":
        return CODES.get(operation["state"], Exit.FAILED)
    for one in shown["differences"]:
        key = f" ({one['key']})" if one["key"] else ""
        session.say(f"  {one['what']} {one['name']}{key}: primary {one['primary']}; standby {one['standby']}")
    if shown["differing"] > len(shown["differences"]):
        session.say(f"  and {shown['differing'] - len(shown['differences'])} more")
    session.say(f"next  kembar rejoin {operation['to']} --path clone --reason TEXT")
    return Exit.PERSON
