"""What the playbooks write onto hosts is what Kembar asks for: rendered, then read by those who will read it there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from agents import preflight
from agents.config import AgentConfig
from lab.accounts import Passwords, bootstrap_statements
from lab.certificates import Authority
from lab.zookeeper import JARS, Ensemble, zoo_cfg
from orchestrator.cli.settings import read_settings
from orchestrator.config.load import load
from orchestrator.config.orchestrator import OrchestratorConfig

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
ADDRESSES = {"db-a": "192.0.2.11", "db-b": "192.0.2.12", "witness": "192.0.2.13"}
FIREWALL: dict[str, Any] = {
    "firewall_pair": [ADDRESSES["db-a"], ADDRESSES["db-b"]],
    "firewall_voters": list(ADDRESSES.values()),
    "firewall_members": list(ADDRESSES.values()),
    "firewall_mysql_port": 3306,
}
PASSWORDS = Passwords("root-pw", "agent-pw", "rejoin-pw", "repl-pw", "clone-pw", "app-pw")
GIVEN: dict[str, Any] = {
    "ansible_managed": "Managed by Ansible",
    "inventory_hostname": "db-a",
    "hostvars": {name: {"kembar_address": address} for name, address in ADDRESSES.items()},
    "kembar_cluster": "shop",
    "kembar_address": ADDRESSES["db-a"],
    "kembar_vip": "192.0.2.100",
    "kembar_subnet": "192.0.2.0/24",
    "kembar_interface": "eth0",
    "kembar_profile": "default",
    "mysql_datadir": "/var/lib/mysql/data",
    "mysql_port": 3306,
    "mysql_admin_port": 33062,
    "mysql_number": 1,
    "mysql_server_id": 1,
    "mysql_bootstrap_root_password": "root-pw",
    "mysql_bootstrap_agent_password": "agent-pw",
    "mysql_bootstrap_rejoin_password": "rejoin-pw",
    "mysql_bootstrap_replication_password": "repl-pw",
    "mysql_bootstrap_clone_password": "clone-pw",
    "mysql_bootstrap_pair": [ADDRESSES["db-a"], ADDRESSES["db-b"]],
    "mysql_bootstrap_schemas": ["shop"],
    "kembar_agent_peer": "db-b",
    "kembar_agent_zookeeper": list(ADDRESSES.values()),
    "kembar_orchestrator_zookeeper": list(ADDRESSES.values()),
    "kembar_orchestrator_hosts": ["witness", "db-b"],
    "kembar_orchestrator_pair": ["db-a", "db-b"],
    "kembar_orchestrator_admin_token": "admin-token",
    "kembar_orchestrator_listen": f"{ADDRESSES['db-a']}:8080",
    "kembar_orchestrator_more_clusters": [],
    "zookeeper_servers": list(ADDRESSES.values()),
}


def rendered(role: str, name: str, **differing: Any) -> str:
    """As Ansible renders it: the role's defaults below what is given, its switches of white space."""
    env = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    env.filters |= {
        "dirname": lambda path: str(Path(path).parent),
        "to_json": json.dumps,
        "bool": bool,
        "hash": lambda text, kind: f"{0:064x}",
    }
    defaults = yaml.safe_load((PLAYBOOKS / "roles" / role / "defaults/main.yml").read_text())
    template = env.from_string((PLAYBOOKS / "roles" / role / "templates" / name).read_text())
    return template.render({**defaults, **GIVEN, **differing})


def settings(text: str) -> dict[str, str]:
    """The last of each, without quotes, as mysqld takes them."""
    found = re.findall(r"^(\w+) *=(.*)$", text, re.M)
    return {name: value.strip().strip('"') for name, value in found}


def as_variables(options: dict[str, str]) -> dict[str, str]:
    packet = options["max_allowed_packet"]
    size = {"M": 1024**2, "G": 1024**3}
    assert options["log_bin"]  # a file's name here, ON where it is shown
    shown = {"log_bin": "ON", "max_allowed_packet": str(int(packet[:-1]) * size[packet[-1]])}
    return {**options, **shown, "version": "8.4.6", "version_comment": "MySQL Community Server"}


def test_no_setting_of_mysql_is_refused_by_the_agent():
    refused = preflight.refusals(as_variables(settings(rendered("mysql", "kembar.cnf.j2"))), at_start=True)
    assert refused == ()


def test_what_an_operator_adds_cannot_undo_what_kembar_needs():
    extra = {"sync_binlog": 0, "super_read_only": "OFF", "lower_case_table_names": 1}
    found = settings(rendered("mysql", "kembar.cnf.j2", mysql_extra_settings=extra))
    assert (found["sync_binlog"], found["super_read_only"], found["lower_case_table_names"]) == ("1", "ON", "1")


