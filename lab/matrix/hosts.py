"""Rows about whole hosts: lost, lost with what else runs there, powered off together."""

from __future__ import annotations

import time

from lab import faults
from lab.matrix.leading import await_orchestrators, lead_zookeeper_on, lead_zookeeper_on_the_pair, zookeeper_leader
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from lab.topology import Node

ALONE_S = 4.0  # a host that came back without the other is watched for so long


def lost(t: Trial) -> None:
    lead_zookeeper_on_the_pair(t, yes=False)
    t.strike("host-loss", t.primary)
    t.moved()


def lost_with_zookeeper_leader(t: Trial) -> None:
    lead_zookeeper_on_the_pair(t, yes=True)
    t.move_to(zookeeper_leader(t))
    t.note(f"ZooKeeper's leader was on {zookeeper_leader(t).name}")
    t.strike("host-loss", t.primary)
    t.moved()


def lost_with_both_leaders(t: Trial) -> None:
    """The orchestrator beside the pair is away until just before, so that the one on the primary's host leads."""
    host = _orchestrator_in(t)
    witness = t.stand.topology.node("witness")
    lead_zookeeper_on(t, host)
    t.move_to(host)
    faults.inject(t.stand, "orchestrator-kill", witness.name)
    t.until(
        lambda shown: shown["orchestrator"]["leader"] == host.name, f"the orchestrator on {host.name} does not lead"
    )
    lead_zookeeper_on(t, host)
    t.boot(witness)
    await_orchestrators(t, 2)
    t.begin()
    t.note(
        f"leaders on {t.primary.name}: ZooKeeper's {zookeeper_leader(t) == host}, orchestrator's {host == t.primary}"
    )
    t.strike("host-loss", t.primary)
    t.moved()


def lost_with_a_zookeeper_server(t: Trial) -> None:
    """Two of three servers: no quorum, so nothing may be decided until one is back."""
    t.strike("zookeeper-kill", t.stand.topology.node("witness"))
    t.strike("host-loss", t.primary)
    time.sleep(ALONE_S)
    t.check(not t.rules(), f"without a quorum {t.rules()} was written")
    t.boot(t.stand.topology.node("witness"))
    t.moved()


def mysqld_and_leader_killed(t: Trial) -> None:
    t.strike("orchestrator-kill")
    t.strike("mysqld-crash", t.primary)
    t.moved()


def power_lost_both_return(t: Trial) -> None:
    _power_off(t)
    for node in t.stand.topology.pair:
        t.boot(node)
    _primary_serves(t)


def power_lost_standby_late(t: Trial) -> None:
    """In SYNC a primary that was restarted opens only with a certified standby, or after ASYNC is recorded."""
    _power_off(t)
    t.boot(t.primary)
    t.writes_go_on()
    t.boot(t.standby)
    _primary_serves(t)


def power_lost_primary_late(t: Trial) -> None:
    """What booted alone has another incarnation and may miss acknowledged rows: it waits, and says for whom."""
    _power_off(t)
    t.boot(t.standby)
    shown = t.until(lambda shown: "--accept-data-loss" in shown["waiting"], "the wait is not named with its end")
    t.note(f"waiting {shown['waiting'].partition(';')[0]}")
    t.stays(lambda: t.last()["epoch"] == t.epoch, ALONE_S, "a standby that had restarted was promoted")
    t.boot(t.primary)
    _primary_serves(t)


def _power_off(t: Trial) -> None:
    first, second = t.primary, t.standby
    t.strike("host-loss", first)
    struck = t.struck
    t.strike("host-loss", second)
    t.struck = struck


def _primary_serves(t: Trial) -> None:
    t.writes_go_on()
    t.unmoved()


def _orchestrator_in(t: Trial) -> Node:
    """The host of the pair on which an orchestrator runs."""
    return next(node for node in t.stand.topology.pair if "orchestrator" in node.groups)


ROWS = (
    Row(
        7,
        "the primary's host lost",
        Priority.P0,
        "its cable out and every process on it killed",
        "F1, fence wait, F2: the standby serves within 3 s on a quiet machine",
        lost,
    ),
    Row(
        8,
        "the primary's host lost with ZooKeeper's leader",
        Priority.P0,
        "the same on the host of ZooKeeper's leader",
        "the same, after ZooKeeper has elected another",
        lost_with_zookeeper_leader,
    ),
    Row(
        8,
        "the primary's host lost with both leaders",
        Priority.P0,
        "the same on the host of ZooKeeper's leader and the leading orchestrator",
        "the same, after the orchestrator's session has ended too",
        lost_with_both_leaders,
    ),
    Row(
        40,
        "the primary's host and a ZooKeeper server",
        Priority.P0,
        "the primary's host lost and a second of three ZooKeeper servers killed",
        "no quorum, nothing is decided; failover as soon as one server is back",
        lost_with_a_zookeeper_server,
    ),
    Row(
        40,
        "the primary's mysqld and the leading orchestrator",
        Priority.P0,
        "kill -9 of both",
        "the next orchestrator fails over",
        mysqld_and_leader_killed,
    ),
    Row(
        41,
        "power loss of both hosts",
        Priority.P0,
        "both hosts lost, both back at once",
        "the last primary serves, in the same epoch",
        power_lost_both_return,
    ),
    Row(
        41,
        "power loss of both hosts, the standby late",
        Priority.P0,
        "both hosts lost, the primary back first",
        "the last primary serves alone after ASYNC is recorded",
        power_lost_standby_late,
    ),
    Row(
        41,
        "power loss of both hosts, the primary late",
        Priority.P0,
        "both hosts lost, the standby back first",
        "the standby waits and says for whom; the last primary serves when it is back",
        power_lost_primary_late,
    ),
)
