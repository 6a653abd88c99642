"""Statements and names of MySQL 8.0.26 and later, by version. 9.7 is what runs in our tests; 8.0 and 8.4 are not run.

From 8.0.26 on one spelling serves all of them: the words `replica` and `source`. Older servers are refused (preflight).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OLDEST = (8, 0, 26)
TIMEOUT_MAX_MS = 4294967295  # 49.7 days: the longest that semi-sync can be told to wait

GLOBAL_VARIABLES = (
    "server_uuid",
    "version",
    "offline_mode",
    "read_only",
    "super_read_only",
    "sync_binlog",
    "innodb_flush_log_at_trx_commit",
    "server_id",
    "auto_increment_offset",
    # Last: the set is read after all else.
    "gtid_executed",
)
SEMISYNC_VARIABLES = (
    "rpl_semi_sync_source_enabled",
    "rpl_semi_sync_source_timeout",
    "rpl_semi_sync_source_wait_no_replica",
    "rpl_semi_sync_replica_enabled",
)
STATUS = (
    "Rpl_semi_sync_source_status",
    "Rpl_semi_sync_source_clients",
    "Rpl_semi_sync_source_wait_sessions",
    "Rpl_semi_sync_source_no_tx",
    "Rpl_semi_sync_replica_status",
    "Threads_connected",
    "Com_commit",
    "Com_insert",
    "Com_update",
    "Com_delete",
)

HAS_SEMISYNC = (
    "SELECT COUNT(*) AS active FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'"
    " AND PLUGIN_NAME IN ('rpl_semi_sync_source', 'rpl_semi_sync_replica')"
)
CHANNEL = (
    "SELECT c.SERVICE_STATE AS receiver_state, c.RECEIVED_TRANSACTION_SET AS received,"
    " c.LAST_ERROR_NUMBER AS receiver_errno, c.LAST_ERROR_MESSAGE AS receiver_error,"
    " CONCAT_WS(' ', c.COUNT_RECEIVED_HEARTBEATS, c.LAST_HEARTBEAT_TIMESTAMP,"
    " c.LAST_QUEUED_TRANSACTION, c.QUEUEING_TRANSACTION) AS arrivals,"
    " f.HOST AS host, f.PORT AS port, f.USER AS user, f.SSL_ALLOWED AS ssl_allowed, f.SSL_CA_FILE AS ssl_ca,"
    " f.SSL_CERTIFICATE AS ssl_cert, f.SSL_KEY AS ssl_key, f.SSL_VERIFY_SERVER_CERTIFICATE AS ssl_verify,"
    " a.SERVICE_STATE AS applier_state,"
    " o.LAST_ERROR_NUMBER AS coordinator_errno, o.LAST_ERROR_MESSAGE AS coordinator_error"
    " FROM performance_schema.replication_connection_status c"
    " JOIN performance_schema.replication_connection_configuration f USING (CHANNEL_NAME)"
    " JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME)"
    " LEFT JOIN performance_schema.replication_applier_status_by_coordinator o USING (CHANNEL_NAME)"
    " WHERE c.CHANNEL_NAME = ''"
)
APPLIER_ERRORS = (
    "SELECT LAST_ERROR_NUMBER AS errno, LAST_ERROR_MESSAGE AS error"
    " FROM performance_schema.replication_applier_status_by_worker"
    " WHERE CHANNEL_NAME = '' AND LAST_ERROR_NUMBER <> 0 LIMIT 1"
)
EXECUTED = "SELECT @@GLOBAL.gtid_executed AS executed"
POWER = (
    "SELECT @@GLOBAL.offline_mode AS offline_mode, @@GLOBAL.read_only AS read_only,"
    " @@GLOBAL.super_read_only AS super_read_only"
)
RECEIVED = (
    "SELECT RECEIVED_TRANSACTION_SET FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME = ''"
)
THREADS = (
    "SELECT c.SERVICE_STATE AS receiver, a.SERVICE_STATE AS applier"
    " FROM performance_schema.replication_connection_status c"
    " JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME) WHERE c.CHANNEL_NAME = ''"
)
AWAIT_EXECUTED = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s) AS late"
PERSISTED = "SELECT VARIABLE_NAME AS name FROM performance_schema.persisted_variables"
VARIABLES_NAMED = "SHOW GLOBAL VARIABLES WHERE Variable_name IN %s"
STATUS_NAMED = "SHOW GLOBAL STATUS WHERE Variable_name IN %s"

RELOAD_CERTIFICATES = "ALTER INSTANCE RELOAD TLS"  # connections that stand go on; in no binary log
CERTIFICATE = "SHOW GLOBAL STATUS LIKE 'Ssl_server_not_after'"

STOP_RECEIVER = "STOP REPLICA IO_THREAD"
STOP_REPLICA = "STOP REPLICA"
START_REPLICA = "START REPLICA"

HEARTBEAT = (
    "INSERT INTO kembar.heartbeat (node, n, at) VALUES (%s, %s, NOW(6))"
    " ON DUPLICATE KEY UPDATE n = VALUES(n), at = VALUES(at)"
)

ROLE_MARK = "kembar_role"  # connection attribute program_name of sessions that may change what a server is
MARKED_SESSIONS = (
    "SELECT t.PROCESSLIST_ID FROM performance_schema.threads t"
    " JOIN performance_schema.session_connect_attrs a USING (PROCESSLIST_ID)"
    " WHERE a.ATTR_NAME = 'program_name' AND a.ATTR_VALUE = %s"
    " AND t.PROCESSLIST_USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
)
LIVING_SESSIONS = "SELECT PROCESSLIST_ID FROM performance_schema.threads WHERE PROCESSLIST_ID IN %s"
NO_SUCH_THREAD = 1094  # to KILL
# Who keeps SET GLOBAL super_read_only=ON waiting.
WRITE_BLOCKERS = (
    "SELECT DISTINCT t.PROCESSLIST_ID FROM performance_schema.metadata_locks m"
    " JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID"
    " WHERE m.OBJECT_TYPE = 'GLOBAL' AND m.LOCK_TYPE IN ('INTENTION_EXCLUSIVE', 'EXCLUSIVE')"
    " AND m.LOCK_STATUS = 'GRANTED' AND t.PROCESSLIST_ID <> CONNECTION_ID()"
)
# Who holds a lock that the session %s waits for; only the kinds by which a client can stop every commit. Writers hold
# INTENTION_EXCLUSIVE, which stops nobody.
LOCK_HOLDERS = (
    "SELECT DISTINCT h.PROCESSLIST_ID, h.PROCESSLIST_USER, h.PROCESSLIST_HOST, g.OBJECT_TYPE"
    " FROM performance_schema.threads w"
    " JOIN performance_schema.metadata_locks p ON p.OWNER_THREAD_ID = w.THREAD_ID AND p.LOCK_STATUS = 'PENDING'"
    " JOIN performance_schema.metadata_locks g ON g.OBJECT_TYPE = p.OBJECT_TYPE AND g.LOCK_STATUS = 'GRANTED'"
    " AND g.LOCK_TYPE IN ('SHARED', 'EXCLUSIVE') AND g.OWNER_THREAD_ID <> w.THREAD_ID"
    " JOIN performance_schema.threads h ON h.THREAD_ID = g.OWNER_THREAD_ID"
    " WHERE w.PROCESSLIST_ID = %s AND p.OBJECT_TYPE IN ('GLOBAL', 'COMMIT', 'BACKUP LOCK') LIMIT 5"
)
SCHEMA = "performance_schema"  # nearly all that is asked is there
ACCOUNT_LOCK = (
    f"SELECT COUNT(*) AS waiting FROM {SCHEMA}.threads WHERE PROCESSLIST_STATE = 'Waiting for acl cache lock'"  # noqa: S608
    " AND PROCESSLIST_USER = SUBSTRING_INDEX(USER(), '@', 1)"
)
SEMISYNC_WAITERS = (
    "SELECT COUNT(*) AS waiting FROM performance_schema.threads"
    " WHERE PROCESSLIST_STATE = 'Waiting for semi-sync ACK from replica'"
    " AND TYPE = 'FOREGROUND'"  # the receiver of acknowledgements is always in that state (measured)
)


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """Files for a channel with TLS. Without `ca` the source's certificate is not verified; all three: mutual TLS.

    None in place of this: plain TCP, for a lab.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""


