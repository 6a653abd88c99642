"""Ansible module: what a host is like before anything is done to it. Changes nothing."""

from __future__ import annotations

import json
import platform
import re
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: preflight_facts
short_description: What a host is like before Kembar is set up on it
description:
  - Reads what preflight judges, and asks the network who has the virtual IP. Changes nothing.
options:
  vip:
    description: The virtual IPv4 address.
    type: str
    required: true
  interface:
    description: The interface that is to carry it.
    type: str
    required: true
  datadir:
    description: Where mysqld keeps its data.
    type: str
    required: true
author: Kembar
"""
EXAMPLES = """
- name: Look at the host
  preflight_facts:
    vip: 192.0.2.100
    interface: eth0
    datadir: /var/lib/mysql/data
"""
RETURN = """
preflight:
  description: The facts, by name.
  returned: always
  type: dict
"""

NETWORK_FILES = ("etc/netplan/*.yaml", "etc/network/interfaces", "etc/network/interfaces.d/*", "etc/systemd/network/*")
ARP_TRIES, ARP_WAIT_S = 3, 0.4


def facts(vip: str, interface: str, datadir: str) -> dict[str, Any]:
    """Everything that preflight judges; None where it cannot be told."""
    address = IPv4Address(vip)
    addresses = _addresses()
    mine = addresses.get(interface)
    holds = any(address == one.ip for found in addresses.values() for one in found)
    return {
        "now_s": time.time(),
        "os": _os(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "mysqld": _first_line("mysqld", "--no-defaults", "--version")
        or _first_line("mariadbd", "--no-defaults", "--version"),  # which newer packages know by that name only
        "mysql_active": _first_line("systemctl", "is-active", "mysql.service") == "active",
        "mysql_enabled": _first_line("systemctl", "is-enabled", "mysql.service") == "enabled",
        "keepalived": _first_line("systemctl", "is-active", "keepalived.service") == "active",
        "interface": None if mine is None else [str(one) for one in mine],
        "addresses": [str(one.ip) for found in addresses.values() for one in found],
        "architecture": _first_line("dpkg", "--print-architecture"),
        "holds_vip": holds,
        "vip_files": _files_with(vip),
        "vip_answers": None if holds or mine is None else _who_has(address, interface, mine),
        "flushes": _flushes(),
        "clock_offset_s": _clock_offset_s(),
        "holds_data": Path(datadir, "mysql.ibd").exists(),
        "provisioned": Path("/etc/kembar/agent.yaml").exists(),
    }


def _os() -> dict[str, str]:
    found = platform.freedesktop_os_release()
    return {"id": found.get("ID", ""), "version": found.get("VERSION_ID", "")}


def _first_line(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    return lines[0] if lines else ""


def _addresses() -> dict[str, list[IPv4Interface]]:
    done = subprocess.run(
        ["ip", "-json", "-4", "address", "show"], capture_output=True, text=True, timeout=10, check=True
    )
    return {
        link["ifname"]: [
            IPv4Interface(f"{one['local']}/{one['prefixlen']}") for one in link["addr_info"] if "local" in one
        ]
        for link in json.loads(done.stdout or "[]")
        if link
    }


def _files_with(vip: str) -> list[str]:
    """Configuration that would give the host the VIP at boot, whoever serves."""
    whole = re.compile(rf"(?<![\d.]){re.escape(vip)}(?![\d.])")
    found = []
    for pattern in NETWORK_FILES:
        for path in sorted(Path("/").glob(pattern)):
            with suppress(OSError):
                if whole.search(path.read_text(errors="replace")):
                    found.append(str(path))
    return found


def _flushes() -> list[str]:
    """Services that are enabled and would flush all rules, the gate among them."""
    with suppress(OSError):
        text = Path("/etc/nftables.conf").read_text(errors="replace")
        enabled = _first_line("systemctl", "is-enabled", "nftables.service") == "enabled"
        if enabled and re.search(r"^\s*flush\s+ruleset", text, re.M):
            return ["nftables.service"]
    return []


def _clock_offset_s() -> float | None:
    """As chrony has measured it; None without one that is synchronised."""
    said = _first_line("chronyc", "-c", "tracking")
    fields = said.split(",") if said else []
    if len(fields) < 14 or fields[13] == "Not synchronised":
        return None
    return float(fields[4])


def _who_has(vip: IPv4Address, interface: str, mine: Sequence[IPv4Interface]) -> str | None:
    """The hardware address that answers for the VIP. Asked with no sender, so that no neighbour learns anything."""
    network = IPv4Network("0.0.0.0/0")
    if not any(vip in one.network and one.network != network for one in mine):
        return None
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as sock:
        sock.bind((interface, 0))
        own = sock.getsockname()[4]
        ask = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, bytes(4), bytes(6), vip.packed)
        for _ in range(ARP_TRIES):
            sock.send(b"\xff" * 6 + own + b"\x08\x06" + ask)
            end = time.monotonic() + ARP_WAIT_S
            while (left := end - time.monotonic()) > 0:
                sock.settimeout(left)
                with suppress(TimeoutError):
                    frame = sock.recv(64)
                    if frame[20:22] == b"\x00\x02" and frame[28:32] == vip.packed:
                        return frame[22:28].hex(":")
    return None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "vip": {"type": "str", "required": True},
            "interface": {"type": "str", "required": True},
            "datadir": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, preflight=facts(**module.params))


if __name__ == "__main__":
    main()
