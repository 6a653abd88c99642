"""What this node is to a load balancer: whether it serves as primary, or can be read from as standby. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.model import Mysqld, NodeName, Report, Role

OLD_S = 3.0  # a report that is older says nothing of now: the tick has stopped
LAG_S = 5.0  # what a standby may lag behind, unless the caller says otherwise


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known now. `gate_open` and `may_act` are of the lease, which is newer than any report."""

    node: NodeName
    gate_open: bool = False
    may_act: bool = False
    report: Report | None = None  # the last that was made
    age_s: float = float("inf")  # of it


def not_primary(now: Standing) -> str:
    """Why no client may be sent here to write; empty if it serves."""
    if not now.gate_open:
        return "the gate is shut"
    return "" if now.may_act else "the lease is not renewed"


def not_standby(now: Standing, lag_s: float) -> str:
    """Why no client may be sent here to read what the primary had `lag_s` ago; empty if it can be."""
    report = now.report
    if report is None or now.age_s > OLD_S:
        return "its agent has not looked at it lately"
    if report.role is not Role.STANDBY:
        return f"it is told to be {report.role}"
    if report.mysqld is not Mysqld.RUNNING:
        return f"mysqld is {report.mysqld}"
    if not (report.receiver_connected and report.applier_running):
        return "it does not replicate"
    if report.differing:
        return "its data are known to differ from the primary's"
    heard_s = report.received_age_s + now.age_s
    if heard_s > lag_s:
        return f"nothing came from the primary for {heard_s:.1f} s"
    return ""


def in_a_line(now: Standing) -> str:
    """What `systemctl status` shows of this node."""
    if now.report is None:
        return "has not seen the cluster's record yet"
    gate = "open" if now.gate_open else "shut"
    return f"{now.report.role}, epoch {now.report.epoch}, mysqld {now.report.mysqld}, gate {gate}"