def test_the_accounts_are_those_that_the_lab_proves_to_suffice():
    """But for where the peer comes from, and the lab's own client."""
    ours = rendered("mysql_bootstrap", "accounts.sql.j2").splitlines()
    labs = [f"{one};" for one in bootstrap_statements(PASSWORDS) if "'app'" not in one]
    spread = [
        line.replace("'%'", f"'{ADDRESSES[name]}'") for name in ("db-a", "db-b") for line in labs if "'%'" in line
    ]
    assert [line for line in ours if line] == [*(line for line in labs if "'%'" not in line), *spread]


def test_a_server_that_knows_no_tags_is_not_asked_for_the_privilege():
    privilege = "TRANSACTION_GTID_TAG"
    assert privilege in rendered("mysql_bootstrap", "accounts.sql.j2")
    assert privilege not in rendered("mysql_bootstrap", "accounts.sql.j2", mysql_bootstrap_tags=False)


def test_a_password_cannot_end_its_statement():
    found = rendered("mysql_bootstrap", "accounts.sql.j2", mysql_bootstrap_root_password="a'; --\\")
    assert found.splitlines()[0].endswith(r"BY 'a''; --\\';")


@pytest.mark.parametrize("status", [0, 3])
def test_the_settings_of_mysqld_are_judged_where_it_may_read(tmp_path, status):
    """AppArmor shuts it out of the folder in which Ansible makes them."""
    tasks = yaml.safe_load((PLAYBOOKS / "roles/mysql/tasks/main.yml").read_text())
    (judged,) = [task["ansible.builtin.template"]["validate"] for task in tasks if task["name"] == "Write its settings"]
    mysqld, made = tmp_path / "mysqld", tmp_path / "made.cnf"
    mysqld.write_text(f"#!/bin/sh\necho $@; cat {tmp_path}/kembar-judged.cnf; exit {status}\n")
    mysqld.chmod(0o755)
    made.write_text("[mysqld]\n")
    command = judged.replace("/etc/mysql", str(tmp_path)).replace("{{ mysql_program }}", str(mysqld)) % made
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    said = f"--defaults-file={tmp_path}/kembar-judged.cnf --validate-config --user=mysql\n[mysqld]\n"
    assert (done.returncode, done.stdout) == (status, said), done.stderr
    assert not (tmp_path / "kembar-judged.cnf").exists()


def test_root_has_the_same_hash_on_both_servers():
    """A salt of each one's own was the first difference that a comparison of a new pair named."""
    first = rendered("mysql_bootstrap", "accounts.sql.j2", mysql_bootstrap_root_hash="2441").splitlines()[0]
    assert first == "ALTER USER 'root'@'localhost' IDENTIFIED WITH caching_sha2_password AS 0x2441;"


def test_writers_reach_mysql_at_the_virtual_address_alone():
    """At the hosts' own addresses, two servers could answer."""
    rules = rendered("firewall", "firewall.nft.j2", firewall_direct=["192.0.2.99"], **FIREWALL)
    (direct,) = [line.strip() for line in rules.splitlines() if "ip daddr != 192.0.2.100" in line]
    assert direct.startswith("tcp dport 3306 ")
    assert direct.endswith(" ip saddr != { 192.0.2.11, 192.0.2.12, 192.0.2.99 } drop")
    assert any(line.split()[:2] == ["meta", "nfproto"] and line.endswith("drop") for line in rules.splitlines())


def test_the_firewall_does_not_wait_for_a_network_that_waits_for_it():
    """On Ubuntu, cloud-init holds sysinit.target back until the network is there: else they would wait in a circle."""
    unit = (PLAYBOOKS / "roles/firewall/files/kembar-firewall.service").read_text()
    assert {"DefaultDependencies=no", "Wants=network-pre.target"} <= set(unit.splitlines())
    assert re.search(r"^Before=.*network-pre\.target", unit, re.M)


def test_zookeeper_has_the_settings_that_the_lab_is_measured_with():
    ours = dict(line.split("=", 1) for line in rendered("zookeeper", "zoo.cfg.j2").splitlines() if "=" in line)
    ensemble = Ensemble(dict(enumerate(ADDRESSES.values(), 1)), tls=Path("/etc/kembar-zookeeper/tls"))
    theirs = dict(line.split("=", 1) for line in zoo_cfg(ensemble, 1, Path("/var/lib/zookeeper")).splitlines())
    del ours["dataLogDir"], theirs["maxClientCnxns"]
    for prefix in ("ssl", "ssl.quorum"):
        assert theirs.pop(f"{prefix}.keyStore.location") == "/etc/kembar-zookeeper/tls/zookeeper-1.pem"
        assert ours.pop(f"{prefix}.keyStore.location") == "/etc/kembar-zookeeper/tls/zookeeper-both.pem"
    assert ours == theirs


