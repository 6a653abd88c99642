"""A real ZooKeeper for the lab: jars and Java found or fetched, configuration and data folder written, mode asked.

Starting is `lab.processes`' work. Ticks are short and limits tight: a leader whose host is lost stalls writes for
1.11-1.24 s with tickTime 250 and syncLimit 3 (measured).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.fetch import fetch
from lab.programs import program
from orchestrator.core.errors import CoordinatorUnavailable, Refused

CLIENT_PORT = 2181
SECURE_PORT = 2281
# Only what a quorum server loads; the closure of Debian's package is a desktop.
PACKAGES = ("libzookeeper-java", "libslf4j-java", "libdropwizard-metrics-java", "libsnappy-java", "libnetty-java")
NETTY = (  # for TLS
    *("common", "buffer", "transport", "handler", "codec", "resolver"),
    *("transport-native-unix-common", "transport-native-epoll"),
)
JARS = (
    *("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-jdk14", "metrics-core", "snappy-java"),
    *(f"netty-{part}" for part in NETTY),
)
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"


@dataclass(frozen=True, slots=True)
class ZookeeperProgram:
    """A ZooKeeper that can be run: the Java and the jars."""

    java: Path
    jars: tuple[Path, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The servers by id and address, with their timing; a tick is in milliseconds, the limits in ticks."""

    servers: Mapping[int, str]
    tls: Path | None = None  # folder of authority.pem, and of zookeeper-NUMBER.pem with its key; no port without TLS
    tick_ms: int = 250
    sync_limit: int = 3
    init_limit: int = 40
    synced: bool = True  # a write is on the disk before it is answered: what only a loss of power needs


def find_zookeeper(suite: str | None = None) -> ZookeeperProgram:
    """The host's jars if all are in /usr/share/java, else those of its release, fetched; Java likewise.

    With a `suite` those of that suite of the distribution, to compare versions. Raises Refused.
    """
    folder = Path("/usr/share/java")
    if suite is not None or not all((folder / f"{jar}.jar").exists() for jar in JARS):
        folder = fetch(PACKAGES, suite=suite, closure=False) / "usr/share/java"
    jars = tuple(folder / f"{jar}.jar" for jar in JARS if (folder / f"{jar}.jar").exists())
    version = next((path.stem.rpartition("-")[2] for path in folder.glob("zookeeper-[0-9]*.jar")), "")
    if not version:
        raise Refused(f"{folder}: no zookeeper.jar; remove that folder and try again")
    return ZookeeperProgram(program("java"), jars, version)


def zoo_cfg(ensemble: Ensemble, server: int, data_dir: Path) -> str:
    """The configuration of one server; it listens for clients on its own address only, so that tests see its links."""
    settings: dict[str, object] = {
        "dataDir": data_dir,
        **_doors(ensemble, server),
        "tickTime": ensemble.tick_ms,
        "initLimit": ensemble.init_limit,
        "syncLimit": ensemble.sync_limit,
        "minSessionTimeout": 2 * ensemble.tick_ms,
        "maxClientCnxns": 0,
        "forceSync": "yes" if ensemble.synced else "no",
        "preAllocSize": 4096,  # KiB: a new log file is filled before it is used
        "4lw.commands.whitelist": "ruok,srvr,mntr",
        "admin.enableServer": "false",
        "autopurge.snapRetainCount": 3,
        "autopurge.purgeInterval": 1,
        **{f"server.{number}": f"{address}:2888:3888" for number, address in ensemble.servers.items()},
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _doors(ensemble: Ensemble, server: int) -> dict[str, object]:
    """The port of clients; with TLS they, and servers among themselves, must prove who they are."""
    address = ensemble.servers[server]
    if ensemble.tls is None:
        return {"clientPort": CLIENT_PORT, "clientPortAddress": address}
    keys = {"keyStore.location": own_files(ensemble.tls, server), "trustStore.location": ensemble.tls / "authority.pem"}
    return {
        "secureClientPort": SECURE_PORT,
        "secureClientPortAddress": address,
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "sslQuorum": "true",
        "ssl.clientAuth": "need",
        "enforce.auth.enabled": "true",
        "enforce.auth.schemes": "x509",
        **{f"{prefix}.{key}": path for prefix in ("ssl", "ssl.quorum") for key, path in keys.items()},
    }


def own_files(folder: Path, server: int) -> Path:
    """Certificate and key of a server, in one file as ZooKeeper wants them."""
    return folder / f"zookeeper-{server}.pem"


LOGGING = """handlers = java.util.logging.ConsoleHandler
.level = WARNING
java.util.logging.ConsoleHandler.level = ALL
java.util.logging.ConsoleHandler.formatter = java.util.logging.SimpleFormatter
java.util.logging.SimpleFormatter.format = %1$tFT%1$tT.%1$tL %4$s %3$s: %5$s%6$s%n
"""


def prepare(ensemble: Ensemble, server: int, folder: Path) -> Path:
    """Write a server's folder (zoo.cfg, logging, data with its myid) and return its zoo.cfg; data in it is kept."""
    data_dir = folder / "data"
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "myid").write_text(f"{server}\n")
    (folder / "logging.properties").write_text(LOGGING)
    config = folder / "zoo.cfg"
    config.write_text(zoo_cfg(ensemble, server, data_dir))
    return config


