"""Rows that this lab or this version cannot do, each with the reason. They count for nothing but themselves."""

from __future__ import annotations

from lab.matrix.row import NotRun, Priority

ROWS = (
    NotRun(
        3,
        "mysqld that accepts and never answers",
        Priority.P1,
        "told apart from a hang: the kept sessions decide",
        "the agent asks over the server's own socket file, where no proxy can be put in between",
    ),
    NotRun(
        14,
        "a slow disk of the standby",
        Priority.P1,
        "stall for stall_s at most, ASYNC",
        "the lab's kernel throttles no device; a full disk and a frozen server are run",
    ),
    NotRun(
        23,
        "a session closed by its id",
        Priority.P1,
        "lease unaffected; leadership lost, a new term",
        "ZooKeeper asks for the session's password, which is in its owner's memory; a session that expires is run",
    ),
    NotRun(
        27,
        "ZooKeeper's certificate expired, ACL denied",
        Priority.P1,
        "client rebuilt with back-off; gate shuts at A; a clear error",
        "the lab's ZooKeeper has neither TLS nor access control",
    ),
    NotRun(
        29,
        "monotonic and boot clocks that differ per node",
        Priority.P1,
        "no clock is compared across hosts",
        "the lab puts no process into a time namespace; the simulator gives every node its own clock",
    ),
    NotRun(
        45,
        "neighbouring versions",
        Priority.P1,
        "no unplanned failover; an unknown format is refused",
        "there is one version; unknown formats and fields are tested on the records",
    ),
    NotRun(
        50,
        "a whole host paused",
        Priority.P0,
        "nothing acknowledged is lost; old reads for A + 2 tau at most after it goes on",
        "the kernel's timers go on in a namespace whose processes are frozen: the simulator does it",
    ),
)
