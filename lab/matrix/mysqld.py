"""Rows about a mysqld: the primary's killed, hung, silent in parts; the standby's; both."""

from __future__ import annotations

import signal
import time
from concurrent.futures import Future
from functools import partial

from lab import namespaces, processes
from lab.diverging import cut_replication
from lab.matrix.row import Priority, Row
from lab.matrix.statements import await_applied, past_read_only
from lab.matrix.trial import MOVED_S, Trial
from lab.sessions import Session
from lab.stand import wait_for

BIG_ROWS = 5000
COMMITTING_S = 0.004  # into the commit of the big transaction


def killed_under_load(t: Trial) -> None:
    t.strike("mysqld-crash", t.primary)
    t.moved()
    rule = t.incident()["rule"]
    t.check(rule == "F5", f"an attested exit needs no fence wait, yet by {rule}")


def killed_idle(t: Trial) -> None:
    """The client is frozen meanwhile; what it would have waited is asked by a session of our own."""
    with t.at_rest():
        time.sleep(1.0)  # nothing but heartbeats
        t.strike("mysqld-crash", t.primary)
        t.outage_ms = 1000 * (t.first_answer() - t.struck)
    t.moved()


def killed_in_a_big_transaction(t: Trial) -> None:
    """The commit has been sent when mysqld dies; it is told to the client or not, but never in part."""
    session = t.application()
    with session.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS big")
        cursor.execute("CREATE TABLE big (id BIGINT PRIMARY KEY, pad CHAR(100) NOT NULL DEFAULT 'x')")
        cursor.execute(f"SET SESSION cte_max_recursion_depth = {BIG_ROWS}")
        cursor.execute("BEGIN")
        cursor.execute(
            "INSERT INTO big (id) WITH RECURSIVE n (i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) SELECT i FROM n",
            (BIG_ROWS,),
        )
    committed: Future[None] = t.beside(session.commit)
    time.sleep(COMMITTING_S)
    t.strike("mysqld-crash", t.primary)
    t.moved()
    with t.application().cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM big")
        (count,) = cursor.fetchone() or (None,)
    told = committed.done() and committed.exception() is None
    t.note(f"{count} of {BIG_ROWS} rows, the commit was {'told' if told else 'not told'}")
    t.check(count in ((BIG_ROWS,) if told else (0, BIG_ROWS)), f"{count} of {BIG_ROWS} rows of one transaction")


def hung(t: Trial) -> None:
    old = t.mysqld(t.primary)
    t.strike("mysqld-hang", t.primary)
    t.moved()
    t.await_gone(old)  # killed, while nobody lets it go on: it never wakes up


def locked_by_a_client(t: Trial) -> None:
    """SELECT answers, commits hang behind a client's lock: shown with its holder, and no reason to move."""
    holder = t.administrator(t.primary)
    with holder.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        t.struck = time.monotonic()
        shown = t.until(lambda shown: t.trouble(t.primary, "CLIENT_LOCK", shown), "the lock's holder is not shown")
        t.check(shown["writes"] == "stalled", f"writes hang, and status says {shown['writes']!r} of them")
        t.stays(lambda: not t.rules(), 3.0, "a client's lock led to a decision")
        cursor.execute("UNLOCK TABLES")
    t.writes_go_on()
    t.unmoved()


def standby_killed(t: Trial) -> None:
    t.strike("mysqld-crash", t.standby)
    t.writes_go_on()
    t.await_rule("U1", "U3")
    t.await_rule("U2")
    t.unmoved()


def standby_hung(t: Trial) -> None:
    """ASYNC is recorded before a commit goes without a copy."""
    mysqld = t.mysqld(t.standby)
    t.strike("mysqld-hang", t.standby)
    t.undo.callback(t.thaw, mysqld)
    t.await_rule("U1")
    shown = t.until(lambda shown: shown["mode"] == "ASYNC", "ASYNC is not recorded")
    t.check(not t.row(t.standby, shown)["promotable"], "a standby that misses commits is promotable")
    t.writes_go_on()
    t.thaw(mysqld)
    t.await_rule("U2")
    t.unmoved()


def standby_restarted_then_primary_lost(t: Trial) -> None:
    """Between U3 and the next U2 nobody can take over, however long the primary's host is away.

    Cut off from each other until then: a standby that is soon back would be certified before the primary is lost.
    """
    old = t.mysqld(t.standby)
    cut_replication(t.stand)
    t.strike("mysqld-crash", t.standby)
    t.await_rule("U3", "U1")
    wait_for(lambda: t.mysqld(t.standby) not in (None, old), MOVED_S, f"mysqld of {t.standby.name} is not back")
    t.strike("host-loss", t.primary)
    namespaces.unblock_all(t.stand.name)
    shown = t.until(lambda shown: "--accept-data-loss" in shown["waiting"], "the wait is not named with its end")
    t.note(f"waiting {shown['waiting'].partition(';')[0]}")
    t.stays(lambda: t.epoch == t.last()["epoch"], 4.0, "a standby that was not certified was promoted")
    t.check(not t.fired("U2"), "a standby that had nobody to replicate from was certified")
    t.boot(t.primary)
    t.writes_go_on()
    t.check(t.last()["primary"] == t.primary.name, "the primary did not come back as such")


