"""Rows about what stands in the kernel: the address held elsewhere, the gate's rules taken by another program."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from lab import namespaces
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial


def address_on_the_standby(t: Trial) -> None:
    """The gate silences it at once, and the agent takes it away."""
    vip = str(t.stand.topology.vip)
    t.struck = time.monotonic()
    t.run(t.standby.name, "ip", "address", "add", f"{vip}/32", "dev", namespaces.INTERFACE)
    t.until_false(lambda: vip in t.run(t.standby.name, "ip", "-brief", "address"), "the address was left there")
    t.writes_go_on()
    t.unmoved()


def address_on_a_stranger(t: Trial) -> None:
    """Whoever is to take over asks the network first. The clients do not hear the stranger: one that they hear they
    would follow, whatever we do."""
    vip, witness = str(t.stand.topology.vip), t.stand.topology.node("witness")
    for listener in ("client", t.primary.name):
        pair = f'iifname "{namespaces.port(witness.name)}" oifname "{namespaces.port(listener)}"'
        namespaces.drop(t.stand.name, f"{pair} ether type arp arp saddr ip {vip}")
    address = (f"{vip}/32", "dev", namespaces.INTERFACE)
    t.run(witness.name, "ip", "address", "add", *address)
    stranger = t.undo.enter_context(ExitStack())
    stranger.callback(t.run, witness.name, "ip", "address", "delete", *address)
    t.strike("mysqld-crash", t.primary)
    t.await_rule("F5")
    t.stays(lambda: not t.fired("F3"), 3.0, "it opened beside a stranger that holds the address")
    stranger.close()
    t.moved()


def rules_flushed(t: Trial, what: tuple[str, ...]) -> None:
    t.struck = time.monotonic()
    t.run(t.primary.name, "nft", *what)
    t.until_false(
        lambda: "reject" not in t.run(t.primary.name, "nft", "list", "ruleset"), "the rules did not come back"
    )
    t.writes_go_on()
    t.unmoved()


ROWS = (
    Row(
        30,
        "the address by hand on the standby",
        Priority.P1,
        "ip address add on the standby",
        "it never answers there and is taken away",
        address_on_the_standby,
    ),
    Row(
        32,
        "the gate's table flushed",
        Priority.P1,
        "nft flush table inet kembar on the primary",
        "seen at the next renewal: address dropped, rules set up, open again; nothing moves",
        partial(rules_flushed, what=("flush", "table", "inet", "kembar")),
    ),
    Row(
        32,
        "the whole ruleset flushed",
        Priority.P1,
        "nft flush ruleset on the primary",
        "seen at the next renewal: address dropped, rules set up, open again; nothing moves",
        partial(rules_flushed, what=("flush", "ruleset")),
    ),
    Row(
        30,
        "the address on a stranger",
        Priority.P1,
        "ip address add on the witness, unheard by the clients; kill -9 of the primary's mysqld",
        "the new primary does not open while somebody else claims it",
        address_on_a_stranger,
    ),
)
