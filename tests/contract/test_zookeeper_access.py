"""Who may do what in a real ZooKeeper that speaks TLS only: everybody, every operation, every node of the tree."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kazoo.exceptions import NoAuthError
from kazoo.protocol import serialization as wire
from kazoo.security import OPEN_ACL_UNSAFE
from zkservers import Servers, eventually

from lab.certificates import Authority
from orchestrator.cli.main import main
from orchestrator.connected import connected
from orchestrator.coordination.client import ZooKeeper
from orchestrator.coordination.paths import ROOT, Paths
from orchestrator.coordination.tls import Tls
from orchestrator.core.errors import CoordinatorUnavailable, KembarError
from orchestrator.core.model import LeaderRecord, NodeName, Report
from orchestrator.core.ports import Check, Create, Delete, SetData
from orchestrator.core.wire import encode
from orchestrator.process import threads
from orchestrator.process.clock import HostClock

pytestmark = pytest.mark.lab

DB_A, DB_B = NodeName("db-a"), NodeName("db-b")
PEOPLE = ("provisioning", "orchestrator db-b", "orchestrator witness", "agent db-a", "agent db-b", "reader", "stranger")
ANSWER_S = 5.0


def subject(who: str) -> str:
    return f"CN={who},O=shop"


@dataclass(frozen=True)
class Place:
    """Servers, and the files of everybody."""

    hosts: list[str]
    authority: Authority

    def files(self, who: str) -> tuple[str, str, str]:
        folder = self.authority.folder
        return str(folder / "authority.pem"), str(folder / f"{who}.pem"), str(folder / f"{who}.key")

    @contextmanager
    def client(self, who: str) -> Iterator[ZooKeeper]:
        with connected(self.hosts, 10.0, self.files(who)) as client:
            yield client


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    for who in PEOPLE:
        authority.issue(who, organization="shop")
    with closing(Servers(tmp_path_factory.mktemp("zookeeper"), authority)) as running:
        yield Place(running.hosts, authority)


def init(folder: Path, place: Place, cluster: str, *, acl: str | None = "", who: str = "provisioning") -> Result:
    """`kembar init`; `acl` None: without rights, else orchestrators besides the one on db-b."""
    authority, certificate, key = place.files("orchestrator db-b")
    orchestrators = json.dumps([subject("orchestrator db-b"), *([acl] if acl else [])])
    rights = (
        f"acl: {{provisioning: '{subject('provisioning')}', orchestrators: {orchestrators}, "
        f"readers: ['{subject('reader')}']}}"
    )
    path = folder / "orchestrator.yaml"
    path.write_text(
        f"""name: witness
zookeeper:
  hosts: {json.dumps(place.hosts)}
  tls: {{authority: '{authority}', certificate: '{certificate}', key: '{key}'}}
  {rights if acl is not None else ""}
clusters:
  - name: {cluster}
    nodes:
      - {{name: db-a, address: 192.0.2.11, identity: '{subject("agent db-a")}'}}
      - {{name: db-b, address: 192.0.2.12, identity: '{subject("agent db-b")}'}}
    vip: {{address: 192.0.2.100, subnet: 192.0.2.0/24}}
