"""Every mistake in a configuration file is reported at its line, at once with all others, before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agents.config import AgentConfig
from orchestrator.config.load import load, read
from orchestrator.config.orchestrator import OrchestratorConfig, load_tokens
from orchestrator.config.secret import read_secret
from orchestrator.config.shared import differences
from orchestrator.core.errors import ConfigWrong
from orchestrator.core.mergepolicy import Automation, Merged, MergePolicy
from orchestrator.core.model import DEFAULT
from orchestrator.core.tablerules import TableRule

TEMPLATES = Path(__file__).parents[2] / "templates"

# Line numbers of the cases below are lines of this text, which begins with line 1.
AGENT = """\
cluster: shop
node: {name: db-a, address: 192.0.2.11}
peer:
  name: db-b
  address: 192.0.2.12
vip:
  address: 192.0.2.100
  subnet: 192.0.2.0/24
  interface: eth0
mysql:
  socket: /run/mysqld/mysqld.sock
  port: 3306
  supervisor: systemd
  unit: mysql.service
  pid_file: /run/mysqld/mysqld.pid
  password_file: SECRETS/agent
  replication:
    user: kembar_repl
    password_file: SECRETS/replication
zookeeper:
  hosts:
    - 192.0.2.11:2181
    - 192.0.2.12:2181
    - 192.0.2.13:2181
profile: default
timing: {}
probes:
  select_every_s: 0.25