def version_of(text: str) -> tuple[int, ...]:
    """`9.7.4-2` -> (9, 7, 4); what has no number in it is (0,)."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3]) or (0,)


# Wall time on both sides; clients' transactions only, ours are short.
OLDEST_TRANSACTION = (
    "(SELECT COALESCE(MAX(TIMESTAMPDIFF(SECOND, trx_started, NOW())), 0) FROM information_schema.innodb_trx)"
)


def facts_query(semisync: bool) -> str:
    """Four result sets in one round trip: variables, status, the channel (no row or one), errors of its workers.

    What was received is read before what was executed. Without the plugins their variables would fail with 1193.
    """
    names = (*SEMISYNC_VARIABLES, *GLOBAL_VARIABLES) if semisync else GLOBAL_VARIABLES
    columns = [f"@@GLOBAL.{name} AS {name}" for name in names]
    variables = f"SELECT {', '.join(columns)}, {OLDEST_TRANSACTION} AS oldest_transaction_s"
    quoted = ", ".join(f"'{name}'" for name in STATUS)
    return ";".join((CHANNEL, APPLIER_ERRORS, f"SHOW GLOBAL STATUS WHERE Variable_name IN ({quoted})", variables))


def set_global(name: str, value: int | str) -> str:
    """`SET GLOBAL name = value`; names and words are ours, never a user's."""
    return f"SET GLOBAL {name} = {value}"


