"""Every experiment by name: what it settles, how often it is run unless told otherwise, and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.experiments import (
    clock_step,
    exit_flag,
    killed_session,
    reconnect,
    relay_crash,
    release_paths,
    signed_record,
    stop_receiver,
    unstall,
    zookeeper_stall,
    zookeeper_wedge,
)
from lab.experiments.servers import Say


@dataclass(frozen=True, slots=True)
class Experiment:
    """One question to real servers; `run(runs, say)` gives its numbers as JSON values, times in milliseconds."""

    name: str
    question: str
    runs: int
    run: Callable[[int, Say], dict[str, Any]]


EXPERIMENTS: Mapping[str, Experiment] = {
    one.name: one
    for one in (
        Experiment("release-paths", "what ends a stalled commit, and what its client hears", 20, release_paths.run),
        Experiment("clock-step", "whether a step of the clock lets a stalled commit go", 5, clock_step.run),
        Experiment("unstall", "how soon a stalled commit is let go, and how long logins hang", 50, unstall.run),
        Experiment("stop-receiver", "how long the write fence takes where it could hang", 20, stop_receiver.run),
        Experiment("relay-crash", "whether a standby keeps what it acknowledged over kill -9", 50, relay_crash.run),
        Experiment("killed-session", "whether a killed statement ends within 1 s", 40, killed_session.run),
        Experiment("exit-flag", "whether a mysqld speaks after it was seen exiting", 50, exit_flag.run),
        Experiment("zookeeper-stall", "for how long no write passes without a leader", 40, zookeeper_stall.run),
        Experiment("zookeeper-wedge", "whether an ensemble that was stopped serves again", 40, zookeeper_wedge.run),
        Experiment("reconnect", "how soon a write passes after the socket was shut", 100, reconnect.run),
        Experiment("signed-record", "what a signature of the desired record costs", 2000, signed_record.run),
    )
}
