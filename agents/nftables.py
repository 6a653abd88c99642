"""libnftables in this process, by ctypes: runs a script of nft in one transaction; holds no rule of ours.

One RENEW through it costs 0.22-0.36 ms of CPU (measured), so it only loads and removes rules.
"""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import Any, Final

from orchestrator.core.errors import ConfigWrong, StepFailed

# In the order in which they need each other. Beside a libnftables outside the linker's path nothing else finds them.
_SIBLINGS = ("md", "bsd", "tinfo", "edit", "mnl", "gmp", "jansson", "nftnl", "xtables")

_JSON: Final = 1 << 4  # a flag of libnftables' output


class Nftables:
    """A context of libnftables with its own netlink socket in the network namespace it was made in; for one thread.

    The library is `KEMBAR_LIBNFTABLES` (its full path), else the system's. Raises ConfigWrong if it cannot be loaded.
    """

    def __init__(self) -> None:
        self._library = _load_library()
        self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_output_set_flags(self._context, _JSON)

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)

    def run(self, script: str) -> None:
        """Run all of `script` in one transaction. Raises StepFailed with the words of nft; then nothing was changed."""
        if self._library.nft_run_cmd_from_buffer(self._context, script.encode()):
            words = self._library.nft_ctx_get_error_buffer(self._context).decode(errors="replace").strip()
            raise StepFailed(f"nftables refused the rules, nothing was changed (is CAP_NET_ADMIN there?): {words}")

    def listed(self, table: str) -> list[dict[str, Any]]:
        """Every object of one table, `inet kembar` say, as nft's own JSON has them; none if there is no such table."""
        if self._library.nft_run_cmd_from_buffer(self._context, f"list table {table}".encode()):
            return []
        said = self._library.nft_ctx_get_output_buffer(self._context)
        found: list[dict[str, Any]] = json.loads(said)["nftables"]
        return found


def _load_library() -> ctypes.CDLL:
    path = os.environ.get("KEMBAR_LIBNFTABLES")
    try:
        if path:
            _preload_siblings(Path(path).parent)
        library = ctypes.CDLL(path or "libnftables.so.1")
    except OSError as error:
        problem = f"libnftables: {error}. Install the package libnftables1, or set KEMBAR_LIBNFTABLES to its full path"
        raise ConfigWrong((problem,)) from error
    pointer, run_types = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = (ctypes.c_uint32,), pointer
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = (pointer,), None
    library.nft_ctx_output_set_flags.argtypes, library.nft_ctx_output_set_flags.restype = (pointer, ctypes.c_uint), None
    library.nft_ctx_get_output_buffer.argtypes, library.nft_ctx_get_output_buffer.restype = (pointer,), ctypes.c_char_p
    library.nft_ctx_buffer_output.argtypes = library.nft_ctx_buffer_error.argtypes = (pointer,)
    library.nft_run_cmd_from_buffer.argtypes = run_types
    library.nft_ctx_get_error_buffer.argtypes, library.nft_ctx_get_error_buffer.restype = (pointer,), ctypes.c_char_p
    return library


def _preload_siblings(folder: Path) -> None:
    for name in _SIBLINGS:
        for sibling in sorted(folder.glob(f"lib{name}.so.*"))[:1]:
            ctypes.CDLL(str(sibling), mode=ctypes.RTLD_GLOBAL)
