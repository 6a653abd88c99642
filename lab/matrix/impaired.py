"""Rows about links that work in part: one way only, with losses, up and down; and short stalls."""

from __future__ import annotations

import time
from functools import partial
from itertools import permutations

from lab import namespaces, processes
from lab.matrix.leading import zookeeper_leader
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from lab.topology import Node

HELD_S = 4.0
ROLES = ("primary", "standby", "witness", "client")
FLAPS = 6
BLINK_S = 0.3  # shorter than stall_s of either profile


def one_way(t: Trial, source: str, target: str) -> None:
    """Only safety is asked for, and that the pair comes back: what moves depends on who still hears whom."""
    t.struck = time.monotonic()
    namespaces.block(t.stand.name, _node(t, source).name, _node(t, target).name)
    time.sleep(HELD_S)


def lossy(t: Trial, percent: int) -> None:
    """On the primary's cable, both directions."""
    t.struck = time.monotonic()
    for side in ("iifname", "oifname"):
        match = f'{side} "{namespaces.port(t.primary.name)}" numgen random mod 100 < {percent}'
        namespaces.drop(t.stand.name, match)
    time.sleep(HELD_S)
    namespaces.unblock_all(t.stand.name)
    t.check(_failovers(t) <= 1, f"{_failovers(t)} failovers in {HELD_S:g} s of losses")


def flapping(t: Trial, down_s: float) -> None:
    """Short and often; afterwards a failover at most, and no way back by itself."""
    node = t.primary
    t.struck = time.monotonic()
    for _ in range(FLAPS):
        namespaces.link_down(t.stand.name, node.name)
        time.sleep(down_s)
        namespaces.link_up(t.stand.name, node.name)
        time.sleep(1.0)
    t.check(_failovers(t) <= 1, f"{_failovers(t)} failovers of one flapping cable")


def acknowledgement_late(t: Trial) -> None:
    """TCP sends again what was dropped, so a lost acknowledgement is a late one."""
    t.struck = time.monotonic()
    namespaces.block(t.stand.name, t.standby.name, t.primary.name)
    time.sleep(BLINK_S)
    namespaces.unblock_all(t.stand.name)
    t.writes_go_on()
    t.check("U1" not in t.rules(), "ASYNC was recorded for one late acknowledgement")
    t.unmoved()


def zookeeper_stalls(t: Trial) -> None:
    """The leader's disk is slow: frozen for a moment each second, shorter than a lease lives."""
    name = f"zookeeper-{zookeeper_leader(t).name}"
    t.undo.callback(processes.thaw, t.stand.files.root, name)
    t.struck = time.monotonic()
    for _ in range(FLAPS):
        processes.freeze(t.stand.files.root, name)
        time.sleep(BLINK_S)
        processes.thaw(t.stand.files.root, name)
        time.sleep(1.0)
    t.writes_go_on()
    t.unmoved()


def _node(t: Trial, role: str) -> Node:
    """The node in that role; witness and client are called after it."""
    return {"primary": t.primary, "standby": t.standby}.get(role) or t.stand.topology.node(role)


def _failovers(t: Trial) -> int:
    return sum(rule in ("F1", "F5") for rule in t.rules())


ROWS = (
    *(
        Row(
            12,
            f"one way only: {source} to {target} dropped",
            Priority.P1,
            f"every frame from {source} to {target} dropped for {HELD_S:g} s",
            "as when both are dropped, or nothing",
            partial(one_way, source=source, target=target),
        )
        for source, target in permutations(ROLES, 2)
    ),
    *(
        Row(
            13,
            f"{percent} % of the primary's frames lost",
            Priority.P1,
            f"numgen on its cable for {HELD_S:g} s",
            "one failover at most",
            partial(lossy, percent=percent),
        )
        for percent in (1, 5, 20, 50)
    ),
    *(
        Row(
            13,
            f"the primary's cable flaps, {down_s:g} s at a time",
            Priority.P1,
            f"its cable out {FLAPS} times, 1 s apart",
            "one failover at most",
            partial(flapping, down_s=down_s),
        )
        for down_s in (0.2, 2.0)
    ),
    Row(
        16,
        "an acknowledgement late",
        Priority.P1,
        f"frames from standby to primary dropped for {BLINK_S:g} s",
        "freed as soon as it comes; the mode is unchanged",
        acknowledgement_late,
    ),
    Row(
        24,
        "ZooKeeper's leader stalls",
        Priority.P1,
        f"SIGSTOP for {BLINK_S:g} s each second",
        "not felt, or the gate shuts and opens again; nothing moves",
        zookeeper_stalls,
    ),
)
