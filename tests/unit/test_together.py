"""Many rows in one statement: each has its time, and each its answer."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agents.binlog.table import Table
from agents.reconcile.together import LOCK_S, STATEMENT_S, TOGETHER, Sought, texts_of

TABLE = Table(1, "shop", "t", (), (), key_of_parts=False, named=True)


class Session:
    """Answers for every second row, and remembers how long each statement might take."""

    def __init__(self) -> None:
        self.within_s: list[float] = []

    def ask(self, sql: str, arguments: object = (), *, within_s: float) -> list[dict[str, str]]:
        self.within_s.append(within_s)
        return [{"n": str(n), "row_text": f"{n:02x}"} for n in range(0, sql.count("SELECT"), 2)]


@pytest.mark.parametrize(("lock", "each_s"), [("FOR UPDATE", LOCK_S), ("", 0.0)])
def test_a_statement_outlasts_the_waits_for_all_its_locks(lock, each_s):
    """Each row may be held for as long as the server waits: it gives up, by a number that is tried again."""
    session = Session()
    found = list(texts_of(cast(Any, session), [Sought(TABLE, f"id = {n}", "id") for n in range(TOGETHER + 3)], lock))
    assert session.within_s == [STATEMENT_S + each_s * TOGETHER, STATEMENT_S + each_s * 3]
    assert found[:3] == ["00", None, "02"] and found[TOGETHER:] == ["00", None, "02"]


def test_nobody_is_asked_for_rows_that_nobody_seeks():
    session = Session()
    assert list(texts_of(cast(Any, session), [None, None])) == [None, None] and not session.within_s
