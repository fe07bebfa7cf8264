"""Is a string random, made of words, or a placeholder?    bytes -> bool, in Python: candidates are few

The word list (`etl/data/common_words.txt`) is also the sample of what letters follow one another in
identifiers and English: a string of letters that the sample would hardly make is gibberish.
"""

from __future__ import annotations

import functools
import importlib.resources
import math
import re

_SEGMENT = re.compile(rb"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+")
_LETTERS = re.compile(rb"[A-Za-z]+")
_RUN = re.compile(rb"(.)\1{4}")
_ROWS = (
    b"01234567890123", b"abcdefghijklmnopqrstuvwxyzabc", b"qwertyuiop", b"asdfghjkl", b"zxcvbnm",
    b"9876543210", b"0a1b2c3d4e", b"1a2b3c4d5e", b"a1b2c3d4e5",
)  # fmt: skip
_SEQUENCE = re.compile(
    b"|".join(row[i : i + 6] for row in _ROWS for i in range(len(row) - 5)), re.IGNORECASE
)
_TEMPLATE = re.compile(
    rb"\$\{|\$\(|\{\{|\}\}|\{%|<%|%>|#\{|@\{|\{[A-Za-z0-9_.:!\[\]-]*\}|%\([A-Za-z_]+\)|\A%[A-Za-z_]+%\Z"
    rb"|%[sdvq@](?![A-Za-z0-9])|\A\$[A-Za-z_]|\A<[^<>]*>\Z|\A\[[^\[\]]*\]\Z|\A@[A-Z]+@\Z|__[A-Z_]+__|\.\.\."
    rb"|\*{3}|\A[.*_#?=+-]+\Z|\AENC\[|\A!|\A&[a-z]+;|\\u2026|\xe2\x80\xa6|\A~|\A_\w+_\Z"
)
_PLACEHOLDER = re.compile(
    rb"(?i)example|placeholder|change.?(?:me|this|it)|replace.?(?:me|this|with)?|your[-_ .]?|xxx|redact|dummy"
    rb"|sample|insert|todo|fixme|fake|mock|undefined|not.?(?:set|used|real|a.?secret)|invalid|deadbeef|lorem|foo.?bar"
    rb"|here\Z|some[-_ ]|my[-_ ]?(?:pass|secret|token|key|api|super)|test.?(?:pass|secret|token|key|api|user|ing)"
    rb"|(?:pass|secret|token|key|user|api).?test|super.?secret|top.?secret|secret.?(?:key|token|pass|value)"
    rb"|(?:api|access|auth|client).?(?:key|token|secret)|correct.?horse|hidden|masked|encrypted|12345678|abcdefg|abc123"
    rb"|\A(?:un)?known\Z|\Anone\Z|\Anull\Z|\Atrue\Z|\Afalse\Z|\Anil\Z|\Ayes\Z|\Ano\Z|\Ablah|\Aasdf|\Aqwert"
    rb"|\A(?:test|pass|password|passw0rd|p@ssw0rd|passwd|pwd|secret|foo|bar|baz|user|abc|demo|tester|string"
    rb"|guest|token|key|admin|root|a|x|temp|tmp|default|s3cr3t|hunter|letmein|spam|value|val|hello|world)"
    rb"[0-9_!]{0,4}\Z"
)
_MIXED = re.compile(
    rb"[0-9][A-Za-z]+[0-9]|[a-z][0-9]+[A-Za-z]|[a-z][A-Z]+[a-z]|[A-Z]{2}[a-z]+[A-Z]"
)
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_PLAIN = bytes.maketrans(b"01345@$!", b"oleasasi")
_LEAST_DISTINCT = 8  # different characters in a random key of 16 or more
_GIBBERISH_BITS = 5.0  # a letter, by the sample of words; half of random lower-case text is above 6


def is_template(value: bytes) -> bool:
    """A name to be filled in when the program runs: `${...}`, `{{ }}`, `%s`, `<your key>`, `***`."""
    return _TEMPLATE.search(value) is not None


def is_placeholder(value: bytes) -> bool:
    """Written as an example: it says so, also as `P@ssw0rd`, or repeats or counts."""
    if _PLACEHOLDER.search(value) or is_regular(value):
        return True
    plain = value.translate(_PLAIN).lower()
    return b"passw" in plain or b"passwd" in plain or b"letmein" in plain


