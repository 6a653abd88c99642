"""Protocol errors that somebody might make, and the story, or the seed, that must find each.

`python -m tests.sim.mutants` prints found k of n. Where one guard makes good what another lets through, both are taken
away, and the name says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from agents import converge, evidence, invariants, look
from agents.guard import Guard
from agents.lease import LeaseKeeper
from agents.loop import Agent
from agents.server import Server
from agents.steps import Steps
from agents.telling import Telling
from lab.provenance import provenance
from orchestrator.coordination.records import Writer
from orchestrator.core import analysis, conditions, rules, transitions
from orchestrator.core import invariants as core_invariants
from orchestrator.core.history import Recent
from orchestrator.core.lease import Timing
from orchestrator.core.situation import Situation
from orchestrator.watching import Watching
from tests.sim.database import Sessions
from tests.sim.health import SimSupervisor
from tests.sim.kernel import SimGate
from tests.sim.mutation import Mutant, hunt, planted
from tests.sim.returnmutants import RETURNS
from tests.sim.stories import STORIES

MUTANTS: tuple[Mutant, ...] = (
    *RETURNS,
    # --- the gate and the lease
    planted(
        "SHUT does not reach the kernel",
        "mysqld crashes and nobody hears an ARP question",
        Guard.shut,
        ("self._gate.shut()", "pass"),
    ),
    planted(
        "half W",
        "its keeper is paused before its last renewal, then stopped",
        Timing.fence_wait_s.fget,
        ("ceil(exact * 100 - 1e-9) / 100", "exact / 2"),
    ),
    planted(
        "W of the policy, not of the lease record",
        "faster timings while the primary is cut",
        Situation.fence_wait_over,
        ("self.lease(fence.node).timing.fence_wait_s", "self.policy.timing.fence_wait_s"),
    ),
    planted(
        "t_s taken after the answer",
        "the last answer is late",
        LeaseKeeper._accept,
        ("self._sent = flight.sent or self._sent", "self._sent = self._clock.holder_now()"),
    ),
    planted(
        "t_obs of another version",
        "mysqld dies while the keeper is paused",
        Watching._fence_seen,
        ("if version >= fence.lease_version", "if version"),
    ),
    planted(
        "a revoke counts as a release",
        "mysqld dies while the keeper is paused",
        conditions.fence_proven,
        ("sighting.version > fence.lease_version + 1", "True"),
        ("sighting.value.state is LeaseState.RELEASED", "sighting.value.state is not LeaseState.HELD"),
    ),
    planted(
        "OPEN as plain add",
        "stalls, and the keeper is paused before it opens",
        SimGate.open,
        ("if self._time.now >= kernel.permit_until:", "if False:"),
    ),
    planted(
        "RENEW as plain add",
        "the keeper is paused before its last renewal",
        SimGate.renew,
        ("if self._time.now >= kernel.lease_until:", "if False:"),
    ),
    planted(
        "the horizon is checked before ARM",
        "stalls, and the keeper is paused before it arms",
        Guard.open,
        ("self._gate.arm(ttl_s)", "allowed = may_act()\n    self._gate.arm(ttl_s)"),
        ("if not may_act():", "if not allowed:"),
    ),
    planted(
        "the gate renewed past the horizon",
        "the same with a cut from ZooKeeper",
        LeaseKeeper._renew_gate,
        ("elif not self._authorised():", "elif False:"),
    ),
    planted(
        "the gate's rules not compared",
        "rules are flushed, then a cut",
        Guard.renew,
        ("if self._gate.intact():", "if True:"),
        also=((Guard.look_while_shut, (("not self._gate.intact()", "False"),)),),
    ),
    planted(
        "wall clock in the lease",
        "the wall clock steps back",
        LeaseKeeper._authorised,
        ("now = self._clock.holder_now()", "now = self._clock.wall_s()"),
        also=(
            (LeaseKeeper.ticked, (("self._clock.holder_now()", "self._clock.wall_s()"),)),
            (LeaseKeeper._write, (("self._clock.holder_now()", "self._clock.wall_s()"),)),
            (LeaseKeeper.may_act, (("self._clock.holder_now()", "self._clock.wall_s()"),)),
        ),
    ),
    planted(
        "a write of unknown outcome counts as done",
        "revoked while its tick hangs",
        LeaseKeeper._settle,
        (
            "except (UnknownOutcome, StaleWrite):",
            "except (UnknownOutcome, StaleWrite):\n        self._accept(flight, self._version + 1)\n        return",
        ),
    ),
    planted(
        "the lease taken without a check of the record",
        "the old record is seen for long",
        Steps._take_lease,
        ("(check,)", "()"),
        ("(check, self._sync_write(relaxed))", "(self._sync_write(relaxed),)"),
    ),
    Mutant(
        "the gate opened under a lease of before, by converge and keeper",
        "the agent restarts at once",
        (
            (converge._primary, (("if not local.lease_held:", "if not (local.lease_held or local.opened):"),)),
            (Guard.open, (("if not may_act():", "if False:"),)),
            (invariants._open, (("local.lease_held or Action.TAKE_LEASE in done", "True"),)),
        ),
    ),
    # --- who leads, and what it rests on
    planted(
        "C1 without a check of the term",
        "the term ends before a write",
        Writer.decide,
        ("Check(self.paths.leader, term_version),", ""),
        ("result(timeout_s)[1]", "result(timeout_s)[0]"),
    ),
    Mutant(
        "F1 and F5 whatever the primary said of semi-sync",
        "semi-sync gives up while leaders sleep",
        (
            (conditions._may_take_over, ((" and s.armed()", ""),)),
            (transitions.take_over, ((", _sync_at(s)", ","),)),
            (
                transitions.fence,
                (("(_sync_at(s), _revoke", "(_revoke"), ('"epoch {wanted.epoch}"))', '"epoch {wanted.epoch}"),)')),
            ),
        ),
    ),
    planted(
        "silence counts while nobody is heard",
        "ZooKeeper stalls, and the primary comes back last",
        analysis.primary_silent,
        ("return s.hearing and still", "return still"),
    ),
    planted(
        "a pause does not hold F1 and F5",
        "paused, then the primary dies",
        rules._stopped,
        ("rule.held and _holding(s)", "False"),
    ),
    planted(
        "the hold-down counts attempts",
        "aborted twice, then the primary dies",
        Recent.automatic_failovers,
        ('one.outcome == "ok" and ', ""),
    ),
    planted(
        "F6 skips the fence",
        "a forced failover of a primary that is cut off",
        transitions.force,
        ("phase=Phase.FENCING", "phase=Phase.PROMOTING"),
    ),
    planted(
        "F4 after the heir held the lease",
        "the heir dies after it has opened",
        conditions.heir_cannot,
        ("or s.lease(s.primary).epoch == s.cluster.epoch", ""),
    ),
    planted(
        "U1 keeps the standby promotable",
        "ASYNC, then the primary's host is lost",
        transitions.relax,
        (", promotable=None", ""),
    ),
    planted(
        "unsafe settings do not speak against a standby",
        "unsafe settings on the standby",
        conditions._speaks_against_standby,
        ("and not standby.durable", "and False"),
    ),
    planted(
        "a refused login counts as death",
        "the agent is refused",
        evidence.judge,
        ("state = Mysqld.RUNNING\n", "state = Mysqld.HUNG if e.select.errno == 1045 else Mysqld.RUNNING\n"),
    ),
    planted(
        "exhausted connections count as death",
        "connections are exhausted",
        evidence.judge,
        ("state = Mysqld.RUNNING\n", "state = Mysqld.HUNG if e.select.errno == 1040 else Mysqld.RUNNING\n"),
    ),
    # --- taking over
    Mutant(
        "the receiver is not stopped before the drain",
        "mysqld of the primary crashes",
        (
            (converge._take_what_was_received, (("(Action.STOP_RECEIVER, Action.DRAIN,", "(Action.DRAIN,"),)),
            (Steps._write_promotion, (("if facts.backlog:", "if False:"),)),
            (invariants._power, (("not local.receiving or Action.STOP_RECEIVER in done", "True"),)),
        ),
    ),
    Mutant(
        "no drain",
        "the standby has a backlog, the primary crashes",
        (
            (Steps._drain, (("facts = self._database.facts()", "return"),)),
            (
                Steps._write_promotion,
                (
                    ("if facts.backlog:", "if False:"),
                    ("if lost :=", "if False and (lost :="),
                    ("GtidSet.parse(facts.executed)):", "GtidSet.parse(facts.executed))):"),
                ),
            ),
        ),
    ),
    Mutant(
        "incarnations compared nowhere",
        "the standby restarts with a backlog, then the primary dies",
        (
            (Situation.standby_certified, (("== Certified(self.standby, report.incarnation)", "is not None"),)),
            (converge.unable, (("if local.incarnation and local.incarnation != goal.heir:", "if False:"),)),
            (conditions.heir_cannot, (("report.incarnation != s.cluster.heir", "False"),)),
            (invariants._certified_life, (("return goal", "return True or goal"),)),
        ),
    ),
    Mutant(
        "the heir is not compared by itself nor by the leader",
        "the heir restarts while FENCING",
        (
            (converge.unable, (("if local.incarnation and local.incarnation != goal.heir:", "if False:"),)),
            (
                conditions.heir_cannot,
                (("report.incarnation != s.cluster.heir", "False"), ("or report.mysqld.ended", "")),
            ),
            (invariants._certified_life, (("return goal", "return True or goal"),)),
        ),
    ),
    planted(
        "relay logs thrown away in the same incarnation",
        "relay logs are thrown away",
        Server._watch_relay_logs,
        ("if not self._held <= held:", "if False:"),
    ),
    planted(
        "a late START REPLICA", "START REPLICA comes late", Sessions.clear_others, ("self.server.late.clear()", "pass")
    ),
    planted(
        "opened without remembering the epoch",
        "the state disk of the heir is full",
        Agent._allowed,
        ("(self._unreadable or self._forgetful)", "self._unreadable"),
        also=(
            (Telling._cannot, (("if coming and forgetful:", "if False:"),)),
            (conditions._speaks_against_standby, ((" or standby.memory", ""),)),
            (
                Steps._write_promotion,
                (("self._memory.write_promotion(", "self._memory.full = False\n    self._memory.write_promotion("),),
            ),
        ),
    ),
    # --- taking power away
    planted(
        "stalled commits acknowledged at the demotion",
        "commits are stalled at the demotion",
        converge._demote,
        ("return (*_close(local), Action.KILL_MYSQLD, *_release(local))", "return (*_close(local), Action.RELAX)"),
        also=((invariants._relax, (("goal.role is Role.PRIMARY and goal.mode is Mode.ASYNC and recorded", "True"),)),),
    ),
    planted(
        "SIGTERM instead of SIGKILL",
        "commits are stalled at the demotion",
        SimSupervisor.kill,
        ("self._server.kill()", "self._server.stop()"),
    ),
    planted("lower epoch accepted", "ZooKeeper forgets ASYNC", core_invariants.older, ("record < remembered", "False")),
    planted(
        "epoch not persisted",
        "ZooKeeper forgets a failover",
        Agent._follow,
        ("remembered = self._memory.epoch()", "remembered = getattr(self, '_known', (0, 0))"),
        ("self._memory.remember(cluster.epoch, cluster.seq)", "self._known = (cluster.epoch, cluster.seq)"),
    ),
    # --- semi-sync
    planted(
        "relaxed without a record",
        "ASYNC, then the primary's host is lost",
        Steps._record_relaxed,
        ("not self.relaxed(order.goal.epoch)", "False"),
    ),
    planted(
        "relaxed before ASYNC is recorded",
        "the primary is cut from all but clients",
        converge._open,
        (
            "actions: list[Action] = []",
            "actions: list[Action] = [Action.RELAX] if local.commits_waiting else []",
        ),
        also=((invariants._relax, (("goal.role is Role.PRIMARY and goal.mode is Mode.ASYNC and recorded", "True"),)),),
    ),
    planted(
        "armed before a commit has returned",
        "certified while commits are under way",
        Steps._certify,
        ("    self.heartbeat()\n", ""),
    ),
    planted(
        "G read before semi-sync is ON, no commit awaited",
        "certified while commits are under way",
        Steps._certify,
        (
            "    self._database.semisync.require_ack()\n",
            "    executed = self._database.executed()\n    self._database.semisync.require_ack()\n",
        ),
        ("    executed = self._database.executed()\n    self.heartbeat()\n", ""),
    ),
    planted(
        "any token certifies, no commit awaited",
        "certified while commits are under way",
        conditions.certificate_complete,
        ("and standby.token == sync.token", ""),
        also=((Steps._certify, (("    self.heartbeat()\n", ""),)),),
    ),
    planted(
        "source side left ON on the standby",
        "switched over, then the primary dies",
        converge._follow,
        ("if local.source_on:", "if False:"),
    ),
    planted(
        "nobody watches commits that go alone",
        "semi-sync gives up",
        look._degraded,
        ("facts.no_tx != sync.no_tx", "False"),
        ("facts.may_let_go or ", ""),
    ),
    planted(
        "a third replica may acknowledge",
        "a stranger acknowledges",
        look._degraded,
        (" or facts.semisync_clients > 1", ""),
    ),
    planted(
        "a record that agents have left behind gives power",
        1149,
        rules._stopped,
        (" or (rule.moves and record_old(s))", ""),
    ),
    # --- coming back
    Mutant(
        "a restart in place cuts the tail",
        "the standby's host is lost, then the primary crashes",
        (
            (
                converge._primary_without_mysqld,
                (
                    (
                        "(Action.WITHDRAW, *_swap",
                        "(Action.WITHDRAW, *[Action.CAPTURE_TAIL][: local.was_primary], *_swap",
                    ),
                ),
            ),
            (Steps._capture_tail, (("why = doubt(writer, order.goal, sync, primary)", "why = ''"),)),
        ),
    ),
    Mutant(
        "errant transactions keep nobody from anything",
        "an errant write on the standby",
        (
            (look.own_errant, (("return errant(", "return GtidSet() or errant("),)),
            (Agent._judge_peer, (("if role is not Role.PRIMARY", "return\n    if role is not Role.PRIMARY"),)),
        ),
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="mutants with this in their name")
    parser.add_argument("--seeds", type=int, help="not by its own story, but by this many seeds, from the first on")
    parser.add_argument("--stories", action="store_true", help="by any story: which of them find it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the totals there too")
    options = parser.parse_args()
    chosen = [one for one in MUTANTS if options.only in one.name]
    found = 0
    for one in chosen:
        caught = _caught(one, options.seeds, options.stories)
        found += caught is not None
        print(f"{one.name}: {f'found by {caught[:160]}' if caught else 'SURVIVES'}", flush=True)
    print(f"mutants: found {found} of {len(chosen)}")
    if options.json is not None:
        options.json.write_text(json.dumps(provenance() | {"found": found, "planted": len(chosen)}))
    return found < len(chosen)


def _caught(one: Mutant, seeds: int | None, stories: bool) -> str | None:
    if not stories:
        return hunt(one, [one.found_by] if seeds is None else range(1, seeds + 1))
    all_of_them = [caught for name in STORIES if (caught := hunt(one, [name]))]
    for caught in all_of_them:
        print(f"    {caught[:150]}", flush=True)
    return next(iter(all_of_them), None)


if __name__ == "__main__":
    sys.exit(main())
