"""Ansible's inventory of the lab, made from its topology: `python -m lab.inventory virtualbox DIRECTORY`.

Secrets are random and made once; what is there is kept, so that a second run of the playbooks finds the same.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.topology import Topology, topology

ROOT = Path(__file__).parent.parent
SECRETS = (
    "vault_mysql_root_password",
    "vault_mysql_agent_password",
    "vault_mysql_rejoin_password",
    "vault_mysql_replication_password",
    "vault_mysql_clone_password",
    "vault_kembar_admin_token",
    "vault_kembar_session_key",
    "vault_tls_authority_passphrase",
)
# The interface that the private network is on.
INTERFACES = {"virtualbox": "eth1", "libvirt": "eth1", "namespaces": "eth0"}


def hosts(given: Topology) -> dict[str, Any]:
    """hosts.yml: every host with its address, and the groups of the topology that the playbooks know."""
    members = [node for node in given.nodes if node.groups - {"client"}]
    groups = sorted({group for node in members for group in node.groups} - {"client"})
    return {
        "all": {
            "hosts": {node.name: {"ansible_host": str(node.address)} for node in members},
            "children": {
                group: {"hosts": {node.name: {} for node in members if group in node.groups}} for group in groups
            },
        }
    }


def settings(given: Topology, interface: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """group_vars/all/main.yml: what the example says, for this cluster; `more` on top."""
    example = yaml.safe_load((ROOT / "playbooks/inventory/example/group_vars/all/main.yml").read_text())
    ours = {
        "kembar_cluster": given.cluster,
        "kembar_vip": str(given.vip),
        "kembar_subnet": str(given.network),
        "kembar_interface": interface,
        "kembar_packages": str(ROOT / "dist"),
        "mysql_buffer_pool": "128M",
        "mysql_redo_log": "64M",
        "mysql_bootstrap_schemas": [given.cluster],
    }
    return {**example, **ours, **more}


def machines(provider: str) -> dict[str, str]:
    """How Vagrant's machines are reached: each has a key of its own, and is new at every `vagrant up`."""
    keys = f"{{{{ inventory_dir }}}}/../../../vagrant/.vagrant/machines/{{{{ inventory_hostname }}}}/{provider}"
    return {
        "ansible_user": "vagrant",
        "ansible_ssh_private_key_file": f"{keys}/private_key",
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null",
    }


def write(folder: Path, given: Topology, interface: str, more: Mapping[str, Any]) -> None:
    """The inventory in that folder. Raises OSError."""
    variables = folder / "group_vars/all"
    variables.mkdir(parents=True, exist_ok=True)
    _put(folder / "hosts.yml", hosts(given))
    _put(variables / "main.yml", settings(given, interface, more))
    vault = variables / "vault.yml"
    if not vault.exists():
        vault.touch(mode=0o600)
        _put(vault, {name: secrets.token_hex(16) for name in SECRETS})


def _put(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text("---\n" + yaml.safe_dump(dict(content), sort_keys=False))


def main(arguments: Sequence[str]) -> int:
    network, folder = arguments
    given = topology(yaml.safe_load((ROOT / "vagrant/lab.yml").read_text()), network)
    write(Path(folder), given, INTERFACES[network], machines(network))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