def is_regular(value: bytes) -> bool:
    """Five times the same character, a row of the keyboard or too few different characters."""
    lower = value.lower()
    if _RUN.search(value) or (len(lower) >= 16 and len(set(lower)) < _LEAST_DISTINCT):
        return True
    if len(lower) >= 8 and len(set(lower)) < 4:
        return True
    return _SEQUENCE.search(value) is not None


def is_example_key(value: bytes) -> bool:
    """As `is_placeholder`, for the long random part of a key: short words in it are chance."""
    lower = value.lower()
    marks = (b"example", b"xxxx", b"placeholder", b"dummy", b"redacted", b"your", b"...", b"sample")
    return (
        any(mark in lower for mark in marks)
        or _RUN.search(value) is not None
        or (len(set(lower)) < _LEAST_DISTINCT or any(run in lower for run in _COUNTED))
    )


_COUNTED = (b"12345678", b"abcdefgh", b"23456789", b"87654321", b"0a1b2c3d", b"deadbeef")


def is_uuid(value: bytes) -> bool:
    return _UUID.fullmatch(value) is not None


def entropy(value: bytes) -> float:
    """Bits a character, of its own distribution."""
    size = len(value)
    counts = [value.count(byte) for byte in set(value)]
    return -sum(count / size * math.log2(count / size) for count in counts)


@functools.cache
def words() -> frozenset[bytes]:
    """Common words of code and English, lower case; 75 KB, once a process."""
    return _listed("common_words.txt")


@functools.cache
def given_names() -> frozenset[bytes]:
    """Given names in Latin letters, lower case; 130 KB, once a process."""
    return _listed("given_names.txt")


def _listed(name: str) -> frozenset[bytes]:
    return frozenset(importlib.resources.files("etl.data").joinpath(name).read_bytes().split())


def is_worded(value: bytes) -> bool:
    """Made of common words: `user_password`, `getToken2`, `enter-your-key`. Digits count as words."""
    segments = _SEGMENT.findall(value)
    known = sum(len(part) for part in segments if part.isdigit() or part.lower() in words())
    total = sum(map(len, segments))
    digits = sum(len(part) for part in segments if part.isdigit())
    return total > 0 and known >= 0.7 * total and digits <= 0.5 * total


def bits_a_letter(value: bytes) -> float:
    """How surprising its letters are, by what follows what in the sample of words; 0 without any."""
    table = _pair_bits()
    total, count = 0.0, 0
    for run in _LETTERS.findall(value):
        previous = 26
        for byte in run.lower():
            total += table[previous][byte - 97]
            previous = byte - 97
            count += 1
    return total / count if count else 0.0


def is_gibberish(value: bytes) -> bool:
    return bits_a_letter(value) >= _GIBBERISH_BITS


@functools.cache
def _pair_bits() -> list[list[float]]:
    """bits[a][b] = -log2 P(b | a) with add-one smoothing; row 26 is the start of a word."""
    counts = [[1.0] * 26 for _ in range(27)]
    for word in words():
        previous = 26
        for byte in word:
            counts[previous][byte - 97] += 1
            previous = byte - 97
    return [[-math.log2(count / sum(row)) for count in row] for row in counts]


def is_slug(value: bytes) -> bool:
    """Short parts, none of them random: `nvidia-eula-2019.1`, `us-east-1-prod`, `CVE-2020-1234`."""
    parts = re.split(rb"[-_./:]", value)
    if len(parts) < 2 or is_uuid(value) or max(map(len, parts)) > 16:
        return False
    odd = sum(len(part) for part in parts if len(part) >= 6 and _MIXED.search(part))
    return odd * 2 < len(value)


def is_random(value: bytes) -> bool:
    """Letters and digits in no order that a word or a name has. For values of 8 bytes or more."""
    if is_regular(value) or is_slug(value):
        return False
    body = value.rstrip(b"=")
    num_digits = sum(48 <= byte <= 57 for byte in body)
    num_letters = sum(byte | 0x20 in range(97, 123) for byte in body)
    if num_letters == 0:
        return False
    if num_digits == 0:
        is_mixed = not body.islower() and not body.isupper()
        return (
            len(body) >= 12
            and is_gibberish(body)
            and (is_mixed or len(body) >= 20)
            and not is_worded(body)
        )
    least = 3.0 if len(body) >= 20 else 2.5
    if entropy(body) < least:
        return False
    if is_uuid(body) or all(byte in b"0123456789abcdefABCDEF-" for byte in body):
        return num_digits >= 2
    return not is_worded(body) and (is_gibberish(body) or num_digits >= 0.2 * len(body))
