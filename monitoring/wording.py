"""Incidents and requests as sentences: the same ones on page, API, command line and in reports."""

from __future__ import annotations

from orchestrator.core.history import Incident
from orchestrator.core.requests import Kind, Request


def request_text(request: Request) -> str:
    """What was asked for, in words."""
    if request.kind is Kind.NOTE:
        return "for the event log"
    about = request.gtid or (f"return {request.returning}" if request.returning else "")
    return f"of {about}" if about else f"to {request.to}"


def incident_text(incident: Incident | None) -> str:
    """One incident as one line."""
    if incident is None:
        return ""
    end = f"{incident.total_ms:.0f} ms" if incident.outcome != "running" else "so far"
    return (
        f"{incident.kind} #{incident.id}  {incident.origin} -> {incident.target}  {incident.trigger} "
        f"({incident.reason}, {incident.rule})  {incident.began}  {incident.outcome}  {end}"
    )


def loss_text(incident: Incident) -> str:
    """Which acknowledged transactions were lost, and why that is known."""
    if incident.rule == "F6":
        return (
            f"not proven: {incident.actor} accepted loss. What {incident.origin} alone had acknowledged is found when "
            "it returns"
        )
    if incident.outcome != "ok":
        return f"not known yet: it is {incident.outcome}"
    if incident.kind == "switchover":
        return f"none: {incident.target} had executed everything before {incident.origin} was left"
    return f"none that was acknowledged: {incident.target} was certified to hold everything"


def fence_text(incident: Incident) -> str:
    """How it was made certain that the old primary serves nobody."""
    how = {
        "F5": "a release: its agent attested that mysqld had exited and the gate was shut",
        "F1": f"a release, or the fence wait, after which the gate of {incident.origin} was shut for certain",
        "F6": "a release, or the fence wait, as in every failover",
        "S1": f"{incident.origin} shut its gate and released its lease by itself",
    }
    return how.get(incident.rule, "not told")