def channel_login(user: str, tls: ChannelTls | None) -> tuple[str, ...]:
    """How a channel logs in, as its server shows it: user, YES or NO for TLS; with it authority, certificate, key, and
    whether the source's certificate is verified. What a server keeps of files without TLS is not shown here."""
    return (user, "NO") if tls is None else (user, "YES", tls.ca, tls.cert, tls.key, "YES" if tls.ca else "NO")


def configure_channel(tls: ChannelTls | None) -> str:
    """CHANGE REPLICATION SOURCE with places for host, port, user, password (with TLS also for ca, cert, key).

    Every option every time: TLS options that are left out are lost. It deletes relay logs, acknowledged transactions
    included (docs).
    """
    source = "SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_AUTO_POSITION = 1"
    return f"CHANGE REPLICATION SOURCE TO {source}, {_receiving(tls)}"


def change_login(tls: ChannelTls | None) -> str:
    """As `configure_channel` without host and port. SOURCE_AUTO_POSITION would need a stopped applier (docs)."""
    return f"CHANGE REPLICATION SOURCE TO {_receiving(tls)}"


def _receiving(tls: ChannelTls | None) -> str:
    """Defaults of heartbeat and retries (30, 60 s) are too slow to be a signal, and come back if left out (docs)."""
    security = (
        "GET_SOURCE_PUBLIC_KEY = 1, SOURCE_SSL = 0"
        if tls is None
        else f"SOURCE_SSL = 1, SOURCE_SSL_VERIFY_SERVER_CERT = {int(bool(tls.ca))}, SOURCE_SSL_CA = %s,"
        " SOURCE_SSL_CERT = %s, SOURCE_SSL_KEY = %s"
    )
    return (
        "SOURCE_USER = %s, SOURCE_PASSWORD = %s, SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400,"
        f" SOURCE_HEARTBEAT_PERIOD = 1, {security}"
    )
