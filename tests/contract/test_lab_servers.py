"""The lab's foundation on the real thing: mysqld and ZooKeeper run, and network and processes leave nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pymysql
import pytest
import yaml

from lab import mysqld, namespaces, processes, zookeeper
from lab.accounts import Passwords
from lab.certificates import identity, issue
from lab.programs import program
from lab.stand import Stand
from lab.topology import Topology, topology
from orchestrator.core.errors import Refused

pytestmark = pytest.mark.lab

T = TypeVar("T")
LAB = f"t{os.getpid()}"
SETTINGS = {
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "log_bin": 1,
    "log_replica_updates": 1,
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_row_value_options": "",
    "binlog_transaction_compression": 0,
    "binlog_encryption": 0,
    "binlog_checksum": "CRC32",
    "binlog_order_commits": 1,
    "sync_binlog": 1,
    "innodb_flush_log_at_trx_commit": 1,
    "replica_preserve_commit_order": 1,
    "skip_replica_start": 1,
    "read_only": 1,
    "super_read_only": 1,
    "offline_mode": 1,
    "rpl_semi_sync_source_enabled": 0,
    "rpl_semi_sync_replica_enabled": 1,
    "rpl_semi_sync_source_wait_point": "AFTER_SYNC",
    "rpl_semi_sync_source_wait_no_replica": 1,
    "rpl_semi_sync_source_timeout": 4294967295,
    "auto_increment_increment": 2,
    "sql_require_primary_key": 1,
    "replica_net_timeout": 4,
    "admin_address": "127.0.0.1",
    "admin_port": 33062,
    "gtid_executed": "",
}


def eventually(look: Callable[[], T | None], within_s: float = 20.0) -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{look.__name__}: nothing within {within_s} s"
        time.sleep(0.01)
    return found


@pytest.fixture(scope="module")
def plan() -> Topology:
    return topology(yaml.safe_load((Path(__file__).parents[2] / "vagrant/lab.yml").read_text()))


@pytest.fixture(scope="module")
def net(plan: Topology) -> Iterator[str]:
    namespaces.up(plan, LAB)
    yield LAB
    namespaces.down(LAB)
    assert namespaces.existing(LAB) == []


@pytest.fixture
def lab_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.end_all(tmp_path)
    assert processes.members(tmp_path) == []


# -- network


def python(node: str, code: str) -> subprocess.CompletedProcess[str]:
    argv = namespaces.exec_argv(LAB, node, [sys.executable, "-c", code])
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


def neighbour(plan: Topology, source: str, target: str) -> None:
    """Enter a MAC by hand, so that what is asked of one direction does not depend on ARP in the other."""
    ip = [str(program("ip"))]
    shown = subprocess.check_output(namespaces.exec_argv(LAB, target, [*ip, "-br", "link", "show", "eth0"]), text=True)
    entry = [*ip, "neigh", "replace", str(plan.node(target).address), "lladdr", shown.split()[2], "dev", "eth0"]
    subprocess.run(namespaces.exec_argv(LAB, source, entry), check=True)


def heard(plan: Topology, source: str, target: str) -> bool:
    """Whether datagrams get from one node to another."""
    neighbour(plan, source, target)
    listen = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9999)); s.settimeout(1);"
        "print('bound', flush=True); input(); s.recv(9)"
    )
    argv = namespaces.exec_argv(LAB, target, [sys.executable, "-c", listen])
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=nowhere, text=True) as listener:
        assert listener.stdin is not None and listener.stdout is not None
        assert listener.stdout.readline() == "bound\n"
        send = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('{}', 9999))"
        python(source, send.format(plan.node(target).address))
        listener.stdin.write("sent\n")  # its second begins now: a busy machine takes longer to start the sender
        listener.stdin.close()
        return listener.wait(10) == 0


def test_nodes_hear_each_other_and_nothing_of_it_is_in_the_hosts_namespace(plan, net):
    eventually(lambda: heard(plan, "client", "db-a") or None)  # the bridge takes up its ports in its own time
    assert not [name for _, name in socket.if_nameindex() if name.startswith("p-") or name == namespaces.BRIDGE]


def test_a_block_is_for_one_direction_and_ends(plan, net):
    namespaces.block(net, "db-a", "db-b")
    try:
        assert not heard(plan, "db-a", "db-b")
        assert heard(plan, "db-b", "db-a")
        assert heard(plan, "db-a", "witness")
    finally:
        namespaces.unblock_all(net)
    assert heard(plan, "db-a", "db-b")


def test_a_pulled_cable_takes_the_carrier_and_keeps_the_address(plan, net):
    shown = namespaces.exec_argv(net, "db-b", [str(program("ip")), "-br", "address", "show", "dev", "eth0"])
    namespaces.link_down(net, "db-b")
    try:
        assert not heard(plan, "db-a", "db-b")
        state = subprocess.check_output(shown, text=True).split()
        assert state[1:3] == ["DOWN", "192.0.2.12/24"]
    finally:
        namespaces.link_up(net, "db-b")
    eventually(lambda: heard(plan, "db-a", "db-b") or None)


def test_the_network_is_refused_twice_and_goes_even_if_a_process_is_left_in_it(plan):
    lab = f"{LAB}b"
    namespaces.up(plan, lab)
    left = subprocess.Popen(namespaces.exec_argv(lab, "db-a", ["sleep", "60"]))
    try:
        with pytest.raises(Refused):
            namespaces.up(plan, lab)
        namespaces.down(lab)
        namespaces.down(lab)
        assert namespaces.existing(lab) == []
    finally:
        left.kill()
        left.wait()


def test_a_lab_whose_name_could_be_taken_for_another_is_refused(plan):
    """The namespaces of lab "demo" would be found under those of "demo-2" as well."""
    with pytest.raises(Refused):
        namespaces.up(plan, "demo-2")


# -- processes


def test_a_process_is_signalled_by_what_it_is_and_not_by_its_pid_alone(lab_dir):
    processes.spawn(["sleep", "60"], lab_dir=lab_dir, name="one", log_path=lab_dir / "one.log")
    one = processes.recorded(lab_dir)["one"]
    assert not processes.send(dataclasses.replace(one, started=one.started - 1), signal.SIGKILL)
    assert processes.alive(lab_dir, "one")
    with pytest.raises(Refused):
        processes.spawn(["sleep", "60"], lab_dir=lab_dir, name="one", log_path=lab_dir / "one.log")
    assert processes.kill(lab_dir, "one")
    eventually(lambda: None if processes.alive(lab_dir, "one") else True)
    assert not processes.kill(lab_dir, "one")


def test_a_process_outlives_its_starter_and_its_orphan_is_ended_too(lab_dir):
    """An agent starts mysqld; when the agent is killed, mysqld belongs to nobody, yet it is the lab's."""
    start = (
        "import sys; from pathlib import Path; from lab import processes; d = Path(sys.argv[1]);"
        "processes.spawn(['sh', '-c', 'setsid sleep 60 & wait'], lab_dir=d, name='agent', log_path=d / 'log')"
    )
    subprocess.run([sys.executable, "-c", start, str(lab_dir)], check=True, timeout=20)
    eventually(lambda: processes.members(lab_dir) if len(processes.members(lab_dir)) == 2 else None)
    processes.kill(lab_dir, "agent")
    eventually(lambda: True if len(processes.members(lab_dir)) == 1 else None)
    assert processes.end_all(lab_dir) == 1
    assert processes.recorded(lab_dir) == {}


