"""Rows about what must be refused: copied identity, missing plugin, foreign replicas, addresses used twice."""

from __future__ import annotations

import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import faults, processes
from lab.matrix.row import Priority, Row
from lab.matrix.statements import until_variable
from lab.matrix.trial import Trial
from lab.sessions import Session
from lab.stand import KEMBAR
from lab.topology import Node

COM_BINLOG_DUMP_GTID = 0x1E
STRANGER = 99  # its server id


def same_server_uuid(t: Trial) -> None:
    mine, others = (t.stand.files.instance(node).datadir / "auto.cnf" for node in (t.standby, t.primary))
    _rewritten(t, t.standby, mine, lambda text: others.read_text(), "server_uuid")


def plugin_missing(t: Trial) -> None:
    def without(text: str) -> str:
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if "semisync_source" not in line and "rpl_semi_sync_source" not in line)

    _rewritten(t, t.standby, t.stand.files.node(t.standby) / "my.cnf", without, "load the plugin")


def source_side_on_the_standby(t: Trial) -> None:
    """Its applier waits for an acknowledgement that nobody sends: switched off, by SIGKILL if it waits already."""
    with t.administrator(t.standby).cursor() as cursor:
        t.struck = time.monotonic()
        cursor.execute("SET GLOBAL rpl_semi_sync_source_enabled = ON")
    until_variable(t, t.standby, "rpl_semi_sync_source_enabled", "OFF")
    t.writes_go_on()
    t.unmoved()


def third_replica(t: Trial) -> None:
    """A stranger that acknowledges for the standby: what it acknowledged is on no node that may take over."""
    t.struck = time.monotonic()
    stranger = t.replicator()
    _dump(stranger)
    t.await_rule("U3")
    withdrawn = t.last()["seq"]
    shown = t.until(lambda shown: shown["seq"] >= withdrawn, "no orchestrator has seen it")
    t.note(f"semi-sync of {t.primary.name}: {t.row(t.primary, shown)['semi_sync']}")

    def uncertified() -> bool:
        """As one shows it who has seen as much as we have."""
        shown = t.view()
        return shown["seq"] < withdrawn or not t.row(t.standby, shown)["promotable"]

    t.stays(uncertified, 2.0, "certified beside a stranger")
    t.writes_go_on()
    stranger._force_close()  # type: ignore[attr-defined] # it would wait for the end of the stream
    t.await_rule("U2")
    t.unmoved()


def wrong_interface(t: Trial) -> None:
    """The standby's agent is started with an interface that its host does not have."""
    config = t.stand.files.agent_config(t.standby)
    wrong = t.file("wrong-interface.yaml")
    text = config.read_text().replace("interface: eth0", "interface: eth9")
    wrong.write_text(text.replace(str(t.stand.files.node(t.standby) / "state"), str(t.file("state"))))
    t.struck = time.monotonic()
    t.stand.spawn("stray-agent", t.standby, [*KEMBAR, "agent", "-c", str(wrong)])
    t.undo.callback(processes.kill, t.stand.files.root, "stray-agent", signal.SIGTERM)
    t.await_ended("stray-agent")
    said = t.stand.files.log("stray-agent").read_text().strip()
    t.note(said[-120:])
    t.check("eth9" in said, f"it ended without a word of the interface: {said[-300:]}")
    t.writes_go_on()
    t.unmoved()


def one_address_in_two_clusters(t: Trial) -> None:
    """Within one orchestrator its configuration is refused with the place; on the network the agents ask, row 30."""
    config = t.stand.files.orchestrator_config(t.stand.topology.node("witness")).read_text()
    head, section = config.split("clusters:\n")
    cluster, rest = section[: section.index("tokens_file")], section[section.index("tokens_file") :]
    twice = t.file("two-clusters.yaml")
    twice.write_text(f"{head}clusters:\n{cluster}{cluster.replace('name: shop', 'name: second', 1)}{rest}")
    t.struck = time.monotonic()
    status, said = t.kembar("config", "validate", str(twice))
    t.note(str(said["problems"][0]).rpartition("/")[2] if isinstance(said, dict) and said["problems"] else "no problem")
    t.check(status == 1 and "is the VIP of" in str(said), f"not refused for its VIP: {status}, {said}")
    t.writes_go_on()
    t.unmoved()


