"""Records to bytes and back: neighbouring versions understand each other, anything else is refused by name."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.history import Event, Incident, Recent
from orchestrator.core.lease import Timing
from orchestrator.core.model import (
    COUNT_MAX,
    FAST,
    Certified,
    Cluster,
    Fence,
    Lease,
    Mode,
    NodeName,
    Phase,
    Policy,
    Report,
    Sync,
)
from orchestrator.core.reconcile import Reconcile
from orchestrator.core.requests import Pause, Request
from orchestrator.core.returning import Returning
from orchestrator.core.wire import FORMAT, NUMBER_MAX, SIZE_MAX, WireWrong, decode, encode, plain
from tests.builders import DB_A, STEADY, UUID_A

SET = st.sampled_from(["", f"{UUID_A}:1-9", f"{UUID_A}:1-5:7,bbbbbbbb-aaaa-aaaa-aaaa-aaaaaaaaaaaa:3"])
st.register_type_strategy(int, st.integers(-NUMBER_MAX, NUMBER_MAX))
st.register_type_strategy(NodeName, st.text(max_size=20).map(NodeName))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(Timing, st.sampled_from([FAST.timing, Timing()]))
st.register_type_strategy(Policy, st.sampled_from([FAST, Policy(), Policy(maintenance=("db-a",))]))
for kind, names in (
    (Lease, ("executed",)),
    (Sync, ("executed",)),
    (Returning, ("errant", "rewound")),
    (Reconcile, ("errant",)),
    (Report, ("executed", "received", "errant", "peer_errant", "cut")),
):
    st.register_type_strategy(kind, st.builds(kind, **dict.fromkeys(names, SET)))
COUNT = st.integers(0, COUNT_MAX - 1)
st.register_type_strategy(Cluster, st.builds(Cluster, epoch=COUNT, seq=COUNT, term=COUNT))
RECORDS = (
    Cluster,
    Lease,
    Sync,
    Report,
    Reconcile,
    Policy,
    Request,
    Pause,
    Recent,
    Incident,
    Event,
    Certified,
    Fence,
    Timing,
)


def changed(**fields_of: Any) -> bytes:
    return json.dumps({**json.loads(encode(STEADY)), **fields_of}).encode()


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_record_comes_back_as_it_was(kind, data):
    value = data.draw(st.from_type(kind))
    assert decode(kind, encode(value)) == value


ANYTHING = st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4)
NEARLY = ANYTHING.map(lambda value: json.dumps({"format": 1, "timing": value, "epoch": value, "node": value}).encode())


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.binary(max_size=60) | NEARLY)
@settings(max_examples=25, deadline=None)
def test_other_bytes_are_refused_and_never_anything_worse(kind, data):
    try:
        decode(kind, data)
    except WireWrong as error:
        assert kind.__name__ in str(error)


def test_a_record_is_one_line_with_its_format_first():
    assert encode(STEADY).startswith(b'{"format":1,"epoch":7,"seq":41,') and b"\n" not in encode(STEADY)
    assert "format" not in plain(STEADY)


@pytest.mark.parametrize("number", [0, 2, None, "1"])
def test_an_unknown_format_is_refused_with_what_to_do(number):
    with pytest.raises(WireWrong, match="upgrade the older side"):
        decode(Cluster, changed(format=number))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b'"x"'])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(WireWrong):
        decode(Cluster, data)


WRONG = {
    "Cluster.epoch": {"epoch": "7"},
    "Cluster.seq": {"seq": True},
    "term=-1": {"term": -1},
    "epoch=9007199254740992": {"epoch": COUNT_MAX},
    "Cluster.mode": {"mode": "SOMETIMES"},
    "Cluster.phase": {"phase": 3},
    "Cluster.primary": {"primary": None},
    "Cluster.promotable": {"promotable": "db-b"},
    "Cluster.promotable.incarnation": {"promotable": {"node": "db-b", "incarnation": 7}},
    "Cluster.fence.lease_version": {"fence": {"node": "db-a", "lease_version": 1.5, "how": "none"}},
}


@pytest.mark.parametrize(("where", "wrong"), WRONG.items(), ids=WRONG)
def test_a_wrong_value_is_named(where, wrong):
    with pytest.raises(WireWrong, match=where):
        decode(Cluster, changed(**wrong))


def test_a_wrong_item_of_a_list_or_mapping_is_named():
    for name, wrong in (("troubles", [1]), ("timeline_ms", {"drain": "4"})):
        data = json.dumps({"format": 1, "node": "db-a", name: wrong}).encode()
        with pytest.raises(WireWrong, match=f"Report.{name}"):
            decode(Report, data)


@pytest.mark.parametrize("wrong", [10**400, float("inf"), float("nan"), -1], ids=["huge", "inf", "nan", "negative"])
def test_timings_that_cannot_be_are_refused_as_bytes_too(wrong):
    """The leader computes W from them."""
    timing = {"renew_every_s": 0.1, "authorised_s": wrong, "gate_ttl_s": 0.4}
    with pytest.raises(WireWrong, match=r"Lease.timing"):
        decode(Lease, json.dumps({"format": 1, "timing": timing}).encode())


ODD = {
    "a number that is none": b'{"format":1,"for_s":NaN}',
    "a number without end": b'{"format":1,"for_s":1e999}',
    "a number of more than 64 bits": b'{"format":1,"for_s":%d}' % (NUMBER_MAX + 1),
    "a number of thousands of digits": b'{"format":1,"for_s":' + b"9" * 5000 + b"}",
    "nesting without end": b'{"format":1,"x":' + b"[" * 100_000,
    "half a character": b'{"format":1,"reason":"\\ud800"}',
    "half a character, in bytes": b'{"format":1,"reason":"\xed\xa0\x80"}',
    "another encoding": '{"format":1,"reason":"x"}'.encode("utf-16"),
    "a format that only looks like one": b'{"format":true}',
    "more bytes than a record has": b'{"format":1,"reason":"' + b"x" * SIZE_MAX + b'"}',
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_would_hurt_later_is_refused_now(data):
    """A number that compares with nothing, a stack that ends the process, a text that no page can show."""
    with pytest.raises(WireWrong, match="Pause") as refused:
        decode(Pause, data)
    assert len(str(refused.value)) < 300


def test_a_set_of_transactions_is_refused_where_it_is_none():
    """Both sides compute with it, far from where it was read."""
    of_return = {"id": 1, "epoch": 1, "rung": "rewind", "stage": "rejoin"}
    for kind, name in (
        (Report, "executed"), (Report, "peer_errant"), (Report, "cut"), (Sync, "executed"), (Lease, "executed"),
        (Reconcile, "errant"), (Returning, "errant"), (Returning, "rewound"),
    ):  # fmt: skip
        data = json.dumps({"format": 1, "node": "db-a", **of_return, name: "uuid:1-5"}).encode()
        with pytest.raises(WireWrong, match=f"{kind.__name__}.{name}"):
            decode(kind, data)


@pytest.mark.parametrize("wrong", [0, -1, 1e-9, 1e9])
def test_a_policy_that_would_make_a_loop_spin_or_stop_is_refused(wrong):
    with pytest.raises(WireWrong, match="report_every_s"):
        decode(Policy, json.dumps({"format": 1, "report_every_s": wrong}).encode())


def test_a_newer_versions_fields_are_ignored_and_an_older_ones_take_their_default():
    assert decode(Cluster, changed(colour="blue")) == STEADY
    required = {f.name for f in fields(Cluster) if f.default is MISSING and f.default_factory is MISSING}
    short = {"format": 1, **{k: v for k, v in plain(STEADY).items() if k in required}}
    found = decode(Cluster, json.dumps(short).encode())
    assert (found.epoch, found.promotable, found.cause) == (7, None, "")


def test_a_missing_field_without_a_default_is_refused():
    with pytest.raises(WireWrong, match="primary"):
        decode(Cluster, json.dumps({"format": 1, "epoch": 1, "seq": 1, "mode": "SYNC", "phase": "STEADY"}).encode())


def test_a_whole_number_is_a_number():
    assert decode(Pause, b'{"format":1,"for_s":60}') == Pause(for_s=60.0)


def test_the_record_of_the_design_is_readable():
    text = """{"format": 1, "epoch": 7, "seq": 41, "primary": "db-a", "mode": "SYNC", "phase": "STEADY",
     "promotable": {"node": "db-b", "incarnation": "u/b/1/2/0"},
     "fence": {"node": "db-b", "lease_version": 1932, "how": "released"}, "heir": "x", "rule": "U2", "term": 12}"""
    found = decode(Cluster, text.encode())
    assert (found.primary, found.mode, found.phase, found.heir) == (DB_A, Mode.SYNC, Phase.STEADY, "x")
    assert found.fence is not None and found.fence.lease_version == 1932 and FORMAT == 1


def test_values_of_other_kinds_are_written_as_they_are():
    @dataclass(frozen=True)
    class Odd:
        items: list[int]
        nothing: None = None

    assert plain(Odd([1, 2])) == {"items": [1, 2], "nothing": None}
