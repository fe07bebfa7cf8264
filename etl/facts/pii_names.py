"""Who does a text name as its people?    a hit in a row -> names; a name -> hashes for a gazetteer

Taken are names in the places where files state them: a copyright line, an author's tag or field, a
trailer of a commit, a name before an address in brackets. An organisation is no person.

What a repository's files declare is looked for in all of its files (`etl.gazetteer`). No table but
`blobs` holds a value, so a declared name is kept as 64-bit hashes of it: enough to find it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from etl.facts.pii_text import is_placeholder, words

COPYRIGHT_HOLDER, AUTHOR, NAME_BEFORE_ADDRESS, OWNER = (
    "copyright_holder",
    "author",
    "name_before_address",
    "code_owner",
)
FIRST_WORD, FULL_NAME, USERNAME, ADDRESS = b"1 ", b"2 ", b"3 ", b"4 "  # what a hash is of
MAX_WORDS = 5

_FNV_OFFSET, _FNV_PRIME, _ALL_ONES = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


class Name(NamedTuple):
    """Bytes [start, end) of the buffer, stated in this way."""

    start: int
    end: int
    rule: str


_UPPER = rb"A-Z\xc3-\xf4"
_LETTER = rb"A-Za-z\x80-\xf4"
_WORD = rb"[%s][%s'\-]{0,24}[%s]" % (_UPPER, _LETTER, _LETTER)
_PART = (
    rb"(?:%s|[A-Z]\.?|(?i:van|von|de|der|den|di|da|dos|del|la|le|bin|ibn|al|ter|zu|af|el|ten))"
    % _WORD
)
NAME = re.compile(
    rb"(?:%s|[A-Z]\.(?:[ -]?[A-Z]\.)*)(?:[ \xa0]{1,2}%s){0,3}[ \xa0]{1,2}%s" % (_WORD, _PART, _WORD)
)

COPYRIGHT_HINT = rb"(?i:copyright|\(c\)|\xc2\xa9)[^\n]{8}"
AUTHOR_HINT = (
    rb"(?i:\b(?:code|module|section)?authors?(?:\(s\))?|__author__|maintainers?"
    rb"|(?:written|contributed|created|developed|coded|implemented) by"
    rb"|(?:signed-off|co-authored|reported|reviewed|acked|tested|suggested|co-developed)-by|original author)"
    rb"[ \t\"'=:\[({\\>-]{1,8}[A-Z\xc3-\xf4]"
)
ADDRESS_HINT = rb"[A-Za-z.\x80-\xff][\"']?[ ]{1,3}[<(][A-Za-z0-9_.%+-]{1,64}@"
OWNER_HINT = rb"(?:^|\n)[*/][^\s#*]{0,120}[ \t]+@[A-Za-z0-9]"

_COPYRIGHT = re.compile(rb"(?i)(?:copyright|\(c\)|\xc2\xa9|&copy;)")
_YEARS = re.compile(
    rb"(?:(?i:copyright|\(c\)|\xc2\xa9|&copy;|by|portions|present)|[\s,:;.\-]|\xe2\x80\x93|(?:19|20)\d\d|\d\d)*"
)
_SPLIT = re.compile(rb"\s*(?:,|;|/|&|\band\b|\bund\b|\bet\b|\|)\s*")
_STOP = re.compile(
    rb"(?i)all rights|licen[sc]ed|(?<![ .][A-Z])\.\s|<|\(|\[|https?:|\bunder\b|\bfor\b|\bsee\b|\bthe\b|\*/|-->|\"|'''"
)
_BEFORE_ADDRESS = re.compile(rb"(?P<name>%s)[\"']?,?[ ]{1,3}[<(]\Z" % NAME.pattern)
_LOGIN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]+")
_BOT = re.compile(rb"(?i)(?<!ab)(?<!tal)(?<!\Aca)bot(?:\[bot\])?\Z")
_OWNERS = re.compile(rb"[ \t]@([A-Za-z0-9][A-Za-z0-9-]{1,38})(?![\w/.])")
_ORGANISATION = frozenset(
    b"stichting centrum inc incorporated ltd limited llc llp gmbh corp corporation co company foundation "
    b"software team group project projects contributors authors author developers committers "
    b"community university institute laboratory laboratories labs lab technologies technology "
    b"systems solutions research consortium association society ag sa bv ab oy srl spa plc "
    b"center centre college school department national international agency organization "
    b"organisation alliance council committee federation library press media studio studios "
    b"networks network computing communications services division regents trustees government "
    b"rights reserved license licence public general apache mit bsd gnu gpl copyright holder "
    b"holders owner owners google microsoft facebook amazon intel nvidia ibm oracle apple "
    b"adobe redhat python java linux jquery mozilla netscape sun unicode various anonymous "
    b"others contributor maintainers maintainer your name framework toolkit platform language engine "
    b"documentation server client plugin support confidential warranties audience".split()
)


def check_copyright(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The persons that hold the copyright, on the rest of the line."""
    begin = max(low, hit - 40)
    window = bytes(view[begin : min(high, hit + 160)])
    marks = [mark.end() for mark in _COPYRIGHT.finditer(window, 0, hit - begin)]
    if not marks or begin + marks[-1] != hit - 8:
        return []  # of `Copyright (c)` the second mark is looked at
    first = _YEARS.match(window, marks[-1]).end()  # type: ignore[union-attr]
    line = window[first:].split(b"\n", 1)[0]
    stop = _STOP.search(line)
    line = line[: stop.start()] if stop else line
    return list(_people(line, begin + first, COPYRIGHT_HOLDER))


