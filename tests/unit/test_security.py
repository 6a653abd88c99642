"""docs/security.md speaks of the accounts, capabilities and units that there are, and of no others."""

from __future__ import annotations

from pathlib import Path

from tests.security.document import of_zookeeper, rows, table
from tests.security.ensemble import rights
from tests.security.granted import grants
from tests.security.units import AGENT, UNITS, capabilities

DOCUMENT = (Path(__file__).parents[2] / "docs/security.md").read_text()


def test_every_privilege_of_every_account_was_taken_away_and_missed():
    told = {(row[0], row[1]): row[2:] for row in rows(DOCUMENT, "account")}
    assert set(told) == {(one.user, one.named) for one in grants()}, "make security"
    assert all(all(cells) for cells in told.values())


def test_every_capability_was_taken_away_and_missed():
    told = {(row[0], row[1]): row[2:] for row in rows(DOCUMENT, "unit") if len(row) > 2}
    assert set(told) == {("kembar-agent", one) for one in capabilities(AGENT)}, "make security"
    assert all(all(cells) for cells in told.values())
    assert [capabilities(unit) for unit in UNITS if unit != AGENT] == [(), ()]


def test_every_unit_has_its_exposure():
    told = {row[0]: float(row[1]) for row in rows(DOCUMENT, "unit") if len(row) == 2}
    assert set(told) == set(UNITS), "make security"
    assert all(0 < level < 5 for level in told.values())


def test_no_account_has_what_reaches_beyond_its_work():
    privileges = {one.privilege for one in grants()}
    assert not privileges & {"SUPER", "GRANT OPTION", "ALL PRIVILEGES", "FILE", "SHUTDOWN", "CREATE USER"}
    assert [one.privilege for one in grants() if one.user == "kembar_repl"] == ["REPLICATION SLAVE"]


def test_a_table_is_read_back_as_it_was_printed():
    said = "2026-11-26T18:05:10.432Z INFO kembar.agent: a | b: /tmp/x/y.sock: no cluster=shop node=db-a epoch=3"
    text = f"# x\n\n{table(('account', 'said'), [('one', said), ('two', 'c')])}\n{table(('unit', 'x'), [('u', 'v')])}"
    assert rows(text, "account") == [["one", "a \\| b: y.sock: no"], ["two", "c"]]
    assert rows(text, "unit") == [["u", "v"]]


def test_the_rights_at_each_path_are_those_that_are_put_in_force():
    assert DOCUMENT.endswith(of_zookeeper(rights())), "make security"
