"""Money is only moved: every reader sees every account and the same total. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.checkers.calls import Call, Kind


def check(calls: Sequence[Call], accounts: int, total: int) -> list[str]:
    """`accounts` and `total` are what the bank began with."""
    reads = [call for call in calls if call.ok and call.kind is Kind.BALANCES]
    found = []
    for call in reads:
        if len(call.result) != accounts:
            found.append(f"{len(call.result)} accounts, not {accounts}: {call}")
        if sum(call.result) != total:
            found.append(f"total {sum(call.result)}, not {total}: {call}")
    return found