def both_killed(t: Trial) -> None:
    """The standby first, within the same moment: it may have lost received rows, so the primary returns."""
    t.strike("mysqld-crash", t.standby)
    t.strike("mysqld-crash", t.primary)
    t.writes_go_on()


def standby_then_primary(t: Trial) -> None:
    t.strike("mysqld-crash", t.standby)
    time.sleep(0.5)
    t.strike("mysqld-crash", t.primary)
    t.writes_go_on()
    # Named before its agent has told of its end it gives the power back, by F4.
    named = [one for one in t.records() if one["primary"] != t.primary.name]
    served = [one for one in named if one["phase"] not in ("FENCING", "PROMOTING")]
    t.check(not served or t.fired("U2"), "a standby that had restarted took over without a new certificate")


def stalled_then_demoted(t: Trial) -> None:
    """Commits that wait for the standby when the power is taken: no OK ever, and none of them on the new primary."""
    with t.application().cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS stalled (id BIGINT PRIMARY KEY)")
        cursor.execute("DELETE FROM stalled")
    waiting = [t.application() for _ in range(5)]
    old = t.mysqld(t.primary)
    t.struck = time.monotonic()
    t.cut(t.primary, t.standby, t.stand.topology.node("witness"))
    commits = [t.beside(partial(_insert, session, number)) for number, session in enumerate(waiting)]
    t.moved()
    t.check(not [one for one in commits if one.done() and one.exception() is None], "a stalled commit was told as done")
    t.heal_network()
    t.await_gone(old)
    t.check(not [one for one in commits if one.done() and one.exception() is None], "a stalled commit was told as done")
    with t.application().cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM stalled")
        (count,) = cursor.fetchone() or (None,)
    t.check(count == 0, f"{count} commits that nobody was told of appeared on the new primary")


def _insert(session: Session, number: int) -> None:
    with session.cursor() as cursor:
        cursor.execute("INSERT INTO stalled VALUES (%s)", (number,))


def crash_loop(t: Trial) -> None:
    """Of the standby: it is started later and later, and nobody else suffers."""
    t.struck = time.monotonic()
    for _ in range(4):
        mysqld = t.mysqld(t.standby)
        if mysqld is not None:
            processes.send(mysqld, signal.SIGKILL)
        time.sleep(1.0)
    t.writes_go_on()
    t.unmoved()


def applier_stopped(t: Trial) -> None:
    """A row that the primary will insert is there already (1062): nothing is skipped, nobody is promoted."""
    with t.application().cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS double_row (id BIGINT PRIMARY KEY)")
        cursor.execute("DELETE FROM double_row")
    await_applied(t)
    with t.administrator(t.standby).cursor() as local:
        local.execute("SET SESSION sql_log_bin = 0")
        past_read_only(local, "INSERT INTO shop.double_row VALUES (1)")
        local.execute("SET GLOBAL super_read_only = ON")
        t.struck = time.monotonic()
        with t.application().cursor() as cursor:
            cursor.execute("INSERT INTO double_row VALUES (1)")
        t.await_rule("U3")
        shown = t.until(lambda shown: t.row(t.standby, shown)["applier_error"], "the applier's error is not shown")
        t.check(not t.row(t.standby, shown)["promotable"], "a standby whose applier stopped is promotable")
        t.strike("mysqld-crash", t.primary)
        t.writes_go_on()
        t.check(t.last()["primary"] == t.primary.name, "a standby whose applier stopped was promoted")
        past_read_only(local, "DELETE FROM shop.double_row")
        local.execute("SET GLOBAL super_read_only = ON")
        local.execute("START REPLICA")


def prepared_transaction(t: Trial) -> None:
    """XA: prepared and acknowledged on one, committed on the other."""
    with t.application().cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS prepared (id BIGINT PRIMARY KEY)")
        cursor.execute("DELETE FROM prepared")
        for statement in ("XA START 'm'", "INSERT INTO prepared VALUES (1)", "XA END 'm'", "XA PREPARE 'm'"):
            cursor.execute(statement)
    t.strike("mysqld-crash", t.primary)
    t.moved()
    with t.application().cursor() as cursor:
        cursor.execute("XA COMMIT 'm'")
        cursor.execute("SELECT COUNT(*) FROM prepared")
        t.check(cursor.fetchone() == (1,), "a prepared transaction that was acknowledged is not there")