def test_a_frozen_tree_stands_still_until_it_is_thawed(lab_dir):
    log = lab_dir / "log"
    count = ["sh", "-c", "sh -c 'while :; do echo x; done' & wait"]
    processes.spawn(count, lab_dir=lab_dir, name="tree", log_path=log)
    eventually(lambda: log.stat().st_size or None)
    assert len(processes.freeze(lab_dir, "tree")) >= 2

    def states() -> set[str]:
        stats = [Path(f"/proc/{p.pid}/stat").read_text() for p in processes.members(lab_dir)]
        return {stat.rpartition(")")[2].split()[0] for stat in stats}

    eventually(lambda: True if states() == {"T"} else None)  # who does not run when it is stopped stops once it does
    size = log.stat().st_size
    assert len(processes.thaw(lab_dir, "tree")) >= 2
    eventually(lambda: True if log.stat().st_size > size else None)


def test_a_descriptor_is_passed_as_systemd_does(lab_dir):
    with socket.create_server(("127.0.0.1", 0)) as server:
        show = (
            "import os, socket; s = socket.socket(fileno=3);"
            "print(s.getsockname()[1], os.environ['LISTEN_FDS'], int(os.environ['LISTEN_PID']) == os.getpid())"
        )
        log = lab_dir / "log"
        argv = [sys.executable, "-W", "ignore", "-c", show]
        processes.spawn(argv, lab_dir=lab_dir, name="page", log_path=log, pass_fds=[server.fileno()])
        said = eventually(lambda: log.read_text().split() or None)
        assert said == [str(server.getsockname()[1]), "1", "True"]


