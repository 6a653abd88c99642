"""What a schema holds beside rows, and the accounts: a digest for each, by which two servers are compared."""

from __future__ import annotations

import hashlib

from agents.binlog.catalog import Asks
from agents.reconcile.layouts import ASK_S, SYSTEM

# What a server says of itself is left out: when it was made, what it is called with, and that a replica runs no events.
_OBJECTS = {
    "view": "SELECT table_schema, table_name, view_definition, check_option, is_updatable, definer, security_type,"
    " character_set_client, collation_connection FROM information_schema.views WHERE table_schema NOT IN {}",
    "trigger": "SELECT trigger_schema, trigger_name, event_manipulation, event_object_schema, event_object_table,"
    " action_order, action_statement, action_timing, sql_mode, definer, character_set_client, collation_connection,"
    " database_collation FROM information_schema.triggers WHERE trigger_schema NOT IN {}",
    "routine": "SELECT routine_schema, CONCAT(LOWER(routine_type), ' ', routine_name), dtd_identifier,"
    " routine_definition, is_deterministic, sql_data_access, security_type, sql_mode, definer, character_set_client,"
    " collation_connection, database_collation, (SELECT GROUP_CONCAT(CONCAT_WS(' ', ordinal_position, parameter_mode,"
    " parameter_name, dtd_identifier) ORDER BY ordinal_position) FROM information_schema.parameters p"
    " WHERE p.specific_schema = r.routine_schema AND p.specific_name = r.specific_name)"
    " FROM information_schema.routines r WHERE routine_schema NOT IN {}",
    "event": "SELECT event_schema, event_name, event_definition, event_type, execute_at, interval_value,"
    " interval_field, starts, ends, on_completion, time_zone, sql_mode, definer, character_set_client,"
    " collation_connection, database_collation FROM information_schema.events WHERE event_schema NOT IN {}",
}
# Ours are each host's own, like the server's.
_ACCOUNTS = (
    "SELECT user, host, plugin, authentication_string, account_locked, password_expired, max_questions, max_updates,"
    " max_connections, max_user_connections, ssl_type, HEX(ssl_cipher), HEX(x509_issuer), HEX(x509_subject),"
    " password_lifetime, password_reuse_history, password_reuse_time, password_require_current, user_attributes,"
    " CONCAT_WS(',', select_priv, insert_priv, update_priv, delete_priv, create_priv, drop_priv, reload_priv,"
    " shutdown_priv, process_priv, file_priv, grant_priv, references_priv, index_priv, alter_priv, show_db_priv,"
    " super_priv, create_tmp_table_priv, lock_tables_priv, execute_priv, repl_slave_priv, repl_client_priv,"
    " create_view_priv, show_view_priv, create_routine_priv, alter_routine_priv, create_user_priv, event_priv,"
    " trigger_priv, create_tablespace_priv, create_role_priv, drop_role_priv)"
    " FROM mysql.user WHERE user NOT LIKE 'kembar\\\\_%' AND user NOT LIKE 'mysql.%'"
)
# What was granted to it beside: user, host, and the rest in one text.
_GRANTS = (
    "SELECT user, host, CONCAT_WS('/', 'global', priv, with_grant_option) AS g FROM mysql.global_grants",
    "SELECT user, host, CONCAT_WS('/', 'schema', db, select_priv, insert_priv, update_priv, delete_priv, create_priv,"
    " drop_priv, grant_priv, references_priv, index_priv, alter_priv, create_tmp_table_priv, lock_tables_priv,"
    " create_view_priv, show_view_priv, create_routine_priv, alter_routine_priv, execute_priv, event_priv,"
    " trigger_priv) AS g FROM mysql.db",
    "SELECT user, host, CONCAT_WS('/', 'table', db, table_name, table_priv, column_priv) AS g FROM mysql.tables_priv",
    "SELECT user, host, CONCAT_WS('/', 'column', db, table_name, column_name, column_priv) AS g"
    " FROM mysql.columns_priv",
    "SELECT user, host, CONCAT_WS('/', 'routine', db, routine_name, routine_type, proc_priv) AS g"
    " FROM mysql.procs_priv",
    "SELECT to_user, to_host, CONCAT_WS('/', 'role', from_user, from_host, with_admin_option) AS g"
    " FROM mysql.role_edges",
    "SELECT user, host, CONCAT_WS('/', 'default', default_role_user, default_role_host) AS g FROM mysql.default_roles",
)


def objects(session: Asks) -> dict[str, str]:
    """`trigger shop.x` -> digest, for everything that has a definition and no rows. Raises StepFailed."""
    found = {}
    for what, sql in _OBJECTS.items():
        for row in session.ask(sql.format(SYSTEM), within_s=ASK_S):
            schema, name, *rest = row.values()
            kind, _, of_routine = name.partition(" ") if what == "routine" else (what, "", name)
            found[f"{kind} {schema}.{of_routine}"] = _digest(rest)
    return found


def accounts(session: Asks) -> dict[str, str]:
    """`account app@%` -> digest of it and of what was granted to it. Raises StepFailed."""
    texts: dict[str, list[str]] = {}
    for row in session.ask(_ACCOUNTS, within_s=ASK_S):
        user, host, *rest = row.values()
        texts[f"account {user}@{host}"] = rest
    for sql in _GRANTS:
        for user, host, granted in sorted(tuple(row.values()) for row in session.ask(sql, within_s=ASK_S)):
            if (name := f"account {user}@{host}") in texts:
                texts[name].append(granted)
    return {name: _digest(parts) for name, parts in texts.items()}


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
