"""Rules about the code itself: who may import whom, what must not appear, and what is printed is not stale."""

from __future__ import annotations

import ast
import importlib
import operator
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from orchestrator.cli.docs import LEADS_TO, state_machine
from orchestrator.core.analysis import WORDS, Finding
from orchestrator.core.history import EVENT_TYPES
from orchestrator.core.rules import RULES

ROOT = Path(__file__).parent.parent
OURS = ("orchestrator", "agents", "monitoring", "lab", "templates", "packages")
CORE = "orchestrator.core"
NOT_IN_L0 = {
    "asyncio", "datetime", "logging", "os", "random", "socket", "subprocess", "threading", "time", "uuid",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Modules of one layer, and what they may import besides the standard library, the core, and their own row."""

    layer: int
    modules: str  # names below the package, or the package itself
    package: str
    may: str = ""  # our own modules and packages
    libraries: str = ""
    standard: str = ""  # of those banned in L0, with the reason beside the row

    def names(self) -> set[str]:
        return {f"{self.package}.{name}" for name in self.modules.split()}


BINLOG_L0 = (
    "charsets contents definition fields ids images invert jsontext layout literals numbers parse payload rows table"
    " values"
)
OF_AGENTS_L0 = "converge invariants evidence dialect preflight replication standing statuspage"
AGENTS_L0 = " ".join(
    [f"agents.{name}" for name in OF_AGENTS_L0.split()] + [f"agents.binlog.{name}" for name in BINLOG_L0.split()]
)
RECORDS = "orchestrator.coordination.paths orchestrator.coordination.records"
# A new module fails until it stands in exactly one row.
TABLE = (
    Row(0, "access admission adoption analysis answers audit conditions conflicts errors gtid history invariants kept "
           "lease mergepolicy model ports readiness reconcile reconciling requests return_checks return_events "
           "returning rules settling situation snapshot tablerules totals transitions unreadable verification "
           "verifying waiting wire",
        CORE),
    Row(0, OF_AGENTS_L0, "agents"),
    Row(0, "judging planning copyable chunks differences sweeping", "agents.reconcile", AGENTS_L0),
    Row(0, BINLOG_L0, "agents.binlog", libraries="zstandard", standard="uuid datetime"),  # to spell given values
    Row(0, "view node_view return_view readiness_view envelope postmortem wording advice verified metric_table sample "
        "counted",
        "monitoring"),
    Row(0, "incident_view", "monitoring", "monitoring.wording monitoring.envelope monitoring.return_view",
        standard="datetime"),  # to compare given times
    Row(0, "metrics", "monitoring",
        "monitoring.view monitoring.node_view monitoring.metric_table monitoring.sample monitoring.counted",
        "prometheus_client"),
    Row(0, "topology history aptsources growth returns ballast castsvg", "lab"),
    Row(0, "answerer appends bank calls cycles kept register servers sessions sightings unique watched",
        "lab.checkers"),

    # Alerts, from what is told to how it is sent.
    Row(0, "alerts delivery outbox runbooks", CORE),
    Row(0, "notices", "monitoring"),
    Row(1, "deliver hook manual", "monitoring", libraries="aiohttp"),
    Row(1, "tls", "monitoring"),
    Row(2, "notifier courier desk", "orchestrator", f"{RECORDS} orchestrator.loop"),
    Row(3, "alerts runbooks", "monitoring", "monitoring", "aiohttp pydantic"),
    Row(4, "alerting", "orchestrator", "orchestrator monitoring"),
    Row(4, "alerts runbook", "orchestrator.cli", "orchestrator monitoring", "click"),

    Row(1, "acl answer client connection election handler inherit layout mirror paths protect records tls turns",
        "orchestrator.coordination",
        libraries="kazoo"),
    Row(1, "clock failpoints logs notify respawn signals threads", "orchestrator.process"),
    Row(1, "connected", "orchestrator", "orchestrator.coordination orchestrator.process"),
    Row(1, "acl alerts load secret shared orchestrator returns subject tls", "orchestrator.config",
        libraries="pydantic pydantic_core yaml"),
    Row(1, "arp netlink nftables sockdiag gate vip", "agents"),
    Row(1, "session roles channel semisync mysql", "agents", AGENTS_L0, "pymysql"),
    Row(1, "disk probes health held mysqld host memory news watch", "agents",
        f"{AGENTS_L0} agents.session orchestrator.process", "psutil"),
    Row(1, "archive truncate capture logs undo catalog rewind", "agents.binlog", f"{AGENTS_L0} agents.session"),
    Row(1, "exchange evidence replay reset tombstones quarantine comparing tables cutting weighing children changing "
           "copying swap owing kept restoring ledger layouts objects answering swept together",
        "agents.reconcile",
        f"{AGENTS_L0} agents.session agents.binlog agents.reconcile.judging agents.reconcile.planning "
        "agents.reconcile.copyable agents.reconcile.chunks agents.reconcile.differences agents.reconcile.sweeping",
        "aiohttp"),
    Row(1, "config", "agents", "orchestrator.config", "pydantic"),
    Row(1, "namespaces mysqld zookeeper fetch files programs processes meter auditor commits rootless provenance "
           "evidence tail certificates accounts", "lab",
        "lab.topology lab.history lab.aptsources lab.ballast lab.stand", "pymysql cryptography jinja2"),
    Row(1, "sessions", "lab", "lab.topology lab.certificates", "pymysql"),
    Row(1, "provision zkspeed recordlog recordwatch", "lab",
        "lab.tail orchestrator.connected orchestrator.coordination orchestrator.process"),
    Row(1, "clients hostwatch workload", "lab", "lab.auditor lab.checkers agents.nftables", "pymysql"),
    Row(1, "viewers", "lab", libraries="aiohttp"),
    Row(1, "eventwriter", "lab",
        "lab.viewers orchestrator.connected orchestrator.coordination orchestrator.process"),
    Row(1, "casting", "lab"),
    Row(2, "media", "lab", "lab"),
    Row(2, "browser firstpaint pagewatch", "lab", "lab.fetch lab.programs lab.stand lab.eventwriter", "selenium"),

    Row(2, "answered eventlog failing loop watching showing recorder reconciler tallying measuring tokens auditing",
        "orchestrator",
        f"{RECORDS} orchestrator.process.failpoints"),
    Row(2, "failing lease guard look steps executor loop ports reporter server telling tasks", "agents",
        f"{AGENTS_L0} {RECORDS} orchestrator.process.failpoints agents.mysql agents.semisync agents.session "
        "agents.binlog.capture agents.binlog.rewind agents.binlog.truncate agents.reconcile.worker "
        "agents.reconcile.swap agents.reconcile.verifier"),
    Row(2, "returner merger worker cloning deciding publishing comparison verifier", "agents.reconcile",
        f"{AGENTS_L0} {RECORDS} agents.binlog agents.reconcile agents.session"),
    Row(2, "smalldisk stand standing views bench metering loading overhead soak faults demo teller "
           "demoreturn watching diverging comparison rejoin pagebench", "lab",
        "lab.growth lab.provenance lab.checkers lab.clients lab.topology lab.history lab.returns lab.namespaces "
        "lab.accounts lab.mysqld lab.zookeeper lab.files lab.tail lab.recordlog lab.sessions "
        "lab.programs lab.processes orchestrator.process.failpoints", "yaml pymysql"),

    Row(2, "row trial leading statements runner table agent crashes disks hosts impaired keeping kernel mysqld network "
           "notrun operators parting preflight procedures rejoincrashes rejoins zookeeper",
        "lab.matrix", "lab agents.converge", "pymysql"),

    # They strike at real servers with the agent's own hands, and never import what decides.
    Row(2, "servers relay network disks ensemble capture crowd release_paths clock_step unstall stop_receiver "
           "relay_crash killed_session exit_flag zookeeper_stall zookeeper_wedge reconnect signed_record catalogue",
        "lab.experiments",
        "lab.history lab.namespaces lab.accounts lab.certificates lab.mysqld lab.zookeeper lab.fetch lab.programs "
        "agents orchestrator.connected orchestrator.coordination orchestrator.process", "pymysql cryptography"),

    Row(0, "chart outage samples", "monitoring", "monitoring.node_view"),
    Row(1, "neighbours", "monitoring", libraries="psutil"),
    Row(1, "measured", "monitoring", "monitoring.metric_table", "prometheus_client"),
    Row(3, "actions answers api app audit auth backend blocks calls dossiers exposition forms given limits live login "
           "maintenance notes openapi operations page policy problems queries rendering returns sampling session "
           "settings shapes stream tokens",
        "monitoring", "monitoring", "aiohttp jinja2 markupsafe prometheus_client pydantic"),

    Row(4, "serve hangup", "orchestrator", "orchestrator monitoring", "click"),
    Row(4, "main adopt audit bundle check client config diagnosis direct docs doctor edits events "
           "exits explain failover following history init local maintenance note operation options outputs "
           "pause raw reconcile redaction reference returns settings status switchover token validating verify vip",
        "orchestrator.cli", "orchestrator monitoring", "click pydantic yaml"),
    Row(3, "listen", "agents", "agents.standing agents.statuspage", "aiohttp"),
    Row(4, "parts observing", "agents.reconcile", "agents orchestrator.process.failpoints"),
    Row(4, "serve cli", "agents", "agents orchestrator.coordination orchestrator.process orchestrator.config", "click"),
    Row(4, "cli", "lab", "lab", "click"),
    Row(0, "provisioning", CORE),
    Row(1, "provision", "orchestrator.adapters", libraries="ansible_runner psutil"),
    Row(4, "provision reporting", "orchestrator.cli", "orchestrator", "click"),
    Row(1, "inventory", "lab", "lab.topology", "yaml"),
    Row(1, "debroot", "lab", "lab.fetch lab.aptsources"),
    Row(1, "standins", "lab", "lab.fetch lab.mysqld lab.programs lab.zookeeper"),
    Row(2, "hosts", "lab", "lab.debroot lab.namespaces lab.standins lab.topology"),
    Row(3, "hostload", "lab", "lab.history lab.hosts lab.metering lab.stand"),
    Row(2, "simnode simpair", "lab", f"{RECORDS} agents.reporter"),
    Row(2, "simagents", "lab",
        "lab.simnode lab.simpair lab.provision orchestrator.connected orchestrator.coordination orchestrator.process"),
    Row(2, "pairstand pairsbench", "lab", "lab"),
    Row(1, "wheels debian", "packages"),
    Row(4, "build manual", "packages", "packages orchestrator.cli.main", "click click_man"),
)  # fmt: skip
# Where a row needs one module of a higher one, because it is only used as a type or started as a program.
LOOKS_UP = {("lab.rootless", "lab.stand")}


@cache
def tracked() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def modules() -> dict[str, Path]:
    found = (path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in OURS)
    return {name_of(path): path for path in found}


def imports(path: Path) -> Iterator[str]:
    """Full names, as far as they are modules of ours; `from package import module` is an import of the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else node.module


def covers(allowed: str, name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed.split())


def row_of(name: str) -> Row:
    (row,) = (row for row in TABLE if name in row.names())
    return row


def test_every_module_stands_in_exactly_one_row():
    placed = [name for row in TABLE for name in sorted(row.names())]
    assert len(placed) == len(set(placed)), sorted({name for name in placed if placed.count(name) > 1})
    real = {name for name in modules() if not name.endswith("__init__")}
    assert set(placed) == real, f"place {sorted(real - set(placed))}, remove {sorted(set(placed) - real)}"


@pytest.mark.parametrize("name", sorted(name for name in modules() if not name.endswith("__init__")))
def test_imports_stay_in_their_layer(name):
    row = row_of(name)
    for other in imports(modules()[name]):
        top = other.partition(".")[0]
        if top in OURS:
            own_row = other in row.names()
            assert own_row or covers(f"{CORE} {row.may}", other), f"{name} may not import {other}"
            if other in modules() and not other.endswith("__init__") and (name, other) not in LOOKS_UP:
                assert row_of(other).layer <= row.layer, f"{name} in L{row.layer} imports {other}"
        elif top in sys.stdlib_module_names:
            banned = NOT_IN_L0 - set(row.standard.split()) if row.layer == 0 else set()
            assert top not in banned, f"{name} in L0 may not import {top}"
        else:
            assert covers(row.libraries, other), f"{name} may not import {other}"


def test_packages_themselves_import_nothing():
    assert not [name for name, path in modules().items() if name.endswith("__init__") and list(imports(path))]


def test_kazoo_types_stay_in_coordination():
    users = {name for name, path in modules().items() if any(one.startswith("kazoo") for one in imports(path))}
    assert users and all(name.startswith("orchestrator.coordination.") for name in users)


# --- tests


def test_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] == "tests"]


