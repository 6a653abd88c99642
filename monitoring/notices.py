"""Notices as each receiver wants them: CloudEvents, PagerDuty events v2, Slack, Alertmanager v2. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from orchestrator.core.outbox import Notice, Signal
from orchestrator.core.runbooks import of_alert, path_of

KEY_MAX = 255  # of PagerDuty's dedup_key
SUMMARY_MAX = 1024  # of its summary
ACTIONS = {Signal.OPENED: "trigger", Signal.CLOSED: "resolve"}
SLACK_MARKS = {"critical": ":red_circle:", "warning": ":large_yellow_circle:", "info": ":white_circle:"}


@dataclass(frozen=True, slots=True)
class Links:
    """Where the page is that persons reach, without a slash at its end; empty: notices name the runbook alone."""

    page: str = ""

    def of_cluster(self, notice: Notice) -> str:
        """The page of the pair, empty if nobody said where it is."""
        return f"{self.page}/c/{quote(notice.cluster)}" if self.page else ""

    def of_runbook(self, notice: Notice) -> str:
        """The runbook of the alert: its address on the page, else the name of its file; empty for a mere event."""
        name = of_alert(notice.alert)
        if not name:
            return ""
        return self.page + path_of(name) if self.page else f"docs/runbooks/{name}.md"


def dedup_key(notice: Notice) -> str:
    """What an alert is known by to every receiver, at most 255 characters."""
    return f"kembar/{notice.cluster}/{notice.key}"[:KEY_MAX]


def headline(notice: Notice) -> str:
    """One line: which pair, how bad, what."""
    word = {Signal.OPENED: notice.severity.upper(), Signal.CLOSED: "RESOLVED", Signal.TOLD: notice.severity}
    return f"[{notice.cluster}] {word[notice.signal]}: {notice.text}"


def lines(notice: Notice, links: Links) -> list[str]:
    """What a person asks next: are writes possible, what to do, where to look."""
    named = {
        "writes": notice.writes,
        "next": notice.next,
        "runbook": links.of_runbook(notice),
        "page": links.of_cluster(notice),
    }
    return [f"{name}: {text}" for name, text in named.items() if text]


def cloudevent(notice: Notice, links: Links) -> dict[str, Any]:
    """CloudEvents 1.0 in JSON; source and id name it, so that a second one can be dropped."""
    return {
        "specversion": "1.0",
        "id": notice.id,
        "source": f"/kembar/{notice.cluster}",
        "type": f"kembar.{notice.type}",
        "subject": notice.key,
        "time": notice.at,
        "datacontenttype": "application/json",
        "data": {
            "cluster": notice.cluster,
            "signal": str(notice.signal),
            "alert": notice.alert,
            "dedup_key": dedup_key(notice),
            "severity": notice.severity,
            "text": notice.text,
            "writes": notice.writes,
            "next": notice.next,
            "node": notice.node,
            "epoch": notice.epoch,
            "incident": notice.incident,
            "test": notice.test,
            "page": links.of_cluster(notice),
            "runbook": links.of_runbook(notice),
        },
    }


def pagerduty(notice: Notice, links: Links, routing_key: str) -> dict[str, Any]:
    """An event of API v2; a test opens nothing that anybody must close, so it is sent as resolved."""
    texts = [(links.of_cluster(notice), "page"), (links.of_runbook(notice), "runbook")]
    return {
        "routing_key": routing_key,
        "event_action": ACTIONS.get(notice.signal, "resolve"),
        "dedup_key": dedup_key(notice),
        "client": "Kembar",
        "links": [{"href": href, "text": text} for href, text in texts if href.startswith("http")],
        "payload": {
            "summary": headline(notice)[:SUMMARY_MAX],
            "source": notice.node or notice.cluster,
            "severity": notice.severity,
            "timestamp": notice.at,
            "group": notice.cluster,
            "class": notice.alert or notice.type,
            "custom_details": {"id": notice.id, "about": lines(notice, links)},
        },
    }


def slack(notice: Notice, links: Links) -> dict[str, Any]:
    """Text of an incoming webhook. What the databases said is shown as it is, never as markup or a mention."""
    mark = ":white_check_mark:" if notice.signal is Signal.CLOSED else SLACK_MARKS[notice.severity]
    text = "\n".join([headline(notice), *lines(notice, links)])
    for raw, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(raw, escaped)
    return {"text": f"{mark} {text}", "mrkdwn": False, "link_names": False, "unfurl_links": False}


def alertmanager(notices: Sequence[Notice], links: Links) -> list[dict[str, Any]]:
    """A post to /api/v2/alerts. Labels are the identity; what has ended carries its end."""
    return [_alert(notice, links) for notice in notices]


def _alert(notice: Notice, links: Links) -> dict[str, Any]:
    labels = {
        "alertname": "Kembar" + "".join(word.capitalize() for word in (notice.alert or "test").split("_")),
        "cluster": notice.cluster,
        "key": notice.key,
        "severity": notice.severity,
    }
    whole: dict[str, Any] = {
        "labels": labels,
        "annotations": {
            "summary": headline(notice),
            "description": "\n".join(lines(notice, links)),
            "runbook_url": links.of_runbook(notice),
        },
    }
    if page := links.of_cluster(notice):
        whole["generatorURL"] = page
    ended = {"endsAt": notice.at} if notice.signal is not Signal.OPENED else {"startsAt": notice.at}
    return {**whole, **ended}
