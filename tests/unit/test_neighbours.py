"""Who answers for an address, from the table of a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitoring.neighbours import ASK_EVERY_S, Neighbours, answerer

HEAD = "IP address       HW type     Flags       HW address            Mask     Device\n"


def row(address: str, flags: str = "0x2", hardware: str = "02:00:00:00:00:0A") -> str:
    return f"{address:<16} 0x1         {flags}         {hardware}     *        eth0\n"


TABLES = {
    "it answered": (HEAD + row("192.0.2.9") + row("192.0.2.100", hardware="02:00:00:00:00:0B"), "02:00:00:00:00:0b"),
    "another address": (HEAD + row("192.0.2.10"), ""),
    "nobody answered": (HEAD + row("192.0.2.100", "0x0", "00:00:00:00:00:00"), ""),
    "an old answer that is given up": (HEAD + row("192.0.2.100", "0x0"), ""),
    "nothing": (HEAD, ""),
}


@pytest.mark.parametrize(("table", "found"), TABLES.values(), ids=TABLES)
def test_only_who_answered_is_named(table, found):
    assert answerer(table, "192.0.2.100") == found


def test_the_table_is_read_again_after_a_while(tmp_path):
    now, table = [0.0], tmp_path / "arp"
    table.write_text(HEAD + row("127.0.0.2"))
    neighbours = Neighbours(lambda: now[0], table)
    assert neighbours.hardware("127.0.0.2") == "02:00:00:00:00:0a"
    table.write_text(HEAD + row("127.0.0.2", hardware="02:00:00:00:00:0c"))
    assert neighbours.hardware("127.0.0.2") == "02:00:00:00:00:0a"
    now[0] += ASK_EVERY_S
    assert neighbours.hardware("127.0.0.2") == "02:00:00:00:00:0c"


def test_a_host_that_has_the_address_itself_says_nothing(tmp_path):
    """Its table keeps who had it before."""
    table = tmp_path / "arp"
    table.write_text(HEAD + row("127.0.0.1"))
    assert Neighbours(lambda: 0.0, table).hardware("127.0.0.1") == ""


def test_where_there_is_no_table_nobody_is_named(tmp_path):
    assert Neighbours(lambda: 0.0, tmp_path / "none").hardware("127.0.0.2") == ""


def test_the_table_of_this_kernel_can_be_read():
    assert answerer(Path("/proc/net/arp").read_text("ascii"), "127.0.0.2") == ""