test_files.__test__ = False  # type: ignore[attr-defined]


def test_nothing_is_mocked():
    assert not [path for path in test_files() if any(one.startswith("unittest") for one in imports(path))]


def test_only_contracts_and_the_lab_sleep():
    sleepers = []
    for path in test_files():
        if path.relative_to(ROOT).parts[1] in ("contract", "lab"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            attribute = isinstance(node, ast.Attribute) and node.attr == "sleep"
            if attribute and isinstance(node.value, ast.Name) and node.value.id == "time":
                sleepers.append(f"{path.name}:{node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                sleepers += [f"{path.name}:{node.lineno}" for alias in node.names if alias.name == "sleep"]
    assert not sleepers


# --- words


def test_every_finding_has_its_words():
    assert set(WORDS) == set(Finding)


def test_every_rule_is_once_in_every_table():
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(EVENT_TYPES) == set(LEADS_TO)


def test_the_printed_state_machine_is_not_stale():
    assert (ROOT / "docs/state-machine.md").read_text() == state_machine(), "make docs"


# --- files

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.|crates\.io|rubygems\.org|docker\.io|proxy\.golang|deb\.debian\.org"
    r"|(archive|ports)\.ubuntu\.com|index-url|artifactory"
)
MACHINE = re.compile(r"(?<![\w.$}/-])/(work|home/\w+|Users/\w+|root)/\w")


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        if path != Path(__file__):
            try:
                yield str(path.relative_to(ROOT)), path.read_text()
            except UnicodeDecodeError:
                continue


@pytest.mark.parametrize("what", [REGISTRIES, MACHINE], ids=["registries", "paths of one machine"])
def test_tracked_files_name_no(what):
    """Where packages come from is the business of the machine."""
    assert not [f"{name}: {found[0]}" for name, text in texts() if (found := what.search(text))]


# --- dependencies

# The name to import, where it is another than that of the package.
IMPORTED_AS = {
    "pyyaml": "yaml",
    "mysql-replication": "pymysqlreplication",
    "prometheus-client": "prometheus_client",
    "openapi-spec-validator": "openapi_spec_validator",
    "click-man": "click_man",
    "ansible-runner": "ansible_runner",
}
# Used by the tests where it is there, only to be faster.
OPTIONAL = {"greenlet"}
# Run, and never imported: what provisions, and what checks the playbooks.
PROGRAMS = {"ansible", "ansible-core", "ansible-lint", "yamllint"}
# Imported, and part of a declared package's own promise.
PART_OF = {"pydantic_core": "pydantic", "markupsafe": "jinja2"}


def test_what_is_declared_is_what_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(one for name in extras if name != "dev" for one in extras[name])]
    declared = {re.split(r"[<>=\[; ]", one)[0].lower() for one in listed} - PROGRAMS
    used = {one.partition(".")[0] for path in modules().values() for one in imports(path)}
    third = {PART_OF.get(one, one) for one in used if one not in sys.stdlib_module_names and one not in OURS}
    assert third == {IMPORTED_AS.get(one, one) for one in declared}


