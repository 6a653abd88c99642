"""Server-sent events from whichever orchestrator answers: taken up at the next one, where it broke off."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.client import Answer, Api, failed, nobody

PAUSE_S = 1.0  # between two rounds in which nobody answered
SILENCE_S = 25.0  # without a word, a comment included, that comes every 10 s: the connection is dead


@dataclass(frozen=True, slots=True)
class Message:
    """One server-sent event."""

    kind: str
    id: str
    data: Any


def messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """Those of a stream; comments, and what is no JSON, are left out."""
    fields: dict[str, str] = {}
    for raw in lines:
        text = raw.decode(errors="replace").rstrip("\r\n")
        if not text:
            if "data" in fields:
                yield Message(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
            continue
        name, _, value = text.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")


def follow(api: Api, path: str, after: str, patience_s: float) -> Iterator[Message]:
    """Without an end: from `after` on (the id that was seen last, or empty), at the next endpoint when one breaks off.

    Raises Failed: 8 when nobody has answered for `patience_s`, else by the status of an answer.
    """
    last, heard_at = after, time.monotonic()
    while True:
        for endpoint in api.endpoints():
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            try:
                with api.opened(endpoint, "GET", path, headers=headers, wait_s=SILENCE_S) as response:
                    if response.status >= 400:
                        _refused(response)
                    api.answered = endpoint
                    for message in messages(response):
                        heard_at, last = time.monotonic(), message.id or last
                        yield message
                api.unanswered.append(f"{endpoint}: the stream has ended")
            except (OSError, http.client.HTTPException, ValueError) as error:
                api.unanswered.append(f"{endpoint}: {error or type(error).__name__}")
        if time.monotonic() - heard_at >= patience_s:
            raise nobody(api.unanswered[-len(api.settings.endpoints) :])
        api.unanswered.clear()
        time.sleep(PAUSE_S)


def _refused(response: http.client.HTTPResponse) -> None:
    """Raises Failed, or OSError where another orchestrator may answer better."""
    content = response.read()
    body = json.loads(content) if content else None
    if response.status in (429, 503):
        raise OSError(body.get("detail") if isinstance(body, dict) else str(response.status))
    raise failed(Answer(response.status, {}, body))
