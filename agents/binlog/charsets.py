"""MySQL's numbers of collations -> how their bytes are decoded. Pure.

Only character sets for which Python's codec and MySQL agree on every character; text in another one stays bytes.
"""

from __future__ import annotations

from functools import lru_cache

# Codec -> numbers (measured: information_schema.collations of 9.7.4).
_CODECS = {
    "utf-8": "33 76 83 192-215 223 45-46 224-247 255-271 273-275 277-294 296-298 300 303-323",
    "latin1": "5 8 15 31 47-49 94",
    "ascii": "11 65",
    "utf-16-be": "35 90 128-151 159 54-55 101-124",
    "utf-16-le": "56 62",
    "utf-32-be": "60-61 160-183",
    "iso8859-2": "2 9 21 27 77",
    "iso8859-7": "25 70",
    "iso8859-8": "16 71",
    "iso8859-9": "30 78",
    "cp1250": "26 34 44 66 99",
    "cp1251": "14 23 50-52",
    "cp850": "4 80",
    "cp852": "40 81",
    "cp866": "36 68",
    "koi8-r": "7 74",
}


def decoded(text: bytes, collation: int) -> str | None:
    """The characters of `text`; None if they cannot be told for certain."""
    codec = _codecs().get(collation)
    if codec is None:
        return None
    if codec == "latin1":
        return "".join(map(_LATIN1.__getitem__, text))
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        return None


# What MySQL calls latin1 is cp1252, in which five bytes without a character stay what they are.
_LATIN1 = [bytes([n]).decode("cp1252", "ignore") or chr(n) for n in range(256)]


@lru_cache(maxsize=1)
def _codecs() -> dict[int, str]:
    found = {}
    for codec, numbers in _CODECS.items():
        for part in numbers.split():
            first, _, last = part.partition("-")
            found.update(dict.fromkeys(range(int(first), int(last or first) + 1), codec))
    return found
