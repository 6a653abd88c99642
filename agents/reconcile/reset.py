"""GTIDs of a rewound server: all but those that were undone. Each step asks the server first, so any may repeat.

`RESET BINARY LOGS AND GTIDS` itself asks nobody (measured: it succeeds with open transactions and running receivers).
"""

from __future__ import annotations

from agents.binlog.catalog import Asks
from orchestrator.core.errors import StepFailed
from orchestrator.core.gtid import GtidSet
from orchestrator.core.returning import STRAY

STATEMENT_S = 30.0
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


def fenced(session: Asks) -> None:
    """Nobody else writes here, and nothing comes in. Raises StepFailed, DatabaseUnavailable, StatementRefused."""
    (row,) = session.ask(_FENCE, within_s=STATEMENT_S)
    if row["offline"] != "1" or row["read_only"] != "1":
        raise StepFailed("the server is not offline and read only: no row is changed back before it is")
    if row["receivers"] != "0" or row["appliers"] != "0":
        raise StepFailed(f"{row['receivers']} receivers and {row['appliers']} appliers run: no row is changed back yet")


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
