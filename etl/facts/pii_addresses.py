"""Which candidates are an e-mail address or a public IP address?    hits -> spans, compiled

A hit is where a hint's match ends (`etl.facts.pii_rules`). A list of addresses has thousands of them,
so each is checked on the Arrow buffer itself and none becomes a Python object.

Not taken: e-mail look-alikes (`git@host:path`, user information in URLs, `icon@2x.png`,
`package@1.2.3`, `matrix@other.mean()`), names that no registry knows, addresses at domains reserved
for examples; IP addresses that are not public or are those of public resolvers, netmasks, networks,
versions, object identifiers, numbers of a drawing.

Source: StarCoder 2, section 4.1, and the guards of its published code; RFC 2606, 6761, 5737, 3849,
6890, 9637; IANA's special-purpose registries.
"""

from __future__ import annotations

import functools
import importlib.resources
import ipaddress

import numba
import numpy as np
import numpy.typing as npt

from etl.facts.heads import find
from etl.facts.kernels import Bytes, Offsets, kernel

EMAIL, IPV4, IPV6 = 0, 1, 2  # what a hit may be

Positions = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

PUBLIC_RESOLVERS = (
    *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "76.76.19.19", "76.223.122.150", "9.9.9.9"),
    *("149.112.112.112", "208.67.222.222", "208.67.220.220", "8.26.56.26", "8.20.247.20"),
    *("94.140.14.14", "94.140.15.15", "1.1.1.2", "1.1.1.3", "4.2.2.2", "64.6.64.6"),
    *("2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111"),
    *("2606:4700:4700::1001", "2620:fe::fe", "2620:fe::9", "2620:119:35::35", "2620:119:53::53"),
)
_NOT_PUBLIC_V4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
)
_NOT_PUBLIC_V6 = ("2001::/23", "2001:db8::/32", "3fff::/20")  # inside 2000::/3
_FILE_SUFFIXES = (
    "app css dev-null gif html ico java jpeg jpg js json jsx less lock map md mjs mov png py scss "
    "sh svg toml ts tsx txt ttf vue webp woff xml yaml yml zip"
)
_EXAMPLE_NAMES = "example examples test invalid localhost local"  # RFC 2606, 6761 and habit
_EXAMPLE_DOMAINS = (
    "domain.com domain.tld yourdomain.com your-domain.com mydomain.com yourcompany.com foo.com "
    "bar.com foo.bar bar.baz foo.org test.com email.com openssh.com libssh.org company.com b.com"
)  # the two ssh ones name algorithms: aes128-gcm@...
_CODE_HOSTS = (
    "github.com gitlab.com bitbucket.org codeberg.org gitee.com git.sr.ht ssh.dev.azure.com"
)
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 253
_CONTEXT = 100  # bytes to either side in which words are looked for
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3

_VERSION_WORDS = tuple(
    np.frombuffer(word, np.uint8)
    for word in (b"version", b"release", b"ver", b"rev", b"section", b"chapter", b"spec", b"build")
)
_RELEASE_WORDS = tuple(np.frombuffer(word, np.uint8) for word in (b"version", b"firmware"))
_NETWORK_WORDS = tuple(
    np.frombuffer(word, np.uint8)
    for word in (
        *(b"dns", b"server", b"host", b"://", b"ssh", b"ping", b"ipv4", b"ip address", b"addr"),
        *(b"neighbor", b"gateway", b"subnet", b"_ip", b"ip_", b"ip=", b"ip:", b" ip ", b'"ip"'),
    )
)
_OID_WORDS = tuple(
    np.frombuffer(word, np.uint8)
    for word in (b"oid", b"objectid", b"object id", b"object_id", b"asn1", b"asn.1")
)


