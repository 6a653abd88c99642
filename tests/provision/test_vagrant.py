"""The machines of the Vagrantfile and the hosts of Ansible's inventory are those of lab.yml. Nothing is booted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import inventory
from lab.topology import Topology, topology
from tests.provision.test_playbooks import ROOT, run

VAGRANT = ROOT / "vagrant"
RUBY = shutil.which("ruby")
needs_ruby = pytest.mark.skipif(RUBY is None, reason="no ruby here: apt-get install ruby")


def lab(network: str) -> Topology:
    return topology(yaml.safe_load((VAGRANT / "lab.yml").read_text()), network)


def ruby(*arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(RUBY), *map(str, arguments)], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


@needs_ruby
def test_ruby_understands_the_vagrantfile():
    assert ruby("-c", VAGRANT / "Vagrantfile") == "Syntax OK\n"


@needs_ruby
@pytest.mark.parametrize("provider", ["virtualbox", "libvirt"])
def test_the_machines_are_those_of_the_topology(provider):
    stub = Path(__file__).with_name("vagrant_stub.rb")
    told: dict[str, Any] = json.loads(ruby(stub, VAGRANT / "Vagrantfile", VAGRANT_DEFAULT_PROVIDER=provider))
    given = lab(provider)
    assert [
        (one["name"], one["hostname"], one["private_network"], one["providers"][provider]["memory"])
        for one in told["machines"]
    ] == [(node.name, node.name, str(node.address), node.memory_mib) for node in given.nodes]
    assert str(given.vip) not in json.dumps(told)
    assert {group: set(names) for group, names in told["groups"].items()} == {
        group: {node.name for node in given.members(group)}
        for group in {g for node in given.nodes for g in node.groups}
    }
    assert [one["name"] for one in told["machines"] if "ansible" in one] == [given.nodes[-1].name]


@needs_ruby
def test_sizes_can_be_set_for_all(tmp_path):
    stub = Path(__file__).with_name("vagrant_stub.rb")
    told = json.loads(ruby(stub, VAGRANT / "Vagrantfile", LAB_MEM="2048", LAB_CPUS="2"))
    assert {
        (one["providers"]["virtualbox"]["memory"], one["providers"]["virtualbox"]["cpus"]) for one in told["machines"]
    } == {(2048, 2)}


def test_ansible_reads_the_same_hosts_and_groups(tmp_path):
    given = lab("virtualbox")
    inventory.write(tmp_path, given, "eth1", {})
    told = json.loads(run("ansible-inventory", "-i", str(tmp_path / "hosts.yml"), "--list"))
    for group in ("db", "zookeeper", "orchestrator", "monitoring"):
        assert told[group]["hosts"] == [node.name for node in given.members(group)]
    variables = told["_meta"]["hostvars"]["db-a"]
    assert (variables["ansible_host"], variables["kembar_vip"]) == ("192.168.56.11", "192.168.56.100")
    assert "client" not in told["_meta"]["hostvars"]


def test_secrets_are_made_once_and_for_the_owner_alone(tmp_path):
    inventory.write(tmp_path, lab("virtualbox"), "eth1", {})
    vault = tmp_path / "group_vars/all/vault.yml"
    first = vault.read_text()
    inventory.write(tmp_path, lab("virtualbox"), "eth1", {})
    assert vault.read_text() == first
    assert vault.stat().st_mode & 0o777 == 0o600
    example = yaml.safe_load((ROOT / "playbooks/inventory/example/group_vars/all/vault.yml.example").read_text())
    assert set(yaml.safe_load(first)) == set(example)
