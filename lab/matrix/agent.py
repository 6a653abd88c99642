"""Rows about the agents: killed, stopped, stopped between two steps, without credentials."""

from __future__ import annotations

import time

from lab.matrix.row import Priority, Row
from lab.matrix.statements import end_sessions, fill_connections, later
from lab.matrix.trial import Trial
from lab.topology import Node
from orchestrator.core.errors import StepFailed

PAUSED_S = 3.0  # longer than W of either profile
WATCHED_S = 1.0


def killed(t: Trial) -> None:
    old, mysqld = t.agent(t.primary), t.mysqld(t.primary)
    t.strike("agent-kill", t.primary)
    t.writes_go_on()
    t.until(lambda shown: t.row(t.primary, shown)["gate_open"], "the gate did not open again")
    t.check(old is not None and not old.lives(), "the agent was not killed")
    t.check(t.mysqld(t.primary) == mysqld, "mysqld did not survive its agent")
    t.unmoved()


def stopped_longer_than_the_fence_wait(t: Trial) -> None:
    agent = t.agent(t.primary)
    t.strike("agent-freeze", t.primary)
    t.undo.callback(t.thaw, agent)
    t.moved()
    time.sleep(max(0.0, t.struck + PAUSED_S - time.monotonic()))
    t.thaw(agent)
    _stays_shut(t, t.primary)


def stopped_before_renew(t: Trial) -> None:
    """Its check of the horizon lies behind it; the kernel must refuse what comes too late."""
    agent = t.agent(t.primary)
    t.arm(t.primary, ["gate.before.renew"], "stop")
    t.struck = time.monotonic()
    t.undo.callback(t.thaw, agent)
    t.moved()
    t.thaw(agent)
    _stays_shut(t, t.primary)
    t.check("gate.before.renew" not in t.armed(t.primary), "the agent never came to renew")


def stopped_before_open(t: Trial) -> None:
    """The permit is armed and the horizon checked; after a pause longer than the permit's life it must not open."""
    t.arm(t.standby, ["gate.before.open"], "stop")
    agent = t.agent(t.standby)
    t.strike("mysqld-crash", t.primary)
    t.undo.callback(t.thaw, agent)
    stopped = t.await_state(agent, "T")
    t.check(not _gate_open(t, t.standby), "the gate was open before OPEN")
    time.sleep(WATCHED_S)
    t.check(stopped and not _gate_open(t, t.standby), "the gate opened while its agent was stopped")
    t.thaw(agent)
    t.moved()


def both_killed(t: Trial) -> None:
    t.strike("agent-kill", t.primary)
    t.strike("agent-kill", t.standby)
    t.writes_go_on()
    t.until(lambda shown: all(not row["stale"] for row in shown["nodes"]), "an agent did not come back")


def full_and_refused(t: Trial) -> None:
    """Every connection taken, the admin port refused: the agent lives on the sessions that it keeps."""
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SET GLOBAL max_connections = 20")
        later(t, cursor, "SET GLOBAL max_connections = 200")
        t.refuse_port(t.primary, 33062)
        t.struck = time.monotonic()
        t.note(f"{fill_connections(t)} sessions until 1040")
        t.stays(lambda: not t.rules(), 4.0, "full connections led to a decision")
    t.writes_go_on()
    t.unmoved()


def full_for_a_new_agent(t: Trial) -> None:
    """An agent that starts now has no session: it comes in through the admin port."""
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SET GLOBAL max_connections = 25")
        later(t, cursor, "SET GLOBAL max_connections = 200")
        t.note(f"{fill_connections(t)} sessions until 1040")
        cursor.execute("SET GLOBAL max_connections = 10")  # the places of the agent that ends are not free either
        t.strike("agent-kill", t.primary)
        t.until(lambda shown: t.trouble(t.primary, "OVERLOADED", shown), "the overload is not shown")
        t.stays(lambda: not t.rules(), 3.0, "full connections led to a decision")
        # A successor that was slow to come let the gate shut: clients whose sessions ended by that need new ones.
        cursor.execute("SET GLOBAL max_connections = 200")
    t.writes_go_on()
    t.unmoved()


