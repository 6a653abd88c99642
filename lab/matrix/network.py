"""Rows about links: cut, cut in part, one way; and about who is believed to have the address."""

from __future__ import annotations

import time

from lab import namespaces
from lab.matrix.leading import ask_another_zookeeper, lead_zookeeper_on_the_pair
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from lab.zookeeper import CLIENT_PORT

ZOOKEEPER_PORTS = (CLIENT_PORT, 2888, 3888)
DEAF_S = 0.7  # the first announcements come at 0, 20, 100 and 500 ms


def cut_from_everything(t: Trial) -> None:
    t.strike("partition", t.primary)
    t.moved()
    t.heal_network()


def cut_with_clients_on_both_sides(t: Trial) -> None:
    """The client reaches both; the minority must be shut before the majority opens."""
    t.struck = time.monotonic()
    t.cut(t.primary, t.standby, t.stand.topology.node("witness"))
    t.moved()
    rule = t.incident()["rule"]
    t.check(rule == "F1", f"taken over by {rule}, without a fence")
    t.heal_network()


def cut_from_zookeeper(t: Trial) -> None:
    """Its own ZooKeeper server is cut off too, so it serves nobody there."""
    t.struck = time.monotonic()
    namespaces.block_ports(t.stand.name, t.primary.name, ZOOKEEPER_PORTS)
    t.moved()
    incident = t.incident()
    t.note(f"reason: {incident['reason']}")
    t.check("cut off from ZooKeeper" in incident["reason"], "the primary's own word by its replication was not heard")


def cut_from_standby(t: Trial) -> None:
    """Neither of ZooKeeper's clients nor its servers: a primary that has to look for another one meanwhile, and that
    its standby does not hear, is silent.
    """
    lead_zookeeper_on_the_pair(t, yes=False)
    ask_another_zookeeper(t, t.primary, t.standby)
    t.struck = time.monotonic()
    t.cut(t.primary, t.standby)
    t.await_rule("U1")
    t.writes_go_on()
    shown = t.until(lambda shown: shown["mode"] == "ASYNC", "ASYNC is not recorded")
    t.check(not t.row(t.standby, shown)["promotable"], "a standby that misses commits is promotable")
    t.heal_network()
    t.await_rule("U2")
    t.unmoved()


def announcements_lost(t: Trial) -> None:
    """The client's neighbour entry leads to a dead host until a repeated announcement gets through."""
    match = f'iifname "{namespaces.port(t.standby.name)}" ether type arp arp saddr ip {t.stand.topology.vip}'
    namespaces.drop(t.stand.name, match)
    t.strike("host-loss", t.primary)
    t.await_rule("F2", "F5")
    t.until_open(t.standby)
    time.sleep(DEAF_S)
    namespaces.unblock_all(t.stand.name)
    t.moved()


def neighbour_entry_stale(t: Trial) -> None:
    """A router that never learns: the old node refuses, whatever is sent to it."""
    vip = str(t.stand.topology.vip)
    old = t.mac(t.primary)
    t.run("client", "ip", "neigh", "replace", vip, "lladdr", old, "dev", namespaces.INTERFACE, "nud", "permanent")
    t.undo.callback(t.run, "client", "ip", "neigh", "flush", "to", vip, "nud", "permanent")
    t.strike("mysqld-crash", t.primary)
    t.await_rule("F3")
    opened = time.monotonic()
    t.await_rule("U2")  # the old node is a standby with an answering mysqld now
    t.stays(lambda: t.silent_since(opened), 1.0, "the old node took a write on the address")
    t.run("client", "ip", "neigh", "del", vip, "dev", namespaces.INTERFACE)
    t.moved()


ROWS = (
    Row(
        9,
        "the primary cut from everything",
        Priority.P0,
        "every frame to and from its host dropped",
        "its gate shuts by itself; F1, F2; it returns clean, its unacknowledged tail cut",
        cut_from_everything,
    ),
    Row(
        9,
        "the primary cut off, clients on both sides",
        Priority.P0,
        "cut from standby and witness, not from the client",
        "commits stall, the gate shuts before the other opens; nothing acknowledged twice",
        cut_with_clients_on_both_sides,
    ),
    Row(
        10,
        "the primary cut from ZooKeeper only",
        Priority.P0,
        "ZooKeeper's ports on its cable dropped",
        "its gate shuts by itself, failover: the standby still hears it, so F1 waits out W",
        cut_from_zookeeper,
    ),
    Row(
        11,
        "the primary cut from the standby only",
        Priority.P0,
        "every frame between the two dropped",
        "ASYNC recorded, commits go on; the standby is not promotable until SYNC",
        cut_from_standby,
    ),
    Row(
        31,
        "announcements of the address lost",
        Priority.P0,
        f"the primary's host lost, and ARP of the new one dropped for {DEAF_S:g} s after it opened",
        "a repeated announcement repairs the client's entry",
        announcements_lost,
    ),
    Row(
        31,
        "a neighbour entry that stays stale",
        Priority.P0,
        "a permanent entry of the client for the old node's MAC; kill -9 of mysqld",
        "the old node never serves it; writes go on as soon as the entry is gone",
        neighbour_entry_stale,
    ),
)
