"""Ansible module: who listens on a host, and which ports of others it reaches. Changes nothing."""

from __future__ import annotations

import errno
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: preflight_ports
short_description: Who listens on a host, and which ports of others it reaches
description:
  - Reads what listens on TCP, and tries to connect to the ports that are given. Changes nothing.
options:
  reach:
    description: ADDRESS:PORT of each port that must be reached.
    type: list
    elements: str
    required: true
author: Kembar
"""
EXAMPLES = """
- name: Look at the ports
  preflight_ports:
    reach: ["192.0.2.12:3306", "192.0.2.13:2281"]
"""
RETURN = """
ports:
  description: What listens (address, port, program, unit), what is not reached, and whether Kembar's firewall is there.
  returned: always
  type: dict
"""

FIREWALL = Path("/etc/kembar-firewall.nft")
WAIT_S = 4.0  # a connection request that is lost is sent again after 1 and 3 s
ANSWERED = (0, errno.ECONNREFUSED)
LISTENS = re.compile(r"^LISTEN\s+\d+\s+\d+\s+(\S+?)(?:%\S+)?:(\d+)\s+\S+(?:\s+users:\(\(\"(.*?)\",pid=(\d+))?", re.M)


def listening() -> list[dict[str, Any]]:
    """Each TCP socket that listens: address as `ss` has it, port, program and unit, None where they cannot be told."""
    asked = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout
    return [
        {"address": address, "port": int(port), "program": program or None, "unit": _unit(pid) if pid else None}
        for address, port, program, pid in LISTENS.findall(said)
    ]


def _unit(pid: str) -> str | None:
    with suppress(OSError):
        named = re.findall(r"[^/\n]+\.service(?=/|$)", Path(f"/proc/{pid}/cgroup").read_text(), re.M)
        return named[-1] if named else None
    return None


def unreached(asked: Sequence[str]) -> list[str]:
    """Those of ADDRESS:PORT from which nothing came back. A refusal shows that the way is open."""
    with ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        silent = set(asked)
        for one in asked:
            address, _, port = one.rpartition(":")
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            status = sock.connect_ex((address, int(port)))
            if status == errno.EINPROGRESS:
                waiting.register(sock, selectors.EVENT_WRITE, one)
            elif status in ANSWERED:
                silent.discard(one)
        end = time.monotonic() + WAIT_S
        while waiting.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                waiting.unregister(key.fileobj)
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in ANSWERED:
                    silent.discard(key.data)
                key.fileobj.close()  # at once: a server of an ensemble waits for what a connection says
    return sorted(silent)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"reach": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    found = {
        "listening": listening(),
        "unreached": unreached(module.params["reach"]),
        "firewall": FIREWALL.exists(),
    }
    module.exit_json(changed=False, ports=found)


if __name__ == "__main__":
    main()
