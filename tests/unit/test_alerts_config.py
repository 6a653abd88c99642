"""The section `alerts` of orchestrator.yaml: every mistake at its place, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_config import ORCHESTRATOR, problems

from orchestrator.config.load import load
from orchestrator.config.orchestrator import OrchestratorConfig

SECTION = """\
alerts:
  page: https://kembar.example.com/
  channels:
    - {name: ops, kind: webhook, url: "https://alerts.example.com/kembar", severity: info}
    - {name: pager, kind: pagerduty, routing_key_file: DIR/key, severity: critical}
    - {name: chat, kind: slack, url_file: DIR/url}
    - {name: am, kind: alertmanager, url: "http://192.0.2.40:9093"}
    - {name: hook, kind: exec, timeout_s: 30, command: [DIR/hook, --now]}
"""
FIRST = ORCHESTRATOR.count("\n") + 1  # the line of `alerts:`


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory with what the section names."""
    for name, text, mode in (
        ("key", "r0ute\n", 0o600),
        ("url", "https://hooks.example.com/T0/B0/x\n", 0o600),
        ("hook", "#!/bin/sh\n", 0o755),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    return tmp_path


def wrong(there: Path, old: str, new: str) -> list[str]:
    """Each problem as its place within the section, key and message."""
    assert SECTION.count(old) == 1
    path = there / "orchestrator.yaml"
    path.write_text(ORCHESTRATOR + SECTION.replace(old, new).replace("DIR", str(there)))
    found = []
    for line in problems(path, OrchestratorConfig):
        row, column, rest = line.split(":", 2)
        found.append(f"{int(row) - FIRST}:{column}:{rest}".replace(str(there), "DIR"))
    return found


def test_every_kind_of_channel_is_taken(there: Path) -> None:
    path = there / "orchestrator.yaml"
    path.write_text(ORCHESTRATOR + SECTION.replace("DIR", str(there)))
    alerts = load(OrchestratorConfig, path, {}).alerts
    assert alerts.page == "https://kembar.example.com"
    assert [(one.name, one.kind, one.severity) for one in alerts.channels] == [
        ("ops", "webhook", "info"),
        ("pager", "pagerduty", "critical"),
        ("chat", "slack", "warning"),
        ("am", "alertmanager", "warning"),
        ("hook", "exec", "warning"),
    ]


CASES = {
    "a program that is not there": ("DIR/hook, --now", "/x", [
        "7:57: alerts.channels[4].command[0]: /x: No such file or directory  hint: name a program that is there",
    ]),
    "a key that the kind has not": ('kind: alertmanager', "kind: alertmanager, events: true", [
        "6:46: alerts.channels[3].events: a channel of kind alertmanager has no events  hint: it has url",
    ]),
    "what the kind needs is missing": (', url_file: DIR/url', "", [
        "5:7: alerts.channels[2]: url_file is required for kind slack",
    ]),
    "no such kind": ("kind: slack", "kind: irc", [
        "5:26: alerts.channels[2].kind: Input should be 'webhook', 'pagerduty', 'slack', 'alertmanager' or 'exec'"
        "  hint: webhook, pagerduty, slack, alertmanager or exec",
    ]),
    "an unknown key": ("timeout_s: 30", "timeout: 30", [
        "7:32: alerts.channels[4].timeout: unknown key  hint: did you mean 'timeout_s'?",
    ]),
    "a name twice": ("name: am", "name: ops", [
        "6:14: alerts.channels[3].name: 'ops' is listed twice",
    ]),
    "no URL": ("http://192.0.2.40:9093", "192.0.2.40:9093", [
        "6:43: alerts.channels[3].url: '192.0.2.40:9093' is no http or https URL"
        "  hint: for example https://alerts.example.com/kembar",
    ]),
    "a password in the URL": ("https://alerts.example.com/kembar", "https://u:p@alerts.example.com", [
        "3:39: alerts.channels[0].url: a password stands in the URL of alerts.example.com"
        "  hint: put what is secret into a file of its own",
    ]),
    "a key in clear": ("kind: pagerduty", "kind: pagerduty, url: 'http://pager.example.com'", [
        "4:43: alerts.channels[1].url: 'http://pager.example.com' would send the key in clear  hint: use https",
    ]),
    "a program by name only": ("DIR/hook, --now", "hook", [
        "7:57: alerts.channels[4].command[0]: hook is not an absolute path"
        "  hint: a daemon has no search path of its own",
    ]),
    "a NUL byte": ("DIR/hook, --now", '"/x\\0"', [
        "7:57: alerts.channels[4].command[0]: a NUL byte is in it  hint: write it without",
    ]),
    "a time that is none": ("timeout_s: 30", "timeout_s: 0", [
        "7:43: alerts.channels[4].timeout_s: Input should be greater than 0  hint: of one attempt",
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES)
def test_a_mistake_is_named_at_its_place(there: Path, old: str, new: str, expected: list[str]) -> None:
    assert wrong(there, old, new) == expected


def test_a_program_that_others_can_change_is_refused(there: Path) -> None:
    (there / "hook").chmod(0o777)
    assert [line.partition("hook has ")[2] for line in wrong(there, "severity: info", "severity: info")] == [
        "mode 0777: others can change it  hint: chmod go-w DIR/hook"
    ]


def test_a_file_without_a_url_shows_nothing_of_what_it_holds(there: Path) -> None:
    (there / "url").write_text("http://hooks.example.com/s3cret\n")
    (line,) = wrong(there, "severity: info", "severity: info")
    assert "holds no https URL" in line and "s3cret" not in line
