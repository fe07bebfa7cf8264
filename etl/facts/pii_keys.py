"""Which candidates are a key whose form says so: a provider's token, a JWT, a private key?

`etl/data/key_formats.tsv` has a row a format: its expression (a group, where there is one, is the
secret part) and a check. The expression with its last repetition cut to the least is what Hyperscan
looks for; the whole expression is then tried around the end of a match.

A checksum that holds makes the score 1. One that does not hold is no proof against a key: a value
that was altered to be published, or a format that changed, is still treated as a secret.
"""

from __future__ import annotations

import base64
import binascii
import csv
import functools
import importlib.resources
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from etl.facts.pii_text import entropy, is_example_key

Found = tuple[int, int, float]  # start and end of the value, score

_BASE62 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LAST_REPEAT = re.compile(r"\{(\d+),\d*\}((?:=\{0,\d\}|(?:=\?)+)?)\Z")
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_ESCAPES = (b"\\n", b"\\t", b"\\r")
_LONGEST = 2600  # bytes of the longest format
_BEFORE_HIT = 400  # of the longest hint

_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.(?:eyJ|ZXlK)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,3}")
_TOKEN_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_JWT_LONGEST = 16 << 10

_PEM_NOISE = re.compile(rb"\\[nr]|[\s\"'`,;\\|>#*.()\[\]]|[A-Za-z0-9-]+: [^\n]*\n")
_PEM_LETTER = re.compile(rb"[A-Za-z0-9+/=]")
_LONG_EXAMPLE = re.compile(rb"(?i)example|placeholder|redacted|x{8}|([^Aa/])\1{9}")
_PEM_LONGEST = 64 << 10
_PEM_LEAST = 64  # base64 characters of the least key worth the name
_PUTTY = re.compile(rb"Private-Lines: [0-9]{1,3}\r?\n((?:[A-Za-z0-9+/=]{1,76}\r?\n){1,80})")


@dataclass(frozen=True)
class Format:
    """A row of key_formats.tsv: `hint` for Hyperscan, `whole` for the text where it starts."""

    rule: str
    hint: bytes
    whole: re.Pattern[bytes]
    check: str


@functools.cache
def formats() -> tuple[Format, ...]:
    """All formats, in the order of the table."""
    table = importlib.resources.files("etl.data").joinpath("key_formats.tsv")
    lines = table.read_text("ascii").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(
        Format(
            row["rule"],
            _LAST_REPEAT.sub(r"{\1}", row["pattern"]).encode(),
            re.compile(row["pattern"].encode()),
            row["check"] or "",
        )
        for row in rows
    )


def check_format(
    view: memoryview, low: int, high: int, hit: int, key_format: Format
) -> Found | None:
    """The secret part of the key of that format in which the hint's match ends."""
    begin = max(low, hit - _BEFORE_HIT)
    for match in key_format.whole.finditer(view, begin, min(high, hit + _LONGEST)):
        if match.start() >= hit:
            return None
        if match.end() >= hit:
            break
    else:
        return None
    start, end = match.span()
    if start > low and view[start - 1] in _WORD:
        is_escaped = start - 2 >= low and bytes(view[start - 2 : start]) in _ESCAPES
        if not is_escaped:
            return None
    if end < high and view[end] in _WORD and view[end - 1] in _WORD:
        return None
    first, after = match.span(1) if match.re.groups else match.span()
    score = _CHECKS[key_format.check](bytes(view[first:after]))
    return (first, after, score) if score > 0 else None


def _is_varied(value: bytes) -> bool:
    return not is_example_key(value)


def _mixed(value: bytes) -> float:
    body = re.split(rb"[-_.:]", value)[-1] if value[:3].isalpha() else value
    body = body if len(body) >= 14 else value
    digits = sum(48 <= byte <= 57 for byte in body)
    letters = sum(byte | 0x20 in range(97, 123) for byte in body)
    is_random = digits >= (2 if len(body) > 24 else 1) and letters >= 2 and entropy(body) >= 2.9
    return 0.9 if is_random and _is_varied(value) else 0.0


def _letters(value: bytes) -> float:
    body = value.rpartition(b"_")[2]
    is_random = entropy(body) >= 3.5 and not body.islower() and not body.isupper()
    return 0.9 if is_random and _is_varied(value) else 0.0


