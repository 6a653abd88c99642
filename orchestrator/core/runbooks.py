"""Which runbook goes with what a person meets: the name of a file in docs/runbooks, and of its page. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestrator.core.alerts import ALERTS
from orchestrator.core.analysis import Finding

PLACE = "/runbooks/"
# Codes by which a return says why it cannot go on, or not by this rung; the agents' words.
RETURN_CODES = (
    "ddl", "account_statement", "xa", "statement_event", "non_innodb", "unknown_event", "row_image_not_full",
    "metadata_not_full", "partial_json_without_key", "unlogged_cascade", "table_missing", "table_changed",
    "event_too_big", "binlog_missing", "encrypted", "bad_crc", "incomplete", "rewind_mismatch", "version_differs",
    "no_clone_plugin", "data_outside", "feeds_replicas", "data_not_movable", "no_space_side_by_side", "clone_failed",
    "stray_gtid", "evidence_incomplete", "evidence_unreadable", "evidence_no_space", "no_space_for_evidence",
    "return_unreadable",
)  # fmt: skip
# Codes by which an agent names a trouble of its own server. A stalled commit is a finding too, with one runbook.
TROUBLES = ("CLIENT_LOCK", "STORAGE_DEAD", "UNKNOWN", "OVERLOADED", "READ_REFUSED", "WRITE_REFUSED")
CHECKS = (
    "epoch", "record", "records", "target", "phase", "primary", "certified", "newest", "backlog", "transactions",
    "heard", "repair", "returned", "older", "hold-down", "maintenance", "open", "undecided", "version", "order",
    "applicable", "edits", "return", "waiting", "allowed", "replicates", "alone", "tables",
)  # fmt: skip
# `code: why` at the beginning or after the rung that met it, or `why (code)` at the end of a transaction's words.
_CODE = re.compile(r"\b(" + "|".join(RETURN_CODES) + r")(?=[: )]|$)")


def of_finding(name: str) -> str:
    """By the finding's name; empty if nothing is wrong."""
    return "" if name in ("", Finding.HEALTHY) else of_alert(name)


def of_alert(name: str) -> str:
    """By the alert's name; empty for what is no alert."""
    return name.replace("_", "-") if name in ALERTS else ""


def of_check(name: str) -> str:
    """By the name of a pre-check."""
    return f"check-{name}"


def of_trouble(text: str) -> str:
    """By what an agent said of its own server, which begins with a code or not."""
    code = text.partition(":")[0]
    if code == "SYNC_STALLED":
        return of_finding(Finding.SYNC_STALLED)
    return f"trouble-{code.lower().replace('_', '-')}" if code in TROUBLES else "node-in-trouble"


def of_return(text: str) -> str:
    """By why a return stopped or took another rung."""
    found = _CODE.search(text)
    return f"return-{found[1].replace('_', '-')}" if found else "return-stopped"


def of_returns(texts: Iterable[str]) -> list[str]:
    """Of several reasons, each once, in their order."""
    return list(dict.fromkeys(of_return(text) for text in texts))


def of_problem(name: str) -> str:
    """By the name of the API's problem document."""
    return f"problem-{name}"


def path_of(runbook: str) -> str:
    """Where every orchestrator serves it; empty for none."""
    return PLACE + runbook if runbook else ""
