"""What systemd is told about this process (sd_notify). Owns nothing else of systemd."""

from __future__ import annotations

import os
import socket


def notify(*assignments: str) -> bool:
    """Send `READY=1`, `WATCHDOG=1`, `STATUS=...` and the like; False when nobody asked to be told.

    One datagram to $NOTIFY_SOCKET (man sd_notify). Raises nothing: a daemon does not end because its supervisor's
    socket is gone.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    # A leading @ stands for the zero byte of the abstract namespace.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.sendto("\n".join(assignments).encode(), target)
    except OSError:
        return False
    return True
