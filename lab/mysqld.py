"""A real mysqld for the lab: found or fetched, its data made, its configuration written. Only the agent starts it.

Facts (measured on 9.7.4): without secure_file_priv it aborts on a missing directory; run through its private loader the
process is called ld-linux-*, so it is known by its pid and never by its name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import ballast
from lab.accounts import Passwords, bootstrap_statements
from lab.certificates import Identity
from lab.fetch import cache_dir, fetch, lock, say
from orchestrator.core.errors import Refused, StepFailed

OLDEST = (8, 0, 26)
INITIALISE_S = 120.0
BALLAST_S_PER_MB = 0.5
TEMPLATE_FORMAT = 1  # grows when what is in the template changes


@dataclass(frozen=True, slots=True)
class MysqldBinary:
    """A mysqld that can be run: `command` is the program, with its private loader before it if it was fetched."""

    command: tuple[str, ...]
    basedir: Path | None
    share: Path | None
    plugin_dir: Path | None
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers: (9, 7, 4)."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])


@dataclass(frozen=True, slots=True)
class Instance:
    """The mysqld of one node: where it lives and how it is numbered.

    `auto_increment_offset` is 1 on one node and 2 on the other; `server_id` differs too. mysqld appends `.err` to a
    `log_error` without an extension.
    """

    datadir: Path
    socket: Path
    pid_file: Path
    log_error: Path
    address: str
    server_id: int
    auto_increment_offset: int
    identity: Identity
    port: int = 3306
    admin_port: int = 33062


def find_mysqld() -> MysqldBinary:
    """`KEMBAR_LAB_MYSQLD`, else `mysqld` on the path if it is MySQL 8.0.26 or later, else fetched from unstable.

    Raises Refused if the named one is not fit, or if none can be fetched here.
    """
    if named := os.environ.get("KEMBAR_LAB_MYSQLD"):
        binary = _installed(Path(named))
        if binary is None:
            raise Refused(f"KEMBAR_LAB_MYSQLD={named}: not MySQL {'.'.join(map(str, OLDEST))} or later")
        return binary
    found = shutil.which("mysqld", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is not None and (binary := _installed(Path(found))) is not None:
        return binary
    try:
        root = fetch(("mysql-server-core",), suite="unstable")
    except Refused as error:
        raise Refused(
            f"no MySQL server here; install one (mysql-server-core) or name one in KEMBAR_LAB_MYSQLD.\n{error}"
        ) from error
    return fetched_mysqld(root)


def fetched_mysqld(root: Path) -> MysqldBinary:
    """The mysqld in a fetched folder, through the loader and C library that came with it."""
    command = through_loader(root, root / "usr/sbin/mysqld")
    usr = root / "usr"
    return MysqldBinary(command, usr, usr / "share/mysql", usr / "lib/mysql/plugin", _version(command))


def through_loader(root: Path, program: Path) -> tuple[str, ...]:
    """The command that runs a program of a fetched folder with that folder's own libraries, loader included."""
    loaders = sorted(root.glob("usr/lib/*/ld-linux-*.so.*")) + sorted(root.glob("lib/*/ld-linux-*.so.*"))
    if not loaders:
        raise Refused(f"{root}: no loader in it; remove that folder and try again")
    libraries = ":".join(str(folder) for folder in root.glob("usr/lib/*-linux-gnu*") if folder.is_dir())
    return str(loaders[0]), "--library-path", libraries, str(program)


def _installed(program: Path) -> MysqldBinary | None:
    """A mysqld of the host as it is: it knows its own folders. None if it is MariaDB or too old."""
    try:
        version = _version((str(program),))
    except (OSError, subprocess.SubprocessError):
        return None
    binary = MysqldBinary((str(program),), None, None, None, version)
    return binary if "mariadb" not in version.lower() and binary.numbers >= OLDEST else None


