"""The file of `--edit`: values for the rows of one kept transaction, as the person typed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.cli.exits import Exit, Failed

NULLS = frozenset({"", "~", "null", "Null", "NULL"})  # plain ones; in quotes they are text
EXPECTED = "expected COLUMN: VALUE, or ROW: {COLUMN: VALUE} with the numbers of kembar reconcile show --rows"


def read_edits(path: Path, kept: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    """Row number -> column -> value. No value is interpreted: 150.00 stays 150.00. Raises Failed with every mistake."""
    import yaml

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failed(Exit.USAGE, f"{path}: {error}") from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise Failed(Exit.USAGE, f"{path}:1:1: {EXPECTED}")
    problems: list[str] = []
    by_row = all(isinstance(value, yaml.MappingNode) for _, value in root.value)
    if not by_row and kept["row_count"] != 1:
        problems.append(f"{path}:1:1: the transaction has {kept['row_count']} rows: {EXPECTED}")
    rows = [(str(key.value), value) for key, value in root.value] if by_row else [("1", root)]
    edits = {name: _values(path, node, problems) for name, node in rows}
    for name, values in edits.items():
        problems += _unknown(path, name, values, kept)
    if problems:
        raise Failed(Exit.USAGE, "\n".join(problems))
    return edits


def _values(path: Path, node: Any, problems: list[str]) -> dict[str, str | None]:
    import yaml

    found: dict[str, str | None] = {}
    for key, value in node.value:
        place = f"{path}:{value.start_mark.line + 1}:{value.start_mark.column + 1}: {key.value}"
        if not isinstance(value, yaml.ScalarNode):
            problems.append(f"{place}: expected one value; a JSON document is given in quotes")
        elif str(key.value) in found:
            problems.append(f"{place}: stands there twice")
        else:
            found[str(key.value)] = None if value.style is None and value.value in NULLS else str(value.value)
    return found


def _unknown(path: Path, name: str, values: dict[str, str | None], kept: dict[str, Any]) -> list[str]:
    if not (name.isdecimal() and 1 <= int(name) <= kept["row_count"]):
        return [f"{path}: row {name}: the transaction has rows 1 to {kept['row_count']}"]
    rows = kept["rows"]
    left = rows[int(name) - 1]["left"] if int(name) <= len(rows) else None
    if left is None:
        return []  # the pre-checks know more
    return [
        f"{path}: {column}: row {name} has no such column  hint: it has {', '.join(left)}"
        for column in values
        if column not in left
    ]
