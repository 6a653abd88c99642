"""Rows about people: locks and long transactions in the way of a switchover, and what administrators do by hand."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pymysql

from lab import namespaces
from lab.bench import switchover
from lab.matrix.leading import await_orchestrators
from lab.matrix.network import ZOOKEEPER_PORTS
from lab.matrix.row import Priority, Row
from lab.matrix.statements import past_read_only, until_none, until_variable
from lab.matrix.trial import Trial
from lab.sessions import Session

ABORTED_S = 60.0  # of a switchover that cannot be done: its budget is 10 s
DDL_ROWS = 300_000


def switchover_behind_a_table_lock(t: Trial) -> None:
    _table(t)
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("LOCK TABLES shop.held WRITE")
        _withdrawn(t)
        cursor.execute("UNLOCK TABLES")


def switchover_behind_a_transaction(t: Trial) -> None:
    """Open and younger than what admission refuses; it ends by COMMIT or not at all."""
    _table(t)
    session = t.application()
    session.begin()
    with session.cursor() as cursor:
        cursor.execute("INSERT INTO held VALUES (1)")
    t.struck = switchover(t.stand)
    rule = t.await_rule("S2", "S3", within_s=ABORTED_S)
    committed = _commits(session)
    t.writes_go_on()
    count = _count(t)
    t.note(f"{rule}; its commit was {'told' if committed else 'refused'}")
    t.check(count == int(committed), f"a commit that was {'told' if committed else 'refused'} left {count} rows")
    t.check(rule == "S2" or t.last()["epoch"] == t.epoch, "a withdrawn switchover moved the right to write")


def switchover_refused_for_an_old_transaction(t: Trial) -> None:
    _table(t)
    session = t.application()
    session.begin()
    with session.cursor() as cursor:
        cursor.execute("INSERT INTO held VALUES (1)")
    time.sleep(10.5)
    t.struck = time.monotonic()
    status, said = t.kembar("switchover", "--to", t.standby.name, "--reason", "in the way", "--yes")
    t.note(f"exit status {status}")
    t.check(status == 5 and "transaction" in str(said), f"not refused for the transaction: {status}, {said}")
    t.check(_commits(session), "the transaction was ended by a refused switchover")
    t.unmoved()


def switchover_behind_ddl(t: Trial) -> None:
    """An ALTER TABLE that copies; the switchover waits it out in its budget, or is withdrawn."""
    altering = _alter(t)
    t.struck = switchover(t.stand)
    rule = t.await_rule("S2", "S3", within_s=ABORTED_S)
    told = altering.exception(60.0) is None
    t.note(f"{rule}; the ALTER was {'told' if told else 'ended'}")
    t.writes_go_on()
    t.check(not told or _altered(t), "an ALTER that was told as done is not there")


def switchover_behind_a_backup_lock(t: Trial) -> None:
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("LOCK INSTANCE FOR BACKUP")
        t.struck = switchover(t.stand)
        rule = t.await_rule("S2", "S3", within_s=ABORTED_S)
    t.note(rule)
    t.writes_go_on()


def demotion_behind_every_lock(t: Trial) -> None:
    """Local sessions, which no gate ends: table lock, transaction, ALTER, backup lock. The fence may not wait."""
    _table(t)
    holders = [t.administrator(t.primary) for _ in range(3)]
    for session, statements in zip(
        holders,
        (
            ("LOCK INSTANCE FOR BACKUP",),
            ("LOCK TABLES shop.held WRITE",),
            ("BEGIN", "INSERT INTO shop.other VALUES (1)"),
        ),
        strict=True,
    ):
        with session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    t.struck = time.monotonic()
    namespaces.block_ports(t.stand.name, t.primary.name, ZOOKEEPER_PORTS)
    t.moved()
    t.settle()
    with t.application().cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM other")
        t.check(cursor.fetchone() == (0,), "a transaction that never committed is there")


def errant_on_the_standby(t: Trial) -> None:
    """Found by the primary, which never saw it; shown with its set; undone here as an administrator would."""
    with t.administrator(t.standby).cursor() as cursor:
        past_read_only(cursor, "CREATE DATABASE errant")
        t.struck = time.monotonic()
        cursor.execute("SELECT @@server_uuid")
        (uuid,) = cursor.fetchone() or ("",)
        cursor.execute("SELECT @@global.gtid_executed")
        (executed,) = cursor.fetchone() or ("",)
    shown = t.until(lambda shown: not t.row(t.standby, shown)["promotable"], "an errant standby stays promotable")
    t.until(lambda shown: shown["finding"]["name"] == "standby_errant", "the errant transaction is not named")
    t.note(f"not promotable: {t.row(t.standby, shown)['not_promotable_because']}")
    t.strike("mysqld-crash", t.primary)
    t.writes_go_on()
    t.check(t.last()["primary"] == t.primary.name, "an errant standby was promoted")
    _own_everywhere(t, uuid, executed)


def set_writable_on_the_standby(t: Trial) -> None:
    with t.administrator(t.standby).cursor() as cursor:
        t.struck = time.monotonic()
        cursor.execute("SET GLOBAL super_read_only = OFF")
        cursor.execute("SET GLOBAL read_only = OFF")
    until_variable(t, t.standby, "super_read_only", "ON")
    t.writes_go_on()
    t.unmoved()


def receiver_started_on_the_primary(t: Trial) -> None:
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM performance_schema.replication_connection_configuration")
        (channels,) = cursor.fetchone() or (0,)
        if not channels:
            cursor.execute(f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='{t.standby.address}', SOURCE_AUTO_POSITION=1")
        t.struck = time.monotonic()
        cursor.execute("START REPLICA")
        cursor.execute("SELECT 1")
        until_none(
            t, cursor, "SELECT 1 FROM performance_schema.replication_connection_status WHERE SERVICE_STATE <> 'OFF'"
        )
    t.writes_go_on()
    t.unmoved()


def paused_and_forgotten(t: Trial) -> None:
    """Nothing begins while it lasts; it ends by itself, and then the failover happens."""
    status, said = t.kembar("pause", "--for", "15s", "--reason", "forgotten")
    t.check(status == 0, f"not paused: {said}")
    t.until(lambda shown: shown["auto_failover"] == "paused", "the pause is not shown")
    t.undo.callback(t.kembar, "resume")
    t.strike("link-loss", t.primary)
    t.until(lambda shown: "paused" in shown["waiting"], "what the pause keeps from beginning is not named")
    t.check(t.last()["epoch"] == t.epoch, "a failover began in a pause")
    t.moved()


def two_switchovers(t: Trial) -> None:
    """Asked for in the same epoch at the same moment: one is carried out."""
    t.struck = time.monotonic()
    asked = [t.beside(lambda: switchover(t.stand)) for _ in range(2)]
    errors = [one.exception(30.0) for one in asked]
    t.moved()
    t.note(f"{sum(error is None for error in errors)} admitted")
    t.check(t.rules().count("S1") == 1, f"switched more than once: {t.rules()}")


def every_orchestrator_stopped(t: Trial) -> None:
    """The pair goes on without them; they take up what they find."""
    names = [f"orchestrator-{node.name}" for node in t.stand.topology.members("orchestrator")]
    t.struck = time.monotonic()
    for node in t.stand.topology.members("orchestrator"):
        t.strike("orchestrator-kill", node)
    t.await_ended(*names)
    t.writes_go_on()
    time.sleep(2.0)
    for node in t.stand.topology.members("orchestrator"):
        t.boot(node)
    await_orchestrators(t, 2)
    t.unmoved()


def _withdrawn(t: Trial) -> None:
    t.struck = switchover(t.stand)
    t.await_rule("S3", within_s=ABORTED_S)
    t.check(not t.fired("S2"), "withdrawn and carried out")
    t.until(lambda shown: shown["phase"] == "STEADY", "not steady after the withdrawal")
    t.unmoved()


def _table(t: Trial) -> None:
    with t.application().cursor() as cursor:
        for name in ("held", "other"):
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
            cursor.execute(f"CREATE TABLE {name} (id BIGINT PRIMARY KEY)")


def _count(t: Trial) -> int:
    with t.application().cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM held")
        (count,) = cursor.fetchone() or (0,)
    return int(count)


def _commits(session: Session) -> bool:
    try:
        session.commit()
    except (pymysql.err.Error, OSError):
        return False
    return True


def _alter(t: Trial) -> Future[None]:
    session = t.application(answer_s=60.0)
    with session.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS wide")
        cursor.execute("CREATE TABLE wide (id BIGINT PRIMARY KEY, pad CHAR(50) NOT NULL DEFAULT 'x')")
        cursor.execute("SET SESSION cte_max_recursion_depth = %s", (DDL_ROWS,))
        cursor.execute(
            "INSERT INTO wide (id) WITH RECURSIVE n (i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) SELECT i FROM n",
            (DDL_ROWS // 10,),
        )

    def alter() -> None:
        with session.cursor() as cursor:
            cursor.execute("ALTER TABLE wide ADD COLUMN more CHAR(50) NOT NULL DEFAULT 'y', ALGORITHM = COPY")

    return t.beside(alter)


def _altered(t: Trial) -> bool:
    with t.application().cursor() as cursor:
        cursor.execute("SHOW COLUMNS FROM wide LIKE 'more'")
        return cursor.fetchone() is not None


def _own_everywhere(t: Trial, uuid: str, executed: str) -> None:
    """The errant number is given to the primary as an empty transaction; the database it made is dropped on both."""
    ranges = next(part.split(":", 1)[1] for part in executed.replace("\n", "").split(",") if part.startswith(uuid))
    number = ranges.replace(":", "-").split("-")[-1]
    with t.administrator(t.primary).cursor() as cursor:
        cursor.execute("SET SESSION GTID_NEXT = %s", (f"{uuid}:{number}",))
        cursor.execute("BEGIN")
        cursor.execute("COMMIT")
    with t.administrator(t.standby).cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        past_read_only(cursor, "DROP DATABASE IF EXISTS errant")


ROWS = (
    Row(
        19,
        "switchover behind a table lock",
        Priority.P0,
        "LOCK TABLES by a session on the primary",
        "withdrawn in its budget (S3), writes go on where they were",
        switchover_behind_a_table_lock,
    ),
    Row(
        19,
        "switchover behind an open transaction",
        Priority.P0,
        "a client's transaction with a row, open",
        "carried out without the row, or withdrawn and the row may commit",
        switchover_behind_a_transaction,
    ),
    Row(
        19,
        "switchover refused for an old transaction",
        Priority.P1,
        "a client's transaction that is open for longer than 10 s",
        "refused by name, exit status 5; the transaction goes on",
        switchover_refused_for_an_old_transaction,
    ),
    Row(
        19,
        "switchover behind DDL",
        Priority.P0,
        "an ALTER TABLE that copies a table",
        "waited for, or withdrawn; the ALTER is whole or not there",
        switchover_behind_ddl,
    ),
    Row(
        19,
        "switchover behind a backup lock",
        Priority.P0,
        "LOCK INSTANCE FOR BACKUP by a session on the primary",
        "carried out or withdrawn in its budget",
        switchover_behind_a_backup_lock,
    ),
    Row(
        19,
        "demotion behind every lock",
        Priority.P0,
        "backup lock, table lock and transaction of local sessions; the primary cut from ZooKeeper",
        "the fence does not wait for them; the old primary returns as standby",
        demotion_behind_every_lock,
    ),
    Row(
        38,
        "errant transaction on the standby",
        Priority.P0,
        "super_read_only off by hand, a database created; then kill -9 of the primary's mysqld",
        "found, named, not promotable: the primary returns in place",
        errant_on_the_standby,
    ),
    Row(
        48,
        "the standby set writable by hand",
        Priority.P1,
        "SET GLOBAL super_read_only = OFF, read_only = OFF",
        "corrected; nothing moves",
        set_writable_on_the_standby,
        injects="servers: writable, and receives",
    ),
    Row(
        48,
        "replication started on the primary by hand",
        Priority.P1,
        "START REPLICA",
        "corrected; nothing moves",
        receiver_started_on_the_primary,
        injects="servers: writable, and receives",
    ),
    Row(
        48,
        "a pause left on",
        Priority.P1,
        "kembar pause --for 15s, then the primary's cable out",
        "nothing begins, the wait is named; the pause expires and the failover happens",
        paused_and_forgotten,
    ),
    Row(
        49,
        "two switchovers at once",
        Priority.P1,
        "the same request twice at the same moment",
        "one is carried out, the other answers with a conflict",
        two_switchovers,
    ),
    Row(
        48,
        "every orchestrator stopped",
        Priority.P1,
        "kill -9 of all, started again after 2 s",
        "the pair goes on; nothing moves",
        every_orchestrator_stopped,
    ),
)
