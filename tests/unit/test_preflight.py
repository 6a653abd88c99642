"""Every setting that Kembar refuses, one at a time."""

from __future__ import annotations

import pytest

from agents.preflight import ALWAYS, AT_START, NEVER_PERSISTED, durable, refusals, shared_identity
from agents.vip import require_interface
from orchestrator.core.errors import Refused

GOOD = {
    "version": "9.7.4-2",
    "version_comment": "(Debian)",
    "max_allowed_packet": "67108864",
    "server_id": "1",
    "server_uuid": "baa586de-e92a-11f1-8033-02fc00000001",
    **{name: values[0] for name, values in {**ALWAYS, **AT_START}.items()},
}


def test_the_required_settings_are_accepted() -> None:
    assert refusals(GOOD, at_start=True) == ()


@pytest.mark.parametrize("name", ALWAYS)
def test_each_other_value_is_refused_with_what_is_needed(name: str) -> None:
    (line,) = refusals({**GOOD, name: "7"}, at_start=False)
    assert line.startswith(f"{name}=7: must be ")


@pytest.mark.parametrize("name", AT_START)
def test_what_kembar_changes_later_is_asked_for_at_the_start_only(name: str) -> None:
    changed = {**GOOD, name: "7"}
    assert refusals(changed, at_start=False) == ()
    assert len(refusals(changed, at_start=True)) == 1


def test_all_wrong_settings_are_named_at_once() -> None:
    assert refusals({**GOOD, "sync_binlog": "0", "gtid_mode": "OFF", "max_allowed_packet": "1024"}, at_start=False) == (
        "gtid_mode=OFF: must be ON",
        "sync_binlog=0: must be 1",
        "max_allowed_packet=1024: must be at least 67108864",
    )


def test_a_missing_plugin_is_named_with_the_line_that_loads_it() -> None:
    plain = {name: value for name, value in GOOD.items() if not name.startswith("rpl_semi_sync_source")}
    assert refusals(plain, at_start=False)[0] == (
        "rpl_semi_sync_source_wait_point is unknown: load the plugin, plugin_load_add=semisync_source.so"
    )


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"version": "11.8.2-MariaDB"}, "MariaDB"),
        ({"version": "10.11.1", "version_comment": "MariaDB Server"}, "MariaDB"),
        ({"version": "8.0.25"}, "8.0.26"),
        ({"version": "5.7.44"}, "8.0.26"),
        ({}, "8.0.26"),
    ],
    ids=str,
)
def test_a_foreign_server_is_refused_before_its_settings_are_looked_at(variables: dict[str, str], word: str) -> None:
    (line,) = refusals(variables, at_start=True)
    assert word in line


@pytest.mark.parametrize("version", ["8.0.26", "8.4.3", "9.7.4", "2027.1.0"])
def test_later_versions_pass(version: str) -> None:
    assert refusals({**GOOD, "version": version}, at_start=True) == ()


def test_a_value_may_be_spelled_in_small_letters() -> None:
    assert refusals({**GOOD, "binlog_row_image": "full"}, at_start=False) == ()


def test_a_setting_that_a_later_release_dropped_is_no_trouble() -> None:
    without = {name: value for name, value in GOOD.items() if name != "binlog_format"}
    assert refusals(without, at_start=True) == ()


@pytest.mark.parametrize("name", sorted(NEVER_PERSISTED))
def test_what_opens_a_starting_server_may_not_be_persisted(name: str) -> None:
    assert refusals(GOOD, at_start=False, persisted=[name, "max_connections"]) == (
        f"{name} is persisted: RESET PERSIST {name}",
    )


def test_a_copied_data_directory_is_recognised() -> None:
    other = {"server_uuid": "other", "server_id": "2", "auto_increment_offset": "2"}
    assert shared_identity(GOOD, {**GOOD, **other}) == ()
    assert [line.split("=")[0] for line in shared_identity(GOOD, GOOD)] == [
        "server_uuid",
        "server_id",
        "auto_increment_offset",
    ]
    assert shared_identity(GOOD, {}) == ()


def test_durability() -> None:
    assert durable(GOOD)
    assert not durable({**GOOD, "sync_binlog": "100"})
    assert not durable({})


def test_an_interface_that_is_not_there_is_refused_before_the_address_is_needed():
    require_interface("lo")
    with pytest.raises(Refused, match=r"vip\.interface: eth99: this host has no such interface, only .*lo"):
        require_interface("eth99")