class Tables:
    """Sorted hashes of names and numbers, as kernels take them; about 2 ms, once a process."""

    def __init__(self) -> None:
        data = importlib.resources.files("etl.data")
        domains = data.joinpath("top_level_domains.txt").read_text("ascii").split()
        self.top_level = _hashes(domains)
        self.files = _hashes(_FILE_SUFFIXES.split())
        self.examples = _hashes(_EXAMPLE_NAMES.split())
        self.example_domains = _hashes(_EXAMPLE_DOMAINS.split())
        self.code_hosts = _hashes(_CODE_HOSTS.split())
        v4 = [ipaddress.ip_network(text) for text in _NOT_PUBLIC_V4]
        self.networks_v4 = np.array(
            [(int(net.network_address), int(net.netmask)) for net in v4], np.int64
        )
        resolvers = [ipaddress.ip_address(text) for text in PUBLIC_RESOLVERS]
        self.resolvers_v4 = np.array([int(a) for a in resolvers if a.version == 4], np.int64)
        v6 = [int(a) for a in resolvers if a.version == 6]
        self.resolvers_v6 = np.array([(a >> 64, a & (1 << 64) - 1) for a in v6], np.uint64)
        nets = [ipaddress.ip_network(text) for text in _NOT_PUBLIC_V6]
        self.networks_v6 = np.array(
            [(int(net.network_address) >> 64, int(net.netmask) >> 64) for net in nets], np.uint64
        )


@functools.cache
def _tables() -> Tables:
    return Tables()


def _hashes(names: list[str]) -> Hashes:
    found = np.empty(len(names), np.uint64)
    for index, name in enumerate(names):
        raw = np.frombuffer(name.encode(), np.uint8)
        found[index] = hash_lower(raw, 0, len(raw))
    return np.sort(found)


def confirm(
    offsets: Offsets, data: Bytes, rows: Positions, kinds: npt.NDArray[np.int8], hits: Positions
) -> tuple[Positions, Positions]:
    """Where the value of each hit starts and ends in `data`; -1 where it is none.

    rows[i], kinds[i] and hits[i] are a hit's row, EMAIL, IPV4 or IPV6, and where its hint ends.
    Values do not leave their row. Cost: at most some 600 bytes are looked at a hit.
    """
    starts = np.full(len(hits), -1, np.int64)
    ends = np.full(len(hits), -1, np.int64)
    tables = _tables()
    _confirm(
        offsets, data, rows, kinds, hits, tables.top_level, tables.files, tables.examples,
        tables.example_domains, tables.code_hosts, tables.networks_v4, tables.resolvers_v4,
        tables.networks_v6, tables.resolvers_v6, starts, ends,
    )  # fmt: skip
    return starts, ends


@kernel
def _confirm(
    offsets: Offsets,
    data: Bytes,
    rows: Positions,
    kinds: npt.NDArray[np.int8],
    hits: Positions,
    top_level: Hashes,
    files: Hashes,
    examples: Hashes,
    example_domains: Hashes,
    code_hosts: Hashes,
    networks_v4: Positions,
    resolvers_v4: Positions,
    networks_v6: Hashes,
    resolvers_v6: Hashes,
    starts: Positions,
    ends: Positions,
) -> None:
    for i in range(len(hits)):
        low = int(offsets[rows[i]])
        high = int(offsets[rows[i] + 1])
        if kinds[i] == EMAIL:
            first, after = _email(
                data, low, high, hits[i], top_level, files, examples, example_domains, code_hosts
            )
        elif kinds[i] == IPV4:
            first, after = _ipv4(data, low, high, hits[i], networks_v4, resolvers_v4)
        else:
            first, after = _ipv6(data, low, high, hits[i], networks_v6, resolvers_v6)
        starts[i], ends[i] = first, after