"""
ORCHESTRATOR = """\
name: witness
listen: 127.0.0.1:8080
zookeeper: {hosts: ["192.0.2.13:2181"]}
clusters:
  - name: shop
    nodes:
      - {name: db-a, address: 192.0.2.11}
      - {name: db-b, address: 192.0.2.12}
    vip: {address: 192.0.2.100, subnet: 192.0.2.0/24}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with both files, and the secrets that they name."""
    secrets = tmp_path / "secrets.d"
    secrets.mkdir()
    for name in ("agent", "replication", "tokens"):
        (secrets / name).write_text("s3cret\n")
        (secrets / name).chmod(0o600)
    (tmp_path / "agent.yaml").write_text(AGENT.replace("SECRETS", str(secrets)))
    (tmp_path / "orchestrator.yaml").write_text(ORCHESTRATOR)
    return tmp_path


def problems(
    path: Path, model: type[AgentConfig] | type[OrchestratorConfig] = AgentConfig, **environ: str
) -> list[str]:
    with pytest.raises(ConfigWrong) as caught:
        load(model, path, environ)
    return [line.removeprefix(f"{path}:") for line in caught.value.problems]


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))
    return path


def test_the_annotated_examples_are_valid_and_agree(files: Path) -> None:
    for name in ("agent", "orchestrator"):
        text = (TEMPLATES / f"{name}.yaml.example").read_text()
        (files / f"{name}.yaml").write_text(text.replace("/etc/kembar", str(files)))
    agent = load(AgentConfig, files / "agent.yaml", {})
    orchestrator = load(OrchestratorConfig, files / "orchestrator.yaml", {})
    assert differences(agent.membership, orchestrator.membership(orchestrator.clusters[0])) == ()
    assert agent.policy == DEFAULT
    assert read_secret(agent.mysql.password_file) == "s3cret"
    assert agent.zookeeper.addresses == ("192.0.2.11:2181", "192.0.2.12:2181", "192.0.2.13:2181")


CASES = {
    "an unknown key": ("interface: eth0", "interfce: eth0", [
        "7:3: vip.interface: required, but missing  hint: the interface that carries the VIP, for example eth0",
        "9:3: vip.interfce: unknown key  hint: did you mean 'interface'?",
    ]),
    "a VIP outside the subnet": ("address: 192.0.2.100", "address: 192.0.3.100", [
        "7:12: vip.address: 192.0.3.100 is outside the subnet 192.0.2.0/24"
        "  hint: give an address of the subnet that the interface is in",
    ]),
    "a VIP that is a host's own": ("address: 192.0.2.100", "address: 192.0.2.12", [
        "7:12: vip.address: 192.0.2.12 is the own address of db-b"
        "  hint: the VIP moves between the hosts: take a free address of the subnet",
    ]),
    "a VIP that is the broadcast address": ("address: 192.0.2.100", "address: 192.0.2.255", [
        "7:12: vip.address: 192.0.2.255 is the network's own or the broadcast address of 192.0.2.0/24",
    ]),
    "the same host twice": ("name: db-b\n  address: 192.0.2.12", "name: db-a\n  address: 192.0.2.11", [
        "4:9: peer.name: 'db-a' is both hosts of the pair  hint: name two different hosts",
        "5:12: peer.address: 192.0.2.11 is the address of both hosts  hint: give each host its own address",
    ]),
    "a renewal too rare for the gate": ("timing: {}", "timing: {renew_every_s: 0.15}", [
        "26:25: timing.renew_every_s: 3 * renew_every_s = 0.45 s must be at most gate_ttl_s = 0.4 s"
        "  hint: renew_every_s 0.133 or less, or gate_ttl_s 0.45 or more",
    ]),
    "a gate that outlives the lease": ("timing: {}", "timing: {gate_ttl_s: 1.5}", [
        "26:22: timing.gate_ttl_s: gate_ttl_s = 1.5 s must be less than authorised_s = 1.5 s"
        "  hint: the kernel's gate must close before the lease's horizon",
    ]),
    "an even number of ZooKeeper servers": ("    - 192.0.2.13:2181\n", "", [
        "22:5: zookeeper.hosts: 2 servers: an even number survives no more losses than one less  hint: use 3, or 5",
    ]),
    "a ZooKeeper server twice": ("    - 192.0.2.13:2181", "    - 192.0.2.11:2181", [
        "24:7: zookeeper.hosts[2]: 192.0.2.11:2181 is listed twice",
    ]),
    "a ZooKeeper server by name": ("    - 192.0.2.13:2181", "    - witness:2181", [
        "24:7: zookeeper.hosts[2]: 'witness' is not an IPv4 address  hint: a failover must not wait for a name server",
    ]),
    "a duplicate key": ("cluster: shop", "cluster: shop\ncluster: shop2", [
        "2:1: cluster: duplicate key, first in line 1",
    ]),
    "a port that is none": ("port: 3306", "port: 70000", [
        "12:9: mysql.port: Input should be less than or equal to 65535  hint: the port that clients use on the VIP",
    ]),
    "a YAML truth value as port": ("port: 3306", "port: yes", [
        "12:9: mysql.port: Input should be a valid integer  hint: the port that clients use on the VIP",
    ]),
    "a direct child without its command": ("supervisor: systemd", "supervisor: direct", [
        "11:3: mysql.command: required with supervisor: direct  hint: program and arguments, as a list",
        "14:9: mysql.unit: not used with supervisor: direct  hint: remove it, or set supervisor: systemd",
    ]),
    "no YAML": ("cluster: shop", "cluster: [shop", ["2:5: yaml: expected ',' or ']', but got ':'"]),
    "probes slower than a hang": ("select_every_s: 0.25", "select_every_s: 2", [
        "28:19: probes.select_every_s: 2 s is more than half of hang_s = 1 s"
        "  hint: a hung mysqld is called so after two probes at least",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES)
def test_a_mistake_is_named_at_its_place(files: Path, old: str, new: str, expected: list[str]) -> None:
    assert problems(changed(files / "agent.yaml", old, new)) == expected


def test_all_mistakes_are_reported_at_once(files: Path) -> None:
    """Who has four mistakes should not have to start four times; a broken part does not hide the next one's."""
    path = files / "agent.yaml"
    for old, new in (
        ("192.0.2.12", "192.0.2.11"),
        ("2.100", "3.100"),
        ("port: 3306", "port: x"),
        ("profile", "profil"),
    ):
        changed(path, old, new)
    keys = [line.split(": ")[1] for line in problems(path)]
    assert keys == ["peer.address", "vip.address", "mysql.port", "profil"]


def test_a_channels_password_has_a_length_that_mysql_takes(files: Path) -> None:
    """CHANGE REPLICATION SOURCE refuses more, ten times a second."""
    (files / "secrets.d/replication").write_text(33 * "x")
    assert problems(files / "agent.yaml") == [
        f"19:20: mysql.replication.password_file: {files}/secrets.d/replication holds 33 characters, "
        "expected 32 at most"
        "  hint: openssl rand -hex 16, and the same for the account"
    ]


def test_a_missing_secret_and_one_that_others_read_are_both_reported(files: Path) -> None:
    secrets = files / "secrets.d"
    (secrets / "agent").unlink()
    (secrets / "replication").chmod(0o644)
    assert problems(files / "agent.yaml") == [
        f"16:18: mysql.password_file: {secrets}/agent: No such file or directory"
        "  hint: put the secret alone into this file, mode 0600",
        f"19:20: mysql.replication.password_file: {secrets}/replication has mode 0644: others can get at it"
        f"  hint: chmod 600 {secrets}/replication",
    ]


