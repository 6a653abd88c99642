"""A table that is only there to make a database large: statements that fill it, in no log. Pure."""

from __future__ import annotations

ROWS_PER_MB, VALUE_BYTES = 1000, 1000


def statements(size_mb: int, database: str) -> tuple[str, ...]:
    """All its rows differ. For a server that lives once, and whose data is thrown away if it does not end well."""
    if not size_mb:
        return ()
    table, wanted = f"{database}.ballast", size_mb * ROWS_PER_MB
    doubled = [ROWS_PER_MB << n for n in range(wanted.bit_length()) if ROWS_PER_MB << n < wanted]
    value = f"RANDOM_BYTES({VALUE_BYTES})"
    return (
        "ALTER INSTANCE DISABLE INNODB REDO_LOG",
        f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, pad VARBINARY({VALUE_BYTES}) NOT NULL)",
        f"SET SESSION cte_max_recursion_depth = {ROWS_PER_MB}",
        f"INSERT INTO {table} WITH RECURSIVE n (i) AS"  # noqa: S608 - numbers only
        f" (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS_PER_MB}) SELECT i, {value} FROM n",
        *(
            f"INSERT INTO {table} SELECT id + {rows}, {value} FROM {table} WHERE id <= {wanted - rows}"  # noqa: S608
            for rows in doubled
        ),
        "ALTER INSTANCE ENABLE INNODB REDO_LOG",
    )
