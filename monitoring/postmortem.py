"""An incident as Markdown, for the report that a person writes afterwards. From what the API gives of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MARKS = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def postmortem(incident: Mapping[str, Any]) -> str:
    """Markdown of `incident_view` or of `GET incidents/ID`; nothing that was typed or measured is taken for markup."""
    title = f"{incident['kind']} #{incident['id']} of {incident['cluster']}: {incident['outcome']}"
    parts = [
        [f"# {_plain(title[:1].upper() + title[1:])}"],
        _facts(incident),
        ["## Timeline", "", *_timeline(incident)],
        ["## Events", "", *_events(incident["events"])],
        *([["## Within five minutes", "", *_events(incident["around"])]] if incident["around"] else []),
        ["## Return of the old primary", "", *_return(incident)],
        ["## Settings in force", "", *_list(incident["settings"])],
        ["## What a person still has to do", "", *_todo(incident["todo"])],
        ["## Causes and lessons", "", "_To be written by a person._"],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _facts(one: Mapping[str, Any]) -> list[str]:
    outage = one["write_outage"]
    running = one["outcome"] == "running"
    return _list(
        {
            "From, to": f"{one['origin']} to {one['target']}, VIP {one['vip']}",
            "Began": one["began"],
            "Trigger": f"{one['trigger']}, by {one['actor']}",
            "Reason": one["reason"],
            "Rule": f"{one['rule']}: {one['rule_text']}",
            "Epoch": one["epoch"],
            "Writes out": "still" if running else f"{outage['ms']:.0f} ms (+{outage['uncertainty_ms']:.0f} ms at most)",
            "Acknowledged transactions lost": one["loss"],
            "Old primary fenced by": one["fence"],
        }
    )


def _timeline(one: Mapping[str, Any]) -> list[str]:
    rows = [(s["phase"], f"+{s['offset_ms']:.1f}", f"{s['duration_ms']:.1f}") for s in one["steps"]]
    return _table(("phase", "from, ms", "took, ms"), rows) if rows else ["No phases are recorded."]


def _events(events: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [(e["time"], e["data"]["severity"], e["type"], e["data"]["text"]) for e in events]
    return _table(("when, UTC", "severity", "event", "what"), rows) if rows else ["None is kept."]


def _return(one: Mapping[str, Any]) -> list[str]:
    back = one["return"]
    if back is None:
        return ["Nothing is recorded of it here."]
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(back["verdicts"].items()))
    return _list(
        {
            "Return": f"#{back['id']} of {back['node']}, by {back['rung']}, now {back['stage']}",
            "Only it had": f"{back['transactions']} transactions ({back['errant'] or 'none'})",
            "Merged or kept": verdicts or "nothing",
            "Undecided": back["undecided"],
        }
    )


def _todo(turns: Sequence[Mapping[str, str]]) -> list[str]:
    rows = [f"- {_plain(one['text'])}" + (f": `{one['command']}`" if one["command"] else "") for one in turns]
    return rows or ["Nothing."]


def _list(facts: Mapping[str, object]) -> list[str]:
    return [f"- **{name}**: {_plain(str(value))}" for name, value in facts.items()]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *(_row([_plain(cell) for cell in row]) for row in rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """What was typed or measured, as itself: no markup, no line of its own."""
    return MARKS.sub(r"\\\1", " ".join(text.split()))
