"""The checkers find what is planted: an agent with one protocol error each, and the fault that it cannot stand.

The same faults under the product's own agent are rows of the fault matrix, where nothing may be found.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pymysql
import pytest

from lab import faults, namespaces
from lab.checkers.register import KINDS
from lab.clients import ACCOUNTS, CALLS_PER_REGISTER
from lab.diverging import asking
from lab.loading import Judgement, Workload
from lab.namespaces import INTERFACE
from lab.programs import program
from lab.stand import Stand, wait_for
from lab.topology import Node
from tests.lab import broken
from tests.lab.story import MOVED_S, Story

pytestmark = pytest.mark.lab

REMEMBERED_S = 2.0


@contextmanager
def _built(breakage: str) -> Iterator[Story]:
    if os.geteuid() != 0:
        pytest.fail("the lab needs root: sudo make test")
    stand = Stand("test_broken", agent=(sys.executable, broken.__file__, breakage))
    stand.down()  # of a run that was cut short
    try:
        stand.up("fast", lambda line: print(line, file=sys.stderr), port=0)
        yield Story(stand)
    finally:
        stand.down()


def _checkers(judged: Judgement) -> set[str]:
    return {violation.partition(":")[0] for violation in judged.violations}


def test_a_gate_that_stays_open_is_found() -> None:
    """The primary is cut from every other host but the client: another takes over, and both go on answering."""
    with _built("gate_that_stays_open") as story:
        old, new = story.node("primary"), story.node("standby")
        load = Workload(story.stand, 0)
        load.start()
        namespaces.cut(story.stand.name, old.name, [new.name, "witness"])
        story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover")
        with _remembered(story, new):  # both answer ARP: without this it hangs on whose answer came last
            load.goes_on()
        with _remembered(story, old):
            time.sleep(REMEMBERED_S)
            namespaces.link_down(story.stand.name, old.name)  # whoever looks everything up meets the new one
        load.goes_on()
        load.stop()
        judged = load.verdict()
    print(*judged.violations, sep="\n")
    assert judged.two_answerers
    assert _checkers(judged) >= {"two answer by ARP", "servers", "answerer"}


def test_commits_that_do_not_wait_are_found() -> None:
    """The standby gets nothing for a moment, then mysqld is killed: what was acknowledged in that moment is gone."""
    with _built("commits_that_do_not_wait") as story:
        old, new = story.node("primary"), story.node("standby")
        load = Workload(story.stand, 0)
        load.start()
        _cut_replication(story.stand, old, new)
        _await_lost_registers(load)
        faults.inject(story.stand, "mysqld-crash", old.name)
        story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover")
        load.goes_on()
        load.stop()
        judged = load.verdict()
    print(*judged.violations, sep="\n")
    assert judged.lost
    assert _checkers(judged) >= {"unique", "register", "appends", "servers"}


def test_a_promotion_without_a_drain_is_found() -> None:
    """The standby takes over before it has executed what it holds, and then throws it away."""
    with _built("promotion_without_drain") as story:
        old, new = story.node("primary"), story.node("standby")
        load = Workload(story.stand, 0)
        load.start()
        wait_for(lambda: _has_accounts(story.stand, new), MOVED_S, "the clients' tables do not come to the standby")
        faults.inject(story.stand, "mysqld-crash", old.name)
        story.until(lambda shown: shown["primary"] == new.name and shown["writes"] == "ok", "no failover")
        load.goes_on()
        load.stop()
        judged = load.verdict()
    print(*judged.violations, sep="\n")
    assert judged.lost
    assert _checkers(judged) >= {"unique", "register", "appends"}


@contextmanager
def _remembered(story: Story, node: Node) -> Iterator[None]:
    """The clients send to this host, as behind a router that has missed the announcements."""
    vip = str(story.stand.topology.vip)

    def neighbour(*change: str) -> None:
        argv = story.stand.exec_argv("client", ["ip", "neighbour", *change, "dev", INTERFACE])
        subprocess.run(argv, check=True, timeout=10)

    neighbour("replace", vip, "lladdr", story.mac(node), "nud", "permanent")
    yield
    neighbour("delete", vip)


def _await_lost_registers(load: Workload) -> None:
    """Some registers are written to and given up meanwhile: later writes hide what became of those before."""
    since = time.monotonic()

    def given_up() -> bool:
        return sum(call.kind in KINDS and call.began > since for call in load.calls()) >= 2 * CALLS_PER_REGISTER

    wait_for(given_up, MOVED_S, "the clients' registers do not change")


def _has_accounts(stand: Stand, node: Node) -> bool:
    with asking(stand, node) as cursor:
        try:
            cursor.execute("SELECT COUNT(*) FROM shop.load_account")
        except pymysql.err.ProgrammingError:  # no such table yet
            return False
        return cursor.fetchone() == (ACCOUNTS,)


def _cut_replication(stand: Stand, source: Node, replica: Node) -> None:
    """Drop what the source's mysqld sends to the replica."""
    rules = (
        "add table inet cut; add chain inet cut in { type filter hook input priority 0; };"
        f"add rule inet cut in ip saddr {source.address} tcp sport 3306 drop"
    )
    subprocess.run(stand.exec_argv(replica.name, [str(program("nft")), rules]), check=True, timeout=10)
