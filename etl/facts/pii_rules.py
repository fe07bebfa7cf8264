"""What counts as an e-mail address, an IP address or a key: a hint and a check for each detector.

A hint is an expression for Hyperscan with one match for one candidate. Its check looks at the text
around the candidate and answers with the span of the value, or None. A placeholder until the rules
for names, passwords and keys in assignments: few detectors, each with a checkable form.

Not taken: e-mail look-alikes (`git@host:path`, user information in URLs, `icon@2x.png`,
`package@1.2.3`), addresses at domains reserved for examples, IP addresses that are not public or
are those of public resolvers, versions, keys that are examples or placeholders.

Source: StarCoder 2, section 4.1, and the guards of its published code; RFC 2606 and 6761.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

Span = tuple[int, int]
Check = Callable[[memoryview, int, int, int], Span | None]

EMAIL = "email"
IP_ADDRESS = "ip_address"
KEY = "key"

PUBLIC_RESOLVERS = frozenset(
    {
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "76.76.19.19", "76.223.122.150", "9.9.9.9"),
        *("149.112.112.112", "208.67.222.222", "208.67.220.220", "8.26.56.26", "8.20.247.20"),
        *("94.140.14.14", "94.140.15.15"),
    }
)

_LOCAL = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_%+-])?\Z")
_DOMAIN = re.compile(
    rb"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24})"
    rb"(?![A-Za-z0-9_(\[]|-[A-Za-z0-9])"
)
_URL_USER = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,20}:/{2}[^\s/@]{0,80}\Z")
_REMOTE = re.compile(rb":[^\s:]")
_VERSION_DOMAIN = re.compile(rb"\d+(?:x\.|\.\d)")
_FILE_SUFFIXES = frozenset(
    b"png jpg jpeg gif svg webp ico bmp css scss less js jsx mjs cjs tsx json html htm xml vue yml "
    b"yaml toml lock txt woff ttf map".split()
)
_RESERVED_DOMAIN = re.compile(
    rb"(?:^|\.)(?:example|test|invalid|localhost|local|example\.(?:com|org|net|edu)"
    rb"|openssh\.com|libssh\.org)\Z"  # the last two name algorithms: aes128-gcm@...
)
_VERSION_BEFORE = re.compile(
    rb"(?i)(?:version|release|\bver|\brev|section|chapter|spec|[=<>~!^]=|[~^])[^0-9A-Za-z]{0,12}\Z"
    rb"|[A-Za-z]-\Z"
)
_VERSION_AFTER = re.compile(rb"-[0-9]*[A-Za-z]|\.(?:jar|tar|tgz|zip|whl)\b")
_NETWORK_WORD = re.compile(rb"(?i)dns|server")
_OBJECT_ID = re.compile(rb"(?i)oid|object.?id|asn.?1")
_NUMBER_BEFORE = re.compile(rb"(?<![0-9.])[0-9]*\.?[0-9]+(?:[ ,]+-?|-)\Z")
_NUMBER_AFTER = re.compile(rb"(?:[ ,]+-?|-)[0-9]*\.?[0-9]+(?![0-9]*\.[0-9])")
_IPV4_BYTES = b"0123456789."
_IPV6_BYTES = b"0123456789abcdefABCDEF:."
_WORD_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_JWT = re.compile(rb"(eyJ[A-Za-z0-9_-]{8,2000})\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{16,2000}")
_PEM_BODY = re.compile(rb"[A-Za-z0-9+/=]")
_PEM_NOISE = re.compile(rb"\\[nr]|[\s\"'+,;\\|>]|[A-Za-z0-9-]+: [^\n]*\n")

_CONTEXT = 100  # bytes to either side in which words are looked for
_PEM_LONGEST = 64 << 10
_PEM_LEAST = 64  # base64 characters of the least key worth the name
_LEAST_DISTINCT = 8  # different characters in a random key of 16 or more


@dataclass(frozen=True)
class Detector:
    """`check(view, start, end, hit)`: the row's bounds, and where a match of `hint` ends."""

    name: str
    kind: str
    hint: bytes
    check: Check
    score: float  # an ordering by how often such a hit is right, not a measured precision
    is_caseless: bool = False