def password_rotated(t: Trial) -> None:
    """Its sessions ended too, so that the agent must log in, and is refused."""
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        accounts = "'kembar_agent'@'localhost', 'kembar_agent'@'127.0.0.1'"
        lock, unlock = (f"ALTER USER {accounts} ACCOUNT {what}" for what in ("LOCK", "UNLOCK"))
        cursor.execute(lock)
        later(t, cursor, unlock)
        t.struck = time.monotonic()
        end_sessions(t, cursor, "kembar_agent")
        t.until(lambda shown: t.trouble(t.primary, "UNKNOWN", shown), "a locked account is not shown")
        t.stays(lambda: not t.rules() or set(t.rules()) <= {"U3"}, 4.0, "a locked account led to a failover")
        cursor.execute(unlock)
    t.writes_go_on()
    t.until(lambda shown: not t.row(t.primary, shown)["troubles"], "the trouble is shown though it is over")
    t.unmoved()


def replication_locked(t: Trial) -> None:
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("ALTER USER 'kembar_repl'@'%' ACCOUNT LOCK")
        later(t, cursor, "ALTER USER 'kembar_repl'@'%' ACCOUNT UNLOCK")
        t.struck = time.monotonic()
        end_sessions(t, cursor, "kembar_repl")
        t.await_rule("U1")
        shown = t.until(lambda shown: t.trouble(t.standby, "RECEIVER", shown), "the receiver's error is not shown")
        t.check(not t.row(t.standby, shown)["promotable"], "a standby that receives nothing is promotable")
        t.writes_go_on()
        cursor.execute("ALTER USER 'kembar_repl'@'%' ACCOUNT UNLOCK")
    t.await_rule("U2")
    t.unmoved()


def _stays_shut(t: Trial, node: Node) -> None:
    """Power that was taken is not taken up again by whoever goes on where it was stopped."""
    t.stays(lambda: not _gate_open(t, node), WATCHED_S, f"the gate of {node.name} is open again")


def _gate_open(t: Trial, node: Node) -> bool:
    """By the kernel: whether the lease element lives. Raises StepFailed if the kernel cannot say."""
    listed = t.run(node.name, "nft", "list", "set", "inet", "kembar", "lease")
    if "set lease" not in listed:
        raise StepFailed(f"the gate of {node.name}: {listed}")
    return "elements" in listed


ROWS = (
    Row(
        4,
        "agent killed",
        Priority.P0,
        "kill -9 of the worker of the primary's agent",
        "its successor renews in time, or the gate shuts alone and opens again; nothing moves",
        killed,
    ),
    Row(
        5,
        "agent stopped longer than W, then continued",
        Priority.P0,
        f"SIGSTOP of the primary's agent for {PAUSED_S:g} s, SIGCONT",
        "its gate shuts by itself, failover; when it goes on it demotes and never opens",
        stopped_longer_than_the_fence_wait,
    ),
    Row(
        6,
        "agent stopped between check and RENEW",
        Priority.P0,
        "failpoint before the system call: SIGSTOP until the other node serves",
        "the kernel refuses the late renewal",
        stopped_before_renew,
    ),
    Row(
        6,
        "agent stopped between check and OPEN",
        Priority.P0,
        "failpoint before the system call on the new primary: SIGSTOP for longer than the permit lives",
        "the kernel refuses the late opening; it opens by a new permit",
        stopped_before_open,
    ),
    Row(
        33,
        "connections exhausted, admin port refused",
        Priority.P0,
        "max_connections sessions of a client, a reset for the admin port",
        "the kept sessions work: nothing is decided",
        full_and_refused,
    ),
    Row(
        33,
        "connections exhausted while the agent is replaced",
        Priority.P0,
        "max_connections sessions of a client, kill -9 of the agent's worker",
        "its successor comes in by the admin port, shows OVERLOADED; nothing is decided",
        full_for_a_new_agent,
    ),
    Row(
        34,
        "the agent's account locked",
        Priority.P0,
        "ACCOUNT LOCK and its sessions killed",
        "UNKNOWN is shown, no failover, writes go on",
        password_rotated,
    ),
    Row(
        34,
        "the replication account locked",
        Priority.P0,
        "ACCOUNT LOCK and its sessions killed",
        "U1; the receiver's error is shown; SYNC again afterwards",
        replication_locked,
    ),
    Row(
        40,
        "both agents at once",
        Priority.P1,
        "kill -9 of both workers",
        "nothing moves, or the gate shuts alone and opens again",
        both_killed,
    ),
)
