"""A password as MySQL keeps it, the same on every server that makes its own first data. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

from ansible_collections.community.mysql.plugins.module_utils.implementations.mysql.hash import (
    mysql_sha256_password_hash_hex,
)

SALT_LENGTH = 20  # of caching_sha2_password


def account_hash(password: str, about: str) -> str:
    """In hexadecimal digits, for `IDENTIFIED WITH caching_sha2_password AS 0x...`; `about` is what it is salted by.

    Never the password itself, of which a salt would give a quicker hash away.
    """
    digits: str = mysql_sha256_password_hash_hex(password, sha256(about.encode()).hexdigest()[:SALT_LENGTH])
    return digits


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> Mapping[str, Callable[[str, str], str]]:
        return {"account_hash": account_hash}