def test_zookeeper_loads_what_the_lab_loads():
    unit = rendered("zookeeper", "zookeeper.service.j2")
    (path,) = re.findall(r"-cp (\S+)", unit)
    assert path.split(":") == [f"/usr/share/java/{jar}.jar" for jar in JARS]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name in ("agent", "rejoin", "replication", "clone", "tokens", "session"):
        (tmp_path / name).write_text("[]\n" if name == "tokens" else "0123456789abcdef" * 2)
        (tmp_path / name).chmod(0o600)
    authority = Authority(tmp_path)
    for name, subject in {"agent": "agent db-a", "mysql": "mysql db-a", "orchestrator": "orchestrator db-b"}.items():
        authority.issue(name, subject=subject, organization="shop", addresses=(ADDRESSES["db-a"],))
    return tmp_path


def placed(text: str, folder: Path) -> Path:
    """With the secrets where a test may write them."""
    text = re.sub(
        r"/etc/(kembar|mysql)/(secrets\.d|tls|kembar-tls)/(\w+(\.\w+)?)", lambda found: str(folder / found[3]), text
    )
    written = folder / "config.yaml"
    written.write_text(text)
    return written


def test_the_agents_file_is_valid(secrets):
    text = rendered("kembar_agent", "agent.yaml.j2", kembar_agent_probe_listen="192.0.2.11:8090")
    config = load(AgentConfig, placed(text, secrets), {})
    assert (config.node.name, config.peer.name, str(config.peer.address)) == ("db-a", "db-b", "192.0.2.12")
    assert config.mysql.rejoin is not None and config.mysql.clone is not None and config.exchange is not None
    assert config.mysql.replication.tls is not None


def test_the_orchestrators_file_is_valid_and_agrees_with_the_agents(secrets):
    text = rendered(
        "kembar_orchestrator",
        "orchestrator.yaml.j2",
        kembar_orchestrator_reconcile={"mode": "plan_only"},
    )
    config = load(OrchestratorConfig, placed(text, secrets), {})
    agent = load(AgentConfig, placed(rendered("kembar_agent", "agent.yaml.j2"), secrets), {})
    assert config.membership(config.clusters[0]) == agent.membership
    assert config.tls is not None and not config.plain_http


def test_commands_on_an_orchestrators_host_ask_it_over_tls(secrets):
    found = read_settings(placed(rendered("kembar_orchestrator", "client.yaml.j2"), secrets))
    assert (found.endpoints, found.authority) == (("https://192.0.2.11:8080",), str(secrets / "authority.pem"))
    assert found.zookeeper_files == tuple(str(secrets / name) for name in ("authority.pem", "reader.pem", "reader.key"))


def test_everybody_is_known_to_zookeeper_as_the_certificates_are_issued(secrets):
    """The role that issues them names a component and its host; what is written for each names the same."""
    config = load(OrchestratorConfig, placed(rendered("kembar_orchestrator", "orchestrator.yaml.j2"), secrets), {})
    agent = load(AgentConfig, placed(rendered("kembar_agent", "agent.yaml.j2"), secrets), {})
    assert agent.zookeeper.known_as == config.clusters[0].nodes[0].identity == "CN=agent db-a,O=shop"
    acl = config.zookeeper.acl
    assert acl is not None
    assert acl.orchestrators == ["CN=orchestrator witness,O=shop", "CN=orchestrator db-b,O=shop"]
    assert config.zookeeper.known_as in acl.orchestrators


MORE = [
    {
        "name": name,
        "nodes": [
            {"name": host, "address": f"192.0.2.{at}{number}", "identity": f"CN=agent {host},O={name}"}
            for number, host in ((1, "a"), (2, "b"))
        ],
        "vip": {"address": f"192.0.2.{at}3", "subnet": "192.0.2.0/24"},
        "profile": "fast",
    }
    for at, name in ((2, "stock"), (3, "bank"))
]


def test_clusters_of_other_inventories_stand_beside_our_own_whoever_writes_the_file(secrets):
    text = rendered("kembar_orchestrator", "orchestrator.yaml.j2", kembar_orchestrator_more_clusters=MORE)
    found = load(OrchestratorConfig, placed(text, secrets), {}).clusters
    assert [(one.name, one.profile) for one in found] == [("bank", "fast"), ("shop", "default"), ("stock", "fast")]
    tokens = yaml.safe_load(rendered("kembar_orchestrator", "tokens.j2", kembar_orchestrator_more_clusters=MORE))
    assert tokens[0]["clusters"] == ["bank", "shop", "stock"]