def _plain(value: bytes) -> float:
    return 0.95 if _is_varied(value) else 0.0


def _long(value: bytes) -> float:
    """Of some hundred bytes with a structure: zeros in it (`AAAA`, `////`) are no example's."""
    return 0.95 if entropy(value) >= 4.5 and not _LONG_EXAMPLE.search(value) else 0.0


def _crc32(value: bytes) -> float:
    """GitHub's and npm's: the last six digits, base 62, are the CRC-32 of the part before."""
    body, digits = value.rpartition(b"_")[2][:-6], value[-6:]
    total = zlib.crc32(body)
    expected = bytearray()
    for _ in range(6):
        total, digit = divmod(total, 62)
        expected.insert(0, _BASE62[digit])
    return 1.0 if bytes(expected) == digits else _mixed(value)


def _pypi(value: bytes) -> float:
    """A macaroon: version 2, and the first field names the registry that it is for."""
    raw = _decoded(value[5:])
    is_macaroon = raw[:2] == b"\x02\x01" and b"pypi" + b".org" in raw[3:20]
    return 1.0 if is_macaroon and _is_varied(value) else _plain(value)


def _aws(value: bytes) -> float:
    """Keys since 2019 hold the account's number of 12 digits."""
    if not _is_varied(value):
        return 0.0
    raw = base64.b32decode(value[4:]) if value[4:].isalnum() else b""
    account = (int.from_bytes(raw[:6], "big") & 0x7FFFFFFFFF80) >> 7
    return 1.0 if value[:4] in (b"AKIA", b"ASIA") and account < 10**12 else 0.9


_CHECKS: dict[str, Callable[[bytes], float]] = {
    "": _plain,
    "mixed": _mixed,
    "letters": _letters,
    "long": _long,
    "github": _crc32,
    "npm": _crc32,
    "pypi": _pypi,
    "aws": _aws,
}


def _decoded(part: bytes) -> bytes:
    """Base64 of either alphabet, padding or not; empty if it is none."""
    text = part.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def check_jwt(view: memoryview, low: int, high: int, start: int) -> Found | None:
    """A signed or encrypted token: three parts or five, the first is JSON that names an algorithm."""
    if start > low and view[start - 1] in _TOKEN_BYTES:
        is_escaped = start - 2 >= low and bytes(view[start - 2 : start]) in _ESCAPES
        if not is_escaped:
            return None
    match = _JWT.match(view, start, min(high, start + _JWT_LONGEST))
    if match is None:
        return None
    value = match[0].rstrip(b".")
    try:
        header = json.loads(_decoded(value.partition(b".")[0]))
    except (ValueError, RecursionError):
        return None
    is_token = isinstance(header, dict) and ("alg" in header or "enc" in header)
    # What it says of somebody is there, however short the signature
    is_signed = value.count(b".") >= 2
    return (start, start + len(value), 0.95) if is_token and is_signed else None


def check_pem(view: memoryview, low: int, high: int, start: int) -> Found | None:
    """The whole block of a private key, header to footer; a header without a key is none."""
    rest = bytes(view[start : min(high, start + _PEM_LONGEST)])
    begin = rest.find(b"-----", 11) + 5
    footer = rest.find(b"-----END", begin)
    again = rest.find(b"-----BEGIN", begin)
    if begin < 16 or footer < 0 or 0 <= again < footer:
        return None
    body = _PEM_NOISE.sub(b"", rest[begin:footer])
    letters = len(_PEM_LETTER.findall(body))
    if letters < _PEM_LEAST or letters < 0.95 * len(body) or _LONG_EXAMPLE.search(body[:4096]):
        return None  # of zeros a format may have many: no run of `A` is a sign
    if entropy(body[:4096]) < 4.0:
        return None
    close = rest.find(b"-----", footer + 8)
    return start, start + (close + 5 if 0 <= close < footer + 80 else footer + 8), 1.0


def check_putty(view: memoryview, low: int, high: int, start: int) -> Found | None:
    """The private lines of a PuTTY key file."""
    match = _PUTTY.match(view, start, min(high, start + 8192))
    if match is None or is_example_key(match[1]):
        return None
    return match.start(1), match.end(1) - 1, 1.0
