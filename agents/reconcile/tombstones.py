"""A transaction's number used up without its rows: an empty transaction under the original GTID. At most once, ever."""

from __future__ import annotations

from agents.binlog.rewind import Lasting

STATEMENT_S = 10.0


def executed(session: Lasting, gtid: str) -> bool:
    """Under a GTID that is executed the server skips whatever may write, SELECT FOR UPDATE too (measured)."""
    (row,) = session.ask("SELECT GTID_SUBSET(%s, @@GLOBAL.gtid_executed) AS done", (gtid,), within_s=STATEMENT_S)
    return row["done"] == "1"


def bury(session: Lasting, gtid: str) -> None:
    """Use the number up. Only for what is recorded elsewhere before. Raises StatementRefused, DatabaseUnavailable."""
    if executed(session, gtid):
        return
    session.ask("SET SESSION gtid_next = %s", (gtid,), within_s=STATEMENT_S)
    try:
        session.ask("BEGIN", within_s=STATEMENT_S)
        session.ask("COMMIT", within_s=STATEMENT_S)
    finally:
        session.ask("SET SESSION gtid_next = 'AUTOMATIC'", within_s=STATEMENT_S)