def _rewritten(t: Trial, node: Node, file: Path, change: Callable[[str], str], said: str) -> None:
    """mysqld starts with a changed file: refused by name, not promotable, left as it is; then with the old one."""
    before = file.read_text()
    with _restored(t, node, file, before):
        file.write_text(change(before))
        t.strike("mysqld-crash", node)
        shown = t.until(
            lambda shown: any(said in one for one in t.row(node, shown)["refusals"]),
            f"not refused for {said}",
        )
        t.note(next(one for one in t.row(node, shown)["refusals"] if said in one))
        t.check(not t.row(node, shown)["promotable"], "what is refused is promotable")
        t.writes_go_on()
        t.strike("mysqld-crash", t.primary)
        t.writes_go_on()
        t.check(t.last()["primary"] == t.primary.name, "what is refused was promoted")


@contextmanager
def _restored(t: Trial, node: Node, file: Path, text: str) -> Iterator[None]:
    try:
        yield
    finally:
        file.write_text(text)
        t.signal(faults.mysqld_process(t.stand, node), signal.SIGKILL, f"mysqld of {node.name}")


def _dump(session: Session) -> None:
    """Ask for the binary log as a semi-sync replica does, from now on; the answer is never read."""
    with session.cursor() as cursor:
        cursor.execute("SELECT @@global.gtid_executed")
        (executed,) = cursor.fetchone() or ("",)
        for name in ("rpl_semi_sync_replica", "rpl_semi_sync_slave"):
            cursor.execute(f"SET @{name} = 1")
        cursor.execute("SET @source_binlog_checksum = 'NONE', @master_binlog_checksum = 'NONE'")
    encoded = _encoded(executed)
    # Flags, server id, no file name, from its begin.
    payload = struct.pack("<HIIQI", 0x04, STRANGER, 0, 4, len(encoded)) + encoded
    session._execute_command(COM_BINLOG_DUMP_GTID, payload)  # type: ignore[attr-defined]


def _encoded(gtid_set: str) -> bytes:
    """A GTID set as the protocol has it: per server its 16 bytes, then half-open intervals."""
    parts = [part.split(":") for part in gtid_set.replace("\n", "").split(",") if part]
    found = struct.pack("<Q", len(parts))
    for uuid, *intervals in parts:
        found += bytes.fromhex(uuid.strip().replace("-", "")) + struct.pack("<Q", len(intervals))
        for interval in intervals:
            first, _, last = interval.partition("-")
            found += struct.pack("<QQ", int(first), int(last or first) + 1)
    return found


ROWS = (
    Row(
        46,
        "the same server_uuid on both",
        Priority.P0,
        "auto.cnf of the primary put into the standby's data directory; then kill -9 of the primary's mysqld",
        "refused by name; never promoted",
        same_server_uuid,
    ),
    Row(
        46,
        "a plugin missing",
        Priority.P0,
        "the standby's mysqld started without semisync_source; then kill -9 of the primary's mysqld",
        "refused with what to load; never promoted",
        plugin_missing,
    ),
    Row(
        46,
        "source side on at the standby",
        Priority.P0,
        "SET GLOBAL rpl_semi_sync_source_enabled = ON",
        "switched off again, its mysqld killed if the applier waits already; nothing moves",
        source_side_on_the_standby,
    ),
    Row(
        46,
        "a third semi-sync replica",
        Priority.P0,
        "a stranger asks the primary for its binary log and says that it acknowledges",
        "degraded, U3: not promotable while it is there",
        third_replica,
    ),
    Row(
        46,
        "the wrong interface",
        Priority.P0,
        "an agent whose agent.yaml names an interface that its host does not have",
        "it does not start, and says which",
        wrong_interface,
    ),
    Row(
        46,
        "one VIP in two clusters",
        Priority.P0,
        "an orchestrator.yaml with the VIP of one cluster in another",
        "refused with the place",
        one_address_in_two_clusters,
    ),
)