def _window(view: memoryview, start: int, end: int) -> bytes:
    return bytes(view[start:end])


def check_email(view: memoryview, start: int, end: int, hit: int) -> Span | None:
    """The address around the `@` before `hit`."""
    low = max(start, hit - 70)
    at = low + _window(view, low, hit).rfind(b"@")
    if at < low:
        return None
    low = max(start, at - 160)
    before = _window(view, low, at)
    local = _LOCAL.search(before)
    domain = _DOMAIN.match(_window(view, at, min(end, at + 260)))
    if local is None or domain is None:
        return None
    host = domain[1].lower()
    after = at + domain.end()
    is_file = host.rpartition(b".")[2] in _FILE_SUFFIXES or _VERSION_DOMAIN.match(host)
    is_remote = _REMOTE.match(_window(view, after, min(end, after + 2)))
    is_user = _URL_USER.search(before[: local.start()]) or before[: local.start()].endswith(b"//")
    if is_file or is_remote or is_user or _RESERVED_DOMAIN.search(host):
        return None
    return low + local.start(), after


def _run_around(view: memoryview, start: int, end: int, hit: int, alphabet: bytes) -> Span:
    """The longest run of `alphabet` around the byte before `hit`, at most 64 bytes to each side."""
    low = max(start, hit - 64)
    before = _window(view, low, hit)
    after = _window(view, hit, min(end, hit + 64))
    return low + len(before.rstrip(alphabet)), hit + len(after) - len(after.lstrip(alphabet))


def _is_word_at(view: memoryview, start: int, end: int, position: int) -> bool:
    return start <= position < end and view[position] in _WORD_BYTES


def check_ipv4(view: memoryview, start: int, end: int, hit: int) -> Span | None:
    """A public address of four parts; no version, object identifier or number in a drawing."""
    first, after = _run_around(view, start, end, hit, _IPV4_BYTES)
    text = _window(view, first, after)
    value = text.rstrip(b".")
    after -= len(text) - len(value)
    if _is_word_at(view, start, end, first - 1) or _is_word_at(view, start, end, after):
        return None
    if not _is_public(value.decode()):
        return None
    before = _window(view, max(start, first - _CONTEXT), first)
    behind = _window(view, after, min(end, after + _CONTEXT))
    is_network = _NETWORK_WORD.search(before) or _NETWORK_WORD.search(behind)
    is_version = _VERSION_BEFORE.search(before) or _VERSION_AFTER.match(behind)
    is_short = len(value) == 7 and not is_network
    is_object_id = value[:2] in (b"0.", b"1.", b"2.") and _OBJECT_ID.search(before)
    is_path = _NUMBER_BEFORE.search(before) and _NUMBER_AFTER.match(behind)  # SVG: `0-1.5.75.75 0`
    return None if is_version or is_short or is_object_id or is_path else (first, after)


def check_ipv6(view: memoryview, start: int, end: int, hit: int) -> Span | None:
    """A public address, which starts with 2 or 3; one part and `::` is a network."""
    first, after = _run_around(view, start, end, hit, _IPV6_BYTES)
    text = _window(view, first, after)
    value = text.rstrip(b".")
    if value.endswith(b":") and not value.endswith(b"::"):
        value = value[:-1]
    after -= len(text) - len(value)
    if _is_word_at(view, start, end, first - 1) or _is_word_at(view, start, end, after):
        return None
    is_address = sum(map(bool, value.split(b":"))) > 1 and _is_public(value.decode())
    return (first, after) if is_address else None


def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not is_special and text not in PUBLIC_RESOLVERS


