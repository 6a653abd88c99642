"""One call of a client, from its own two lines: when it was sent, and what came back. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FINAL = -1  # the client that looks everything up in the end


class Outcome(StrEnum):
    """What the client knows of its effect."""

    OK = "ok"
    FAIL = "fail"  # surely none, now and later
    UNKNOWN = "unknown"  # perhaps, at any time from its sending on


class Kind(StrEnum):
    """What was asked; beside each: `given`, and `result` of one that is OK."""

    INSERT = "insert"  # value; None
    LOOK = "look"  # value; whether it is there
    READ = "read"  # key; its value or None
    WRITE = "write"  # [key, value]; None
    CAS = "cas"  # [key, expected, value]; whether it was exchanged
    TRANSFER = "transfer"  # [from, to, amount]; None
    BALANCES = "balances"  # None; every balance
    LISTS = "lists"  # [["r", key] or ["append", key, value], ...]; for each the list that was read, or None


WRITING = frozenset({Kind.INSERT, Kind.WRITE, Kind.CAS, Kind.TRANSFER})


@dataclass(frozen=True, slots=True)
class Call:
    """Times in seconds of CLOCK_MONOTONIC; `ended` of an unknown one is when the client gave it up."""

    number: int
    client: int
    kind: Kind
    given: Any
    began: float
    ended: float
    outcome: Outcome
    result: Any = None
    server: str = ""
    connection: int = 0

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def unknown(self) -> bool:
        return self.outcome is Outcome.UNKNOWN

    @property
    def writes(self) -> bool:
        """Whether an OK to it acknowledges a change."""
        if self.kind is Kind.LISTS:
            return any(step[0] == "append" for step in self.given)
        return self.kind in WRITING and not (self.kind is Kind.CAS and self.ok and not self.result)

    def __str__(self) -> str:
        result = "" if self.result is None else f" -> {json.dumps(self.result)}"
        return (
            f"{self.kind} {json.dumps(self.given)}{result} {self.outcome} "
            f"[{self.began:.4f}, {self.ended:.4f}] client {self.client} at {self.server[:8] or '-'}"
        )


class CallReader:
    """Calls out of lines that come bit by bit."""

    def __init__(self) -> None:
        self._sent: dict[int, dict[str, Any]] = {}
        self._done: list[Call] = []

    def feed(self, lines: Iterable[str]) -> None:
        """Complete lines of one history. Raises ValueError for a line that is none of ours."""
        for line in lines:
            said = json.loads(line)
            if "kind" in said:
                self._sent[said["n"]] = said
            else:
                sent = self._sent.pop(said["n"])
                self._done.append(_call(sent, said["at"], Outcome(said["outcome"]), said.get("result")))

    @property
    def done(self) -> list[Call]:
        """What has come back, in that order; not a copy."""
        return self._done

    def everything(self) -> list[Call]:
        """Those that never came back too, as unknown."""
        return [*self._done, *(_call(sent, float("inf"), Outcome.UNKNOWN, None) for sent in self._sent.values())]


def _call(sent: dict[str, Any], ended: float, outcome: Outcome, result: Any) -> Call:
    return Call(
        sent["n"],
        sent["client"],
        Kind(sent["kind"]),
        sent["given"],
        sent["at"],
        ended,
        outcome,
        result,
        sent["server"],
        sent["connection"],
    )
