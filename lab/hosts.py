"""Booted hosts: Debian with a real systemd in systemd-nspawn, one network namespace of the lab each, reached by ssh.

What is inside is what a person's host has after its installation, and nothing of Kembar. They share the kernel and its
clock; everything else that a playbook touches is their own.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import namespaces
from lab.debroot import clean_root, overlay
from lab.standins import StandIns, stand_ins
from lab.topology import Node, Topology
from orchestrator.core.errors import Refused, StepFailed

PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "polkitd", "openssh-server", "python3", "python3-apt", "iproute2",
    "nftables", "libnftables1", "procps", "logrotate",
)  # fmt: skip
BOOT_S = 120.0
END_S = 30.0


@dataclass(frozen=True, slots=True)
class Host:
    """One host that runs: `process` is systemd-nspawn's, `log` what its console says."""

    process: subprocess.Popen[bytes]
    log: Path


@dataclass(slots=True)
class Hosts:
    """The hosts of a lab and how to talk to them. `client` is a node without a host: commands run in its namespace."""

    lab: str
    place: Path
    topology: Topology
    given: StandIns
    base: Path
    stack: ExitStack = field(repr=False)  # what ends with the lab
    roots: dict[str, Path] = field(default_factory=dict)
    running: dict[str, Host] = field(default_factory=dict)

    @property
    def key(self) -> Path:
        return self.place / "ssh/key"

    @property
    def known(self) -> Path:
        return self.place / "ssh/known_hosts"

    def ssh_options(self) -> str:
        """What ssh needs to be given to reach a host: its key is known, and asked for."""
        return f"-i {self.key} -o UserKnownHostsFile={self.known} -o IdentitiesOnly=yes -o ConnectTimeout=5"

    def command(self, argv: list[str]) -> list[str]:
        """A command that runs where the clients are."""
        return namespaces.exec_argv(self.lab, "client", argv)

    def run(self, name: str, *argv: str, given: str = "") -> str:
        """A command on a host, by ssh, with this on its standard input. Raises StepFailed with what it said."""
        address = str(self.topology.node(name).address)
        command = self.command(["ssh", *self.ssh_options().split(), f"root@{address}", "--", *argv])
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StepFailed(f"{name}: {' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}".strip())
        return done.stdout

    def boot(self, name: str) -> None:
        """Switch a host on, and wait until ssh answers. Raises StepFailed."""
        self.running[name] = _boot(self, self.topology.node(name))
        _await(self, name)

    def kill(self, name: str) -> None:
        """The host without power: every process of it is gone at once. Its files stay."""
        host = self.running.pop(name)
        leader = _leader(host.process.pid)
        if leader is not None:
            subprocess.run(["kill", "-KILL", str(leader)], check=True)
        host.process.wait(END_S)

    def install(self, name: str) -> None:
        """A new host of that name and address, as a person's is after its installation; not on yet."""
        place = self.place / f"{name}-{len(list(self.place.glob(f'{name}-*')))}"
        self.roots[name] = self.stack.enter_context(overlay(self.base, place))
        _install(self, self.topology.node(name))


@contextmanager
def booted(lab: str, topology: Topology, place: Path) -> Iterator[Hosts]:
    """Hosts for all nodes but clients, up and reachable, for as long as the block lasts. Root only.

    Raises Refused without systemd-nspawn, StepFailed if a host does not come up.
    """
    if shutil.which("systemd-nspawn") is None:
        raise Refused("systemd-nspawn is not here: apt-get install systemd-container")
    base = clean_root(platform.freedesktop_os_release()["VERSION_CODENAME"], PACKAGES)
    with ExitStack() as stack:
        hosts = Hosts(lab, place, topology, stand_ins(place / "packages"), base, stack)
        _make_key(hosts)
        namespaces.up(topology, lab)
        stack.callback(namespaces.down, lab)
        for node in topology.nodes:
            if node.groups - {"client"}:
                hosts.install(node.name)
                stack.callback(_end, hosts, node.name)
                hosts.running[node.name] = _boot(hosts, node)
        for name in list(hosts.running):
            _await(hosts, name)
        yield hosts


def _make_key(hosts: Hosts) -> None:
    hosts.key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(hosts.key)], check=True)
    theirs = (hosts.base / "etc/ssh/ssh_host_ed25519_key.pub").read_text().rsplit(" ", 1)[0]
    hosts.known.write_text("".join(f"{node.address} {theirs}\n" for node in hosts.topology.nodes))


def _install(hosts: Hosts, node: Node) -> None:
    """What makes it this host, and what a person would have let it fetch."""
    root = hosts.roots[node.name]
    (root / "etc/hostname").write_text(f"{node.name}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {node.name}\n")
    (root / "etc/machine-id").write_text(f"{node.number:032x}\n")
    keys = root / "root/.ssh"
    keys.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(hosts.key.with_suffix(".pub"), keys / "authorized_keys")
    for name in ("systemd-firstboot.service", "console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        (root / "etc/systemd/system" / name).symlink_to("/dev/null")
    for target in hosts.given.binds.values():
        (root / target.lstrip("/")).mkdir(parents=True)
    for package in hosts.given.packages:
        shutil.copyfile(package, root / "srv" / package.name)
        command = ["chroot", str(root), "dpkg", "--install", f"/srv/{package.name}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StepFailed(f"{node.name}: {package.name}: {done.stdout}{done.stderr}")


def _boot(hosts: Hosts, node: Node) -> Host:
    log = hosts.place / f"{node.name}.console"
    command = [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        # Without it the host could neither take the VIP nor load a rule, namespace of its own or not.
        "--capability=CAP_NET_ADMIN",
        f"--network-namespace-path={namespaces.path(hosts.lab, node.name)}",
        f"--machine={namespaces.namespace(hosts.lab, node.name)}",
        *(f"--bind-ro={source}:{target}" for source, target in hosts.given.binds.items()),
        "--directory",
        str(hosts.roots[node.name]),
        "--boot",
    ]
    with log.open("wb") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
    return Host(process, log)


def _await(hosts: Hosts, name: str) -> None:
    """Until ssh answers and systemd has started what it starts."""
    host, deadline, last = hosts.running[name], time.monotonic() + BOOT_S, "no answer"
    while time.monotonic() < deadline:
        if host.process.poll() is not None:
            raise StepFailed(
                f"{name} ended with {host.process.returncode}: {host.log.read_text(errors='replace')[-800:]}"
            )
        try:
            hosts.run(name, "systemctl", "is-system-running", "--wait")
        except StepFailed as error:
            last = str(error)
        else:
            return
        time.sleep(0.5)
    raise StepFailed(f"{name} is not up after {BOOT_S:g} s: {last}")


def _end(hosts: Hosts, name: str) -> None:
    host = hosts.running.pop(name, None)
    if host is None:
        return
    host.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        host.process.wait(END_S)
        return
    leader = _leader(host.process.pid)
    if leader is not None:
        subprocess.run(["kill", "-KILL", str(leader)], check=False)
    host.process.kill()
    host.process.wait(END_S)


def _leader(nspawn: int) -> int | None:
    """The host's own first process: whatever else is in it ends with it."""
    children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
    return int(children[0]) if children else None
