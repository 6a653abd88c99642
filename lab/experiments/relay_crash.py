"""Whether a standby keeps what it acknowledged over a kill -9, by `relay_log_recovery` (I12).

Its applier is stopped while it receives, so that what it acknowledged is in its relay logs and nowhere else.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lab.experiments.servers import Pair, Say, Server, Setup, eventually, replicating
from lab.history import quantiles
from orchestrator.core.errors import DatabaseUnavailable, KembarError, StepFailed
from orchestrator.core.gtid import GtidSet

CLIENTS = 4
APPLY_S = 60.0
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "relay_log_recovery=ON": {"relay_log_recovery": "ON"},
    "relay_log_recovery=OFF, sync_relay_log=1": {"relay_log_recovery": "OFF", "sync_relay_log": 1},
}


class Writers:
    """Clients that commit one row after another until they are told to end, or their commit is stalled."""

    def __init__(self, server: Server) -> None:
        self._ending = threading.Event()
        self._sessions = [server.session("app") for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._write, args=(one,), daemon=True) for one in self._sessions]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ending.set()
        for session in self._sessions:
            session.cut()
        for thread in self._threads:
            thread.join()
        for session in self._sessions:
            session.close()

    def _write(self, session: Any) -> None:
        with suppress(DatabaseUnavailable):
            while not self._ending.is_set():
                session.ask("INSERT INTO shop.t (v) VALUES (1)", within_s=60)


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` kills of each variant under writing clients."""
    found: dict[str, Any] = {}
    for name, options in VARIANTS.items():
        with replicating(standby=Setup(options)) as pair:
            seen = [_strike(pair) for _ in range(runs)]
        found[name] = _summary(seen)
        say(f"{name}: {found[name]}")
    return {"variants": found}


def _strike(pair: Pair) -> dict[str, Any]:
    primary, standby = pair.primary, pair.standby
    pair.armed()
    # What it has yet to fetch, of a time without semi-sync, it has never acknowledged.
    eventually(lambda: _executed(primary) <= _executed(standby), 60, "a standby that has everything", every_s=0.02)
    standby.sql("STOP REPLICA SQL_THREAD")
    before = int(primary.sql("SELECT COUNT(*) FROM shop.t"))
    writers = Writers(primary)
    try:
        time.sleep(random.uniform(0.2, 0.8))  # noqa: S311 - where the kill falls
        standby.kill()
        # What is executed was acknowledged; what waits for an acknowledgement is not in it.
        acknowledged = _executed(primary)
        rows = int(primary.sql("SELECT COUNT(*) FROM shop.t")) - before
        standby.start()
        kept = _kept(standby)
        missing = len(acknowledged - kept)
        error = _applies(standby, acknowledged) if not missing else "not asked"
    finally:
        primary.sql("SET GLOBAL rpl_semi_sync_source_enabled = OFF", within_s=20)
        writers.end()
    return {"rows": rows, "missing": missing, "applies": error}


def _kept(standby: Server) -> GtidSet:
    return GtidSet.parse(standby.database.channel.received()) | _executed(standby)


def _executed(server: Server) -> GtidSet:
    return GtidSet.parse(server.sql("SELECT @@GLOBAL.gtid_executed"))


def _applies(standby: Server, wanted: GtidSet) -> str:
    """Whether the applier alone brings in everything acknowledged, as a drain does: empty, or its trouble."""
    standby.sql("START REPLICA SQL_THREAD", within_s=20)

    try:
        eventually(lambda: wanted <= _executed(standby), APPLY_S, "everything applied", every_s=0.05)
    except StepFailed:
        rows = standby.rows(
            "SELECT LAST_ERROR_NUMBER AS n, LAST_ERROR_MESSAGE AS m"
            " FROM performance_schema.replication_applier_status_by_coordinator"
        )
        return f"{rows[0]['n']} {rows[0]['m'][:200]}" if rows else "no coordinator"
    except KembarError as error:
        return str(error)
    return ""


def _summary(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """Kills after which acknowledged transactions were missing, how many of them, and what kept them from applying."""
    return {
        "runs": len(seen),
        "acknowledged_rows_per_run": quantiles([one["rows"] for one in seen]),
        "runs_with_missing": sum(one["missing"] > 0 for one in seen),
        "missing": quantiles([one["missing"] for one in seen]),
        "runs_not_applied": sum(bool(one["applies"]) for one in seen if not one["missing"]),
        "troubles": sorted({one["applies"] for one in seen if one["applies"] and not one["missing"]}),
    }
