"""What stands against setting up a cluster on these hosts, all of it at once. Pure: facts in, lines out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

OLDEST_MYSQL = (8, 0, 26)
OLDEST_PYTHON = (3, 11)
OLDEST_KERNEL = (5, 6)
SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("24.04",)}
CLOCK_BOUND_S = 0.05
VAULT = "ansible-vault edit group_vars/all/vault.yml"
SECRET_BOUNDS = {  # in characters
    "vault_mysql_replication_password": (1, 32),  # a replication channel takes no more
    "vault_kembar_session_key": (32, 4096),  # the orchestrator wants no less
}

Facts = Mapping[str, Any]


def preflight_problems(spec: Mapping[str, Any]) -> list[str]:
    """A line for each problem: `HOST: what is wrong  hint: what to do`; empty if the playbooks may begin.

    `spec` has `groups` (names by group), `vip`, `subnet`, `addresses` (kembar_address of each host), `secrets` (names
    of variables, each with the length of what it is set to), `packages` (files on the machine that runs Ansible), and
    `hosts`: the facts of each host, None for one that did not answer.
    """
    hosts: Mapping[str, Facts | None] = spec["hosts"]
    found = [*_groups(spec["groups"]), *_secrets(spec["secrets"]), *_packages(spec["packages"])]
    found += _vip(spec["vip"], spec["subnet"])
    for name in sorted(hosts):
        facts = hosts[name]
        if facts is None:
            found.append(_line(name, "does not answer", "ssh, python3 and sudo must work for the account of ansible"))
            continue
        found += [_line(name, *wrong) for wrong in (*_host(facts), *_own(facts, spec["addresses"][name]))]
        found += [_line(name, *wrong) for wrong in _fitting(facts, spec["packages"])]
        if name in spec["groups"].get("db", ()):
            found += [_line(name, *wrong) for wrong in _database(facts, spec)]
    return [*found, *_pair({name: facts for name, facts in hosts.items() if facts}, spec)]


def _line(where: str, what: str, hint: str = "") -> str:
    return f"{where}: {what}" + (f"  hint: {hint}" if hint else "")


def _groups(groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    db, voters = groups.get("db", ()), groups.get("zookeeper", ())
    if len(db) != 2:
        yield _line("inventory", f"group db has {len(db)} hosts", "a pair is exactly two")
    if len(voters) < 3 or len(voters) % 2 == 0:
        hint = "an odd number, 3 or more: an even number survives no more losses than one less"
        yield _line("inventory", f"group zookeeper has {len(voters)} hosts", hint)
    if not groups.get("orchestrator"):
        yield _line("inventory", "group orchestrator is empty", "two or more, one of them outside of the pair")
    if voters and db and not set(voters) - set(db):
        yield _line("inventory", "every host of group zookeeper is one of the pair", "put one elsewhere")


def _secrets(secrets: Mapping[str, int]) -> Iterator[str]:
    for name, length in sorted(secrets.items()):
        least, most = SECRET_BOUNDS.get(name, (1, length))
        if not length:
            yield _line("vault", f"{name} is missing or empty", VAULT)
        elif not least <= length <= most:
            bound = f"{most} at most" if length > most else f"{least} at least"
            yield _line("vault", f"{name} has {length} characters, expected {bound}", f"openssl rand -hex 16; {VAULT}")


def _packages(files: Sequence[str]) -> Iterator[str]:
    """One of each, or nobody could say which is installed."""
    for name in ("kembar", "kembar-agent", "kembar-orchestrator"):
        found = [file for file in files if file.rsplit("/", 1)[-1].startswith(f"{name}_")]
        if len(found) != 1:
            yield _line("inventory", f"kembar_packages holds {len(found)} packages {name}", "one: make packages")


def _vip(vip: str, subnet: str) -> Iterator[str]:
    try:
        address, network = IPv4Address(vip), IPv4Network(subnet)
    except ValueError as error:
        yield _line("inventory", f"kembar_vip {vip!r}, kembar_subnet {subnet!r}: {error}", "for example 192.0.2.100")
        return
    if address not in network:
        yield _line("inventory", f"kembar_vip {vip} is outside of kembar_subnet {subnet}", "take an address of it")


def _host(facts: Facts) -> Iterator[tuple[str, str]]:
    system = facts["os"]
    if system["version"] not in SUPPORTED.get(system["id"], ()):
        known = ", ".join(f"{name} {' and '.join(versions)}" for name, versions in SUPPORTED.items())
        yield f"{system['id']} {system['version']} is not supported", f"supported are {known}"
    if _numbers(facts["python"]) < OLDEST_PYTHON:
        yield f"Python {facts['python']} is too old", "3.11 or later"
    if _numbers(facts["kernel"]) < OLDEST_KERNEL:
        yield f"Linux {facts['kernel']} is too old", "5.6 or later, with nftables inet and arp"
    off_s = clock_off_s(facts)
    if off_s > CLOCK_BOUND_S:
        yield f"its clock is off by {off_s:.3f} s", f"at most {CLOCK_BOUND_S} s: set it, then let chrony keep it"


def _own(facts: Facts, address: str) -> Iterator[tuple[str, str]]:
    if address not in facts["addresses"]:
        hint = "its own IPv4 address, as the others reach it: no name, none that a router translates"
        yield f"kembar_address {address} is none of its own", hint


def _fitting(facts: Facts, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    made_for = {file.removesuffix(".deb").rsplit("_", 1)[-1] for file in files}
    if facts["architecture"] and made_for - {facts["architecture"]}:
        wrong = ", ".join(sorted(made_for))
        yield f"is {facts['architecture']}, the packages are for {wrong}", "make packages on a host of its kind"


def clock_off_s(facts: Facts) -> float:
    """As chrony says; else what is certain: how far its reading lies outside of the time in which it was asked."""
    if facts["clock_offset_s"] is not None:
        return abs(float(facts["clock_offset_s"]))
    began_s, ended_s = facts["asked_s"]
    return float(max(began_s - facts["now_s"], facts["now_s"] - ended_s, 0.0))


def _database(facts: Facts, spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _server(facts)
    yield from _address(facts, spec)
    if facts["keepalived"]:
        yield "keepalived runs", "two programs cannot move one address: systemctl disable --now keepalived"
    for service in facts["flushes"]:
        yield f"{service} flushes all rules when it starts", "remove `flush ruleset` from /etc/nftables.conf"


def _server(facts: Facts) -> Iterator[tuple[str, str]]:
    said = facts["mysqld"]
    if said:
        version = re.search(r"Ver\s+(\S+)", said)
        if "mariadb" in said.lower():
            yield "mysqld is MariaDB", "MySQL 8.0.26 or later: its global transaction ids are other ones"
        elif version is None or _numbers(version[1]) < OLDEST_MYSQL:
            yield f"mysqld is {version[1] if version else said}", "MySQL 8.0.26 or later"
    if facts["holds_data"] and not facts["provisioned"]:
        yield "its data directory holds data that no playbook has made", "docs/provisioning.md: a server with data"
    elif facts["mysql_active"] and not facts["provisioned"]:
        hint = "systemctl disable --now mysql.service, if nobody needs its data; else docs/provisioning.md"
        yield "mysqld runs, and no playbook has made it", hint
    if facts["mysql_enabled"] and facts["provisioned"]:
        yield "mysql.service is started at boot", "systemctl disable mysql.service: the agent starts it"


def _address(facts: Facts, spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    vip, subnet = spec["vip"], spec["subnet"]
    if facts["interface"] is None:
        yield "has no interface of that name", "set kembar_interface for this host"
    elif not any(str(IPv4Interface(one).network) == subnet for one in facts["interface"]):
        yield f"no address of {subnet} on its interface", "kembar_subnet is the network that the interface is in"
    for path in facts["vip_files"]:
        yield f"{path} gives it the virtual IP {vip}", "remove it: the address is the agents' to give"
    if facts["vip_answers"] is not None and not _held_by_the_pair(spec):
        yield f"{facts['vip_answers']} answers for the virtual IP {vip}", "take an address that is free"


def _held_by_the_pair(spec: Mapping[str, Any]) -> bool:
    """A cluster that runs already: the address is where it should be."""
    pair = [spec["hosts"].get(name) for name in spec["groups"].get("db", ())]
    return any(facts and facts["holds_vip"] and facts["provisioned"] for facts in pair)


def _pair(hosts: Mapping[str, Facts], spec: Mapping[str, Any]) -> Iterator[str]:
    pair = [name for name in spec["groups"].get("db", ()) if name in hosts]
    holders = [name for name in pair if hosts[name]["holds_vip"]]
    if len(holders) > 1:
        yield _line(", ".join(holders), f"both have the virtual IP {spec['vip']}", "kembar vip")
    for name in holders:
        if not hosts[name]["provisioned"]:
            yield _line(name, f"has the virtual IP {spec['vip']} already", "remove it: ip address del")
    if len({hosts[name]["mysqld"] for name in pair if hosts[name]["mysqld"]}) > 1:
        yield _line(" and ".join(pair), "have different versions of mysqld", "the same on both: upgrade_mysql.yml")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_problems": preflight_problems}
