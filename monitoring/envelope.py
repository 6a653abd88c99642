"""An event as others read it: CloudEvents 1.0 in JSON, the format without the SDK."""

from __future__ import annotations

from typing import Any

from orchestrator.core.history import Event
from orchestrator.core.snapshot import Snapshot
from orchestrator.core.wire import plain


def envelope(snapshot: Snapshot, number: int, event: Event) -> dict[str, Any]:
    """An event as CloudEvents 1.0 JSON."""
    data = {key: value for key, value in plain(event).items() if key not in ("type", "at", "incident")}
    return {
        "specversion": "1.0",
        "id": f"{number:06d}",
        "source": f"/kembar/{snapshot.name}",
        "type": f"kembar.{event.type}",
        **({"subject": f"incident/{event.incident}"} if event.incident else {}),
        "time": event.at,
        "datacontenttype": "application/json",
        "data": {"cluster": snapshot.name, **data},
    }