"""
    )
    _, proof, secret = place.files(who)
    return CliRunner().invoke(main, ["init", "-c", str(path), "-o", "json", "--certificate", proof, "--key", secret])


def succeeded(result: Result) -> dict[str, list[str]]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


# Rights as the safety argument wants them, in letters: of orchestrators, of the node's agent, of the other, of readers.
# What a node is not named here has those of the folder that it is in.
EXPECTED: Mapping[str, tuple[str, str, str, str]] = {
    "": ("r", "r", "r", "r"),
    "/desired": ("cdrw", "r", "r", "r"),
    "/leader": ("cdrw", "r", "r", "r"),
    "/election": ("cdrw", "r", "r", "r"),
    "/policy": ("cdrw", "r", "r", "r"),
    "/pause": ("cdrw", "r", "r", "r"),
    "/requests": ("cdrw", "r", "r", "r"),
    "/reconcile": ("cdrw", "r", "r", "r"),
    "/reconcile/open": ("cdrw", "rw", "rw", "r"),
    "/answered": ("cdrw", "", "", "r"),
    "/history": ("cdrw", "", "", "r"),
    "/totals": ("cdrw", "", "", "r"),
    "/outbox": ("cdrw", "", "", ""),
    "/audit": ("cdrw", "", "", ""),
    "/tokens": ("cdrw", "", "", ""),
    "/lease/db-a": ("rw", "rw", "r", "r"),
    "/lease/db-b": ("rw", "r", "rw", "r"),
    "/sync/db-a": ("r", "rw", "r", "r"),
    "/sync/db-b": ("r", "r", "rw", "r"),
    "/reports/db-a": ("r", "rw", "r", "r"),
    "/reports/db-b": ("r", "r", "rw", "r"),
}


def expected(part: str, who: str) -> str:
    if who == "provisioning":
        return "acdrw"
    while part not in EXPECTED:
        part = part.rpartition("/")[0]
    columns = {"orchestrator db-b": 0, "agent db-a": 1, "agent db-b": 2, "reader": 3}
    return EXPECTED[part][columns[who]] if who in columns else ""


def allowed(client: ZooKeeper, request: object) -> bool:
    """Whether ZooKeeper does it; every other answer than that and a refusal is a mistake of the test."""
    answer = client.ask(request)
    assert not answer.refused and answer.wait(ANSWER_S)
    if isinstance(answer.error, NoAuthError):
        return False
    answer.value()
    return True


def letters(client: ZooKeeper, admin: ZooKeeper, path: str, probe: str) -> str:
    """What `client` may do at `path`, tried; `probe` is a node below it that is made and removed."""
    acl = admin.fetch(wire.GetACL(path), ANSWER_S)[0]
    data = admin.read(path).data
    admin.submit((Create(probe, b""),)).result(ANSWER_S)
    tries = {
        "a": wire.SetACL(path, acl, -1),
        "d": wire.Delete(probe, -1),
        "r": wire.GetData(path, None),
        "w": wire.SetData(path, data, -1),
    }
    found = {letter for letter, request in tries.items() if allowed(client, request)}
    if "d" not in found:
        admin.submit((Delete(probe, -1),)).result(ANSWER_S)
    if allowed(client, wire.Create(probe, b"", acl, 0)):
        found.add("c")
        admin.submit((Delete(probe, -1),)).result(ANSWER_S)
    return "".join(sorted(found))


def tree(client: ZooKeeper, path: str) -> Iterator[str]:
    yield path
    for name in client.children(path):
        yield from tree(client, f"{path}/{name}")


def test_everybody_may_do_what_the_table_says_and_nothing_else(tmp_path: Path, place: Place):
    made = succeeded(init(tmp_path, place, "shop"))
    paths = Paths("shop")
    assert paths.desired in made["made"]
    with ExitStack() as clients:
        known = {who: clients.enter_context(place.client(who)) for who in PEOPLE if who != "orchestrator witness"}
        admin, orchestrator = known["provisioning"], known["orchestrator db-b"]
        made_later = (paths.request("r-1"), paths.notice("ops", "1"), paths.event(1), paths.candidate_prefix("db-b"))
        orchestrator.submit((Create(paths.channel("ops"), b""),)).result(ANSWER_S)
        orchestrator.submit([Create(path, b"") for path in made_later]).result(ANSWER_S)
        nodes = list(tree(admin, paths.root))
        assert len(nodes) > 30
        with ThreadPoolExecutor(16) as pool:
            each = {
                (path, who): pool.submit(letters, client, admin, path, f"{path}/probe-{number}")
                for path in nodes
                for number, (who, client) in enumerate(known.items())
            }
        tried = {one: found.result() for one, found in each.items()}
    wanted = {(path, who): expected(path.removeprefix(paths.root), who) for path, who in tried}
    assert {key: value for key, value in tried.items() if value != wanted[key]} == {}


def test_nothing_is_open_to_the_world(tmp_path: Path, place: Place):
    succeeded(init(tmp_path, place, "closed"))
    with place.client("provisioning") as admin:
        for path in tree(admin, ROOT):
            schemes = {one.id.scheme for one in admin.fetch(wire.GetACL(path), ANSWER_S)[0]}
            assert schemes == {"x509"}, path


def test_only_who_provisions_sets_rights(tmp_path: Path, place: Place):
    refused = init(tmp_path, place, "kiosk", who="orchestrator db-b")
    assert refused.exit_code == 2
    assert subject("provisioning") in refused.stderr
    with place.client("provisioning") as admin:
        assert admin.read(Paths("kiosk").root) is None


def test_a_cluster_that_serves_is_closed_without_a_write_failing(tmp_path: Path, place: Place):
    paths = Paths("bakery")
    assert succeeded(init(tmp_path, place, "bakery", acl=None))["rights_set"] == []
    with place.client("provisioning") as admin:  # as it is over plain TCP
        for path in tree(admin, paths.root):
            assert allowed(admin, wire.SetACL(path, OPEN_ACL_UNSAFE, -1))
    with place.client("agent db-a") as agent, place.client("orchestrator db-b") as orchestrator:

        def tell(node: NodeName, known_as: str) -> None:
            report = encode(Report(node, known_as=known_as))
            agent.submit((SetData(paths.report(node), report, -1),)).result(ANSWER_S)

        tell(DB_A, "")  # one that came before it was given a certificate
        leader = LeaderRecord(1, "db-b", known_as=subject("orchestrator db-b"))
        orchestrator.submit((SetData(paths.leader, encode(leader), -1),)).result(ANSWER_S)
        names = (b"0123 " + subject("orchestrator db-b").encode(), b"4567")
        ours, strange = (
            str(orchestrator.submit((Create(paths.candidate_prefix(name), data, sequence=True),)).result(ANSWER_S)[0])
            for name, data in zip(("db-b", "witness"), names, strict=True)
        )
        refused = init(tmp_path, place, "bakery")
        assert refused.exit_code == 1
        assert f"agent of db-a is known as nobody (plain TCP), expected {subject('agent db-a')}" in refused.stderr
        assert "orchestrator witness is known as nobody (plain TCP)" in refused.stderr
        assert "orchestrator db-b is known as" not in refused.stderr

        for path in (ours, strange):
            orchestrator.submit((Delete(path, -1),)).result(ANSWER_S)
        tell(DB_A, subject("agent db-a"))
        tell(DB_B, subject("agent db-b"))
        done = threading.Event()
        writes = {
            agent: [paths.lease(DB_A), paths.sync(DB_A), paths.report(DB_A)],
            orchestrator: [paths.desired, paths.leader, paths.lease(DB_A)],
        }
        failed: list[KembarError] = []
        counted: list[int] = []

        def write(client: ZooKeeper, targets: list[str]) -> None:
            count = 0
            while not done.is_set():
                try:
                    client.submit([SetData(path, b"{}", -1) for path in targets]).result(ANSWER_S)
                    if client is orchestrator:
                        client.submit((Create(f"{paths.audit}/e-", b"", sequence=True),)).result(ANSWER_S)
                    count += 1
                except KembarError as error:
                    failed.append(error)
            counted.append(count)

        running = [threading.Thread(target=write, args=one) for one in writes.items()]
        for one in running:
            one.start()
        closed = init(tmp_path, place, "bakery")
        done.set()
        for one in running:
            one.join()
        assert paths.desired in succeeded(closed)["rights_set"]
        assert failed == []
        assert min(counted) > 1
        # What was made while it was closed has the rights of its folder too.
        assert succeeded(init(tmp_path, place, "bakery"))["rights_set"] == []


def test_one_more_orchestrator_is_let_in_by_running_it_again(tmp_path: Path, place: Place):
    paths, other = Paths("market"), subject("orchestrator witness")
    succeeded(init(tmp_path, place, "market"))
    with place.client("orchestrator witness") as newcomer:
        with pytest.raises(CoordinatorUnavailable, match="NoAuthError"):
            newcomer.submit((SetData(paths.desired, b"{}", -1),)).result(ANSWER_S)
        assert paths.desired in succeeded(init(tmp_path, place, "market", acl=other))["rights_set"]
        newcomer.submit((SetData(paths.desired, b"{}", -1),)).result(ANSWER_S)
    succeeded(init(tmp_path, place, "market"))  # the outer folder is everybody's


def test_a_new_node_has_the_rights_of_its_folder_whoever_makes_it(tmp_path: Path, place: Place):
    paths = Paths("mill")
    succeeded(init(tmp_path, place, "mill", acl=subject("orchestrator witness")))
    with place.client("orchestrator db-b") as one, place.client("orchestrator witness") as other:
        folder = f"{paths.reconciles}/r-1"
        ops = (Check(paths.leader, 0), Create(folder, b""), Create(f"{folder}/x", b""), Create(paths.event(1), b""))
        one.submit(ops).result(ANSWER_S)
        for path, like in (
            (folder, paths.reconciles),
            (f"{folder}/x", paths.reconciles),
            (paths.event(1), paths.events),
        ):
            rights = [one.fetch(wire.GetACL(each), ANSWER_S)[0] for each in (path, like)]
            assert rights[0] == rights[1]
        other.submit((Delete(f"{folder}/x", -1), Delete(folder, -1))).result(ANSWER_S)
    succeeded(init(tmp_path, place, "mill"))


def test_a_node_in_a_folder_that_is_not_there_is_refused_as_over_plain_tcp(place: Place):
    with place.client("provisioning") as client, pytest.raises(KembarError, match="NoNodeError"):
        client.submit((Create("/nowhere/x", b""),)).result(ANSWER_S)


# --- who is let in at all


def comes_in(hosts: list[str], tls: Tls | None) -> tuple[bool, str]:
    """Whether there is a session within two seconds, and what TLS was said to be wrong with by then, or later."""
    with closing(ZooKeeper(hosts, HostClock(), threads.start, tls=tls)) as client:
        client.start()
        let_in = client.wait_connected(2.0)
        if tls is not None and not let_in:
            eventually(lambda: client.trouble != "", 20.0)
        return let_in, client.trouble


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, place: Place):
    foreign = Authority(tmp_path)
    foreign.issue("agent db-a", organization="shop")
    known, _, _ = place.files("agent db-a")
    own = str(tmp_path / "agent db-a.pem"), str(tmp_path / "agent db-a.key")
    let_in, trouble = comes_in(place.hosts, Tls(known, *own))
    assert not let_in and trouble
    # The other way round it is us who refuse the servers.
    let_in, trouble = comes_in(place.hosts, Tls(str(tmp_path / "authority.pem"), *own))
    assert not let_in and "CERTIFICATE_VERIFY_FAILED" in trouble


def test_a_client_without_tls_is_refused(place: Place):
    assert comes_in(place.hosts, None) == (False, "")


def test_who_shows_no_certificate_is_refused(place: Place):
    context = ssl.create_default_context(cafile=place.files("reader")[0])
    address, _, port = place.hosts[0].rpartition(":")
    with pytest.raises(ssl.SSLError), socket.create_connection((address, int(port)), 5) as plain:
        context.wrap_socket(plain, server_hostname=address)


def test_the_error_of_a_command_says_what_is_wrong_with_tls(tmp_path: Path, place: Place):
    foreign = Authority(tmp_path)
    foreign.issue("reader", organization="shop")
    files = [str(tmp_path / name) for name in ("authority.pem", "reader.pem", "reader.key")]
    refused = pytest.raises(CoordinatorUnavailable, match=r"no TLS with .*CERTIFICATE_VERIFY_FAILED")
    with refused, connected(place.hosts, 5.0, files):
        pass


# --- connections that end


def test_a_session_goes_on_over_another_connection_and_with_a_renewed_certificate(tmp_path: Path, place: Place):
    succeeded(init(tmp_path, place, "forge"))
    path = Paths("forge").lease(DB_A)
    with place.client("agent db-a") as agent:
        session, server = agent.session_id, agent.server
        agent.submit((SetData(path, b"{}", -1),)).result(ANSWER_S)
        before = Path(place.files("agent db-a")[2]).read_bytes()
        place.authority.issue("agent db-a", organization="shop")
        assert Path(place.files("agent db-a")[2]).read_bytes() != before
        agent._kazoo.cut()
        eventually(lambda: agent.server not in (None, server))  # it goes on at the next one, maybe before anybody looks
        assert agent.session_id == session
        agent.submit((SetData(path, b"{}", -1),)).result(ANSWER_S)