def test_the_tests_bring_what_they_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    declared = {re.split(r"[<>=\[; ]", one)[0].lower() for one in listed}
    used = {one.partition(".")[0] for path in test_files() for one in imports(path)}
    siblings = {path.stem for path in test_files()}
    third = {one for one in used if one not in sys.stdlib_module_names and one not in (*OURS, "tests", *siblings)}
    assert third - OPTIONAL <= {IMPORTED_AS.get(one, one) for one in declared}


INVARIANT = re.compile(r"^\| (I\d+) \|[^|]*\|(?P<functions>[^|]*)\|[^|]*\|(?P<tests>[^|]*)\|$", re.M)


def test_every_invariant_of_the_safety_argument_is_a_function_with_tests_that_exist():
    rows = list(INVARIANT.finditer((ROOT / "docs/safety.md").read_text()))
    assert [row[1] for row in rows] == [f"I{number}" for number in range(1, 17)]
    for row in rows:
        functions, tests = (re.findall(r"`([^`]+)`", row[part]) for part in ("functions", "tests"))
        assert functions and tests, row[1]
        for name in functions:
            module, _, attribute = name.partition(":")
            assert operator.attrgetter(attribute)(importlib.import_module(module)), name
        for path in tests:
            assert (ROOT / path).is_file(), path
