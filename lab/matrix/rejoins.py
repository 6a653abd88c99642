"""Rows about the return of an old primary that alone has acknowledged writes: what is merged, kept, refused."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

import pymysql

from lab import faults
from lab.diverging import Client, asking, await_waiting, cut_replication
from lab.matrix.parting import BACK_S, Parting
from lab.matrix.row import Priority, Row
from lab.matrix.trial import Trial
from lab.sessions import Session
from lab.smalldisk import SmallDisk
from orchestrator.core.errors import StepFailed

ROWS_OF_BIG = 100_000
HOT_EVERY_S = 0.01  # a standby can keep up with that
HOT = (7, 8)  # of 30: more that differ would wait for a person
ACCOUNTS = (
    "DROP TABLE IF EXISTS orders, acct",
    "CREATE TABLE acct (id INT PRIMARY KEY, bal INT NOT NULL, note VARCHAR(64) NOT NULL)",
    "INSERT INTO acct WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)"
    " SELECT i, 100, CONCAT('first-', i) FROM n",
    "CREATE TABLE orders (id INT PRIMARY KEY, acct INT NOT NULL, note VARCHAR(64) NOT NULL,"
    " FOREIGN KEY (acct) REFERENCES acct (id))",
)


def update(row: int, value: str) -> str:
    return f"UPDATE acct SET bal = bal + 1, note = '{value}' WHERE id = {row}"  # noqa: S608 - of our own


def some_updates(parting: Parting, name: str, rows: range) -> None:
    """One acknowledged transaction for each of these accounts."""
    values = {row: f"{name}-{row}" for row in rows}
    parting.telling(*(update(row, value) for row, value in values.items()), values=values.values())


def same_other_and_child_rows(t: Trial) -> None:
    """Both wrote the same row, each another one, and on either side a child came where the parent went."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 6))
    some_updates(parting, "alone", range(30, 80))  # three in so many that conflict are for nobody to approve
    parting.telling("INSERT INTO orders VALUES (1, 20, 'child-20')", values=["child-20"])
    parting.client("DELETE FROM acct WHERE id = 21")
    parting.lost()
    parting.client(
        update(1, "ahead-1"),
        update(9, "ahead-9"),
        "DELETE FROM acct WHERE id = 20",
        "INSERT INTO orders VALUES (2, 21, 'ahead-child-21')",
    )
    parting.back()
    parting.returned()
    parting.check_kept("update_differs", "fk_parent_missing", "fk_children_exist")


def returns_twice(t: Trial) -> None:
    """Lost once more in the middle of its rewind; and a second time behind after it has come back."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "first", range(1, 30))
    parting.lost()
    t.arm(parting.old, ["repair.before.reset"], "stop")
    parting.back()
    stopped = t.agent(parting.old)
    t.await_state(stopped, "T", BACK_S)
    faults.end_database(t.stand, parting.old)
    parting.back()
    parting.returned()


def left_behind_again(t: Trial) -> None:
    """It returns, becomes primary again by force, and the other one is left behind: a record of its own for each."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "there", range(1, 10))
    parting.lost()
    parting.client(update(3, "ahead-3"))
    parting.back()
    first = parting.ended()
    t.begin()
    parting = Parting(t)
    parting.alone()
    some_updates(parting, "back", range(20, 30))
    parting.lost()
    parting.back()
    second = parting.returned()
    t.check(first["id"] < second["id"], f"returns {first['id']} and {second['id']}")


