"""What a run of a playbook tells becomes a bar, a tally of each host, and lines that say what failed."""

from __future__ import annotations

from typing import Any

from orchestrator.core.history import NOTE_MAX
from orchestrator.core.provisioning import HostTally, Run, begun_text, ended_text, where


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
    assert (run.part, run.task) == (0.5, "Write its settings")
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


def test_where_a_run_is_while_it_goes_on():
    run = Run(total=2)
    for host in ("db-b", "db-a"):
        run.take(event("runner_on_start", host=host, task="Restart mysqld"))
    run.take(event("runner_on_ok", host="db-b", res={}))
    assert where(run) == "db-a: Restart mysqld"
    run.take(event("runner_on_failed", host="db-a", task="Restart mysqld", res={"msg": "no\x1b[2J such unit"}))
    assert (where(run), ended_text("site", run, "failed", 61.4)) == (
        "no task",
        "kembar provision site ended: failed after 61 s; changed: db-a 0, db-b 0; 1 failures: "
        "db-a: Restart mysqld: no [2J such unit",
    )


def test_what_the_event_log_is_told_of_the_beginning():
    assert begun_text("site", ("db-a", "db-b"), "olga@desk", check=True) == (
        "kembar provision site began (--check: nothing is changed) on db-a, db-b, by olga@desk"
    )


def test_a_note_is_never_too_long():
    run = Run(total=1)
    run.take(event("runner_on_failed", host="db-a", res={"msg": "x" * 1000}))
    told = ended_text("site", run, "failed", 1.0)
    assert len(told) == NOTE_MAX and told.endswith("…")
