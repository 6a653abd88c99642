"""The statements of a copy: what a server says of itself before it, CLONE itself, and how an unfinished one ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from agents.binlog.rewind import Lasting
from agents.dialect import NO_SUCH_THREAD, ChannelTls
from agents.reconcile.copyable import Side
from agents.session import StatementRefused
from orchestrator.core.errors import KembarError, StepFailed

STATEMENT_S = 30.0
LOOK_S = 0.2
END_S = 10.0
STILL_S = 5.0
_FOREIGN = (
    "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS name FROM information_schema.TABLES"
    " WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB'"
    " AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') ORDER BY name LIMIT 5"
)
_SELF = (
    "SELECT VERSION() AS version, @@GLOBAL.datadir AS datadir,"
    " REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed,"
    " (SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone' AND PLUGIN_STATUS = 'ACTIVE')"
    " AS plugin, (SELECT COALESCE(SUM(FILE_SIZE), 0) FROM information_schema.INNODB_TABLESPACES) AS data_bytes"
)
_PLACES = "log_bin_basename", "innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory"
# As far as it can be told: fenced, the server refuses the usual accounts of replicas.
_READERS = (
    "SELECT DISTINCT CONCAT(PROCESSLIST_USER, '@', PROCESSLIST_HOST) AS name FROM performance_schema.threads"
    " WHERE PROCESSLIST_COMMAND LIKE 'Binlog Dump%' LIMIT 5"
)
# CLONE takes its certificate from here alone; with an authority it verifies the donor's, though not for whom it is.
_PREPARE = (
    "SET GLOBAL clone_valid_donor_list = %s, GLOBAL clone_ssl_ca = %s, GLOBAL clone_ssl_cert = %s,"
    " GLOBAL clone_ssl_key = %s"
)
_UNDER_WAY = "SELECT PID AS session FROM performance_schema.clone_status WHERE STATE = 'In Progress'"
_PROGRESS = (
    "SELECT COALESCE(SUM(ESTIMATE), 0) AS estimate, COALESCE(SUM(DATA), 0) AS copied"
    " FROM performance_schema.clone_progress"
)


@dataclass(frozen=True, slots=True)
class Donor:
    """Where the primary's server takes a copy from, and the account for it, which needs BACKUP_ADMIN there alone."""

    host: str
    port: int
    user: str
    password: str
    tls: ChannelTls | None


def side(session: Lasting) -> Side:
    """What this server says of itself. Raises DatabaseUnavailable, StatementRefused."""
    (own,) = session.ask(_SELF, within_s=STATEMENT_S)
    datadir = PurePosixPath(own["datadir"])
    settings = session.ask(
        "SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM performance_schema.global_variables"
        " WHERE VARIABLE_NAME IN %s ORDER BY name",
        (_PLACES,),
        within_s=STATEMENT_S,
    )
    return Side(
        version=own["version"],
        plugin=own["plugin"] == "1",
        foreign=tuple(row["name"] for row in session.ask(_FOREIGN, within_s=STATEMENT_S)),
        outside=tuple(
            f"{one['name']}={one['value']}" for one in settings if not (datadir / one["value"]).is_relative_to(datadir)
        ),
        readers=tuple(row["name"] for row in session.ask(_READERS, within_s=STATEMENT_S)),
        data_bytes=int(own["data_bytes"]),
        executed=own["executed"],
    )


def told(sessions: Callable[[], Lasting], serves: Callable[[], bool]) -> dict[str, Any]:
    """For the peer's agent, in any thread: what `heard` reads. Raises KembarError."""
    with closing(sessions()) as session:
        return {"serves": serves(), **asdict(side(session))}


def heard(answer: Mapping[str, Any]) -> Side:
    """The donor as its agent tells. Raises StepFailed if it is not the primary now, or tells something else."""
    said = dict(answer)
    if said.pop("serves", False) is not True:
        raise StepFailed("donor_not_primary: the other node does not serve now, so nothing is copied from it")
    try:
        lists = {name: tuple(map(str, said.pop(name))) for name in ("foreign", "outside", "readers")}
        bytes_, executed = int(said["data_bytes"]), str(said["executed"])
        return Side(str(said["version"]), bool(said["plugin"]), data_bytes=bytes_, executed=executed, **lists)
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(f"the other agent tells nothing that a copy can rest on: {json.dumps(said)}") from error


def end_earlier(session: Lasting) -> None:
    """A copy goes on in the server though nobody waits for it. Raises StepFailed while one is being ended."""
    for row in session.ask(_UNDER_WAY, within_s=STATEMENT_S):
        try:
            session.ask("KILL %s", (int(row["session"]),), within_s=STATEMENT_S)
        except StatementRefused as error:
            if error.errno != NO_SUCH_THREAD:
                raise
        raise StepFailed("an earlier copy is still being ended")


class Copy:
    """One CLONE statement in a thread of its own: it may take hours, and its thread is not the one that watches."""

    def __init__(self, session: Lasting, donor: Donor, directory: Path) -> None:
        self._session, self._donor, self._directory = session, donor, directory
        self._error: KembarError | None = None
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)

    def watch(
        self,
        beside: Lasting,
        wanted: Callable[[], None],
        tell: Callable[[float], None],
        donor_serves: Callable[[], object],
    ) -> None:
        """Until it is complete; `tell` hears how many percent are copied.

        Ended by what `wanted` raises, asked all the time, or `donor_serves`, asked when nothing comes any more: by
        itself CLONE tries to reach a donor that is gone for 300 s (measured). Raises also StatementRefused with the
        server's reason, StepFailed, DatabaseUnavailable.
        """
        copied, since = -1, time.monotonic()
        place = f"{self._donor.host}:{self._donor.port}"
        tls = self._donor.tls or ChannelTls()
        beside.ask(_PREPARE, (place, tls.ca, tls.cert, tls.key), within_s=STATEMENT_S)
        (own,) = self._session.ask("SELECT CONNECTION_ID() AS number", within_s=STATEMENT_S)
        self._thread.start()
        try:
            while self._thread.is_alive():
                wanted()
                (row,) = beside.ask(_PROGRESS, within_s=STATEMENT_S)
                tell(100 * int(row["copied"]) / max(int(row["estimate"]), 1))
                if copied != int(row["copied"]):
                    copied, since = int(row["copied"]), time.monotonic()
                elif time.monotonic() - since > STILL_S:
                    donor_serves()
                    since = time.monotonic()
                self._thread.join(LOOK_S)
        finally:
            self._end(beside, int(own["number"]))
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        security = "REQUIRE NO SSL" if self._donor.tls is None else "REQUIRE SSL"
        try:
            self._session.ask(
                f"CLONE INSTANCE FROM %s@%s:{self._donor.port} IDENTIFIED BY %s DATA DIRECTORY = %s {security}",
                (self._donor.user, self._donor.host, self._donor.password, str(self._directory)),
                within_s=None,
            )
        except KembarError as error:
            self._error = error

    def _end(self, beside: Lasting, session: int) -> None:
        """It is over, or is ended in the server, whoever still waits for it."""
        if self._thread.is_alive():
            with suppress(KembarError):  # whoever comes next ends it first
                beside.ask("KILL %s", (session,), within_s=STATEMENT_S)
            self._thread.join(END_S)
        self._session.close()
