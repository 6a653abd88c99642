"""Whether an ensemble serves again after all three servers were stopped for some seconds and went on, by version."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from typing import Any

from lab.experiments.ensemble import Voters, ensemble, versions
from lab.experiments.servers import Say
from lab.experiments.zookeeper_stall import Writes
from lab.history import quantiles
from orchestrator.connected import connected
from orchestrator.core.errors import KembarError, StaleWrite
from orchestrator.core.ports import Create, SetData

PATH = "/kembar-experiment"
STOPPED_S = (0.5, 1.0, 2.0, 4.0, 8.0)
BACK_S = 30.0
APART_S = (0.02, 0.3, 2.0)  # at most, between two servers; the last is longer than an election
CLIENTS = 5


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` times all three stopped, for 0.5 to 8 s in turn, under writing clients: how often each version wedged."""
    found: dict[str, Any] = {}
    for version, suite in versions(say).items():
        back_s = _strikes(suite, runs, say)
        back = [1000 * one for one in back_s if one is not None]
        found[version] = {
            "runs": runs,
            "wedged": runs - len(back),
            "wedged_after_s": [STOPPED_S[at % len(STOPPED_S)] for at, one in enumerate(back_s) if one is None],
            "back_ms": quantiles(back) if back else None,
        }
        say(f"{version}: {found[version]}")
    return {"versions": found}


def _strikes(suite: str | None, runs: int, say: Say) -> list[float | None]:
    """Seconds until it served again, None if it was wedged; a wedged ensemble is replaced."""
    seen: list[float | None] = []
    while len(seen) < runs:
        with ensemble(suite) as voters, ExitStack() as clients:
            for number in range(CLIENTS):
                client = clients.enter_context(connected(voters.hosts))
                client.submit((Create(f"{PATH}-{number}", b""),)).result(2.0)
                clients.callback(Writes(client, f"{PATH}-{number}").end)
            while len(seen) < runs:
                seen.append(_strike(voters, STOPPED_S[len(seen) % len(STOPPED_S)], say))
                if seen[-1] is None:
                    break
    return seen


def _strike(voters: Voters, stopped_s: float, say: Say) -> float | None:
    """One after another in a random order, as a person or a loaded machine does it."""
    _signal_all(voters, signal.SIGSTOP)
    time.sleep(stopped_s)
    _signal_all(voters, signal.SIGCONT)
    began = time.monotonic()
    while time.monotonic() - began < BACK_S:
        if _writes(voters):
            return time.monotonic() - began
    modes = {address.rpartition(".")[2]: voters.mode(address) for address in voters.addresses}
    say(f"wedged after {stopped_s} s: modes {modes}")
    return None


def _signal_all(voters: Voters, number: signal.Signals) -> None:
    apart_s = random.choice(APART_S)  # noqa: S311 - where the stop falls
    for address in random.sample(voters.addresses, len(voters.addresses)):
        voters.signal(address, number)
        time.sleep(random.uniform(0, apart_s))  # noqa: S311


def _writes(voters: Voters) -> bool:
    """Whether a new session can write."""
    try:
        with connected(voters.hosts, within_s=3.0) as client:
            stored = client.read(f"{PATH}-0")
            client.submit((SetData(f"{PATH}-0", b"", stored.version if stored else 0),)).result(1.0)
    except StaleWrite:
        return True  # one of the writers was first, which takes an ensemble that serves
    except KembarError:
        return False
    return True
