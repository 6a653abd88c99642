"""A request to the pair as every verb makes it: pre-checks, consent, the request, and its phases until it has ended."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import click

from orchestrator.cli.client import Answer, path_of
from orchestrator.cli.exits import Exit, Failed, leave
from orchestrator.cli.options import Session

POLL_S = 10.0  # one long poll
PUT_S = 15.0  # until a request is taken, though nobody answers at first: its key lets it be put once only
TIMELINE_WAIT_S = 6.0  # the timeline is written after the fact, when the new primary has reported its own part
MOVES = ("switchover", "failover", "adopt")  # those that have a timeline
CODES = {"done": Exit.DONE, "refused": Exit.REFUSED, "failed": Exit.FAILED}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for."""

    kind: str
    to: str
    reason: str
    about: Mapping[str, object] = field(default_factory=dict)  # what else this kind has

    def body(self, *, dry_run: bool) -> dict[str, object]:
        """As the API takes it."""
        return {"kind": self.kind, "to": self.to, "reason": self.reason, "dry_run": dry_run, **self.about}


def checked(session: Session, wish: Wish, *, dry_run: bool) -> dict[str, Any]:
    """The pre-checks, shown; ends the command if one failed, or if no more was asked for."""
    if not wish.reason.strip():
        raise click.BadParameter("must not be empty", param_hint="--reason")
    checks: dict[str, Any] = session.api.call("POST", _path(session), wish.body(dry_run=True)).body
    session.say("Pre-checks")
    for check in checks["checks"]:
        session.say(f"  ok   {check['name']}" if check["passed"] else f"  no   {check['name']}: {check['detail']}")
        if not check["passed"] and check.get("runbook"):
            session.say(f"       kembar runbook {check['runbook'].rpartition('/')[2]}")
    if checks["last_three_ms"]:
        session.say("The last ones took " + ", ".join(f"{ms:.0f}" for ms in checks["last_three_ms"]) + " ms")
    if dry_run or not checks["admitted"]:
        session.give(checks)
        leave(Exit.DONE if checks["admitted"] else Exit.REFUSED)
    return checks


def ask(question: str) -> None:
    """Consent of a person; default is no. Raises Failed."""
    if not sys.stdin.isatty():
        command = shlex.join(["kembar", *sys.argv[1:], "--yes"])
        raise Failed(Exit.REFUSED, "nobody is there to be asked", command)
    try:
        agreed = click.confirm(question, default=False, err=True)
    except click.Abort:
        agreed = False
    if not agreed:
        raise Failed(Exit.ABORTED, "nothing was changed")


def consent_by_name(question: str, name: str, given: str) -> None:
    """Consent by name: `given` on the command line, or typed in answer. Raises Failed if it is not `name`."""
    answer = given or _typed(question, name)
    if answer != name:
        raise Failed(Exit.ABORTED, f"{answer!r} is not {name!r}: nothing was changed")


def perform(session: Session, wish: Wish, epoch: int, timeout_s: float) -> dict[str, Any]:
    """Put the request for the epoch that was seen, follow it to its end, tell of it; the operation."""
    operation = _follow(session, _put(session, wish, epoch).headers["location"], timeout_s)
    _end(session, operation)
    return operation


def carry_out(session: Session, wish: Wish, epoch: int, *, wait: bool, timeout_s: float) -> None:
    """Put the request for the epoch that was seen, follow it if asked to, and end the command by its outcome."""
    accepted = _put(session, wish, epoch)
    operation = accepted.body
    if wait:
        operation = _follow(session, accepted.headers["location"], timeout_s)
    session.give(operation)
    leave(_end(session, operation) if wait else Exit.DONE)


def _put(session: Session, wish: Wish, epoch: int) -> Answer:
    headers = {"If-Match": f'"{epoch}"', "Idempotency-Key": uuid4().hex}
    until = time.monotonic() + PUT_S
    accepted = session.api.persistent("POST", _path(session), wish.body(dry_run=False), headers, until=until)
    operation = accepted.body
    session.say(f"{'+0 ms':>8}  operation {operation['id']} accepted, epoch {operation['epoch']}")
    return accepted


def seconds(text: str) -> float:
    """`60s` as a number. Raises BadParameter."""
    number = text.removesuffix("s")
    if not number.isdigit():
        raise click.BadParameter(f"{text!r}: for example 60s", param_hint="--timeout")
    return float(number)


def _typed(question: str, name: str) -> str:
    if not sys.stdin.isatty():
        command = shlex.join(["kembar", *sys.argv[1:], "--confirm", name])
        raise Failed(Exit.REFUSED, f"nobody is there to type {name}", command)
    try:
        return str(click.prompt(question, err=True))
    except click.Abort:
        raise Failed(Exit.ABORTED, "nothing was changed") from None


def _path(session: Session) -> str:
    return path_of(session.cluster, "operations")


def _follow(session: Session, location: str, timeout_s: float) -> dict[str, Any]:
    """The operation at its end, with its timeline if that comes in time. Raises Failed 7 when the time is over."""
    deadline = time.monotonic() + timeout_s
    ended_at, tag, printed = 0.0, "", 0
    while True:
        left_s = max(min(deadline - time.monotonic(), POLL_S), 0.0)
        answer = poll(session, location, left_s, tag, deadline)
        operation: dict[str, Any] = answer.body
        tag = answer.headers.get("etag", "")
        printed = _print_phases(session, operation["phases"], printed)
        now = time.monotonic()
        if operation["ended"]:
            ended_at = ended_at or now
            moved = operation["state"] == "done" and operation["kind"] in MOVES
            if operation["phases"] or not moved or now - ended_at > TIMELINE_WAIT_S:
                return operation
            time.sleep(0.05)
        elif now >= deadline:
            session.give(operation)
            raise Failed(
                Exit.RUNNING,
                f"operation {operation['id']} is {operation['state']} after {timeout_s:.0f} s",
                f"kembar api GET {location}?wait=60s",
            )


def poll(session: Session, location: str, wait_s: float, tag: str, deadline: float) -> Answer:
    """The operation once it has changed since `tag`, from whoever answers. Raises Failed 7 if nobody did in time."""
    headers, path = {"If-None-Match": tag} if tag else {}, f"{location}?wait={int(wait_s)}s"
    try:
        return session.api.persistent("GET", path, headers=headers, wait_s=wait_s, until=deadline)
    except Failed as failed:
        if failed.exit_code != Exit.UNREACHABLE:
            raise
        text = f"{failed.format_message()}\noperation {location.rpartition('/')[2]} may go on all the same"
        raise Failed(Exit.RUNNING, text, f"kembar api GET {location}") from None


def _print_phases(session: Session, phases: list[dict[str, Any]], printed: int) -> int:
    for phase in phases[printed:]:
        offset = f"+{phase['offset_ms']:.0f} ms"
        session.say(f"{offset:>8}  {phase['phase']:<8} took {phase['duration_ms']:.0f} ms")
    return len(phases)


def _end(session: Session, operation: dict[str, Any]) -> Exit:
    state = operation["state"]
    took = f" in {operation['total_ms']:.0f} ms" if operation.get("total_ms") else ""
    session.say(f"{state.capitalize()}{took}. {operation['answer']}")
    for check in operation["failed_checks"]:
        session.say(f"  no   {check}")
    return CODES.get(state, Exit.FAILED)