def stopped_by_an_administrator(t: Trial) -> None:
    """A clean stop while commits wait for the standby: it lets them go, but their clients must not be told."""
    t.struck = time.monotonic()
    t.cut(t.primary, t.standby)
    t.signal(t.mysqld(t.primary), signal.SIGTERM, "the primary's mysqld")
    time.sleep(1.0)
    t.heal_network()
    t.writes_go_on()


def hung_for_a_moment(t: Trial) -> None:
    """SIGCONT later: what it was before it was stopped must not come back."""
    mysqld = t.mysqld(t.primary)
    t.strike("mysqld-hang", t.primary)
    time.sleep(0.3)  # too short for any probe
    t.signal(mysqld, signal.SIGCONT, "mysqld")
    t.writes_go_on()
    t.unmoved()


ROWS = (
    Row(
        18,
        "stalled commits, then a clean stop",
        Priority.P1,
        "the two cut apart, SIGTERM of the primary's mysqld at once",
        "no OK reaches a client: whatever was acknowledged is there",
        stopped_by_an_administrator,
    ),
    Row(
        37,
        "the standby's applier stopped",
        Priority.P1,
        "a row of the standby's own where the primary inserts one (1062); then kill -9 of the primary's mysqld",
        "U3, shown, never promoted, nothing skipped; certified again when the row is gone",
        applier_stopped,
    ),
    Row(
        42,
        "mysqld of the standby in a crash loop",
        Priority.P1,
        "kill -9 each second",
        "nothing moves; certified when it lasts",
        crash_loop,
    ),
    Row(
        47,
        "a prepared transaction at a failover",
        Priority.P1,
        "XA PREPARE, then kill -9 of the primary's mysqld",
        "it can be committed on the new primary",
        prepared_transaction,
    ),
    Row(
        1,
        "mysqld killed under load",
        Priority.P0,
        "kill -9 of the primary's mysqld",
        "its agent attests the exit, F5: the standby serves without a fence wait",
        killed_under_load,
    ),
    Row(
        1,
        "mysqld killed, idle",
        Priority.P0,
        "the same while no client writes",
        "as under load; the outage is that of a client that tries again and again",
        killed_idle,
    ),
    Row(
        1,
        "mysqld killed in a big transaction",
        Priority.P0,
        f"the same while a transaction of {BIG_ROWS} rows commits",
        "the transaction is there whole or not at all, and whole if it was told",
        killed_in_a_big_transaction,
    ),
    Row(
        2,
        "mysqld hung",
        Priority.P0,
        "SIGSTOP of the primary's mysqld, SIGCONT afterwards",
        "two kinds of probe; gate, SIGKILL, failover; it never answers again",
        hung,
    ),
    Row(
        2,
        "mysqld hung for a moment",
        Priority.P0,
        "SIGSTOP for 0.3 s",
        "nothing moves",
        hung_for_a_moment,
    ),
    Row(
        3,
        "commits behind a client's lock",
        Priority.P0,
        "FLUSH TABLES WITH READ LOCK by a client",
        "CLIENT_LOCK with the holder; no failover; writes go on when it ends",
        locked_by_a_client,
    ),
    Row(
        14,
        "mysqld of the standby killed",
        Priority.P0,
        "kill -9",
        "commits stall for stall_s at most, ASYNC or not certified until it is back",
        standby_killed,
    ),
    Row(
        14,
        "mysqld of the standby hung",
        Priority.P0,
        "SIGSTOP, SIGCONT",
        "ASYNC recorded, commits go on, SYNC again afterwards",
        standby_hung,
    ),
    Row(
        15,
        "standby restarted, then the primary's host lost",
        Priority.P0,
        "kill -9 of the standby's mysqld while it reaches nobody, then the primary's cable out and all its processes"
        " killed",
        "no promotion; the wait is named with the command that ends it; the primary serves when it returns",
        standby_restarted_then_primary_lost,
    ),
    Row(
        17,
        "stalled commits, then demotion",
        Priority.P0,
        "the primary cut from standby and ZooKeeper while five sessions commit",
        "mysqld killed, its tail cut; none of the commits is ever told or seen",
        stalled_then_demoted,
    ),
    Row(
        40,
        "standby, then primary within 1 s",
        Priority.P0,
        "kill -9 of either mysqld, 0.5 s apart",
        "no loss; nobody takes over without a certificate of the mysqld that runs",
        standby_then_primary,
    ),
    Row(
        40,
        "both mysqld at once",
        Priority.P0,
        "kill -9 of both",
        "no loss; the primary comes back in place",
        both_killed,
    ),
)
