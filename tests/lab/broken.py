"""`python tests/lab/broken.py BREAKAGE -c FILE`: the agent with one protocol error planted, to see that it is found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from agents import dialect, gate, look
from agents.cli import command
from agents.gate import NftGate
from agents.replication import ServerFacts
from orchestrator.core.gtid import GtidSet

BEHIND_S = 3


def gate_that_stays_open() -> None:
    """The element outlives its lease, and nobody takes it away."""
    gate._milliseconds = lambda ttl_s: 600_000  # type: ignore[assignment]
    NftGate.shut = lambda self: None  # type: ignore[method-assign]


def commits_that_do_not_wait() -> None:
    """Semi-sync waits for 50 ms, then acknowledges without a copy; and nobody watches it."""
    dialect.TIMEOUT_MAX_MS = 50
    look._degraded = lambda facts, sync: False  # type: ignore[assignment]


def promotion_without_drain() -> None:
    """The standby executes what it received some seconds later, and what it has not executed is not seen."""
    configured = dialect.configure_channel
    dialect.configure_channel = lambda tls: f"{configured(tls)}, SOURCE_DELAY = {BEHIND_S}"
    ServerFacts.backlog = property(lambda facts: GtidSet.parse(""))  # type: ignore[assignment]


PLANTED = (gate_that_stays_open, commits_that_do_not_wait, promotion_without_drain)
BREAKAGES: Mapping[str, Callable[[], None]] = {breakage.__name__: breakage for breakage in PLANTED}

if __name__ == "__main__":
    BREAKAGES[sys.argv.pop(1)]()
    command()