def _version(command: Sequence[str]) -> str:
    """`9.7.4-2` of `mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))`."""
    said = subprocess.run(
        [*command, "--no-defaults", "--version"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    match = re.search(r"Ver\s+(\S+)", said)
    return match[1] if match else said.strip()


def my_cnf(binary: MysqldBinary, instance: Instance) -> str:
    """The option file of one node: shut at boot (invariant I9), with what preflight asks for."""
    options: dict[str, object] = {
        **_places(binary),
        "datadir": instance.datadir,
        "socket": instance.socket,
        "pid_file": instance.pid_file,
        "log_error": instance.log_error,
        "port": instance.port,
        "bind_address": "*",
        "report_host": instance.address,
        "report_port": instance.port,
        # Against max_connections, and against an offline server: the agent's own way in.
        "admin_address": "127.0.0.1",
        "admin_port": instance.admin_port,
        "ssl_ca": instance.identity.authority,
        "ssl_cert": instance.identity.certificate,
        "ssl_key": instance.identity.key,
        "server_id": instance.server_id,
        "auto_increment_increment": 2,
        "auto_increment_offset": instance.auto_increment_offset,
        **SHUT_AT_BOOT,
        **REPLICATION,
        **SEMI_SYNC,
        **INNODB,
        **SMALL,
    }
    return "\n".join(["[mysqld]", *PLUGINS, *(f"{name} = {value}" for name, value in options.items())]) + "\n"


PLUGINS = (
    "plugin_load_add = semisync_source.so",
    "plugin_load_add = semisync_replica.so",
    "plugin_load_add = mysql_clone.so",
)
SHUT_AT_BOOT = {"offline_mode": "ON", "read_only": "ON", "super_read_only": "ON", "skip_replica_start": "ON"}
REPLICATION = {
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "log_bin": "binlog",
    "relay_log": "relay",
    "log_replica_updates": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_row_value_options": "",
    "binlog_transaction_compression": "OFF",
    "binlog_encryption": "OFF",
    "binlog_checksum": "CRC32",
    "binlog_order_commits": "ON",
    "binlog_expire_logs_seconds": 7 * 86400,
    "sync_binlog": 1,
    "replica_preserve_commit_order": "ON",
    "replica_net_timeout": 4,
    "relay_log_recovery": "ON",
    "sql_require_primary_key": "ON",
    "max_allowed_packet": "64M",
}
SEMI_SYNC = {
    # OFF: only a certifying primary turns its source side on. 49.7 days: the timeout must never release a commit.
    "rpl_semi_sync_source_enabled": "OFF",
    "rpl_semi_sync_replica_enabled": "ON",
    "rpl_semi_sync_source_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_source_wait_no_replica": "ON",
    "rpl_semi_sync_source_timeout": 4294967295,
}
INNODB = {
    "innodb_flush_log_at_trx_commit": 1,
    # Small pool and short log: freed quickly after a kill -9, little to apply at the next start.
    "innodb_buffer_pool_size": "128M",
    "innodb_redo_log_capacity": "64M",
    "innodb_log_buffer_size": "8M",
    "innodb_buffer_pool_load_at_startup": "OFF",
    "innodb_buffer_pool_dump_at_shutdown": "OFF",
    "disabled_storage_engines": '"MyISAM,BLACKHOLE,FEDERATED,ARCHIVE"',
}
SMALL = {
    "max_connections": 200,
    "mysqlx": "OFF",
    "skip_name_resolve": "ON",
    "table_open_cache": 400,
    "table_definition_cache": 400,
    "performance_schema": "ON",
    "performance_schema_max_table_instances": 400,
    "performance_schema_max_digest_length": 1024,
    "performance_schema_digests_size": 200,
    "performance_schema_accounts_size": 20,
    "performance_schema_hosts_size": 20,
    "performance_schema_users_size": 20,
    "performance_schema_events_statements_history_long_size": 0,
}


def _places(binary: MysqldBinary) -> dict[str, object]:
    """Where this mysqld's own files are, and who it may run as: root must be asked for by name."""
    places = {"basedir": binary.basedir, "lc_messages_dir": binary.share, "plugin_dir": binary.plugin_dir}
    options: dict[str, object] = {name: path for name, path in places.items() if path is not None}
    options["secure_file_priv"] = "NULL"
    if os.geteuid() == 0:
        options["user"] = "root"
    return options


def command(binary: MysqldBinary, defaults_file: Path) -> list[str]:
    """The complete command line of a node's mysqld, for `mysql.command` of its agent.yaml; it stays in front."""
    return [*binary.command, f"--defaults-file={defaults_file}"]


# What the accounts of two servers are compared by.
ACCOUNT_TABLES = (
    "user", "global_grants", "db", "tables_priv", "columns_priv", "procs_priv", "role_edges", "default_roles",
)  # fmt: skip


def initialise(
    binary: MysqldBinary, datadirs: Sequence[Path], passwords: Passwords, database: str = "shop", ballast_mb: int = 0
) -> None:
    """Make data directories with the accounts and databases in them: the same in each, and GTID sets empty.

    The first is a copy of the cached template, in which a mysqld without network and binary log runs the statements;
    the others are copies of the first. auto.cnf is left out, so each server makes its own UUID. Raises StepFailed.
    `ballast_mb` is the size of one more table that nobody touches.
    """
    first, *others = datadirs
    _copy(template(binary), first)
    work = first.with_name(first.name + ".bootstrap")
    work.mkdir(mode=0o700)
    try:
        sql = work / "init.sql"
        sql.touch(mode=0o600)  # passwords
        statements = (*bootstrap_statements(passwords, database), *ballast.statements(ballast_mb, database), "SHUTDOWN")
        sql.write_text("".join(f"{s};\n" for s in statements))
        flags = {"skip_log_bin": None, "skip_networking": None, "skip_replica_start": None, "init_file": sql}
        options = {**INNODB, **SMALL, **flags, "socket": work / "sock"}
        _run_once(binary, first, work, options, INITIALISE_S + ballast_mb * BALLAST_S_PER_MB)
    finally:
        shutil.rmtree(work)
    (first / "auto.cnf").unlink()
    for datadir in others:
        _copy(first, datadir)


def template(binary: MysqldBinary) -> Path:
    """An initialised data directory in the cache, made once per version: `--initialize` takes 2 s (measured)."""
    target = cache_dir() / "mysql-templates" / f"{binary.version}-{TEMPLATE_FORMAT}"
    if target.is_dir():
        return target
    with lock("mysql-template"):
        if not target.is_dir():
            work = target.with_name(f".unfinished-{target.name}")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            say(f"kembar: initialising MySQL {binary.version} once for all labs")
            _run_once(binary, work / "data", work, {"initialize_insecure": None, **INNODB})
            (work / "data/auto.cnf").unlink()
            (work / "data").rename(target)
            shutil.rmtree(work)
    return target


def _run_once(
    binary: MysqldBinary, datadir: Path, work: Path, options: dict[str, object], within_s: float = INITIALISE_S
) -> None:
    """Run mysqld until it ends by itself. Raises StepFailed with the errors of its log."""
    log, pid_file = work / "mysqld.log", work / "pid"
    given = {**_places(binary), "datadir": datadir, "pid_file": pid_file, "log_error": log, "mysqlx": "OFF", **options}
    flags = [f"--{name.replace('_', '-')}" + ("" if value is None else f"={value}") for name, value in given.items()]
    try:
        done = subprocess.run([*binary.command, "--no-defaults", *flags], stdin=subprocess.DEVNULL, timeout=within_s)
    except subprocess.TimeoutExpired as error:
        raise StepFailed(f"mysqld did not end within {within_s:g} s while {datadir} was made; see {log}") from error
    said = log.read_text(errors="replace") if log.exists() else ""
    errors = [line for line in said.splitlines() if "[ERROR]" in line]
    if done.returncode != 0 or errors:
        raise StepFailed(f"{datadir} could not be made (mysqld ended with {done.returncode}):\n" + "\n".join(errors))


def _copy(source: Path, target: Path) -> None:
    """Copy a data directory; the target must not exist. Raises FileExistsError."""
    shutil.copytree(source, target, symlinks=True)