def test_an_empty_secret_with_a_wrong_mode_is_two_problems(files: Path) -> None:
    secret = files / "secrets.d" / "agent"
    secret.write_text("")
    secret.chmod(0o640)
    found = problems(files / "agent.yaml")
    assert ["is empty" in found[0], "has mode 0640" in found[1], len(found)] == [True, True, 2]


def test_the_environment_lies_over_the_file(files: Path) -> None:
    environ = {"KEMBAR_MYSQL__PORT": "3307", "KEMBAR_CLUSTER": "other", "KEMBAR_ZOOKEEPER__HOSTS": "['192.0.2.9:2181']"}
    config = load(AgentConfig, files / "agent.yaml", environ)
    assert (config.mysql.port, config.cluster, len(config.zookeeper.hosts)) == (3307, "shop", 1)


def test_a_mistake_in_the_environment_names_the_variable(files: Path) -> None:
    found = problems(files / "agent.yaml", KEMBAR_MYSQL__PORT="many", KEMBAR_MYSQL__PRT="1", KEMBAR_NODE__NAME__X="1")
    assert found == [
        "environment: KEMBAR_NODE__NAME__X: node.name.x: node.name is no section of the file",
        "environment: KEMBAR_MYSQL__PORT: mysql.port: Input should be a valid integer"
        "  hint: the port that clients use on the VIP",
        "environment: KEMBAR_MYSQL__PRT: mysql.prt: unknown key  hint: did you mean 'port'?",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problems(tmp_path / "agent.yaml") == ["1:1: file: cannot be read: No such file or directory"]


def test_an_empty_file_lacks_every_required_key(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("")
    assert [line.split(": ")[1] for line in problems(path)] == ["cluster", "node", "peer", "vip", "mysql", "zookeeper"]


def test_an_alias_that_contains_itself_is_a_mistake_and_no_endless_loop(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("node: &a\n  name: *a\n")
    assert "1:7: node.name: an alias that contains itself" in problems(path)


VIP = "    vip: {address: 192.0.2.100, subnet: 192.0.2.0/24}"
ORCHESTRATOR_CASES = {
    "a listener that would show tokens to the network": ("127.0.0.1:8080", "192.0.2.13:8080", [
        "2:9: listen: 192.0.2.13:8080 is not loopback, and tokens would cross the network in clear"
        "  hint: give tls: {certificate, key}, listen on 127.0.0.1 behind a proxy that speaks TLS,"
        " or set plain_http: true",
    ]),
    "one node only": ("      - {name: db-b, address: 192.0.2.12}\n", "", [
        "7:7: clusters[0].nodes: List should have at least 2 items after validation, not 1"
        "  hint: exactly two hosts, each with name and address",
    ]),
    "the same host twice": ("{name: db-b, address: 192.0.2.12}", "{name: db-b, address: 192.0.2.11}", [
        "8:31: clusters[0].nodes[1].address: 192.0.2.11 is the address of both hosts"
        "  hint: give each host its own address",
    ]),
    "an unknown key far down": ("subnet: 192.0.2.0/24}", "subnet: 192.0.2.0/24, interface: x}", [
        "9:55: clusters[0].vip.interface: unknown key  hint: known here: address, subnet",
    ]),
    "a policy that is none": (VIP, f"{VIP}\n    reconcile: {{tables: [{{match: s.t, policy: newest}}]}}", [
        "10:26: clusters[0].reconcile.tables[0]: policy='newest': expected quarantine, discard, skip, apply,"
        " latest_wins(COLUMN), max(COLUMN), min(COLUMN) or delta(COLUMN, ...)",
    ]),
    "a limit that is none": (VIP, f"{VIP}\n    reconcile: {{limits: {{row: 1}}, mod: auto}}", [
        "10:26: clusters[0].reconcile.limits.row: unknown key  hint: did you mean 'rows'?",
        "10:35: clusters[0].reconcile.mod: unknown key  hint: did you mean 'mode'?",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), ORCHESTRATOR_CASES.values(), ids=ORCHESTRATOR_CASES)
def test_a_mistake_of_an_orchestrator(files: Path, old: str, new: str, expected: list[str]) -> None:
    assert problems(changed(files / "orchestrator.yaml", old, new), OrchestratorConfig) == expected


def test_the_policy_of_a_return_is_no_matter_of_the_agents(files: Path) -> None:
    section = "    reconcile: {mode: off, merge: off, tables: [{match: s.t, policy: skip}]}"  # off is False to YAML
    path = changed(files / "orchestrator.yaml", VIP, f"{VIP}\n{section}")
    cluster = load(OrchestratorConfig, path, {}).clusters[0]
    wanted = MergePolicy(Automation.OFF, merge=Merged.OFF, tables=(TableRule("s.t", policy="skip"),))
    assert cluster.first_policy == replace(DEFAULT, reconcile=wanted)
    whole = load(OrchestratorConfig, path, {})
    agent = load(AgentConfig, files / "agent.yaml", {})
    assert "policy" not in differences(agent.membership, whole.membership(cluster))


def test_two_clusters_cannot_share_name_vip_or_hosts(files: Path) -> None:
    path = files / "orchestrator.yaml"
    text = path.read_text()
    start = text.index("  - name: shop")
    path.write_text(text + text[start:])
    keys = [line.split(": ")[1] for line in problems(path, OrchestratorConfig)]
    assert keys == [
        "clusters[1].name", "clusters[1].vip.address",
        "clusters[1].nodes[0].address", "clusters[1].nodes[1].address",
    ]  # fmt: skip


SECOND = """\
  - name: stock
    nodes:
      - {name: db-a, address: 192.0.2.21}
      - {name: db-b, address: 192.0.2.22}
    vip: {address: 192.0.2.101, subnet: 192.0.2.0/24}
"""


def test_two_clusters_may_call_their_hosts_alike(files: Path) -> None:
    path = files / "orchestrator.yaml"
    path.write_text(path.read_text() + SECOND)
    assert [one.name for one in load(OrchestratorConfig, path, {}).clusters] == ["shop", "stock"]


ACROSS = {
    "a host of another cluster": ("192.0.2.21", "192.0.2.12", [
        "12:31: clusters[1].nodes[0].address: 192.0.2.12 is the address of db-b in cluster 'shop' too"
        "  hint: a host belongs to one cluster: it has one agent",
    ]),
    "the VIP of another cluster": ("192.0.2.22", "192.0.2.100", [
        "13:31: clusters[1].nodes[1].address: 192.0.2.100 is the VIP of cluster 'shop'"
        "  hint: give the host's own address",
    ]),
    "a VIP that is a host's": ("192.0.2.101", "192.0.2.11", [
        "14:20: clusters[1].vip.address: 192.0.2.11 is the own address of db-a in cluster 'shop'"
        "  hint: the VIP moves between the hosts: take a free address of the subnet",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), ACROSS.values(), ids=ACROSS)
def test_an_address_has_one_owner_in_all_clusters(files: Path, old: str, new: str, expected: list[str]) -> None:
    path = files / "orchestrator.yaml"
    path.write_text(path.read_text() + SECOND.replace(old, new))
    assert problems(path, OrchestratorConfig) == expected


def test_an_inherited_listener_is_none(files: Path) -> None:
    path = changed(files / "orchestrator.yaml", "127.0.0.1:8080", "inherited")
    assert load(OrchestratorConfig, path, {}).listen is None


def test_files_of_one_cluster_that_disagree(files: Path) -> None:
    path = changed(files / "agent.yaml", "profile: default", "profile: fast")
    changed(path, "192.0.2.100", "192.0.2.101")
    agent = load(AgentConfig, path, {})
    orchestrator = load(OrchestratorConfig, files / "orchestrator.yaml", {})
    assert differences(agent.membership, orchestrator.membership(orchestrator.clusters[0])) == (
        "vip",
        "zookeeper",
        "policy",
    )


def test_tokens_are_hashes_with_a_role(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"- {{name: alice, role: operator, sha256: {'a' * 64}, expires: 2027-01-31}}\n")
    (token,) = load_tokens(path)
    assert (token.name, token.role, token.expires_s) == ("alice", "operator", 1801440000.0)
    path.write_text("- {name: alice, role: root, sha256: abc}\n")
    with pytest.raises(ConfigWrong) as caught:
        load_tokens(path)
    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in caught.value.problems] == [
        ["1:23", "[0].role"],
        ["1:37", "[0].sha256"],
    ]


def test_reading_alone_says_where_a_key_stands(files: Path) -> None:
    """The comparison of two files reports at the line of the one that is to change."""
    document = read(files / "agent.yaml", {})
    assert document.problem(("vip",), "differs").endswith("agent.yaml:7:3: vip: differs")
