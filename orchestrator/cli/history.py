"""`kembar history`: failovers and switchovers, and the timeline of one."""

from __future__ import annotations

from typing import Any

import click

from monitoring.postmortem import postmortem
from orchestrator.cli.client import path_of
from orchestrator.cli.options import Session, client_command, columns

HEAD = ["ID", "WHAT", "WHEN (UTC)", "FROM", "TO", "TRIGGER", "ACTOR", "RULE", "OUTCOME", "MS", "REASON"]
BAR_WIDTH = 40


@click.command()
@client_command
@click.argument("incident_id", required=False, metavar="[ID]")
@click.option("--format", "document", type=click.Choice(["md"]), help="md: a post-mortem to go on with; needs ID.")
def history(session: Session, incident_id: str | None, document: str | None) -> None:
    """Failovers and switchovers; with an ID, its timeline."""
    if not incident_id:
        if document:
            raise click.BadParameter("needs the ID of one incident", param_hint="--format")
        found = session.api.call("GET", path_of(session.cluster, "incidents")).body
        rows = [_row(one) for one in found["incidents"]]
        session.say(*columns([HEAD, *rows]) if rows else ("nothing yet",))
        session.give(found, [HEAD, *rows])
        return
    found = session.api.call("GET", path_of(session.cluster, "incidents", incident_id.removeprefix("#"))).body
    if document and session.prose:
        session.say(*postmortem(found).splitlines())
    else:
        session.say(*timeline(found))
    session.give(found)


def _row(one: dict[str, Any]) -> list[str]:
    began = one["began"][:23].replace("T", " ")
    names = ["trigger", "actor", "rule", "outcome"]
    texts = [str(one[name]) for name in names]
    return [
        str(one["id"]),
        one["kind"],
        began,
        one["origin"],
        one["target"],
        *texts,
        f"{one['total_ms']:.0f}",
        one["reason"],
    ]


def timeline(incident: dict[str, Any]) -> list[str]:
    """One incident: what, why, its phases to scale, its events."""
    steps = incident["steps"]
    span_ms = max([incident["total_ms"], *(s["offset_ms"] + s["duration_ms"] for s in steps), 1.0])
    rows = [
        [
            s["phase"],
            f"+{s['offset_ms']:.0f}",
            f"{s['duration_ms']:.0f} ms",
            _bar(s["offset_ms"], s["duration_ms"], span_ms),
        ]
        for s in steps
    ]
    events = [[e["time"][:23].replace("T", " "), e["type"], e["data"]["text"]] for e in incident["events"]]
    return [
        incident["text"],
        f"by {incident['actor']}, epoch {incident['epoch']}",
        *(columns(rows, "  ") if rows else ["  no phases recorded"]),
        *(columns(events) if events else []),
    ]


def _bar(offset_ms: float, duration_ms: float, span_ms: float) -> str:
    begin = round(BAR_WIDTH * offset_ms / span_ms)
    return " " * begin + "#" * max(round(BAR_WIDTH * duration_ms / span_ms), 1)
