"""Histories for the checkers: hand-made calls, and whole histories of a store that does everything right."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from lab.checkers.calls import FINAL, Call, Kind, Outcome

ACCOUNTS, BALANCE = 3, 10
_numbers = itertools.count()


def call(
    kind: str,
    given: Any,
    began: float,
    ended: float,
    result: Any = None,
    *,
    outcome: str = "ok",
    client: int | None = None,
    server: str = "a",
) -> Call:
    """One call; a client of its own unless one is named."""
    number = next(_numbers)
    return Call(
        number, number if client is None else client, Kind(kind), given, began, ended, Outcome(outcome), result, server
    )


@dataclass
class Store:
    """What a single server without concurrency does."""

    values: list[int] = field(default_factory=list)
    registers: dict[int, int] = field(default_factory=dict)
    balances: list[int] = field(default_factory=lambda: [BALANCE] * ACCOUNTS)
    lists: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def do(self, kind: Kind, given: Any) -> Any:
        return getattr(self, f"_{kind}")(given)

    def _insert(self, value: int) -> None:
        self.values.append(value)

    def _look(self, value: int) -> bool:
        return value in self.values

    def _read(self, key: int) -> int | None:
        return self.registers.get(key)

    def _write(self, given: list[int]) -> None:
        self.registers[given[0]] = given[1]

    def _cas(self, given: list[Any]) -> bool:
        key, expected, value = given
        if self.registers.get(key) != expected:
            return False
        self.registers[key] = value
        return True

    def _transfer(self, given: list[int]) -> None:
        giver, taker, amount = given
        self.balances[giver] -= amount
        self.balances[taker] += amount

    def _balances(self, given: None) -> list[int]:
        return list(self.balances)

    def _lists(self, steps: list[list[Any]]) -> list[list[int] | None]:
        return [self._step(*step) for step in steps]

    def _step(self, name: str, key: int, value: int = 0) -> list[int] | None:
        if name == "append":
            self.lists[key].append(value)
            return None
        return list(self.lists[key])


def history(random: Random, calls: int, clients: int = 3, doubt: float = 0.15) -> tuple[list[Call], Store]:
    """Concurrent calls that each take effect at one moment between sending and answer, and the store in the end.

    Some fail without an effect; some stay unknown and take effect soon, after their client went on, or never.
    """
    store, drawn = Store(), sorted(_drawn(random, calls, clients, doubt), key=lambda one: one[0])
    done = []
    for effect, one in drawn:
        result = store.do(one.kind, one.given) if effect < float("inf") else None
        done.append(replace(one, result=result if one.ok else None))
    end = max([one.ended for one in done] + [effect for effect, _ in drawn if effect < float("inf")], default=0.0)
    done += [_final(store, Kind.READ, key, end + 1) for key in store.registers]
    done.append(_final(store, Kind.BALANCES, None, end + 2))
    done.append(_final(store, Kind.LISTS, [["r", key] for key in store.lists], end + 3))
    return done, store


def _final(store: Store, kind: Kind, given: Any, began: float) -> Call:
    return call(kind, given, began, began + 0.5, store.do(kind, given), client=FINAL)


def _drawn(random: Random, calls: int, clients: int, doubt: float) -> Iterator[tuple[float, Call]]:
    """Each call with the moment at which it takes effect, infinity for never; results are not known yet."""
    values, free = itertools.count(1), [0.0] * clients
    for _ in range(calls):
        client = random.randrange(clients)
        began = free[client] + random.uniform(0.01, 1.0)
        effect = began + random.uniform(0.0, 1.0)
        ended = effect + random.uniform(0.0, 1.0)
        outcome = "ok"
        if random.random() < doubt:
            outcome = random.choice(("fail", "unknown"))
            late = outcome == "unknown" and random.random() < 0.6
            effect = began + random.uniform(0.0, 8.0) if late else float("inf")
        free[client] = ended
        kind, given = random.choice(WORK)(random, values)
        yield effect, call(kind, given, began, ended, outcome=outcome, client=client)


Values = Iterator[int]


def _inserting(random: Random, values: Values) -> tuple[str, Any]:
    value = next(values)
    return random.choice((("insert", value), ("look", random.randint(1, value))))


def _registers(random: Random, values: Values) -> tuple[str, Any]:
    key, value = random.randint(0, 2), next(values)
    expected = random.choice([None, *range(max(1, value - 12), value)])
    return random.choice((("read", key), ("read", key), ("write", [key, value]), ("cas", [key, expected, value])))


def _bank(random: Random, values: Values) -> tuple[str, Any]:
    giver, taker = random.sample(range(ACCOUNTS), 2)
    return random.choice((("balances", None), ("transfer", [giver, taker, random.randint(1, 5)])))


def _appending(random: Random, values: Values) -> tuple[str, Any]:
    steps: list[list[Any]] = []
    for _ in range(random.randint(1, 4)):
        key = random.randint(0, 2)
        steps.append(["append", key, next(values)] if random.random() < 0.5 else ["r", key])
    return "lists", steps


WORK: tuple[Callable[[Random, Values], tuple[str, Any]], ...] = (_inserting, _registers, _bank, _appending)
