"""The lab's only topology file, and mistakes in it."""

from __future__ import annotations

import copy
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.topology import topology
from orchestrator.core.errors import ConfigWrong

LAB = Path(__file__).parents[2] / "vagrant/lab.yml"


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(LAB.read_text()))


def test_the_lab_is_a_pair_a_witness_and_a_client(document):
    lab = topology(document)
    assert lab.cluster == "shop"
    assert lab.network == IPv4Network("192.0.2.0/24")
    assert lab.vip == IPv4Address("192.0.2.100")
    assert {node.name: str(node.address) for node in lab.nodes} == {
        "db-a": "192.0.2.11",
        "db-b": "192.0.2.12",
        "witness": "192.0.2.13",
        "client": "192.0.2.20",
    }


def test_groups_name_their_members_in_the_order_of_the_file(document):
    lab = topology(document)
    assert [node.name for node in lab.pair] == ["db-a", "db-b"]
    assert [node.name for node in lab.members("zookeeper")] == ["db-a", "db-b", "witness"]
    assert [node.name for node in lab.members("orchestrator")] == ["db-b", "witness"]


def test_the_same_file_gives_other_addresses_on_another_network(document):
    """VirtualBox allows 192.168.56.0/21 only."""
    lab = topology(document, "virtualbox")
    assert str(lab.vip) == "192.168.56.100"
    assert lab.interface(lab.node("db-a")) == "192.168.56.11/24"


def without_nodes(document: dict[str, Any]) -> None:
    del document["nodes"]


def with_two_of_one_address(document: dict[str, Any]) -> None:
    document["nodes"][1]["host"] = 11


def with_the_vip_owned_by_a_node(document: dict[str, Any]) -> None:
    document["vip"] = 20


def with_a_host_outside_the_network(document: dict[str, Any]) -> None:
    document["nodes"][0]["host"] = 255


def with_an_even_number_of_zookeepers(document: dict[str, Any]) -> None:
    document["nodes"][3]["groups"] = ["zookeeper"]


def with_a_group_nobody_knows(document: dict[str, Any]) -> None:
    document["nodes"][3]["groups"] = ["zokeeper"]


def with_three_databases(document: dict[str, Any]) -> None:
    document["nodes"][3]["groups"] = ["db"]


@pytest.mark.parametrize(
    "spoil",
    [
        without_nodes,
        with_two_of_one_address,
        with_the_vip_owned_by_a_node,
        with_a_host_outside_the_network,
        with_an_even_number_of_zookeepers,
        with_a_group_nobody_knows,
        with_three_databases,
    ],
)
def test_a_topology_cannot_be(document, spoil):
    spoil(document)
    with pytest.raises(ConfigWrong):
        topology(document)


def test_all_mistakes_are_said_at_once(document):
    document["nodes"][0]["host"] = 0
    document["nodes"][1]["groups"] = ["dbs"]
    with pytest.raises(ConfigWrong) as raised:
        topology(document)
    assert len(raised.value.problems) == 2
