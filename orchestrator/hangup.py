"""What SIGHUP is answered by: the file is read again and judged, and nothing of it is taken over."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.config.orchestrator import OrchestratorConfig
from orchestrator.core.errors import Refused

NEXT = "nothing is taken over while this process runs: restart the orchestrators, one after another"


def reread(present: OrchestratorConfig, load: Callable[[], OrchestratorConfig]) -> tuple[bool, str]:
    """Whether the file could be used, and what whoever sent the signal is told. `load` raises Refused, and
    OSError for files that are being replaced."""
    try:
        found = load()
    except (Refused, OSError) as error:
        return False, f"the file cannot be used, what was read at the start stays in force: {error}"
    if found == present:
        return True, "the file says what is in force"
    changes = "; ".join(_changes(present, found))
    return True, f"the file is good and says something else ({changes}), {NEXT}"


def _changes(present: OrchestratorConfig, found: OrchestratorConfig) -> list[str]:
    before, after = ({one.name: one for one in config.clusters} for config in (present, found))
    told = {
        "clusters added": [name for name in after if name not in before],
        "clusters removed": [name for name in before if name not in after],
        "clusters changed": [name for name in after if name in before and after[name] != before[name]],
        "keys changed": [
            key
            for key in type(found).model_fields
            if key != "clusters" and getattr(found, key) != getattr(present, key)
        ],
    }
    return [f"{what}: {', '.join(names)}" for what, names in told.items() if names]
