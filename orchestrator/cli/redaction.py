"""What may leave a host: no secret, no row of a client's data. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

LEFT_OUT = "[left out]"
# Lists with values of rows, in whatever the API shows of returns and comparisons.
ROWS = frozenset({"rows", "edits", "differing", "differences"})
SECRET = re.compile(r"sha256|pass(word|wd)?|secret|token|routing_key|session_key|api_?key|private", re.I)
IN_TEXT = (
    re.compile(r"(?i)(authorization:?\s*(?:bearer|basic)\s+)\S+"),
    re.compile(r"(?i)(bearer\s+)[\w.~+/=-]{8,}"),
    re.compile(r"(?i)(identified\s+(?:with\s+\S+\s+)?(?:by|as)\s+)'(?:[^'\\]|\\.|'')*'"),
    re.compile(r"(?i)((?:source_|master_)?password\s*[=:]\s*)('(?:[^'\\]|\\.|'')*'|\S+)"),
    re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@"),
)
# What a comparison found, in a sentence: both versions of a row, or of an account.
DIFFERENCE = re.compile(
    r"\b((?:row|table|view|trigger|function|procedure|event|account) \S+)"
    r".* on the primary, (?:.* on the standby|.*)",
    re.S,
)
SHORTEST = 4  # a secret that is shorter would blot out innocent words


def without_rows(value: Any) -> Any:
    """JSON without the values of rows; how many there were stays."""
    if isinstance(value, dict):
        return {name: _count(one) if name in ROWS else without_rows(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_rows(one) for one in value]
    return without_values(value)


def without_values(value: Any) -> Any:
    """JSON whose sentences say that something differs, and not how."""
    if isinstance(value, dict):
        return {name: without_values(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_values(one) for one in value]
    differs = isinstance(value, str) and " on the primary, " in value
    return DIFFERENCE.sub(rf"\1 {LEFT_OUT}", value) if differs else value


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Text without these secrets, and without what looks like one."""
    for secret in sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, LEFT_OUT)
    text = "\n".join(map(without_values, text.split("\n")))
    for pattern in IN_TEXT:
        text = pattern.sub(lambda found: found[1] + LEFT_OUT, text)
    return text


def secrets_of(value: Any) -> tuple[list[str], list[str]]:
    """Of a configuration: the values that are secrets themselves, and the files that hold one."""
    secrets: list[str] = []
    files: list[str] = []
    for name, one in scalars("", value):
        if name.endswith("_file"):
            files.append(one)
        elif SECRET.search(name):
            secrets.append(one)
    return secrets, files


def scalars(name: str, value: Any) -> Iterable[tuple[str, str]]:
    """Each text in a value, with the key that it stands under."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from scalars(str(key), one)
    elif isinstance(value, list):
        for one in value:
            yield from scalars(name, one)
    elif isinstance(value, str):
        yield name, value


def _count(value: Any) -> Any:
    return f"{LEFT_OUT}: {len(value)}" if isinstance(value, list | dict) else value
