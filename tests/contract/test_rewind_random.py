"""Any transactions on any tables come back, and every image on the way is the row that the server has.

`make rewind RUNS=n` plays n random stories; a test run plays few, always the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pymysql
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from agents.binlog.images import Image, RowChange, row_comparison
from agents.binlog.rewind import rewind
from agents.binlog.undo import Undo
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.gtid import GtidSet
from tests.contract.rewinding import Undoer, changes_since, undoer
from tests.contract.schemas import Made, Story, stories
from tests.contract.test_rewind import Cut, lost

pytestmark = pytest.mark.lab
RUNS = int(os.environ.get("KEMBAR_REWIND_RUNS", "0"))
Net = dict[tuple[str, str], tuple[Image | None, Image | None]]


@pytest.fixture(scope="module")
def on() -> Iterator[Undoer]:
    with undoer() as made:
        yield made


@given(story=stories())
@settings(
    max_examples=RUNS or 15,
    derandomize=not RUNS,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if RUNS else [])],
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
)
def test_any_story_comes_back(on: Undoer, story: Story) -> None:
    on.made(*(one.definition for one in story.tables), *story.triggers)
    attempt(on, story.rows)
    before, tables, sums = on.executed(), on.dump(), on.checksums()
    attempt(on, story.work)
    after = on.executed()
    net = net_of(changes_since(on, before), story.tables)
    for (name, condition), (_, last) in net.items():
        assert there(on, name, condition, last) == (None if last is None else last.compared()), (name, condition)
    undone_in_two(on, before_work=before, lost_at=story.lost_at)
    assert on.dump() == tables
    assert on.checksums() == sums
    assert on.executed() == after
    for (name, condition), (first, _) in net.items():
        assert there(on, name, condition, first) == (None if first is None else first.compared()), (name, condition)


def attempt(on: Undoer, statements: tuple[str, ...]) -> None:
    """Statements that may be refused: a duplicate, a value that does not fit."""
    for statement in statements:
        with suppress(pymysql.Error):
            on.do(statement)


def net_of(changes: list[RowChange], tables: tuple[Made, ...]) -> Net:
    """Table and condition of each key that was touched -> the row before all changes and after them.

    Without what a partial change of JSON leaves unknown.
    """
    keyed = {one.name for one in tables if one.keyed}
    net: Net = {}
    for change in changes:
        if change.table.name not in keyed:
            continue
        for image, is_after in ((change.before, False), (change.after, True)):
            if image is not None:
                condition = image.condition()
                assert condition is not None
                first, _ = net.get((change.table.name, condition), (None if is_after else image, None))
                net[change.table.name, condition] = first, image if is_after else None
    return {place: pair for place, pair in net.items() if not any(image and image.unknown for image in pair)}


def there(on: Undoer, name: str, condition: str, like: Image | None) -> bytes | None:
    """The row of that key as the server compares it."""
    text = "'there'" if like is None else row_comparison(like.table)
    rows = on.ask(f"SELECT {text} FROM {name} WHERE {condition}")
    assert len(rows) <= 1
    value = rows[0][0] if rows else None
    return value.encode() if isinstance(value, str) else value


def undone_in_two(on: Undoer, *, before_work: GtidSet, lost_at: int) -> None:
    """The agent is lost at some statement, and begins again."""
    if not on.executed() - before_work:
        return
    planned = on.plan(before_work)
    assert isinstance(planned, Undo), str(planned)
    with on.fenced():
        refused = on.refusal(before_work)
        assert refused is None, str(refused)
        with suppress(DatabaseUnavailable):
            list(rewind(Cut(on.session, lost_at, lost, after=False), 7, planned, together=2))
        *_, last = rewind(on.session, 7, planned)
        assert last.done == last.total == len(planned.places)