def check_author(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The persons named in an author's tag or field."""
    start = hit - 1
    line = bytes(view[start : min(high, start + 160)]).split(b"\n", 1)[0]
    stop = _STOP.search(line)
    line = line[: stop.start()] if stop else line
    return list(_people(line, start, AUTHOR))


def _people(line: bytes, offset: int, rule: str) -> Iterator[Name]:
    """Names at the start of each item of a list; the first that is none ends it."""
    position = 0
    for part in _SPLIT.split(line):
        at = line.index(part, position)
        position = at + len(part)
        match = NAME.match(part)
        if match is None or not is_person(match[0]):
            break
        rest = part[match.end() :].strip(b" \t\r*.#;-\\/'\"")
        if rest and (rest[:1].isalpha() or rest[0] >= 0x80):
            break
        yield Name(offset + at, offset + at + match.end(), rule)


def check_before_address(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The name of `Jane Doe <jane@...>`."""
    begin = max(low, hit - 160)
    before = bytes(view[begin:hit])
    bracket = max(before.rfind(b"<"), before.rfind(b"("))
    match = _BEFORE_ADDRESS.search(before[: bracket + 1])
    if match is None or not is_person(match["name"]):
        return []
    return [Name(begin + match.start("name"), begin + match.end("name"), NAME_BEFORE_ADDRESS)]


def local_part(view: memoryview, low: int, hit: int) -> bytes:
    """Of the address whose `@` ends at `hit`, where it can be a login; else empty."""
    before = bytes(view[max(low, hit - 66) : hit - 1])
    local = re.split(rb"[<(]", before)[-1]
    return local if _LOGIN.fullmatch(local) and is_username(local) else b""


def owners(view: memoryview, high: int, hit: int) -> list[bytes]:
    """User names on a line of CODEOWNERS, the first of which starts at `hit` - 1."""
    line = b" @" + bytes(view[hit - 1 : min(high, hit + 300)]).split(b"\n", 1)[0]
    return [name for name in _OWNERS.findall(line) if is_username(name)]


def is_person(name: bytes) -> bool:
    """Of two words or more, none of an organisation, not all common."""
    parts = [part.strip(b".,'").lower() for part in name.split()]
    if any(part in _ORGANISATION for part in parts) or is_placeholder(name):
        return False
    if name.isupper() and 2 * sum(part in words() for part in parts) >= len(parts):
        return False  # of a license in capitals
    return not all(part in words() or len(part) < 3 for part in parts) and len(parts) <= MAX_WORDS


def is_username(name: bytes) -> bool:
    """Telling enough to be looked for: not a word, not a role, no bot."""
    is_telling = 3 <= len(name) <= 39 and name.lower() not in words() and not name.isdigit()
    return is_telling and _BOT.search(name) is None


def hash_of(kind: bytes, value: bytes) -> int:
    """FNV-1a, ASCII letters in lower case, signed: what the kernels of `etl.facts.pii_people` compute."""
    state = _FNV_OFFSET
    for byte in (kind + value).lower():
        state = ((state ^ byte) * _FNV_PRIME) & _ALL_ONES
    return state - ((state >> 63) << 64)


def name_hashes(name: bytes) -> list[int]:
    """Of a name of two words or more: of its first word, and of all with one blank between them."""
    parts = [part.strip(b".,") for part in name.split()]
    parts = [part for part in parts if part]
    if not 2 <= len(parts) <= MAX_WORDS:
        return []
    return [hash_of(FIRST_WORD, parts[0]), hash_of(FULL_NAME, b" ".join(parts))]


def person_hashes(name: str, address: str) -> list[int]:
    """What to look for of a person that git, a manifest or a file names."""
    hashes: list[int] = []
    raw = name.strip().encode("utf-8", "replace")
    if b" " in raw and NAME.fullmatch(raw) and is_person(raw):
        hashes += name_hashes(raw)
    elif _LOGIN.fullmatch(raw) and is_username(raw):
        hashes.append(hash_of(USERNAME, raw))
    local, at, domain = address.strip().encode("utf-8", "replace").partition(b"@")
    if at and local and domain:
        hashes.append(hash_of(ADDRESS, local + b"@" + domain))
        user = local.rpartition(b"+")[2] if domain.endswith(b"users.noreply.github.com") else local
        if _LOGIN.fullmatch(user) and is_username(user):
            hashes.append(hash_of(USERNAME, user))
    return hashes


def declared(names: Iterable[bytes], users: Iterable[bytes]) -> list[int]:
    """Sorted distinct hashes of what a content declares."""
    hashes = {value for name in names for value in name_hashes(name)}
    hashes.update(hash_of(USERNAME, user) for user in users)
    return sorted(hashes)