def fixed_form(pattern: bytes) -> Check:
    """A check for keys whose form says it all: `pattern` matches the whole of it."""
    expression = re.compile(pattern)

    def check(view: memoryview, start: int, end: int, hit: int) -> Span | None:
        low = max(start, hit - 128)
        for match in expression.finditer(_window(view, low, min(end, hit + 256))):
            first, after = low + match.start(), low + match.end()
            if first < hit <= after:
                break
        else:
            return None
        is_part = _is_word_at(view, start, end, first - 1) or _is_word_at(view, start, end, after)
        return None if is_part or is_placeholder(match[0]) else (first, after)

    return check


def is_placeholder(key: bytes) -> bool:
    """Written as an example: it says so, or has too few different characters to be random."""
    lower = key.lower()
    return b"example" in lower or b"xxxx" in lower or len(set(lower)) < _LEAST_DISTINCT


def check_jwt(view: memoryview, start: int, end: int, hit: int) -> Span | None:
    """A signed token: three parts, of which the first is JSON that names an algorithm."""
    low = max(start, hit - 2048)
    for match in _JWT.finditer(_window(view, low, min(end, hit + 10_000))):
        if low + match.start() < hit <= low + match.end():
            is_token = _names_algorithm(match[1])
            return (low + match.start(), low + match.end()) if is_token else None
    return None


def _names_algorithm(part: bytes) -> bool:
    try:
        header = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and "alg" in header


def check_pem(view: memoryview, start: int, end: int, hit: int) -> Span | None:
    """The whole block of a private key, header to footer; a header without a key is none."""
    low = max(start, hit - 80)
    first = low + _window(view, low, hit).rfind(b"-----BEGIN")
    if first < low:
        return None
    rest = _window(view, hit, min(end, hit + _PEM_LONGEST))
    footer = rest.find(b"-----END")
    if footer < 0:
        return None
    body = _PEM_NOISE.sub(b"", rest[:footer])
    letters = len(_PEM_BODY.findall(body))
    if letters < _PEM_LEAST or letters < 0.95 * len(body) or is_placeholder(body):
        return None
    close = rest.find(b"-----", footer + 8)
    return first, hit + (close + 5 if close >= 0 else footer + 8)


DETECTORS = (
    Detector("email", EMAIL, rb"[a-z0-9_%+-]@[a-z0-9-]{1,63}\.[a-z]", check_email, 0.9, True),
    Detector("ipv4", IP_ADDRESS, rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", check_ipv4, 0.8),
    Detector("ipv6", IP_ADDRESS, rb"[23][0-9a-f]{3}:[0-9a-f]{0,4}:", check_ipv6, 0.9, True),
    Detector(
        "aws_access_key_id",
        KEY,
        rb"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}",
        fixed_form(rb"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}"),
        1.0,
    ),
    Detector(
        "github_token",
        KEY,
        rb"gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82}",
        fixed_form(rb"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{82}"),
        1.0,
    ),
    Detector(
        "slack_token",
        KEY,
        rb"xox[abeoprs]-[A-Za-z0-9-]{10}",
        fixed_form(rb"xox[abeoprs]-(?:[A-Za-z0-9]{1,16}-){1,4}[A-Za-z0-9]{16,64}"),
        1.0,
    ),
    Detector(
        "google_api_key",
        KEY,
        rb"AIza[A-Za-z0-9_-]{35}",
        fixed_form(rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        1.0,
    ),
    Detector(
        "stripe_key",
        KEY,
        rb"[rs]k_live_[A-Za-z0-9]{24}",
        fixed_form(rb"[rs]k_live_[A-Za-z0-9]{24,99}"),
        1.0,
    ),
    Detector("npm_token", KEY, rb"npm_[A-Za-z0-9]{36}", fixed_form(rb"npm_[A-Za-z0-9]{36}"), 1.0),
    Detector("jwt", KEY, rb"\.eyJ[A-Za-z0-9_-]{8}", check_jwt, 0.9),
    Detector(
        "private_key",
        KEY,
        rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
        check_pem,
        1.0,
    ),
)