def command(zookeeper: ZookeeperProgram, config: Path) -> list[str]:
    """The command line of a server: 128 MB of heap, one compiler and one collector thread for two cores."""
    return [
        str(zookeeper.java),
        "-Xms128m",
        "-Xmx128m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-Xshare:auto",
        "-XX:+AlwaysPreTouch",  # no page fault later, in a commit
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.net.preferIPv4Stack=true",
        # After the loss of two hosts an election waits for nobody for long: else 2 to 12 s (measured).
        "-Dzookeeper.cnxTimeout=500",
        "-Dzookeeper.fastleader.maxNotificationInterval=1000",
        "-Dzookeeper.jmx.log4j.disable=true",
        f"-Djava.util.logging.config.file={config.with_name('logging.properties')}",
        "-cp",
        ":".join(str(jar) for jar in zookeeper.jars),
        MAIN,
        str(config),
    ]


def four_letters(
    address: str, word: str, timeout_s: float = 0.5, port: int = CLIENT_PORT, context: ssl.SSLContext | None = None
) -> str:
    """The answer to `ruok` or `srvr`; call it in a process that is in the right namespace. A `context` for TLS.

    Raises CoordinatorUnavailable without an answer.
    """
    try:
        with ExitStack() as open_ones:
            connection = open_ones.enter_context(socket.create_connection((address, port), timeout_s))
            if context is not None:
                connection = open_ones.enter_context(context.wrap_socket(connection, server_hostname=address))
            connection.sendall(word.encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError as error:
        raise CoordinatorUnavailable(f"ZooKeeper at {address}:{port} did not answer {word}: {error}") from error
    return answer.decode(errors="replace")


def mode(srvr: str) -> str | None:
    """`leader`, `follower` or `standalone` of an answer to `srvr`; None while the server serves nobody."""
    for line in srvr.splitlines():
        if line.startswith("Mode: "):
            return line.removeprefix("Mode: ").strip()
    return None


def modes(addresses: Iterable[str]) -> dict[str, str | None]:
    """The mode of each server, None if it is not serving; in the right namespace, as `four_letters`."""
    found: dict[str, str | None] = {}
    for address in addresses:
        try:
            found[address] = mode(four_letters(address, "srvr"))
        except CoordinatorUnavailable:
            found[address] = None
    return found


def main(arguments: Sequence[str]) -> int:
    """`python -m lab.zookeeper ADDRESS...`, run in a namespace: prints each server's mode, 0 if all serve."""
    found = modes(arguments)
    for address, what in found.items():
        print(f"{address} {what or '-'}")  # noqa: T201 - this is the command's result
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
