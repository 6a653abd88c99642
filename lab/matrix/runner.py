"""`kembar lab faults`: rows in turn on one lab under load, each judged, the pair whole again in between."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import pymysql

from lab import faults, processes
from lab.loading import Workload
from lab.matrix import keeping
from lab.matrix.row import NotRun, Outcome, Row, Scenario
from lab.matrix.trial import Trial
from lab.recordlog import RecordLog, broken_lines_of_history
from lab.stand import Say, Stand
from lab.watching import DESIRED, RETURNING, watch, watched
from orchestrator.core.errors import KembarError, StepFailed

WHOLE_S = 60.0  # else the next row has a lab of its own
Logs: TypeAlias = tuple[RecordLog, RecordLog]  # of the desired record, and of the returns


def run(stand: Stand, rows: Sequence[Row], not_run: Sequence[NotRun], profile: str, say: Say) -> dict[str, Any]:
    """Bring a lab up, run the rows, take it down: one JSON object. Raises as `Stand.up` does."""
    scenarios: list[Scenario] = []
    with stand.lent(profile, say):
        logs = _logs(stand)
        for number, row in enumerate(rows):
            scenario = run_row(stand, row, number, logs)
            scenarios.append(scenario)
            say(_told(scenario))
            if number + 1 < len(rows) and not _whole(stand):
                logs = _anew(stand, profile, say)
    scenarios += [
        Scenario(one.number, one.name, one.priority, Outcome.NOT_RUN, expected=one.expected, seen=one.reason)
        for one in not_run
    ]
    return result(profile, scenarios)


def result(profile: str, scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """The totals of all rows."""
    outcomes = [scenario.outcome for scenario in scenarios]
    return {
        "profile": profile,
        "passed": outcomes.count(Outcome.PASSED),
        "failed": outcomes.count(Outcome.FAILED),
        "not_run": outcomes.count(Outcome.NOT_RUN),
        "acknowledged": sum(one.acknowledged for one in scenarios),
        "lost": sum(one.lost for one in scenarios),
        "duplicates": sum(one.duplicates for one in scenarios),
        "two_answerers": sum(one.two_answerers for one in scenarios),
        "scenarios": [one.shown() for one in sorted(scenarios, key=lambda one: one.number)],
    }


def run_row(stand: Stand, row: Row, number: int, logs: Logs) -> Scenario:
    """One row from a healthy pair to a healthy pair; whatever goes wrong on the way is a violation."""
    began = time.monotonic()
    scenario = Scenario(row.number, row.name, row.priority, Outcome.FAILED, row.injected, row.expected)
    load = Workload(stand, number)
    try:
        _forget_crash_loops(stand)
        load.start()
        _struck(row, Trial(stand, load, *logs), scenario)
    except KembarError as error:
        scenario.violations.append(f"before the fault: {error}")
        faults.heal(stand)
    scenario.took_s = round(time.monotonic() - began, 1)
    if not scenario.violations:
        scenario.outcome = Outcome.PASSED
    return scenario


def _forget_crash_loops(stand: Stand) -> None:
    """An agent starts a mysqld that was killed again and again later each time, which row after row would feel."""
    for node in stand.topology.pair:
        worker, mysqld = faults.worker(stand, node), faults.mysqld_process(stand, node)
        if worker and mysqld and worker.started < mysqld.started:
            processes.send(worker, signal.SIGKILL)
    stand.wait_healthy()


def _struck(row: Row, trial: Trial, scenario: Scenario) -> None:
    with trial.undo:
        try:
            row.run(trial)
        except (KembarError, OSError, pymysql.err.MySQLError) as error:
            trial.violations.append(str(error))
    try:
        trial.settle(row.back_s)
    except KembarError as error:
        trial.violations.append(f"afterwards: {error}")
    _judge(row, trial, scenario)


def _judge(row: Row, trial: Trial, scenario: Scenario) -> None:
    """What must hold of every row."""
    scenario.seen = _seen(trial)
    scenario.violations += trial.violations
    scenario.violations += broken_lines_of_history(trial.records())
    # Without them no rule is known to have fired, nor not to have.
    if not (watched(trial.stand, DESIRED) and watched(trial.stand, RETURNING)):
        scenario.violations.append("the log of the record has ended: see the lab's folder log")
    _judge_told(trial, scenario)
    try:
        trial.load.stop()  # perhaps for the second time
        verdict = trial.load.verdict()
        own = trial.outage_ms
        scenario.outage_ms = round(verdict.outage_ms(trial.struck) if own is None else own, 1)
    except (KembarError, ValueError) as error:
        scenario.violations.append(f"the clients: {error}")
        return
    scenario.acknowledged += verdict.acknowledged
    scenario.lost += verdict.lost
    scenario.duplicates, scenario.two_answerers = verdict.duplicates, verdict.two_answerers
    scenario.violations += [one for one in verdict.violations if not (row.injects and one.startswith(row.injects))]


def _judge_told(trial: Trial, scenario: Scenario) -> None:
    """What a forced failover left behind counts as lost, unless it was merged or is kept by its value."""
    try:
        found = keeping.violations(trial.stand, trial.told, refused=trial.refused) if trial.told else []
    except (KembarError, OSError, pymysql.err.MySQLError) as error:
        found = [f"what was left behind cannot be looked up: {error}"]
    scenario.acknowledged += len(trial.told)
    scenario.lost += sum(one.startswith("lost") for one in found)
    scenario.violations += [f"kept: {one}" for one in found]


def _seen(trial: Trial) -> str:
    """Rules and places, in a line."""
    records = trial.records()
    last = records[-1] if records else trial.before
    way = " ".join(trial.rules()) or "no rule"
    epochs = f"epoch {trial.epoch}" + (f" to {last['epoch']}" if last["epoch"] != trial.epoch else "")
    where = f"{trial.primary.name}" + (f" to {last['primary']}" if last["primary"] != trial.primary.name else "")
    return "; ".join([f"{way}; {epochs}; {where}; {last['mode']} {last['phase']}", *trial.notes])


def _whole(stand: Stand) -> bool:
    try:
        stand.wait_healthy(WHOLE_S)
    except StepFailed:
        return False
    return True


def _logs(stand: Stand) -> Logs:
    return watch(stand, DESIRED), watch(stand, RETURNING)


def _anew(stand: Stand, profile: str, say: Say) -> Logs:
    """A new lab in the place of one that did not become whole again."""
    say("a new lab")
    stand.renew(profile, say)
    return _logs(stand)


def text(found: dict[str, Any]) -> list[str]:
    """The result for people."""
    rows = [["ROW", "PRIORITY", "OUTCOME", "OUTAGE", "FAULT"]]
    for one in found["scenarios"]:
        outage = "-" if one["outage_ms"] is None else f"{one['outage_ms']:.0f} ms"
        rows.append([str(one["number"]), one["priority"], one["outcome"], outage, one["name"]])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    keys = ("passed", "failed", "not_run", "acknowledged", "lost", "duplicates", "two_answerers")
    return [
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
        "  ".join(f"{key} {found[key]}" for key in keys),
    ]


def _told(scenario: Scenario) -> str:
    outage = "-" if scenario.outage_ms is None else f"{scenario.outage_ms:.0f} ms"
    felt = f"{outage} without a write, {scenario.took_s:.0f} s"
    lines = [
        f"{scenario.number:>3} {scenario.outcome}: {scenario.name} ({felt}): {scenario.seen}",
        *(f"      {violation}" for violation in scenario.violations),
    ]
    return "\n".join(lines)
