"""One failover or switchover in words: what was lost, for how long, what came of it. What page, API and CLI show."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitoring.envelope import envelope
from monitoring.return_view import persons_turn, return_view
from monitoring.wording import fence_text, incident_text, loss_text
from orchestrator.core.history import Event, Incident
from orchestrator.core.rules import RULES
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain

AROUND = timedelta(minutes=5)
WHY = {rule.id: rule.why for rule in RULES}


def incident_view(s: Snapshot, incident: Incident) -> dict[str, Any]:
    """The record, its events as envelopes, and what follows from both.

    `write_outage.uncertainty_ms`: as much may lie before what the leader saw first, one period of the lease or report.
    """
    of_it = [envelope(s, n, event) for n, event in s.events.items() if event.incident == incident.id]
    beside = [envelope(s, n, event) for n, event in s.events.items() if _beside(event, incident)]
    back = s.returning if s.returning is not None and s.returning.epoch == incident.epoch else None
    return {
        **plain(incident),
        "text": incident_text(incident),
        "cluster": s.name,
        "vip": s.vip,
        "rule_text": WHY.get(incident.rule, ""),
        "loss": loss_text(incident),
        "fence": fence_text(incident),
        "write_outage": {"ms": incident.total_ms, "uncertainty_ms": _uncertainty_ms(s, incident)},
        "events": of_it,
        "around": beside,
        "return": return_view(s, back) if back is not None else None,
        "todo": persons_turn(s) if back is not None else [],
        "settings": {
            "profile": s.policy.profile,
            "lease authorises, s": s.policy.timing.authorised_s,
            "fence wait, s": s.policy.timing.fence_wait_s,
            "report every, s": s.policy.report_every_s,
        },
    }


def _uncertainty_ms(s: Snapshot, incident: Incident) -> float:
    period_s = s.policy.timing.renew_every_s if incident.kind == "failover" else 0.0
    return round(1000 * period_s, 1)


def _beside(event: Event, incident: Incident) -> bool:
    """Whether it happened within five minutes, and is not of this incident."""
    began, at = _read(incident.began), _read(event.at)
    return event.incident != incident.id and began is not None and at is not None and abs(at - began) <= AROUND


def _read(text: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None
