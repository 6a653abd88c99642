"""MySQL's numbers of collations -> how their bytes are decoded. Pure.

Only character sets for which Python's codec and MySQL agree on every character; text in another one stays bytes.
"""

from __future__ import annotations

from functools import lru_cache

# Character set -> numbers of its collations (measured: information_schema.collations of 9.7.4).
_NUMBERS = {
    "armscii8": "32 64", "ascii": "11 65", "big5": "1 84", "binary": "63", "cp1250": "26 34 44 66 99",
    "cp1251": "14 23 50-52", "cp1256": "57 67", "cp1257": "29 58-59", "cp850": "4 80", "cp852": "40 81",
    "cp866": "36 68", "cp932": "95-96", "dec8": "3 69", "eucjpms": "97-98", "euckr": "19 85", "gb18030": "248-250",
    "gb2312": "24 86", "gbk": "28 87", "geostd8": "92-93", "greek": "25 70", "hebrew": "16 71", "hp8": "6 72",
    "keybcs2": "37 73", "koi8r": "7 74", "koi8u": "22 75", "latin1": "5 8 15 31 47-49 94", "latin2": "2 9 21 27 77",
    "latin5": "30 78", "latin7": "20 41-42 79", "macce": "38 43", "macroman": "39 53", "sjis": "13 88",
    "swe7": "10 82", "tis620": "18 89", "ucs2": "35 90 128-151 159", "ujis": "12 91", "utf16": "54-55 101-124",
    "utf16le": "56 62", "utf32": "60-61 160-183", "utf8mb3": "33 76 83 192-215 223",
    "utf8mb4": "45-46 224-247 255-271 273-275 277-294 296-298 300 303-323",
}  # fmt: skip
_CODECS = {
    "ascii": "ascii", "cp1250": "cp1250", "cp1251": "cp1251", "cp850": "cp850", "cp852": "cp852", "cp866": "cp866",
    "greek": "iso8859-7", "hebrew": "iso8859-8", "koi8r": "koi8-r", "latin1": "latin1", "latin2": "iso8859-2",
    "latin5": "iso8859-9", "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
    "utf8mb3": "utf-8", "utf8mb4": "utf-8",
}  # fmt: skip


# Nearly the same: good for a comparison in which a character that differs is a reason to refuse.
_NEARLY = {
    "big5": "big5", "cp1256": "cp1256", "cp1257": "cp1257", "cp932": "cp932", "eucjpms": "euc_jp", "euckr": "euc_kr",
    "gb18030": "gb18030", "gb2312": "gb2312", "gbk": "gbk", "koi8u": "koi8-u", "latin7": "iso8859-13",
    "macce": "mac-latin2", "macroman": "mac-roman", "sjis": "shift_jis", "tis620": "tis-620", "ujis": "euc_jp",
}  # fmt: skip


def charset(collation: int) -> str:
    """The name of its character set; empty if the number is not known."""
    return _sets().get(collation, "")


def decoded(text: bytes, collation: int) -> str | None:
    """The characters of `text`; None if they cannot be told for certain."""
    codec = _CODECS.get(charset(collation))
    if codec is None:
        return None
    if codec == "latin1":
        return "".join(map(_LATIN1.__getitem__, text))
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        return None


def nearly(text: bytes, collation: int) -> str | None:
    """As `decoded`, also by a codec that may take some characters for others."""
    codec = _NEARLY.get(charset(collation))
    if codec is None:
        return decoded(text, collation)
    try:
        return text.decode(codec)
    except UnicodeDecodeError:
        return None


# What MySQL calls latin1 is cp1252, in which five bytes without a character stay what they are.
_LATIN1 = [bytes([n]).decode("cp1252", "ignore") or chr(n) for n in range(256)]


@lru_cache(maxsize=1)
def _sets() -> dict[int, str]:
    found = {}
    for name, numbers in _NUMBERS.items():
        for part in numbers.split():
            first, _, last = part.partition("-")
            found.update(dict.fromkeys(range(int(first), int(last or first) + 1), name))
    return found