# -- servers


def test_zookeeper_elects_a_leader_in_the_labs_network(plan, net, lab_dir):
    program_of_zookeeper = zookeeper.find_zookeeper()
    members = plan.members("zookeeper")
    ensemble = zookeeper.Ensemble({node.number: str(node.address) for node in members})
    for node in members:
        config = zookeeper.prepare(ensemble, node.number, lab_dir / node.name)
        argv = zookeeper.command(program_of_zookeeper, config)
        log, netns = lab_dir / f"{node.name}.log", namespaces.path(net, node.name)
        processes.spawn(argv, lab_dir=lab_dir, name=f"zookeeper-{node.name}", log_path=log, netns=netns)
    ask = namespaces.exec_argv(net, "client", [sys.executable, "-m", "lab.zookeeper", *ensemble.servers.values()])

    def modes() -> list[str] | None:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=False)
        return sorted(line.split()[1] for line in done.stdout.splitlines()) if done.returncode == 0 else None

    assert eventually(modes, 120) == ["follower", "follower", "leader"]


Connect = Callable[..., "pymysql.Connection[Any]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[mysqld.MysqldBinary, Path, Passwords]:
    """Two data directories, made once."""
    binary, passwords = mysqld.find_mysqld(), Passwords.random()
    folder = tmp_path_factory.mktemp("mysql")
    mysqld.initialise(binary, [folder / "a/data", folder / "b/data"], passwords)
    return binary, folder, passwords


@pytest.fixture(scope="module")
def server(made: tuple[mysqld.MysqldBinary, Path, Passwords], plan: Topology, net: str) -> Iterator[Connect]:
    """mysqld of db-a, running; a way to connect to it by its socket."""
    binary, folder, passwords = made
    node = plan.node("db-a")
    at = folder / "a"
    issue(at / "tls", {node.name: str(node.address)})
    instance = mysqld.Instance(
        at / "data",
        at / "sock",
        at / "pid",
        at / "mysqld.log",
        str(node.address),
        node.number,
        auto_increment_offset=1,
        identity=identity(at / "tls", node.name),
    )
    (at / "my.cnf").write_text(mysqld.my_cnf(binary, instance))
    argv = mysqld.command(binary, at / "my.cnf")
    netns = namespaces.path(net, "db-a")
    processes.spawn(argv, lab_dir=at, name="mysqld", log_path=at / "out", netns=netns)

    def connect(user: str = "kembar_agent", **options: Any) -> pymysql.Connection[Any]:
        password = getattr(passwords, user.removeprefix("kembar_"))
        return pymysql.connect(unix_socket=str(instance.socket), user=user, password=password, **options)

    assert eventually(lambda: listening(at), 180)
    yield connect
    processes.end_all(at)


def listening(at: Path) -> bool | None:
    """Whether mysqld's socket takes connections. Asked without PyMySQL, which leaks a socket that it cannot connect."""
    assert processes.alive(at, "mysqld"), (at / "mysqld.log").read_text()
    with socket.socket(socket.AF_UNIX) as probe:
        return True if probe.connect_ex(str(at / "sock")) == 0 else None


def ask(connection: pymysql.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_mysqld_starts_shut_and_with_the_settings_that_preflight_wants(server):
    with contextlib.closing(server()) as agent:
        (values,) = ask(agent, "SELECT " + ", ".join(f"@@{name}" for name in SETTINGS))
    assert dict(zip(SETTINGS, values, strict=True)) == SETTINGS


def test_semi_sync_and_clone_are_active(server):
    plugins = "SELECT plugin_name FROM information_schema.plugins WHERE plugin_status = 'ACTIVE'"
    with contextlib.closing(server()) as agent:
        active = {name for (name,) in ask(agent, plugins)}
    assert {"rpl_semi_sync_source", "rpl_semi_sync_replica", "clone"} <= active


def test_the_agent_may_do_what_it_must(server):
    """Each statement of the protocol, with the grants it was given and no more."""
    with contextlib.closing(server(autocommit=True)) as agent:
        for statement in (
            "SHOW FULL PROCESSLIST",
            "SELECT * FROM performance_schema.replication_connection_status",
            "SET GLOBAL lock_wait_timeout = 2",
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '192.0.2.12', SOURCE_USER = 'kembar_repl',"
            " SOURCE_PASSWORD = 'x', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
            "START REPLICA",
            "STOP REPLICA",
            "SET GLOBAL rpl_semi_sync_source_enabled = ON",
            "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
            "SET GLOBAL offline_mode = OFF",
            "SET GLOBAL super_read_only = OFF",
            "SET GLOBAL read_only = OFF",
            "INSERT INTO kembar.heartbeat VALUES ('db-a', 1, NOW(6)) ON DUPLICATE KEY UPDATE n = n + 1, at = NOW(6)",
            "SELECT n FROM kembar.heartbeat",
            "SET GLOBAL super_read_only = ON",
            "SET GLOBAL offline_mode = ON",
        ):
            ask(agent, statement)


@pytest.mark.parametrize("user", ["app", "kembar_repl", "kembar_clone"])
def test_an_offline_server_refuses_everybody_but_the_agent(server, user):
    with pytest.raises(pymysql.err.OperationalError) as raised:
        server(user)
    assert raised.value.args[0] == 3032


@pytest.mark.parametrize("user", ["kembar_repl", "kembar_clone"])
def test_a_peer_without_a_certificate_is_nobody(server, user):
    with contextlib.closing(server()) as agent:
        ask(agent, "SET GLOBAL offline_mode = OFF")
        with pytest.raises(pymysql.err.OperationalError) as raised:
            server(user)
        assert raised.value.args[0] == 1045
        ask(agent, "SET GLOBAL offline_mode = ON")


def test_both_nodes_start_with_the_same_accounts_and_identities_of_their_own(made):
    """A server's UUID is made at its first start: a copied one would make two servers look like one."""
    _, folder, _ = made
    assert not (folder / "b/data/auto.cnf").exists()
    assert (folder / "b/data/kembar/heartbeat.ibd").exists()
    assert not list((folder / "b/data").glob("binlog.*"))


def test_mysqld_comes_back_after_kill_9(server, made):
    _, folder, _ = made
    at = folder / "a"
    assert processes.kill(at, "mysqld")
    eventually(lambda: None if processes.alive(at, "mysqld") else True)
    argv = mysqld.command(made[0], at / "my.cnf")
    netns = namespaces.path(LAB, "db-a")
    processes.spawn(argv, lab_dir=at, name="mysqld", log_path=at / "out", netns=netns)

    assert eventually(lambda: listening(at), 180)
    with contextlib.closing(server()) as agent:
        assert ask(agent, "SELECT @@super_read_only, @@offline_mode, @@rpl_semi_sync_source_enabled") == [(1, 1, 0)]


# -- what an interrupted run left


def test_what_an_interrupted_run_left_is_cleared_but_not_while_something_lives_in_it(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    left = f"{LAB}_left"
    namespaces.up(plan, left)
    argv = namespaces.exec_argv(left, "client", [sys.executable, "-c", "print(flush=True); input()"])
    said: list[str] = []
    try:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
            assert living.stdout is not None
            living.stdout.readline()
            with pytest.raises(Refused, match="stands already"), Stand(left).claimed(said.append):
                pass
            assert len(namespaces.existing(left)) == 1 + len(plan.nodes)
        with Stand(left).claimed(said.append):
            assert not namespaces.existing(left)
            assert len(said) == 1
            namespaces.up(plan, left)
            with pytest.raises(Refused, match="another command"), Stand(left).claimed(said.append):
                pass
            assert len(namespaces.existing(left)) == 1 + len(plan.nodes), "a lab that is just begun is nobody's remains"
    finally:
        namespaces.down(left)