def hot_rows(t: Trial) -> None:
    """A client writes some touched rows all the while; a comparison that cannot end would keep the standby away."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 31))
    parting.lost()
    ends = time.monotonic() + BACK_S
    over: list[bool] = []

    def hammer() -> int:
        done, client = 0, Client(t.stand)  # on a busy machine the gate may shut for a moment
        while not over and time.monotonic() < ends:
            client.execute("UPDATE acct SET bal = bal + 1 WHERE id = %s", HOT[done % len(HOT)])
            done += 1
            time.sleep(HOT_EVERY_S)
        client.close()
        return done

    hammering = t.beside(hammer)
    try:
        parting.back()
        parting.seen("closed")
        t.check(not hammering.done(), "its rows were at rest before it was let in")
        t.until(lambda shown: shown["state"] == "healthy", "not certified while its rows are hot", BACK_S)
    finally:
        over.append(True)
    t.note(f"{hammering.result(30.0)} writes to the touched rows meanwhile")
    parting.returned()


def big_transaction(t: Trial) -> None:
    """It must fit into the memory of both agents, and into one transaction on each side."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS, "DROP TABLE IF EXISTS big", "CREATE TABLE big (id INT PRIMARY KEY, note VARCHAR(64))")
    parting.telling(
        f"SET SESSION cte_max_recursion_depth = {ROWS_OF_BIG}",
        "INSERT INTO big WITH RECURSIVE n (i) AS"  # noqa: S608 - a number
        f" (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS_OF_BIG}) SELECT i, CONCAT('big-', i) FROM n",
        values=[f"big-{n}" for n in range(1, ROWS_OF_BIG + 1)],
    )
    parting.lost()
    parting.back()
    parting.returned()


def definitions_in_the_tail(t: Trial) -> None:
    """Acknowledged, so rows cannot undo it: a copy of the primary, or a refusal. Its own text is shown to a person."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS, "DROP TABLE IF EXISTS made")
    some_updates(parting, "before", range(1, 4))
    parting.client("CREATE TABLE made (id INT PRIMARY KEY, note VARCHAR(64))")
    parting.telling("INSERT INTO made VALUES (1, 'into-made')", values=["into-made"])
    parting.administrator("CREATE USER IF NOT EXISTS 'behind'@'%' IDENTIFIED BY 'behind-the-lab'")
    parting.lost()
    parting.back()
    parting.returned()


def unacknowledged_definitions(t: Trial) -> None:
    """DDL and CREATE USER wait for the standby, logins hang behind them; mysqld is killed: all of it is cut."""
    parting = Parting(t)
    parting.client(*ACCOUNTS)
    statements = (
        "CREATE TABLE never (id INT PRIMARY KEY)",
        "INSERT INTO acct VALUES (99, 1, 'never')",
        "CREATE USER 'never'@'%' IDENTIFIED BY 'never-in-the-lab'",
    )
    sessions = [t.administrator(t.primary, answer_s=BACK_S) for _ in statements]
    for session in sessions:
        session.select_db("shop")
    with t.at_rest(), asking(t.stand, t.primary) as looking, ExitStack() as held:
        held.enter_context(t.undecided())  # ASYNC would end their waiting
        cut_replication(t.stand)

        def execute(session: Session, statement: str) -> None:
            with session.cursor() as cursor:
                cursor.execute(statement)

        waiting = []
        # The account statement last: nobody's rights are looked up any more once it waits (0026).
        for session, statement in zip(sessions, statements, strict=True):
            waiting.append(t.beside(partial(execute, session, statement)))
            await_waiting(looking, len(waiting))
        t.strike("mysqld-crash", t.primary)
        held.close()
        told = [one for one in waiting if one.exception(BACK_S) is None]
        t.check(not told, f"{len(told)} statements that waited were acknowledged")
        t.await_rule("F3")
        t.heal_network()
    t.settle(BACK_S)
    for node in t.stand.topology.pair:
        with asking(t.stand, node) as cursor:
            cursor.execute("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'never'")
            tables = cursor.fetchone()
            cursor.execute("SELECT COUNT(*) FROM mysql.user WHERE user = 'never'")
            t.check((tables, cursor.fetchone()) == ((0,), (0,)), f"what nobody was told of is on {node.name}")
    parting.returned()


def account_statement_stalls(t: Trial) -> None:
    """CREATE USER waits for a standby that is gone, logins and rights behind it: ASYNC and a new mysqld end that."""
    session = t.administrator(t.primary, answer_s=BACK_S)

    def create() -> None:
        with session.cursor() as cursor:
            cursor.execute("CREATE USER IF NOT EXISTS 'waited'@'%' IDENTIFIED BY 'waited-in-the-lab'")

    t.struck = time.monotonic()
    cut_replication(t.stand)
    created = t.beside(create)
    t.await_rule("U1")
    told = created.exception(BACK_S) is None
    t.note(f"its client was {'told' if told else 'cut off'}")
    t.writes_go_on()
    t.heal_network()
    t.unmoved()


def full_disk(t: Trial) -> None:
    """Nothing is changed on the returning node before its evidence is kept."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 6))
    before = _notes(t, parting)
    parting.lost()
    disk = SmallDisk(t.stand, parting.old, t.stand.files.node(parting.old) / "state/reconcile")
    (t.stand.files.node(parting.old) / "state/reconcile").mkdir(exist_ok=True)
    t.undo.callback(disk.take_away)
    disk.put()
    disk.fill()
    shown = t.until(lambda shown: t.trouble(parting.old, "RETURN", shown), "a full disk is not told", BACK_S)
    t.note(next(one for one in t.row(parting.old, shown)["troubles"] if one.startswith("RETURN")))
    t.check(parting.last()["stage"] == "bundle", f"the return is at {parting.last()['stage']}")
    t.check(not t.row(parting.old, shown)["promotable"], "a node without evidence may take over")
    t.check(_notes(t, parting) == before, "rows were changed before they were kept")
    disk.relieve()
    parting.returned()


