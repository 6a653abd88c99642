"""What policies make of conflicts on two real servers: the server compares and adds, and each row is named."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agents.reconcile.merger import Merger
from agents.session import Row, Session
from orchestrator.core.conflicts import ALLOWED, Conflict, How, allowed
from orchestrator.core.errors import DatabaseUnavailable, StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.mergepolicy import Limits, Merged, MergePolicy, Unacknowledged
from orchestrator.core.tablerules import TableRule
from tests.contract.returning import SCHEMA, Divergence, Two, rejoin_session, two_servers

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with two_servers(tmp_path_factory.mktemp("policies")) as made:
        yield made


def rules(**tables: str) -> MergePolicy:
    """By the names of tables; a policy for each."""
    return MergePolicy(tables=tuple(TableRule(f"{SCHEMA}.{name}", policy=policy) for name, policy in tables.items()))


def merged(made: Divergence, policy: MergePolicy) -> dict[str, int]:
    made.policy = policy
    return made.merge()


def one_file(made: Divergence) -> dict[str, Any]:
    (file,) = made.files().values()
    return file


TEXTS = {
    How.QUARANTINE: "quarantine", How.DISCARD: "discard", How.SKIP: "skip", How.APPLY: "apply",
    How.LATEST_WINS: "latest_wins(v)", How.MAX: "max(v)", How.MIN: "min(v)", How.DELTA: "delta(v)",
}  # fmt: skip
# Of each conflict: tables, what the returning server did, what the other one did; {t} is the table of one policy.
KEYED = "CREATE TABLE {t} (a INT, b VARCHAR(9), v INT, n INT, PRIMARY KEY (a, b))"
CASES: dict[Conflict, tuple[list[str], list[str], list[str]]] = {
    Conflict.INSERT_EXISTS: (
        [KEYED],
        ["INSERT INTO {t} VALUES (5, 'x', 17, 0)"],
        ["INSERT INTO {t} VALUES (5, 'X', 12, 0)"],  # the same key to the server, which keeps its own spelling
    ),
    Conflict.UPDATE_DIFFERS: (
        [KEYED, "INSERT INTO {t} VALUES (1, 'x', 10, 0), (1, 'y', 10, 0)"],
        ["UPDATE {t} SET v = 17 WHERE b = 'x'"],
        ["UPDATE {t} SET v = 12"],
    ),
    Conflict.UPDATE_MISSING: (
        [KEYED, "INSERT INTO {t} VALUES (1, 'x', 10, 0), (1, 'y', 10, 0)"],
        ["UPDATE {t} SET v = 17 WHERE b = 'x'"],
        ["DELETE FROM {t} WHERE b = 'x'"],
    ),
    Conflict.DELETE_DIFFERS: (
        [KEYED, "INSERT INTO {t} VALUES (1, 'x', 10, 0), (1, 'y', 10, 0)"],
        ["DELETE FROM {t} WHERE b = 'x'"],
        ["UPDATE {t} SET v = 12"],
    ),
    Conflict.UNIQUE_EXISTS: (
        ["CREATE TABLE {t} (id INT PRIMARY KEY, v INT UNIQUE)"],
        ["INSERT INTO {t} VALUES (1, 7)"],
        ["INSERT INTO {t} VALUES (2, 7)"],
    ),
    Conflict.FK_PARENT_MISSING: (
        ["CREATE TABLE p_{t} (id INT PRIMARY KEY)", "INSERT INTO p_{t} VALUES (1)",
         "CREATE TABLE {t} (id INT PRIMARY KEY, v INT, FOREIGN KEY (v) REFERENCES p_{t} (id))"],
        ["INSERT INTO {t} VALUES (1, 1)"],
        ["DELETE FROM p_{t}"],
    ),
    Conflict.FK_CHILDREN_EXIST: (
        ["CREATE TABLE {t} (id INT PRIMARY KEY, v INT)", "INSERT INTO {t} VALUES (1, 1)",
         "CREATE TABLE c_{t} (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES {t} (id) ON DELETE CASCADE)"],
        ["DELETE FROM {t}"],
        ["INSERT INTO c_{t} VALUES (1, 1)"],
    ),
    Conflict.CHECKS_WERE_OFF: (
        [KEYED, "INSERT INTO {t} VALUES (1, 'x', 10, 0)"],
        ["SET foreign_key_checks = OFF", "UPDATE {t} SET v = 17", "SET foreign_key_checks = ON"],
        [],
    ),
    Conflict.NO_PRIMARY_KEY: (
        ["CREATE TABLE {t} (v INT, n INT)", "INSERT INTO {t} VALUES (1, 1), (2, 2)"],
        ["BEGIN", "DELETE FROM {t} WHERE v = 1", "INSERT INTO {t} VALUES (3, 3)", "COMMIT"],
        [],
    ),
}  # fmt: skip
# What the rows are then, where they are neither the returning server's nor the other one's.
RESULTS = {
    (Conflict.UPDATE_DIFFERS, How.APPLY): [("1", "x", "17", "0"), ("1", "y", "12", "0")],
    (Conflict.UPDATE_DIFFERS, How.DELTA): [("1", "x", "19", "0"), ("1", "y", "12", "0")],
    (Conflict.INSERT_EXISTS, How.MAX): [("5", "X", "17", "0")],
    (Conflict.DELETE_DIFFERS, How.APPLY): [("1", "y", "12", "0")],
    (Conflict.NO_PRIMARY_KEY, How.SKIP): [("1", "1"), ("2", "2"), ("3", "3")],
}
RESULTS |= dict.fromkeys(
    [(Conflict.UPDATE_DIFFERS, how) for how in (How.LATEST_WINS, How.MAX)],
    RESULTS[Conflict.UPDATE_DIFFERS, How.APPLY],
)
STAYS = {(conflict, how) for conflict in Conflict for how in (How.QUARANTINE, How.DISCARD, How.SKIP, How.MIN)}


@pytest.mark.parametrize("conflict", CASES)
def test_each_policy_settles_what_it_may_and_nothing_else(two: Two, conflict: Conflict) -> None:
    """The whole table: every policy on a table of its own, in one merge."""
    assert set(CASES) == set(ALLOWED)
    tables, here, there = (
        [one.format(t=how.value) for how in How for one in statements] for statements in CASES[conflict]
    )
    two.alike(*tables)
    made = two.diverged(*here)
    two.new.do(*there)
    before = {how: two.rows(how.value) for how in How}
    policy = rules(**{how.value: TEXTS[how] for how in How})
    verdicts = merged(made, policy)
    files = {file["rows"][0]["table"].partition(".")[2]: file for file in made.files().values()}
    settled = allowed(conflict) - {How.QUARANTINE, How.DISCARD}
    for how in How:
        rows, file = two.rows(how.value), files[how.value]
        state = "by_policy" if how in settled else "discarded" if how is How.DISCARD else "open"
        assert (file["state"], file["why"]) == (state, conflict), how
        if how not in settled or ((conflict, how) in STAYS and (conflict, how) not in RESULTS):
            assert rows == before[how], how
        else:
            assert rows == RESULTS.get((conflict, how), two.rows(how.value, two.old)), how
        (row, *_) = file["rows"]
        of_the_whole = conflict is Conflict.CHECKS_WERE_OFF and how not in settled
        assert row["conflict"] == (None if of_the_whole else conflict)
        if how in settled:
            assert TEXTS[how] in (row["policy"] or file["detail"]) and (row["outcome"] or file["detail"])
        elif state == "open" and how is not How.QUARANTINE:
            assert f"{TEXTS[how]} of {SCHEMA}.{how.value} settles no {conflict}" in file["detail"]
    assert verdicts == {
        name: count
        for name, count in (
            ("by_policy", len(settled)), ("discarded", 1), ("quarantined", len(How) - len(settled) - 1)
        )
        if count
    }  # fmt: skip
    assert len(made.entries()) == verdicts["quarantined"]  # what a person has to decide, and nothing else
    at = two.new.executed()
    made.restart()
    assert (merged(made, policy), two.new.executed()) == (verdicts, at)


STOCK = "CREATE TABLE stock (id INT PRIMARY KEY, qty INT, changed DATETIME(3), note VARCHAR(20))"
SHELF = "INSERT INTO stock VALUES (1, 200, '2026-01-01 00:00:00.000', 'n')"


@pytest.fixture
def stock(two: Two) -> Two:
    two.alike(STOCK, SHELF)
    return two


def test_two_transactions_on_one_row_add_up(stock: Two) -> None:
    made = stock.diverged(
        "UPDATE stock SET qty = qty + 7", "UPDATE stock SET qty = qty + 3", "UPDATE stock SET note = 'm'"
    )
    stock.new.do("UPDATE stock SET qty = 150")
    assert merged(made, rules(stock="delta(qty)")) == {"by_policy": 3}
    assert stock.rows("stock") == [("1", "160", "2026-01-01 00:00:00.000", "m")]


def test_several_changes_of_one_transaction_are_one(stock: Two) -> None:
    made = stock.diverged("BEGIN", "UPDATE stock SET qty = 300", "UPDATE stock SET qty = 190", "COMMIT")
    stock.new.do("UPDATE stock SET qty = 150")
    assert merged(made, rules(stock="delta(qty)")) == {"by_policy": 1}
    assert stock.rows("stock")[0][1] == "140"


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [("00:00:01.500", "first"), ("00:00:02.500", "theirs"), ("00:00:03.500", "theirs")],
)
def test_of_two_transactions_on_one_row_the_latest_wins(stock: Two, theirs: str, expected: str) -> None:
    made = stock.diverged(
        "UPDATE stock SET qty = 1, changed = '2026-01-01 00:00:01.000', note = 'zero'",
        "UPDATE stock SET qty = 2, changed = '2026-01-01 00:00:02.000', note = 'first'",
    )
    stock.new.do(f"UPDATE stock SET qty = 9, changed = '2026-01-01 {theirs}', note = 'theirs'")
    assert merged(made, rules(stock="latest_wins(changed)")) == {"by_policy": 2}
    assert stock.rows("stock")[0][3] == expected
    outcomes = [file["rows"][0]["outcome"] for _, file in sorted(made.files().items())]
    assert outcomes == ["the primary's row stays", "applied" if expected == "first" else "the primary's row stays"]


def test_what_was_applied_is_what_the_next_one_expects(stock: Two) -> None:
    made = stock.diverged(
        "UPDATE stock SET qty = 1, changed = '2026-01-01 00:00:03'", "UPDATE stock SET qty = 2, note = 'next'"
    )
    stock.new.do("UPDATE stock SET qty = 9, changed = '2026-01-01 00:00:02'")
    assert merged(made, rules(stock="latest_wins(changed)")) == {"by_policy": 1, "merged": 1}
    assert stock.rows("stock") == stock.rows("stock", stock.old)


@pytest.mark.parametrize(
    ("column", "policy", "base", "ours", "theirs", "expected"),
    [
        ("DECIMAL(30,10)", "max", "1.5", "10.0000000001", "9.9999999999", "10.0000000001"),
        ("DECIMAL(30,10)", "delta", "0.1", "0.3", "99999999999999999999.1", "99999999999999999999.3000000000"),
        ("BIGINT UNSIGNED", "max", "1", "18446744073709551615", "9223372036854775808", "18446744073709551615"),
        ("BIGINT UNSIGNED", "delta", "18446744073709551615", "18446744073709551610", "10", "5"),
        ("BIGINT UNSIGNED", "delta", "0", "9223372036854775808", "1", "9223372036854775809"),
        ("BIGINT", "delta", "-9223372036854775808", "9223372036854775807", "-9223372036854775807", None),  # one more
        ("INT UNSIGNED", "delta", "10", "3", "5", None),  # below zero, which the server would cut to 0
        ("TINYINT", "delta", "0", "100", "90", None),
        ("DATETIME(6)", "max", "'2026-01-01'", "'2026-01-01 00:00:00.000002'", "'2026-01-01 00:00:00.000001'",
         "2026-01-01 00:00:00.000002"),
        ("TIME(3)", "min", "'0:0:1'", "'-100:00:00.001'", "'-99:59:59.999'", "-100:00:00.001"),
        ("TIMESTAMP(6)", "max", "'2026-01-01'", "'2026-01-02 03:04:05.5'", "'2026-01-02'",
         "2026-01-02 03:04:05.500000"),
        ("DATE", "min", "'2026-01-01'", "'0000-00-00'", "'2025-01-01'", "0000-00-00"),
        ("YEAR", "max", "2000", "2026", "2025", "2026"),
        ("FLOAT", "max", "0", "0.1", "0.099999", "0.1"),
        ("DOUBLE", "delta", "0.5", "0.75", "1e300", "1e300"),
        ("DOUBLE", "max", "0", "1.7976931348623157e308", "1.7976931348623155e308", "1.7976931348623157e308"),
        ("ENUM('new', 'paid', 'late')", "max", "'new'", "'late'", "'paid'", "late"),  # by the order of the labels
        ("SET('a', 'b', 'c')", "max", "''", "'c'", "'a,b'", "c"),
        ("BIT(9)", "max", "0", "b'100000000'", "b'011111111'", "256"),
        ("VARCHAR(9) COLLATE utf8mb4_0900_ai_ci", "max", "'a'", "'É'", "'f'", "f"),
        ("VARCHAR(9) COLLATE utf8mb4_bin", "max", "'a'", "'É'", "'f'", "É"),
        ("VARCHAR(9) COLLATE latin1_german1_ci", "min", "'a'", "'Ö'", "'z'", "Ö"),
        ("VARBINARY(9)", "max", "''", "x'ff00'", "x'ff'", "0xff00"),
        ("TEXT", "max", "'a'", "REPEAT('x', 300)", "'b'", "x" * 300),
        ("INT", "max", "1", "NULL", "2", None),
        ("INT", "max", "1", "2", "NULL", None),
        ("INT", "delta", "NULL", "2", "3", None),
        ("INT", "delta", "1", "2", "NULL", None),
        ("VARCHAR(9)", "delta", "'1'", "'2'", "'3'", None),
        ("JSON", "max", "'1'", "'2'", "'3'", None),
    ],
)  # fmt: skip
def test_the_server_compares_and_adds(
    two: Two, column: str, policy: str, base: str, ours: str, theirs: str, expected: str | None
) -> None:
    two.alike(f"CREATE TABLE t (id INT PRIMARY KEY, v {column}, n INT)", f"INSERT INTO t VALUES (1, {base}, 0)")
    made = two.diverged(f"UPDATE t SET v = {ours}")
    two.new.do(f"UPDATE t SET v = {theirs}")
    before = shown(two)
    verdict = "quarantined" if expected is None else "by_policy"
    assert merged(made, rules(t=f"{policy}(v)")) == {verdict: 1}
    assert shown(two) == (before if expected is None else expected)


def shown(two: Two) -> str | None:
    """Of its one row, exactly."""
    kind = two.new.ask(f"SELECT data_type FROM information_schema.columns WHERE table_schema = '{SCHEMA}'"
                       " AND table_name = 't' AND column_name = 'v'")[0][0]  # fmt: skip
    read = {"bit": "v + 0", "varbinary": "CONCAT('0x', LOWER(HEX(v)))"}.get(str(kind), "v")
    (row,) = two.new.ask(f"SELECT CAST({read} AS CHAR) FROM {SCHEMA}.t")
    value: str | None = row[0]
    return value


@pytest.mark.parametrize("policy", ["max(v)", "latest_wins(v)"])
def test_a_float_is_compared_as_the_number_that_it_is(two: Two, policy: str) -> None:
    two.alike("CREATE TABLE t (id INT PRIMARY KEY, v FLOAT, n INT)", "INSERT INTO t VALUES (1, 0, 0)")
    made = two.diverged("UPDATE t SET v = 16777218")
    two.new.do("UPDATE t SET v = 16777216, n = 1")
    assert merged(made, rules(t=policy)) == {"by_policy": 1}
    assert two.new.ask(f"SELECT v + 0E0 FROM {SCHEMA}.t") == [("16777218",)]


def test_neither_row_is_later(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 1")
    stock.new.do("UPDATE stock SET qty = 2")
    assert merged(made, rules(stock="latest_wins(changed)")) == {"quarantined": 1}
    assert one_file(made)["detail"] == "latest_wins(changed): changed is the same in both rows"


def test_a_column_that_is_not_there_settles_nothing(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 1")
    stock.new.do("UPDATE stock SET qty = 2")
    assert merged(made, rules(stock="latest_wins(newer)")) == {"quarantined": 1}
    assert one_file(made)["detail"] == f"{SCHEMA}.stock has no column newer"


def test_a_column_that_no_policy_speaks_of_is_taken_over_where_the_primary_left_it_alone(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207, note = 'ours'")
    stock.new.do("UPDATE stock SET qty = 150")
    assert merged(made, rules(stock="delta(qty)")) == {"by_policy": 1}
    assert stock.rows("stock") == [("1", "157", "2026-01-01 00:00:00.000", "ours")]
    assert one_file(made)["rows"][0]["outcome"] == "set qty, note"


def test_and_is_for_a_person_where_it_did_not(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207, note = 'ours'")
    stock.new.do("UPDATE stock SET qty = 150, note = 'theirs'")
    before = stock.rows("stock")
    assert merged(made, rules(stock="delta(qty)")) == {"quarantined": 1}
    assert stock.rows("stock") == before
    assert "says nothing of note" in one_file(made)["detail"]


def test_columns_go_by_their_own_policies(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207, changed = '2026-01-01 00:00:02', note = 'ours'")
    stock.new.do("UPDATE stock SET qty = 150, changed = '2026-01-01 00:00:01', note = 'theirs'")
    policy = MergePolicy(tables=(
        TableRule("shop.stock", policy="skip"),
        TableRule("shop.stock.qty", policy="delta(qty)"),
        TableRule("shop.stock.Changed", policy="max(changed)"),
    ))  # fmt: skip
    assert merged(made, policy) == {"by_policy": 1}
    assert stock.rows("stock") == [("1", "157", "2026-01-01 00:00:02.000", "theirs")]


def test_a_column_that_changes_by_itself_does_not(two: Two) -> None:
    two.alike(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT, at TIMESTAMP(6) NULL DEFAULT NULL ON UPDATE CURRENT_TIMESTAMP(6),"
        " twice INT AS (v * 2) STORED)",
        "INSERT INTO t (id, v, at) VALUES (1, 10, '2026-01-01')",
    )
    made = two.diverged("UPDATE t SET v = 17, at = at")
    two.new.do("UPDATE t SET v = 12, at = '2026-01-03'")
    assert merged(made, rules(t="delta(v)")) == {"by_policy": 1}
    assert two.rows("t") == [("1", "19", "2026-01-03 00:00:00.000000", "38")]


def test_triggers_are_not_fired_and_what_would_fire_them_is_refused(two: Two) -> None:
    two.alike(
        "CREATE TABLE seen (n INT AUTO_INCREMENT PRIMARY KEY)",
        *(f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT)" for name in ("summed", "taken")),
        *(
            f"CREATE TRIGGER {name}_{when} AFTER {when} ON {name} FOR EACH ROW INSERT INTO seen VALUES (NULL)"
            for name in ("summed", "taken") for when in ("UPDATE", "INSERT", "DELETE")
        ),
        *(f"INSERT INTO {name} VALUES (1, 10), (2, 10), (3, 10)" for name in ("summed", "taken")),
        "TRUNCATE seen",
    )  # fmt: skip
    # On the returning server they fire; their rows are in its log, and merged as what they are.
    made = two.diverged("UPDATE summed SET v = 17 WHERE id = 1", "UPDATE taken SET v = 17 WHERE id = 1",
                        "DELETE FROM taken WHERE id = 2", "UPDATE taken SET v = 18 WHERE id = 3")  # fmt: skip
    for name in ("summed", "taken"):
        two.new.do(f"UPDATE {name} SET v = 12", "DELETE FROM taken WHERE id = 3")
    two.new.do("TRUNCATE seen")
    assert merged(made, rules(summed="delta(v)", taken="apply")) == {"quarantined": 1, "by_policy": 3}
    kept = made.files()[str(made.entries()[0][0])]
    assert f"{SCHEMA}.summed: it has triggers on UPDATE, which would fire" in kept["detail"]
    assert two.rows("taken") == [("1", "17"), ("3", "18")]
    assert len(two.rows("seen")) == 3  # one of each transaction that was merged, by the errant rows themselves


def test_an_account_that_may_not_see_triggers_adds_nothing(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207")
    stock.new.do("UPDATE stock SET qty = 150", f"REVOKE TRIGGER ON {SCHEMA}.* FROM kembar_rejoin@localhost")
    try:
        assert merged(made, rules(stock="delta(qty)")) == {"quarantined": 1}
    finally:
        stock.new.do(f"GRANT TRIGGER ON {SCHEMA}.* TO kembar_rejoin@localhost")
    assert f"GRANT TRIGGER ON {SCHEMA}.*" in one_file(made)["detail"]


FAMILY = (
    "CREATE TABLE parent (id INT PRIMARY KEY, code INT UNIQUE, v INT)",
    "CREATE TABLE child (id INT PRIMARY KEY, code INT, v INT,"
    " FOREIGN KEY (code) REFERENCES parent (code) ON DELETE CASCADE ON UPDATE CASCADE)",
    "INSERT INTO parent VALUES (1, 10, 0), (2, 20, 0)",
)


@pytest.mark.parametrize("change", ["DELETE FROM parent WHERE id = 1", "UPDATE parent SET code = 11 WHERE id = 1"])
def test_no_policy_takes_newer_children_with_their_parent(two: Two, change: str) -> None:
    two.alike(*FAMILY)
    made = two.diverged(change)
    two.new.do("UPDATE parent SET v = 5", "INSERT INTO child VALUES (7, 10, 0)")
    before = two.rows("parent"), two.rows("child")
    assert merged(made, rules(parent="apply", child="apply")) == {"quarantined": 1}
    assert made.reasons() == ["fk_children_exist"]
    assert (two.rows("parent"), two.rows("child")) == before


def test_a_parent_with_children_is_changed_where_they_do_not_refer_to(two: Two) -> None:
    two.alike(*FAMILY)
    made = two.diverged("UPDATE parent SET v = 7 WHERE id = 1")
    two.new.do("UPDATE parent SET v = 5", "INSERT INTO child VALUES (7, 10, 0)")
    assert merged(made, rules(parent="apply")) == {"by_policy": 1}
    assert two.rows("parent") == [("1", "10", "7"), ("2", "20", "5")]
    assert two.rows("child") == [("7", "10", "0")]


def test_a_parent_is_there_again_before_its_child(two: Two) -> None:
    two.alike(*FAMILY)
    made = two.diverged(
        "BEGIN", "UPDATE parent SET v = 9 WHERE id = 1", "INSERT INTO child VALUES (7, 10, 0)", "COMMIT"
    )
    two.new.do("DELETE FROM parent WHERE id = 1")
    assert merged(made, rules(parent="apply")) == {"by_policy": 1}
    assert two.rows("parent") == [("1", "10", "9"), ("2", "20", "0")] and two.rows("child") == [("7", "10", "0")]


def test_of_a_statement_of_many_rows_only_those_that_are_refused_are_skipped(two: Two) -> None:
    two.alike("CREATE TABLE t (id INT PRIMARY KEY, u INT UNIQUE)")
    made = two.diverged("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)", "UPDATE t SET u = u + 10")
    two.new.do("INSERT INTO t VALUES (20, 2), (40, 4), (50, 15)")
    assert merged(made, rules(t="skip")) == {"by_policy": 2}
    first, second = (file for _, file in sorted(made.files().items()))
    assert [(row["key"], row["conflict"]) for row in first["rows"]] == [
        ("`id` = 2", "unique_exists"), ("`id` = 4", "unique_exists")
    ]  # fmt: skip
    assert {row["key"]: row["conflict"] for row in second["rows"]} == {
        "`id` = 2": "update_missing", "`id` = 4": "update_missing", "`id` = 5": "unique_exists"
    }  # fmt: skip
    assert two.rows("t") == [("1", "11"), ("20", "2"), ("3", "13"), ("40", "4"), ("5", "5"), ("50", "15")]


def test_what_a_policy_discards_holds_back_what_builds_on_it(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207", "UPDATE stock SET qty = 210")
    stock.new.do("UPDATE stock SET qty = 150")
    policy = rules(stock="discard")
    expected = {"discarded": 1, "quarantined": 1}
    assert merged(made, policy) == expected
    assert made.reasons() == ["depends_on_quarantined"]
    made.restart()
    assert merged(made, policy) == expected
    assert stock.rows("stock")[0][1] == "150"


@pytest.mark.parametrize(
    "policy",
    [
        MergePolicy(tables=(TableRule("shop.*", always_quarantine=True), TableRule("shop.stock", policy="apply"))),
        MergePolicy(merge=Merged.OFF),
    ],
)
def test_what_is_always_for_a_person(stock: Two, policy: MergePolicy) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207", HEARTBEAT)
    assert merged(made, policy) == {"quarantined": 1, "discarded": 1}
    assert made.reasons() == ["always_quarantine"]
    assert stock.rows("stock")[0][1] == "200"


HEARTBEAT = "INSERT INTO kembar.heartbeat VALUES ('db-p', 1, NOW(6)) ON DUPLICATE KEY UPDATE n = n + 1"


def test_nothing_of_the_servers_own_schemas_is_merged(two: Two) -> None:
    made = two.diverged("INSERT INTO mysql.time_zone VALUES (NULL, 'N')")
    assert merged(made, MergePolicy()) == {"quarantined": 1}
    ((_, why, _, _),) = made.entries()
    assert why in ("always_quarantine", "schema_differs")  # what the account may not see seems not to be there
    assert two.new.ask("SELECT COUNT(*) FROM mysql.time_zone") == [("0",)]


def test_a_heartbeat_beside_other_rows_is_left_as_it_is(stock: Two) -> None:
    made = stock.diverged("BEGIN", HEARTBEAT, "UPDATE stock SET qty = 207", "COMMIT")
    stock.new.do(HEARTBEAT)
    before = stock.new.ask("SELECT * FROM kembar.heartbeat WHERE node = 'db-p'")
    assert merged(made, MergePolicy()) == {"merged": 1}
    assert stock.new.ask("SELECT * FROM kembar.heartbeat WHERE node = 'db-p'") == before
    assert stock.rows("stock")[0][1] == "207"


def test_too_many_quarantined_ones_stop_the_merge_until_it_is_approved(two: Two) -> None:
    two.alike("CREATE TABLE t (id INT PRIMARY KEY, v INT)",
              "INSERT INTO t VALUES " + ", ".join(f"({n}, 0)" for n in range(30)))  # fmt: skip
    made = two.diverged(*(f"UPDATE t SET v = 1 WHERE id = {n}" for n in range(30)))
    two.new.do("UPDATE t SET v = 2 WHERE id < 3")
    made.merger.work(made.record, GtidSet())
    facts = made.merger.facts
    assert (facts.done, facts.refusal) == (False, "3 of 20 transactions are quarantined, more than 10 %")
    assert sum(facts.verdicts.values()) == 20
    made.restart()
    made.merger.work(made.record, GtidSet())
    assert made.merger.facts.refusal == facts.refusal  # nothing more was merged
    assert sum(int(row[1]) == 1 for row in two.rows("t")) == 17
    made.record = replace(made.record, approved=True)
    assert made.merge() == {"merged": 27, "quarantined": 3}


def test_what_nobody_was_told_is_merged_where_that_is_wanted_and_one_return_keeps_to_it(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207", "UPDATE stock SET qty = 210", acknowledged=False)
    answers = iter([True, False])
    made.serves = lambda: next(answers)
    made.policy = MergePolicy(unacknowledged=Unacknowledged.MERGE)
    with pytest.raises(StepFailed, match="no longer serves"):
        made.merge()
    made.serves = lambda: True
    made.restart()
    assert merged(made, MergePolicy()) == {"merged": 2}


def test_nothing_is_merged_by_a_policy_that_cannot_be_read(stock: Two) -> None:
    made = stock.diverged("UPDATE stock SET qty = 207")
    made.policy = None
    with pytest.raises(StepFailed, match="policy cannot be read"):
        made.merge()
    assert stock.rows("stock")[0][1] == "200"


class Held:
    """A session whose commit is heard of by nobody, and happens once another session wants the number."""

    def __init__(self, session: Session, waiting: list[Session]) -> None:
        self._session, self._waiting = session, waiting

    def ask(self, sql: str, arguments: Sequence[object] = (), *, within_s: float | None) -> tuple[Row, ...]:
        if sql == "COMMIT" and not self._waiting:
            self._waiting.append(self._session)
        if self._session in self._waiting:
            raise DatabaseUnavailable("the connection is lost")
        if sql == "SET SESSION gtid_next = %s":
            for waiting in self._waiting:
                waiting.ask("COMMIT", within_s=within_s)
        return self._session.ask(sql, arguments, within_s=within_s)

    def close(self) -> None:
        if self._session not in self._waiting:
            self._session.close()


def test_what_a_policy_did_is_still_known_if_its_commit_was_late(stock: Two) -> None:
    made, waiting = stock.diverged("UPDATE stock SET qty = 207"), list[Session]()
    made.policy = rules(stock="apply")
    stock.new.do("UPDATE stock SET qty = 150")
    made.merger = Merger(
        made.home / "new", made._fetch, lambda: Held(rejoin_session(stock.new), waiting), lambda: True,
        lambda: made.policy,
    )  # fmt: skip
    with pytest.raises(DatabaseUnavailable):
        made.merge()
    with pytest.raises(StepFailed, match="executed meanwhile"):
        made.merge()
    made.restart()
    assert made.merge() == {"by_policy": 1}
    assert one_file(made)["rows"][0]["primary"]["qty"] == "150"
    waiting[0].close()


def test_a_partition_and_a_key_of_bytes_are_found_by_the_key_alone(two: Two) -> None:
    two.alike(
        "CREATE TABLE t (k BINARY(4), d DATE, v INT, PRIMARY KEY (k, d)) PARTITION BY RANGE COLUMNS (d)"
        " (PARTITION a VALUES LESS THAN ('2026-02-01'), PARTITION b VALUES LESS THAN (MAXVALUE))",
        "INSERT INTO t VALUES (x'00ff', '2026-01-01', 1), (x'01', '2026-03-01', 1), (x'02', '2026-03-01', 1)",
    )
    made = two.diverged("UPDATE t SET v = 5 WHERE k <> x'02000000'", "DELETE FROM t WHERE k = x'02000000'")
    two.new.do("UPDATE t SET v = 3 WHERE d < '2026-02-01'", "DELETE FROM t WHERE d > '2026-02-01' AND v = 1",
               "INSERT INTO t VALUES (x'02', '2026-03-01', 8)")  # fmt: skip
    assert merged(made, rules(t="apply")) == {"by_policy": 2}
    assert two.new.ask(f"SELECT HEX(k), v FROM {SCHEMA}.t ORDER BY k") == [("00FF0000", "5"), ("01000000", "5")]
    assert two.rows("t") == two.rows("t", two.old)


def test_nothing_that_the_primary_changed_is_changed_unnamed(two: Two) -> None:
    """Random changes on both sides under random policies: the one promise that no policy may break."""
    chance = random.Random(4)
    names = [f"r{n}" for n in range(len(How))]
    filled = ", ".join(f"({n}, 10, 10)" for n in range(12))
    two.alike(
        *(f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT, w INT)" for name in names),
        *(f"INSERT INTO {name} VALUES {filled}" for name in names),
    )

    def statement() -> str:
        table, key, column = chance.choice(names), chance.randrange(16), chance.choice("vw")
        return chance.choice((
            f"UPDATE {table} SET {column} = {column} + {chance.randrange(1, 9)} WHERE id = {key}",
            f"DELETE FROM {table} WHERE id = {key}",
            f"REPLACE INTO {table} VALUES ({key}, {chance.randrange(9)}, {chance.randrange(9)})",
        ))  # fmt: skip

    base = {name: dict_of(two, name) for name in names}
    here = [one for _ in range(60) for one in ("BEGIN", statement(), statement(), "COMMIT")]
    made = two.diverged(*here)
    two.new.do(*(statement() for _ in range(60)))
    before = {name: dict_of(two, name) for name in names}
    policy = rules(**{name: TEXTS[how] for name, how in zip(names, How, strict=True)})
    verdicts = merged(made, replace(policy, limits=Limits(quarantine_percent=100)))
    assert {"by_policy", "merged", "quarantined"} <= set(verdicts)
    files = made.files().values()
    named = {(row["table"].partition(".")[2], row["key"]) for file in files if file["state"] == "by_policy"
             for row in file["rows"] if row["policy"] and row["outcome"]}  # fmt: skip
    changed_unnamed = []
    for name in names:
        after = dict_of(two, name)
        for key in set(base[name]) | set(before[name]) | set(after):
            theirs, now = before[name].get(key), after.get(key)
            if base[name].get(key) != theirs and now != theirs and (name, f"`id` = {key}") not in named:
                changed_unnamed.append((name, key, base[name].get(key), theirs, now))
    assert changed_unnamed == []


def dict_of(two: Two, name: str) -> dict[str, tuple[Any, ...]]:
    return {row[0]: row for row in two.rows(name)}
