"""`kembar events`: the event log, and what happens from now on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from orchestrator.cli.client import path_of
from orchestrator.cli.exits import Exit, leave
from orchestrator.cli.following import follow
from orchestrator.cli.options import Session, client_command, columns

SEVERITIES = ("info", "warning", "critical")
COLOURS = {"warning": "yellow", "critical": "red"}
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
HEAD = ["WHEN (UTC)", "SEVERITY", "TYPE", "TEXT"]
WIDE = ["EPOCH", "RULE", "NODE", "ACTOR", "REASON"]
LIMIT_MAX = 1000


@click.command()
@client_command
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what happens, until interrupted.")
@click.option("--since", default="", metavar="1h", help="Not older; s, m, h, d, or a UTC time.")
@click.option("--severity", type=click.Choice(SEVERITIES), default="info", help="At least.")
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), help="The newest so many; 50, with --since all.")
@click.option("--patience", type=click.FloatRange(0), default=600.0, metavar="S", help="With -f, until given up.")
def events(
    session: Session, following: bool, since: str, severity: str, limit: int | None, patience: float
) -> None:  # fmt: skip
    """What happened, oldest first; with -f what happens from now on, from whichever orchestrator answers."""
    not_before = began(since, datetime.now(UTC)) if since else ""
    path = path_of(session.cluster)
    newest = _read(session, path, 1, "info") if following else []
    found = _read(session, path, limit or (LIMIT_MAX if since else 50), severity)
    found = [one for one in found if one["time"] >= not_before]
    if not following:
        rows = [HEAD + (WIDE if session.wide else []), *(_row(one, wide=session.wide) for one in found)]
        session.say(*(columns(rows) if found else ("nothing",)))
        session.give({"events": found}, [HEAD + WIDE, *(_row(one, wide=True) for one in found)])
        return
    for one in found:
        _tell(session, one)
    try:
        _go_on(session, path, max((one["id"] for one in (*newest, *found)), default=""), severity, patience)
    except KeyboardInterrupt:
        leave(Exit.DONE)


def _go_on(session: Session, path: str, last: str, severity: str, patience_s: float) -> None:
    least = SEVERITIES.index(severity)
    for message in follow(session.api, f"{path}/stream", last, patience_s):
        if message.kind == "snapshot" and last:
            click.echo("more was missed than is kept: see kembar events", err=True)
        if message.kind == "event" and SEVERITIES.index(message.data["data"]["severity"]) >= least:
            _tell(session, message.data)
        last = message.id or last


def _read(session: Session, path: str, limit: int, severity: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = session.api.call("GET", f"{path}/events?limit={limit}&severity={severity}").body[
        "events"
    ]
    return found


def began(text: str, now: datetime) -> str:
    """The UTC time that is meant by `1h` or by a time. Raises BadParameter."""
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        at = now - timedelta(seconds=int(match[1]) * UNITS_S[match[2]])
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            hint = f"{text!r}: for example 30m, 2h, 1d or 2026-11-21T18:55"
            raise click.BadParameter(hint, param_hint="--since") from None
    at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _tell(session: Session, one: dict[str, Any]) -> None:
    when, severity, kind, text = _row(one, wide=False)
    colour = COLOURS.get(severity)
    session.say(f"{when}  {severity:<8}  {kind}  {text}", style=lambda line: click.style(line, fg=colour))
    session.give(one, [_row(one, wide=True)])


def _row(one: dict[str, Any], *, wide: bool) -> list[str]:
    data = one["data"]
    when = one["time"][:23].replace("T", " ")
    first = [when, data["severity"], one["type"].removeprefix("kembar."), data["text"]]
    return first + [str(data[name] or "-") for name in ("epoch", "rule", "node", "actor", "reason")] if wide else first