@kernel
def is_alnum(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122


@kernel
def is_hex(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 70 or 97 <= byte <= 102


@kernel
def hash_lower(data: Bytes, start: int, end: int) -> np.uint64:
    """FNV-1a of the bytes, ASCII letters in lower case."""
    value = np.uint64(_FNV_OFFSET)
    for i in range(start, end):
        byte = data[i]
        if 65 <= byte <= 90:
            byte |= 0x20
        value = (value ^ np.uint64(byte)) * np.uint64(_FNV_PRIME)
    return value


@kernel
def contains(hashes: Hashes, value: np.uint64) -> bool:
    at = np.searchsorted(hashes, value)
    return bool(at < len(hashes) and hashes[at] == value)


@kernel
def after_escape(data: Bytes, low: int, first: int) -> int:
    """Behind the letters of an escape (`\\n`, `\\x0a`, `\\u00e9`) whose backslash is before `first`."""
    slashes = 0
    while first - 1 - slashes >= low and data[first - 1 - slashes] == 92:
        slashes += 1
    if slashes % 2 == 0:
        return first
    byte = data[first]
    if byte == 120:
        return first + 3
    if byte == 117:
        return first + 5
    if byte == 85:
        return first + 9
    return first + 1


@kernel
def _email(
    data: Bytes,
    low: int,
    high: int,
    hit: int,
    top_level: Hashes,
    files: Hashes,
    examples: Hashes,
    example_domains: Hashes,
    code_hosts: Hashes,
) -> tuple[int, int]:
    at = hit - 1
    while at > low and data[at] != 64 and hit - at < 70:
        at -= 1
    if data[at] != 64:
        return -1, -1
    first = at
    while first > low and at - first < _LONGEST_LOCAL + 16:
        byte = data[first - 1]
        if not (is_alnum(byte) or byte in (46, 95, 37, 43, 45)):
            break
        first -= 1
    first = after_escape(data, low, first) if first < at else first
    while first + 2 < at and data[first] == 37 and is_hex(data[first + 1]):
        first += 3  # %3C: an address inside an encoded URL
    while first < at and not is_alnum(data[first]):
        first += 1
    if first >= at or at - first > _LONGEST_LOCAL or data[at - 1] == 46:
        return -1, -1
    if first - 2 >= low and data[first - 1] == 47 and data[first - 2] == 47:  # scheme://user@host
        return -1, -1
    if _is_user_of_url(data, low, first):
        return -1, -1
    after, last_label, num_labels = _domain(data, at + 1, high)
    if num_labels < 2 or after - at - 1 > _LONGEST_DOMAIN:
        return -1, -1
    if after < high and (data[after] == 40 or data[after] == 91 or data[after] == 95):
        return -1, -1
    if after + 1 < high and data[after] == 45 and is_alnum(data[after + 1]):
        return -1, -1
    if after + 1 < high and data[after] == 58:  # git@host:path; a port or a blank is none
        byte = data[after + 1]
        is_path = is_alnum(byte) or byte in (47, 126, 36, 123, 60, 46)
        if is_path:
            return -1, -1
    is_git = at - first == 3 and data[first] == 103 and data[first + 1] == 105
    if is_git and contains(code_hosts, hash_lower(data, at + 1, after)):
        return -1, -1
    top = hash_lower(data, last_label, after)
    if not contains(top_level, top) or (num_labels == 2 and contains(files, top)):
        return -1, -1
    label = at + 1
    for i in range(at + 1, after + 1):
        if i == after or data[i] == 46:
            if contains(examples, hash_lower(data, label, i)):
                return -1, -1
            if i < last_label and contains(example_domains, hash_lower(data, label, after)):
                return -1, -1
            label = i + 1
    return first, after


@kernel
def _domain(data: Bytes, start: int, high: int) -> tuple[int, int, int]:
    """(end of a name of two labels or more, start of its last label, number of labels)."""
    label, num_labels = start, 0
    end, last_label = start, start
    i = start
    while i <= high and i - start <= _LONGEST_DOMAIN + 1:
        byte = data[i] if i < high else 0
        if is_alnum(byte) or (byte == 45 and i > label):
            i += 1
            continue
        length = i - label
        if length == 0 or length > 63 or data[i - 1] == 45:
            break
        end, last_label = i, label
        num_labels += 1
        if byte != 46:
            break
        label = i + 1
        i += 1
    return end, last_label, num_labels


@kernel
def _is_user_of_url(data: Bytes, low: int, first: int) -> bool:
    """`scheme://user:pass@host`: a slash pair before it, with neither blank, `/` nor `@` between."""
    i = first - 1
    while i > low and first - i < 100:
        byte = data[i]
        if byte == 47:
            return bool(data[i - 1] == 47)
        if byte <= 32 or byte == 64 or byte == 34 or byte == 39 or byte == 60:
            return False
        i -= 1
    return False


@kernel
def _ipv4(
    data: Bytes, low: int, high: int, hit: int, networks: Positions, resolvers: Positions
) -> tuple[int, int]:
    first, after = hit, hit
    while first > low and hit - first < 64:
        byte = data[first - 1]
        if not (48 <= byte <= 57 or byte == 46):
            break
        first -= 1
    while after < high and after - hit < 64 and (48 <= data[after] <= 57 or data[after] == 46):
        after += 1
    while after > first and data[after - 1] == 46:
        after -= 1
    is_escaped = first > low + 1 and data[first - 2] == 92 and data[first - 1] in (110, 114, 116)
    if first > low and not is_escaped and (is_alnum(data[first - 1]) or data[first - 1] == 95):
        return -1, -1
    if after < high and (is_alnum(data[after]) or data[after] == 95):
        return -1, -1
    value, num_parts, part, digits, largest = 0, 0, 0, 0, 0
    for i in range(first, after + 1):
        if i < after and data[i] != 46:
            if digits > 0 and part == 0:
                return -1, -1  # 01
            part = part * 10 + (data[i] - 48)
            digits += 1
            if digits > 3:
                return -1, -1
        else:
            if digits == 0 or part > 255:
                return -1, -1
            value = value * 256 + part
            largest = max(largest, part)
            num_parts += 1
            part, digits = 0, 0
    if num_parts != 4 or not _is_public_v4(value, networks, resolvers):
        return -1, -1
    before, behind = max(low, first - _CONTEXT), min(high, after + _CONTEXT)
    if _is_version(data, low, high, first, after) or _is_in_drawing(data, low, high, first, after):
        return -1, -1
    is_short = largest < 50 or value >> 24 <= 2
    if is_short and _is_heading(data, low, high, first, after):
        return -1, -1
    if is_short and not _has_word(data, before, behind, _NETWORK_WORDS):
        return -1, -1
    if value >> 24 <= 2 and _has_word(data, before, first, _OID_WORDS):
        return -1, -1
    return first, after


@kernel
def _is_public_v4(value: int, networks: Positions, resolvers: Positions) -> bool:
    if value & 0xFFFF == 0:  # a network, not a host
        return False
    inverse = value ^ 0xFFFFFFFF
    if inverse & (inverse + 1) == 0:  # a netmask
        return False
    for i in range(len(networks)):
        if value & networks[i, 1] == networks[i, 0]:
            return False
    is_resolver = False
    for resolver in resolvers:
        is_resolver = is_resolver or value == resolver
    return not is_resolver


@kernel
def _has_word(data: Bytes, start: int, end: int, words: tuple[Bytes, ...]) -> bool:
    is_there = False
    for word in numba.literal_unroll(words):
        is_there = is_there or find(data, start, end, word) >= 0
    return is_there


@kernel
def _is_heading(data: Bytes, low: int, high: int, first: int, after: int) -> bool:
    """The number of a section: `[MS-SMB2] 2.2.1.1 Packet Header`, or nothing else on a comment's line."""
    i = first
    while i > low and data[i - 1] == 32:
        i -= 1
    if i > low and i < first and data[i - 1] == 93:
        return True
    marks = 0
    while i > low and data[i - 1] in (35, 47, 42, 59, 32, 9):
        marks += data[i - 1] in (35, 47, 42, 59)
        i -= 1
    is_behind_mark = marks > 0 and (i == low or data[i - 1] == 10)
    return is_behind_mark and (after == high or data[after] == 10 or data[after] == 13)


@kernel
def _is_version(data: Bytes, low: int, high: int, first: int, after: int) -> bool:
    """`version 1.2.3.4`, `==1.2.3.4`, `linux-1.2.3.4`, `Chrome/1.2.3.4`, `1.2.3.4-rc1`, `1.2.3.4.jar`."""
    if after < high and data[after] == 45:
        i = after + 1
        while i < high and 48 <= data[i] <= 57:
            i += 1
        if i < high and is_alnum(data[i]):
            return True
    if after + 1 < high and data[after] == 46 and is_alnum(data[after + 1]):
        return True
    if first - 2 >= low and is_alnum(data[first - 2]) and data[first - 1] in (45, 47):
        dots, i = 0, first - 2
        while i >= low and (48 <= data[i] <= 57 or data[i] == 46):
            dots += data[i] == 46
            i -= 1
        if dots != 3:  # the end of a range else
            return True
    i = first
    while i > low and data[i - 1] == 32 and first - i < 4:
        i -= 1
    if i - 2 >= low and data[i - 1] == 61 and data[i - 2] in (61, 60, 62, 126, 33, 94):
        return True
    if i - 3 >= low and data[i - 3] == 0xE2 and data[i - 2] == 0x89 and data[i - 1] in (0xA4, 0xA5):
        return True  # `≤` and `≥`
    if i == first and i > low and data[i - 1] in (126, 94):
        return True
    i = first
    while i > low and data[i - 1] != 10 and first - i < 32:
        i -= 1
    for word in numba.literal_unroll(_RELEASE_WORDS):
        if find(data, i, first, word) >= 0:
            return True
    i = first
    while i > low and not is_alnum(data[i - 1]) and data[i - 1] != 10 and first - i < 12:
        i -= 1
    for word in numba.literal_unroll(_VERSION_WORDS):
        length = len(word)
        is_there = i - length >= low and find(data, i - length, i, word) >= 0
        if is_there and (length > 6 or i - length == low or not is_alnum(data[i - length - 1])):
            return True
    return False


@kernel
def _is_in_drawing(data: Bytes, low: int, high: int, first: int, after: int) -> bool:
    """Numbers to both sides, as in the path of an SVG: `1.5 0-1.5.75.75 0 0 1`."""
    i = first - 1
    while i > low and (data[i] == 32 or data[i] == 44 or data[i] == 45):
        i -= 1
    is_after_number = first - 1 > i >= low and 48 <= data[i] <= 57
    if not is_after_number:
        return False
    dots = 0
    while i >= low and (48 <= data[i] <= 57 or data[i] == 46):
        dots += data[i] == 46
        i -= 1
    if dots > 1:
        return False
    j = after
    while j < high and (data[j] == 32 or data[j] == 44 or data[j] == 45):
        j += 1
    if j == after or j >= high or not 48 <= data[j] <= 57:
        return False
    dots = 0
    while j < high and (48 <= data[j] <= 57 or data[j] == 46):
        dots += data[j] == 46
        j += 1
    return dots <= 1


@kernel
def _ipv6(
    data: Bytes, low: int, high: int, hit: int, networks: Hashes, resolvers: Hashes
) -> tuple[int, int]:
    first, after = hit, hit
    while first > low and hit - first < 48 and (is_hex(data[first - 1]) or data[first - 1] == 58):
        first -= 1
    while after < high and after - hit < 48 and (is_hex(data[after]) or data[after] == 58):
        after += 1
    if (
        after > first
        and data[after - 1] == 58
        and not (after - 2 >= first and data[after - 2] == 58)
    ):
        after -= 1
    if first > low and (is_alnum(data[first - 1]) or data[first - 1] in (95, 46)):
        return -1, -1
    if after < high and (is_alnum(data[after]) or data[after] == 95):
        return -1, -1
    upper, lower = np.uint64(0), np.uint64(0)
    part, digits, num_parts, gap = 0, 0, 0, -1
    i = first
    while i <= after:
        byte = data[i] if i < after else 58
        if byte != 58:
            digit = byte - 48 if byte <= 57 else (byte | 0x20) - 87
            part = part * 16 + digit
            digits += 1
            if digits > 4:
                return -1, -1
            i += 1
            continue
        if digits > 0:
            if num_parts == 8:
                return -1, -1
            upper = (upper << np.uint64(16)) | (lower >> np.uint64(48))
            lower = (lower << np.uint64(16)) | np.uint64(part)
            num_parts += 1
            part, digits = 0, 0
        if i + 1 < after and data[i + 1] == 58:
            if gap >= 0:
                return -1, -1
            gap = num_parts
            i += 1
        i += 1
    if num_parts < 2 or (gap < 0 and num_parts != 8) or (gap >= 0 and num_parts > 7):
        return -1, -1
    if gap >= 0:
        upper, lower = _widen(upper, lower, num_parts, gap)
    if upper >> np.uint64(61) != 1:  # 2000::/3
        return -1, -1
    if lower == 0:  # a network, not a host
        return -1, -1
    for k in range(len(networks)):
        if upper & networks[k, 1] == networks[k, 0]:
            return -1, -1
    for k in range(len(resolvers)):
        if upper == resolvers[k, 0] and lower == resolvers[k, 1]:
            return -1, -1
    return first, after


@kernel
def _widen(
    upper: np.uint64, lower: np.uint64, num_parts: int, gap: int
) -> tuple[np.uint64, np.uint64]:
    """The 128 bits with zeros for `::` behind the first `gap` of `num_parts` parts."""
    parts = np.zeros(8, np.uint64)
    for k in range(num_parts):
        shift = 16 * (num_parts - 1 - k)
        word = lower >> np.uint64(shift) if shift < 64 else upper >> np.uint64(shift - 64)
        parts[k if k < gap else 8 - num_parts + k] = word & np.uint64(0xFFFF)
    high, low = np.uint64(0), np.uint64(0)
    for k in range(4):
        high = (high << np.uint64(16)) | parts[k]
        low = (low << np.uint64(16)) | parts[k + 4]
    return high, low
