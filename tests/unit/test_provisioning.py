"""What a run of a playbook tells becomes a bar, a tally of each host, and lines that say what failed."""

from __future__ import annotations

from typing import Any

from orchestrator.core.provisioning import HostTally, Run


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"event": kind, "event_data": data}


def test_tasks_move_the_bar_and_hosts_are_tallied():
    run = Run(total=4)
    for one in (
        event("playbook_on_start"),
        event("playbook_on_task_start", task="Install MySQL"),
        event("runner_on_ok", host="db-a", res={"changed": True}),
        event("runner_on_ok", host="db-b", res={"changed": False}),
        event("playbook_on_task_start", task="Write its settings"),
        event("runner_on_skipped", host="db-a"),
        {"status": "successful"},
    ):
        run.take(one)
    assert (run.part, run.task, run.changed) == (0.5, "Write its settings", 1)
    assert run.hosts == {"db-a": HostTally(ok=1, changed=1), "db-b": HostTally(ok=1)}


def test_the_bar_never_passes_its_end():
    """Tasks that are included while it runs are not in the total."""
    run = Run(total=1)
    for _ in range(3):
        run.take(event("playbook_on_task_start", task="Restart mysqld"))
    assert run.part == 1.0
    assert Run(total=0).part == 0.0


def test_every_line_of_a_list_of_problems_is_told():
    run = Run(total=1)
    run.take(event("runner_on_failed", host="localhost", task="Stop", res={"msg": ["2 problems", "db-a: MariaDB"]}))
    assert run.failures == ["localhost: Stop: 2 problems", "localhost: Stop: db-a: MariaDB"]
    assert run.hosts["localhost"].failed == 1


def test_a_failure_that_was_expected_is_none():
    run = Run(total=1)
    run.take(event("runner_on_failed", host="db-a", task="Look", ignore_errors=True, res={"msg": "no such unit"}))
    assert run.failures == [] and run.hosts == {}


def test_a_host_that_cannot_be_reached_is_told():
    run = Run(total=1)
    run.take(event("runner_on_unreachable", host="db-a", task="Look", res={"msg": "no route"}))
    assert run.hosts["db-a"] == HostTally(unreachable=1)
    assert run.failures == ["db-a: Look: no route"]
