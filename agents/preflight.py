"""Settings of a server -> what Kembar refuses of them, each with its value and the value needed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agents.dialect import OLDEST, TIMEOUT_MAX_MS, version_of

# Hold on both nodes at any time.
ALWAYS: Mapping[str, tuple[str, ...]] = {
    "gtid_mode": ("ON",),
    "enforce_gtid_consistency": ("ON",),
    "log_bin": ("ON",),
    "log_replica_updates": ("ON",),
    "binlog_format": ("ROW",),
    "binlog_row_image": ("FULL",),
    "binlog_row_metadata": ("FULL",),
    "binlog_row_value_options": ("",),
    "binlog_transaction_compression": ("OFF",),
    "binlog_encryption": ("OFF",),
    "binlog_checksum": ("CRC32",),
    "binlog_order_commits": ("ON",),
    "sync_binlog": ("1",),
    "innodb_flush_log_at_trx_commit": ("1",),
    "replica_preserve_commit_order": ("ON",),
    "skip_replica_start": ("ON",),
    "performance_schema": ("ON",),
    "sql_require_primary_key": ("ON",),
    "auto_increment_increment": ("2",),
    "auto_increment_offset": ("1", "2"),
    "rpl_semi_sync_replica_enabled": ("ON",),
    "rpl_semi_sync_source_wait_point": ("AFTER_SYNC",),
    "rpl_semi_sync_source_wait_no_replica": ("ON",),
    "rpl_semi_sync_source_wait_for_replica_count": ("1",),
}
# Hold right after a start only: later they are Kembar's to change.
AT_START: Mapping[str, tuple[str, ...]] = {
    "read_only": ("ON",),
    "super_read_only": ("ON",),
    "rpl_semi_sync_source_enabled": ("OFF",),
    "rpl_semi_sync_source_timeout": (str(TIMEOUT_MAX_MS),),
}
# A persisted value (SET PERSIST) is read after option file and command line, so it would open what they shut.
NEVER_PERSISTED = frozenset({*AT_START, "offline_mode", "skip_replica_start", "sync_binlog"}) | {
    "innodb_flush_log_at_trx_commit",
    "rpl_semi_sync_source_wait_no_replica",
    "rpl_semi_sync_replica_enabled",
}
DURABLE = ("sync_binlog", "innodb_flush_log_at_trx_commit")
PACKET_BYTES = 64 * 1024 * 1024
# A release may drop a variable whose other values it has dropped before.
MAY_BE_MISSING = frozenset({"binlog_format", "log_replica_updates"})
NAMES = (*ALWAYS, *AT_START, "version", "version_comment", "max_allowed_packet", "server_id", "server_uuid")


def refusals(variables: Mapping[str, str], *, at_start: bool, persisted: Collection[str] = ()) -> tuple[str, ...]:
    """One line per setting that is not as Kembar needs it; empty if the server may be used.

    `variables` by name as SHOW GLOBAL VARIABLES spells them; `at_start` also asks for the fenced state of a start;
    `persisted` are the names that SET PERSIST keeps.
    """
    foreign = _foreign(variables)
    if foreign:
        return (foreign,)
    needed = {**ALWAYS, **AT_START} if at_start else ALWAYS
    found = [line for name, values in needed.items() if (line := _wrong(variables, name, values))]
    if int(variables.get("max_allowed_packet") or 0) < PACKET_BYTES:
        found.append(f"max_allowed_packet={variables.get('max_allowed_packet')}: must be at least {PACKET_BYTES}")
    found += [f"{name} is persisted: RESET PERSIST {name}" for name in sorted(NEVER_PERSISTED & set(persisted))]
    return tuple(found)


def shared_identity(mine: Mapping[str, str], peers: Mapping[str, str]) -> tuple[str, ...]:
    """What two servers have in common that must differ, as after a copied data directory."""
    hints = {
        "server_uuid": "remove auto.cnf from the copied data directory and start it again",
        "server_id": "give each node its own",
        "auto_increment_offset": "1 on one node, 2 on the other",
    }
    return tuple(
        f"{name}={mine[name]} on both nodes: {hint}"
        for name, hint in hints.items()
        if name in mine and mine[name] == peers.get(name)
    )


def durable(variables: Mapping[str, str]) -> bool:
    """Whether what is acknowledged is on disk (invariant I13)."""
    return all(variables.get(name) == "1" for name in DURABLE)


def _foreign(variables: Mapping[str, str]) -> str:
    version, comment = variables.get("version", ""), variables.get("version_comment", "")
    if "mariadb" in f"{version} {comment}".lower():
        return f"version={version}: MariaDB has other global transaction ids; MySQL 8.0.26 or later is needed"
    if version_of(version) < OLDEST:
        return f"version={version}: must be {'.'.join(map(str, OLDEST))} or later"
    return ""


def _wrong(variables: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    value = variables.get(name)
    if value is None:
        return "" if name in MAY_BE_MISSING else _missing(name)
    return "" if value.upper() in values else f"{name}={value}: must be {' or '.join(values) or 'empty'}"


def _missing(name: str) -> str:
    for side in ("source", "replica"):
        if name.startswith(f"rpl_semi_sync_{side}_"):
            return f"{name} is unknown: load the plugin, plugin_load_add=semisync_{side}.so"
    return f"{name} is unknown to this server"
