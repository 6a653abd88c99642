"""What an Ed25519 signature of the desired record costs: to sign once per write, to verify once per read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab.experiments.servers import Say
from lab.history import quantiles

RECORD_BYTES = 500  # the desired record of a healthy pair is 400 to 500


def run(runs: int, say: Say) -> dict[str, Any]:
    """`runs` signatures and as many checks, in microseconds each; `key` is building the key from its 32 bytes."""
    private = Ed25519PrivateKey.generate()
    public, record = private.public_key(), b"x" * RECORD_BYTES
    signature = private.sign(record)
    raw = private.private_bytes_raw()
    took = {
        "sign_us": [_us(lambda: private.sign(record)) for _ in range(runs)],
        "verify_us": [_us(lambda: public.verify(signature, record)) for _ in range(runs)],
        "key_us": [_us(lambda: Ed25519PrivateKey.from_private_bytes(raw)) for _ in range(runs)],
    }
    return {"bytes": RECORD_BYTES, "signature_bytes": len(signature), **{k: quantiles(v) for k, v in took.items()}}


def _us(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - began)