def corrupt_log(t: Trial) -> None:
    """Its checksum tells: nothing may be undone by what such a file says."""
    parting, file = _rotated(t)
    parting.lost()
    path = t.stand.files.instance(parting.old).datadir / file
    content = bytearray(path.read_bytes())
    at = content.rindex(b"first-3")  # what the row was before: no value that anybody was told
    content[at : at + 7] = b"FIRST-3"
    path.write_bytes(content)
    parting.back()
    parting.returned()


def missing_log(t: Trial) -> None:
    """What it held nobody has any more: the rows are not to be undone in part."""
    parting, file = _rotated(t)
    parting.lost()
    (t.stand.files.instance(parting.old).datadir / file).unlink()
    parting.back()
    parting.returned()


def not_by_rows(t: Trial) -> None:
    """By an administrator, whose sessions may choose another format than the server's."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 4))
    parting.administrator(
        "USE shop", "SET SESSION binlog_format = 'STATEMENT'", "UPDATE acct SET note = 'by-statement' WHERE id = 30",
        "SET SESSION binlog_format = 'ROW'", "XA START 'x'", "UPDATE acct SET note = 'by-xa' WHERE id = 31",
        "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'",
    )  # fmt: skip
    t.told.update(["by-statement", "by-xa"])
    parting.lost()
    parting.back()
    parting.returned()


def other_engine(t: Trial) -> None:
    """What its engine cannot take back. The lab's servers refuse MyISAM by name, so it is MEMORY."""
    parting = Parting(t)
    with asking(t.stand, t.primary) as cursor:
        try:
            cursor.execute("CREATE TABLE shop.isam (id INT PRIMARY KEY) ENGINE = MyISAM")
        except pymysql.err.MySQLError as error:
            t.note(str(error.args[1]))
        else:
            raise StepFailed("a table of MyISAM could be made")
    parting.alone(*ACCOUNTS)
    parting.administrator(
        "CREATE TABLE shop.other_engine (id INT PRIMARY KEY, note VARCHAR(64)) ENGINE = MEMORY",
        "INSERT INTO shop.other_engine VALUES (1, 'in-memory')",
    )
    some_updates(parting, "behind", range(1, 4))
    parting.lost()
    parting.back()
    parting.returned()


