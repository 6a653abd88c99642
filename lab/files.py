"""Every file of a lab: where it lies, and what stands in the configuration files that are written for it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.accounts import Passwords
from lab.certificates import Identity, identity, issue
from lab.mysqld import Instance, MysqldBinary, command, my_cnf
from lab.topology import Node, Topology
from lab.zookeeper import CLIENT_PORT, Ensemble

MYSQL_PORT = 3306


def state_home() -> Path:
    """The folder of all labs."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "kembar/lab"


def lab_name(environ: dict[str, str] | None = None) -> str:
    """KEMBAR_LAB, else `demo`."""
    return (os.environ if environ is None else environ).get("KEMBAR_LAB") or "demo"


@dataclass(frozen=True, slots=True)
class Facts:
    """What must be known of a running lab: kept in its folder, readable by its owner alone."""

    name: str
    profile: str
    port: int  # of the page, on the host's loopback
    token: str
    passwords: Passwords
    mysql_version: str
    zookeeper_version: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Files:
    """The places of one lab."""

    root: Path
    topology: Topology

    @property
    def facts_file(self) -> Path:
        return self.root / "lab.json"

    @property
    def client_config(self) -> Path:
        return self.root / "client.yaml"

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    def node(self, node: Node) -> Path:
        return self.root / node.name

    def zookeeper(self, node: Node) -> Path:
        return self.node(node) / "zookeeper"

    def failpoints(self, node: Node) -> Path:
        """The folder in which places of that host's agent and orchestrator are armed."""
        return self.node(node) / "failpoints"

    def agent_config(self, node: Node) -> Path:
        return self.node(node) / "agent.yaml"

    def orchestrator_config(self, node: Node) -> Path:
        return self.node(node) / "orchestrator.yaml"

    def instance(self, node: Node) -> Instance:
        """The mysqld of a database host."""
        folder = self.node(node)
        return Instance(
            datadir=folder / "mysql",
            socket=folder / "mysqld.sock",
            pid_file=folder / "mysqld.pid",
            log_error=self.log(f"mysqld-{node.name}"),
            address=str(node.address),
            server_id=node.number,
            auto_increment_offset=1 + self.topology.pair.index(node),
            identity=self.mysqld_identity(node),
            port=MYSQL_PORT,
        )

    def mysqld_identity(self, node: Node) -> Identity:
        """What a node's mysqld proves itself by, as server and at the peer's."""
        return identity(self.root / "secrets/tls", f"mysqld-{node.name}")

    def ensemble(self) -> Ensemble:
        members = self.topology.members("zookeeper")
        return Ensemble({node.number: str(node.address) for node in members})

    def read_facts(self) -> Facts | None:
        """The facts of the lab that stands here, None if none does."""
        try:
            found = json.loads(self.facts_file.read_text())
        except FileNotFoundError:
            return None
        return Facts(**{**found, "passwords": Passwords(**found["passwords"])})

    def write_facts(self, facts: Facts) -> None:
        _write(self.facts_file, json.dumps(asdict(facts), indent=1), secret=True)

    def write_configuration(self, facts: Facts, binary: MysqldBinary) -> None:
        """my.cnf, agent.yaml and orchestrator.yaml of every host, the secrets they name, and client.yaml."""
        secrets = self.root / "secrets"
        _write(secrets / "agent", facts.passwords.agent, secret=True)
        _write(secrets / "replication", facts.passwords.repl, secret=True)
        _write(secrets / "rejoin", facts.passwords.rejoin, secret=True)
        _write(secrets / "clone", facts.passwords.clone, secret=True)
        addresses = {node.name: str(node.address) for node in self.topology.pair}
        issue(secrets / "tls", {**addresses, **{f"mysqld-{name}": address for name, address in addresses.items()}})
        digest = hashlib.sha256(facts.token.encode()).hexdigest()
        _write(secrets / "tokens", f"- {{name: lab, role: admin, sha256: {digest}}}\n", secret=True)
        _write(secrets / "token", facts.token, secret=True)
        _write(secrets / "session", hashlib.sha256(f"session {facts.token}".encode()).hexdigest(), secret=True)
        _write(secrets / "app", facts.passwords.app, secret=True)
        for node in self.topology.pair:
            _write(self.node(node) / "my.cnf", my_cnf(binary, self.instance(node)))
            _write(self.agent_config(node), self._agent(node, facts, binary, secrets))
        for node in self.topology.members("orchestrator"):
            _write(self.orchestrator_config(node), self._orchestrator(node, facts, secrets))
        hosts = ", ".join(self._zookeeper_hosts())
        _write(
            self.client_config,
            f"endpoints: ['{facts.url}']\ntoken_file: {secrets / 'token'}\nzookeeper: [{hosts}]\n",
        )

    def _zookeeper_hosts(self) -> list[str]:
        return [f"'{node.address}:{CLIENT_PORT}'" for node in self.topology.members("zookeeper")]

    def _agent(self, node: Node, facts: Facts, binary: MysqldBinary, secrets: Path) -> str:
        first, second = self.topology.pair
        peer = second if node == first else first
        instance = self.instance(node)
        argv = json.dumps(command(binary, self.node(node) / "my.cnf"))
        return f"""cluster: {self.topology.cluster}
node: {{name: {node.name}, address: {node.address}}}
peer: {{name: {peer.name}, address: {peer.address}}}
vip: {{address: {self.topology.vip}, subnet: {self.topology.network}, interface: eth0}}
mysql:
  supervisor: direct
  command: {argv}
  socket: {instance.socket}
  pid_file: {instance.pid_file}
  datadir: {instance.datadir}
  port: {instance.port}
  admin_port: {instance.admin_port}
  user: kembar_agent
  password_file: {secrets / "agent"}
  rejoin: {{password_file: {secrets / "rejoin"}}}
  clone: {{password_file: {secrets / "clone"}}}
  replication:
    user: kembar_repl
    password_file: {secrets / "replication"}
    port: {instance.port}
    ssl: true
    tls:
      authority: {instance.identity.authority}
      certificate: {instance.identity.certificate}
      key: {instance.identity.key}
zookeeper: {{hosts: [{", ".join(self._zookeeper_hosts())}], session_timeout_s: 1.0}}
profile: {facts.profile}
state_dir: {self.node(node) / "state"}
exchange:
  authority: {secrets / "tls/authority.pem"}
  certificate: {secrets / "tls" / node.name}.pem
  key: {secrets / "tls" / node.name}.key
"""

    def _orchestrator(self, node: Node, facts: Facts, secrets: Path) -> str:
        pair = ", ".join(f"{{name: {one.name}, address: {one.address}}}" for one in self.topology.pair)
        return f"""name: {node.name}
listen: inherited
zookeeper: {{hosts: [{", ".join(self._zookeeper_hosts())}], session_timeout_s: 1.0}}
clusters:
  - name: {self.topology.cluster}
    nodes: [{pair}]
    vip: {{address: {self.topology.vip}, subnet: {self.topology.network}}}
    profile: {facts.profile}
tokens_file: {secrets / "tokens"}
session_key_file: {secrets / "session"}
anonymous_viewers: true
"""


def _write(path: Path, text: str, *, secret: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600 if secret else 0o644)
    path.write_text(text)
