"""Errors that somebody might make in the protocol of a return, and the story that must find each."""

from __future__ import annotations

from agents import converge, invariants, look, tasks
from agents.reconcile.returner import Returner
from agents.steps import Steps
from orchestrator.core import admission, reconcile, reconciling
from orchestrator.core import invariants as core_invariants
from orchestrator.reconciler import Reconciler
from tests.sim.mutation import Mutant, planted
from tests.sim.repair import SimMerger, SimReturner

RETURNS: tuple[Mutant, ...] = (
    planted(
        "no journal",
        "a return, its agent killed between two undos",
        SimReturner._journal,
        ("return set(self._server.disk.journal)", "return set()"),
    ),
    planted(
        "GTIDs are taken back before it is noted to which",
        "a return, its agent killed between reset and numbers",
        Returner._noted,
        ("folder.note(RESET, noted)", "pass"),
    ),
    planted(
        "rows are changed back before the other host has the evidence",
        "a return, and nobody fetches its evidence",
        reconcile._reached,
        ("return done and (confirmed or record.merge is not Merge.UNKNOWN)", "return done"),
    ),
    planted(
        "what was written after the look is in no merge",
        "a return, and somebody writes before its evidence is kept",
        Returner._errant,
        ("return errant | (there - primary_executed)", "return errant"),
    ),
    planted(
        "evidence is kept while replication still brings more",
        1780,
        Returner._keep,
        ("if record.rung is not Rung.TRUNCATE:", "if False:"),
    ),
    planted(
        "what was cut and is committed all the same is taken for cut",
        1099,
        reconciling._opened,
        ("_committed(s, report, errant) or ", ""),
        ("and report.executed and", "and"),
    ),
    planted(
        "what is owed is not on disk",
        "a return, its record and its agent lost between two undos",
        Returner._kept,
        ("self._owing.write(wanted)", "pass"),
    ),
    planted(
        "the number is used up before the entry is there",
        "a return, the merging agent killed after an entry",
        SimMerger._enter,
        (
            "self._node.kept.entries[key(txn)] = txn.value",
            "self._commit(session, Txn(txn.uuid, txn.number, NOTHING))",
        ),
        ('session._reach("entered")', 'session._reach("entered"); self._node.kept.entries[key(txn)] = txn.value'),
    ),
    planted(
        "the evidence is not compared with its sum",
        "the standby is written to three times",
        SimMerger._fetched,
        ("found is None or found.sums != record.sums", "found is None"),
        ("return record.sums", "self._node.kept.theirs[name] = Archive(found.held, ()); return record.sums"),
    ),
    planted(
        "a return that is open keeps nobody from a certificate",
        "a return, and leaders pause",
        reconciling.unsettled,
        (
            "under_way = standby.returning.owed or",
            "under_way = False and",
        ),
    ),
    Mutant(
        "what the node itself owes is forgotten with the record",
        "a return, its record lost between two undos",
        (
            (reconciling._opened, (("if report.returning.owed", "if False and report.returning.owed"),)),
            (reconciling.unsettled, (("standby.returning.owed or ", ""),)),
            (look.repairing, (("said.rewinding or", "False and"),)),
        ),
    ),
    Mutant(
        "half-rewound is no reason to refuse force",
        "a return, forced between two undos",
        (
            (admission._half_changed, (("return record is not None", "return False and record is not None"),)),
            (admission._returned, (("if target is None:", "if True:"),)),
            (converge.unable, (("if local.unreturned", "if False and local.unreturned"),)),
            (invariants._power, (("not local.unreturned or", "True or"),)),
            (look.repairing, (("said.rewinding or", "False and"),)),
        ),
    ),
    Mutant(
        "numbers that were taken out are free for anybody",
        "a return, forced when its numbers are free",
        ((core_invariants.unreturned, (("if not free.given_by(uuid):", "if True:"),)),),
    ),
    planted(
        "a cut though commits did not all wait",
        "a return",
        Steps._capture_tail,
        ("why = doubt(writer, order.goal, sync, primary)", "why = ''"),
    ),
    Mutant(
        "a merge goes on without power",
        "a return, the new primary cut off while it merges",
        (
            (tasks.task, (("serves = s.power.gate_open and s.may_act", "serves = True"),)),
            (SimMerger._serves, (("return self._node.kernel.is_open", "return True"),)),
        ),
    ),
    planted(
        "a record of a return is moved on by whoever once led",
        "a return, and a leader sleeps before it writes its record",
        Reconciler._move,
        ("term_version is None or ", ""),
        ("guards: list[Op] = [", "guards: list[Op] = [][:0] and ["),
        also=((Reconciler._advance, (("seen.stored.version)]", "-1)]"),)),),
    ),
    planted(
        "a number of a return is given again",
        "the standby is written to three times",
        reconciling._new,
        ("number = max(s.cluster.seq, *(one + 1 for one in _used(s)))", "number = 4"),
    ),
    planted(
        "nothing is silenced before rows are changed back",
        "START REPLICA takes effect while rows are changed back",
        Returner._rewind,
        ("if not self.facts.rewinding:", "if False:"),
    ),
    Mutant(
        "a stage that lies behind is done again",
        "a return, its record lost while it is merged",
        (
            (
                Returner._past,
                (("return order.index(reached) >= order.index(record.stage)", "return reached is record.stage"),),
            ),
        ),
    ),
    Mutant(
        "what lags behind counts as errant",
        "an errant write on the standby",
        (
            (
                reconciling._alone,
                ((" - GtidSet.parse(primary.executed)", ""), ("errant - errant.given_by(_server(primary))", "errant")),
            ),
            (tasks.task, (("if mine and s.peer.report is not None and", "if False and"),)),
        ),
    ),
)