def changed_schema(t: Trial) -> None:
    """The new primary's table has one column more when the old rows come: they are kept, and the standby gets it."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 4))
    parting.lost()
    parting.client("ALTER TABLE acct ADD COLUMN more INT")
    parting.back()
    parting.returned()
    parting.check_kept("schema_differs")


def _rotated(t: Trial) -> tuple[Parting, str]:
    """Left behind in a file that is not the last, so that mysqld itself starts without reading it."""
    parting = Parting(t)
    parting.alone(*ACCOUNTS)
    some_updates(parting, "behind", range(1, 6))
    with asking(t.stand, parting.old) as cursor:
        cursor.execute("SHOW BINARY LOG STATUS")
        (file, *_) = cursor.fetchone() or ("",)
        cursor.execute("FLUSH BINARY LOGS")
    some_updates(parting, "later", range(10, 12))
    return parting, str(file)


def _notes(t: Trial, parting: Parting) -> object:
    with asking(t.stand, parting.old) as cursor:
        cursor.execute("SELECT id, note FROM shop.acct ORDER BY id")
        return cursor.fetchall()


def _row(number: int, name: str, injected: str, expected: str, run: object, priority: Priority = Priority.P1) -> Row:
    return Row(number, name, priority, injected, expected, run, back_s=BACK_S)  # type: ignore[arg-type]


BEHIND = "acknowledged writes behind a forced failover"
ROWS = (
    _row(51, "left behind: the same row, another, a child", f"{BEHIND}; the new primary writes too",
         "merged, or kept with both versions; both equal", same_other_and_child_rows, Priority.P0),
    _row(52, "left behind: the old primary returns twice", f"{BEHIND}; lost again before its reset",
         "it goes on where it was", returns_twice),
    _row(52, "left behind again after the return", f"{BEHIND}, then on the other side",
         "a record for each; both equal", left_behind_again),
    _row(53, "left behind: hot rows", f"{BEHIND}; clients write these rows all the while",
         "certified while they are written", hot_rows),
    _row(54, "left behind: 100,000 rows at once", f"one transaction of {ROWS_OF_BIG} rows behind a forced failover",
         "rewound and merged", big_transaction),
    _row(55, "left behind: DDL and an account", f"{BEHIND}, CREATE TABLE and CREATE USER among them",
         "copied from the primary, or refused by name and shut", definitions_in_the_tail),
    _row(56, "unacknowledged DDL and CREATE USER", "they wait for the standby, logins hang; kill -9 of mysqld",
         "cut, or copied from the primary: on neither server", unacknowledged_definitions, Priority.P0),
    _row(66, "CREATE USER waits for a lost standby", "replication cut, then CREATE USER: logins hang behind it",
         "ASYNC recorded in the usual time; mysqld is started anew", account_statement_stalls, Priority.P0),
    _row(57, "left behind: the evidence does not fit", f"{BEHIND}; the disk of the evidence is full",
         "nothing is changed, the reason is shown; goes on when there is space", full_disk),
    _row(58, "left behind: a corrupt log", f"{BEHIND}; a byte of one is changed on the disk",
         "copied from the primary, or refused by name and shut", corrupt_log),
    _row(58, "left behind: a missing log", f"{BEHIND}; their file is deleted",
         "copied from the primary, or refused by name and shut", missing_log),
    _row(59, "left behind: statements and XA", f"{BEHIND}, in statement format and by XA",
         "copied from the primary, or refused by name and shut", not_by_rows),
    _row(60, "left behind: another engine", f"{BEHIND}, into a table that is not InnoDB's",
         "copied from the primary, or refused by name and shut", other_engine),
    _row(61, "left behind: the schema differs", f"{BEHIND}; the new primary changes the table",
         "rewound; kept for a person, as rows no longer fit", changed_schema),
)  # fmt: skip
