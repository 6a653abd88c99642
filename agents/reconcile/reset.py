"""GTIDs of a rewound server: all but those that were undone. Each step asks the server first, so any may repeat.

`RESET BINARY LOGS AND GTIDS` itself asks nobody (measured: it succeeds with open transactions and running receivers).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from agents.binlog.catalog import Asks
from agents.dialect import LIVING_SESSIONS, NO_SUCH_THREAD, ROLE_MARK
from agents.session import StatementRefused
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.returning import STRAY

STATEMENT_S = 30.0
POLLS, POLL_S = 200, 0.005  # until a session that was ended has gone
_ROLE_SESSIONS = (
    "SELECT PROCESSLIST_ID FROM performance_schema.session_connect_attrs"
    " WHERE ATTR_NAME = 'program_name' AND ATTR_VALUE = %s"
)
_FENCE = (
    "SELECT @@GLOBAL.offline_mode AS offline, @@GLOBAL.read_only AS read_only,"
    " (SELECT COUNT(*) FROM performance_schema.replication_connection_status WHERE SERVICE_STATE <> 'OFF')"
    " AS receivers,"
    " (SELECT COUNT(*) FROM performance_schema.replication_applier_status WHERE SERVICE_STATE <> 'OFF') AS appliers"
)
_STATE = (
    "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed, REPLACE(@@GLOBAL.gtid_purged, '\\n', '') AS purged,"
    " (SELECT COUNT(*) FROM information_schema.innodb_trx) AS transactions,"
    " (SELECT COUNT(*) FROM performance_schema.replication_connection_status WHERE SERVICE_STATE <> 'OFF')"
    " AS receivers,"
    " (SELECT COUNT(*) FROM performance_schema.replication_applier_status WHERE SERVICE_STATE <> 'OFF') AS appliers"
)


def silence(session: Asks) -> None:
    """End every session that may change a role: a START REPLICA whose caller gave up may still take effect.

    The agent logs in anew, and what it says from then on knows of the repair. Raises StepFailed,
    DatabaseUnavailable, StatementRefused.
    """
    ended = {int(row["PROCESSLIST_ID"]) for row in session.ask(_ROLE_SESSIONS, (ROLE_MARK,), within_s=STATEMENT_S)}
    for number in sorted(ended):
        try:
            session.ask("KILL %s", (number,), within_s=STATEMENT_S)
        except StatementRefused as error:
            if error.errno != NO_SUCH_THREAD:
                raise
    for _ in range(POLLS):
        if not ended or not session.ask(LIVING_SESSIONS, (sorted(ended),), within_s=STATEMENT_S):
            return
        time.sleep(POLL_S)
    raise StepFailed(f"sessions {sorted(ended)} of {ROLE_MARK} do not end: no row is changed back yet")


def fenced(session: Asks) -> None:
    """Nobody else writes here, and nothing comes in. Raises StepFailed, DatabaseUnavailable, StatementRefused."""
    (row,) = session.ask(_FENCE, within_s=STATEMENT_S)
    if row["offline"] != "1" or row["read_only"] != "1":
        raise StepFailed("the server is not offline and read only: no row is changed back before it is")
    _still(row, "no row is changed back yet")


def still(session: Asks) -> None:
    """Nothing comes in any more, which the evidence would lack. Raises as `fenced`."""
    (row,) = session.ask(_FENCE, within_s=STATEMENT_S)
    _still(row, "no evidence is kept yet")


def _still(row: Mapping[str, str], waits: str) -> None:
    if row["receivers"] != "0" or row["appliers"] != "0":
        raise StepFailed(f"{row['receivers']} receivers and {row['appliers']} appliers run: {waits}")


def reset(session: Asks, before: GtidSet, target: GtidSet) -> None:
    """From `before`, all that was executed, to `target`, which is also all that is purged then.

    Raises StepFailed (`stray_gtid`: neither of the two, nor nothing; somebody writes; something replicates),
    DatabaseUnavailable, StatementRefused.
    """
    state = _ask(session)
    executed = GtidSet.parse(state["executed"])
    if executed == target:
        return
    if executed:
        if executed != before:
            raise StepFailed(f"{STRAY}: executed is {executed}, expected {before}, or {target} after the reset")
        busy = [f"{state[what]} {what}" for what in ("transactions", "receivers", "appliers") if state[what] != "0"]
        if busy:
            raise StepFailed(f"{', '.join(busy)} under way: nothing may be reset yet")
        session.ask("RESET BINARY LOGS AND GTIDS", within_s=STATEMENT_S)
    session.ask("SET GLOBAL gtid_purged = %s", (str(target),), within_s=STATEMENT_S)
    after = _ask(session)
    if not GtidSet.parse(after["executed"]) == GtidSet.parse(after["purged"]) == target:
        raise StepFailed(f"{STRAY}: after the reset executed is {after['executed']}, purged is {after['purged']}")


def _ask(session: Asks) -> dict[str, str]:
    (row,) = session.ask(_STATE, within_s=STATEMENT_S)
    return dict(row)
