"""Who does a text name as its people?    a hit in a row -> names; a name -> hashes for a gazetteer

Taken are names in the places where files state them: a copyright line, an author's tag or field, a
trailer of a commit, a name before an address in brackets. An organisation is no person.

What a repository's files declare is looked for in all of its files (`etl.gazetteer`). No table but
`blobs` holds a value, so a declared name is kept as 64-bit hashes of it: enough to find it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from etl.facts.pii_text import given_names, is_placeholder, words

COPYRIGHT_HOLDER, AUTHOR, NAME_BEFORE_ADDRESS, NAME_BEHIND_ADDRESS, OWNER = (
    "copyright_holder",
    "author",
    "name_before_address",
    "name_behind_address",
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

_CODE_WORD = re.compile(
    rb"\A(?!(?:Mc|Mac|De|Di|Da|Du|La|Le|Van|Von|Fitz|O'|D'|L'|El|Al|St)[A-Z])[A-Za-z]*[a-z][A-Z]|\A[A-Z]{2,}[a-z]+\Z|\d"
)
COPYRIGHT_HINT = rb"(?i:copyright|\(c\)|\xc2\xa9)[^\n]{8}"
AUTHOR_HINT = (
    rb"(?i:\b(?:code|module|section)?authors?(?:\(s\))?|__author__|maintainers?"
    rb"|(?:written|contributed|created|developed|coded|implemented) by"
    rb"|(?:signed-off|co-authored|reported|reviewed|acked|tested|suggested|co-developed)-by|original author)"
    rb"[ \t\"'=:\[({\\>-]{1,8}(?:by )?[A-Z\xc3-\xf4]"
)
ADDRESS_HINT = rb"[A-Za-z.\x80-\xff][\"']?[ ]{1,3}[<(][A-Za-z0-9_.%+-]{1,64}@"
BEHIND_ADDRESS_HINT = (
    rb"\.(?:com|org|net|edu|gov|io|de|uk|fr|ca|ch|nl|se|it|jp|au|ru|br|pl) \([A-Z]"
)
OWNER_HINT = rb"(?:^|\n)[*/][^\s#*]{0,120}[ \t]+@[A-Za-z0-9]"

_COPYRIGHT = re.compile(rb"(?i)(?:copyright|\(c\)|\xc2\xa9|&copy;)")
_YEARS = re.compile(
    rb"(?:(?i:copyright|\(c\)|\xc2\xa9|&copy;|by|portions|present|text\b|__)|[\s,:;.\-]"
    rb"|\xe2\x80\x93|(?:19|20)\d\d|\d\d|[\"']?[ ]?[=:] ?[ubrf]?[\"']{1,3})*"
)
_SPLIT = re.compile(rb"\s*(?:(?:,|;|/|&|(?<![\w\x80-\xff])(?:and|und|et)(?![\w\x80-\xff])|\|)\s*)+")
_STOP = re.compile(
    rb"(?i)all rights|licen[sc]ed|(?<![ .][A-Z])\.\s|<|\(|\[|https?:|\bunder\b|\bfor\b|\bsee\b|\bthe\b|\*/|-->|\"|'''"
)
_BEFORE_ADDRESS = re.compile(rb"(?P<name>%s)[\"']?,?[ ]{1,3}[<(]\Z" % NAME.pattern)
_ADDRESS = re.compile(rb"[A-Za-z0-9_.+-]@[A-Za-z0-9.-]+\Z")
_SMALL = re.compile(
    rb"(?:\A|[^A-Za-z0-9_.@-])[ ]?(?P<name>[a-z][a-z'-]+(?: [a-z][a-z'-]+){1,3})[ ]{1,3}\Z"
)
_SMALL_HOLDER = re.compile(
    rb"(?P<name>[a-z][a-z'-]{2,20}(?: [a-z][a-z'-]{2,20}){1,2})[ \t.]*(?:\Z|[<(\n])"
)
_RESERVED = re.compile(
    rb"(?i)(?:[\w.-]+\.)?(?:example\.(?:com|org|net|edu)|example|invalid|localhost|localdomain)\b(?!\.\w)|[\w.-]+\.(?:test|example|invalid)\b"
)
_LOGIN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]+")
_BOT = re.compile(rb"(?i)(?<!ab)(?<!tal)(?<!\Aca)bot(?:\[bot\])?\Z")
_LEAD = re.compile(
    rb"[ \t]*(?:#+|//+!?|/?\*+|;+|--+|%+|!+|\"|'|dnl\b|REM\b|\.\.)?[ \t]*(?:(?:19|20)\d\d(?:-\d{2,4})?,?[ \t]+)*"
    rb"(?:(?i:copyright|\(c\))[ \t]+)*"
)
_GOES_ON = re.compile(rb"(?:,|[ \t]and|&)[ \t\r]*\Z")
_BELOW_BYTES, _ASIDE = 1500, 3  # of a list below a tag; columns that its lines may be off
_LEGAL_FORM = re.compile(
    rb"(?i)(?:inc|llc|ltd|limited|gmbh|corp|co|plc|pty|sarl|s\.?r\.?l|s\.?a|a\.?g|b\.?v)\b"
)
_THINGS = frozenset(
    b"api apis archive archives core data driver effect engine equation feature features format forests function"
    b" functions index library law method methods model models module page plot problem process runtime schema"
    b" script scripts space storage store stores studio style syntax table test tests theorem theme tools tree"
    b" trees update version street road avenue award prize day days week month year years code".split()
)
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
    small = _SMALL_HOLDER.match(window, first)
    if small is not None and _is_small_name(small["name"]):
        return [Name(begin + first, begin + small.end("name"), COPYRIGHT_HOLDER)]
    found = list(_people(line, begin + first, COPYRIGHT_HOLDER))
    return found + _below(view, low, high, found)


def check_author(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The persons named in an author's tag or field."""
    start = hit - 1
    line = bytes(view[start : min(high, start + 160)]).split(b"\n", 1)[0]
    stop = _STOP.search(line)
    line = line[: stop.start()] if stop else line
    found = list(_people(line, start, AUTHOR))
    return found + _below(view, low, high, found)


def _is_small_name(name: bytes) -> bool:
    parts = name.split(b" ")
    return is_given(parts[0]) and not any(part in words() for part in parts) and is_person(name)


def _below(view: memoryview, low: int, high: int, found: list[Name]) -> list[Name]:
    """Further names, each at the start of a line below the first and in its column, up to a line without."""
    if not found:
        return []
    first = found[0].start
    column = len(bytes(view[max(low, first - 200) : first]).rpartition(b"\n")[2])
    lines = bytes(view[first : min(high, first + _BELOW_BYTES)]).split(b"\n")
    more: list[Name] = []
    at = first
    for above, line in pairwise(lines):
        at += len(above) + 1
        begin = _LEAD.match(line).end()  # type: ignore[union-attr]
        names = list(_people(line[begin:], at + begin, found[0].rule)) if begin else []
        is_beside = abs(begin - column) <= _ASIDE or _GOES_ON.search(above) is not None
        if not names or not is_beside:
            break
        more += names
    return more


def _people(line: bytes, offset: int, rule: str) -> Iterator[Name]:
    """Names at the start of each item of a list; the first that is none ends it, and so does a company."""
    position = 0
    parts = _SPLIT.split(line)
    for part, following in zip(parts, [*parts[1:], b""], strict=True):
        at = line.index(part, position)
        position = at + len(part)
        match = NAME.match(part)
        if match is None or not is_person(match[0]) or _LEGAL_FORM.match(following):
            break
        rest = part[match.end() :]
        if rest.startswith((b"   ", b"\t")):
            rest = b""  # the next column of a table or a box
        rest = rest.strip(b" \t\r*.#;-\\/'\"")
        if rest and (rest[:1].isalpha() or rest[0] >= 0x80):
            break
        yield Name(offset + at, offset + at + match.end(), rule)


def check_before_address(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The name of `Jane Doe <jane@...>`."""
    begin = max(low, hit - 160)
    before = bytes(view[begin:hit])
    bracket = max(before.rfind(b"<"), before.rfind(b"("))
    if _RESERVED.match(bytes(view[hit : min(high, hit + 80)])):
        return []  # an example
    match = _BEFORE_ADDRESS.search(before[: bracket + 1])
    if match is None or not is_person(match["name"]):
        small = _in_small_letters(before[:bracket], before[bracket + 1 : -1])
        return [Name(begin + small[0], begin + small[1], NAME_BEFORE_ADDRESS)] if small else []
    return [Name(begin + match.start("name"), begin + match.end("name"), NAME_BEFORE_ADDRESS)]


def _in_small_letters(before: bytes, local: bytes) -> tuple[int, int] | None:
    """Where `jane roebuck` stands at the end of `before`, if the address has a part of it."""
    match = _SMALL.search(before)
    if match is None:
        return None
    start, parts = match.end("name"), []
    for part in reversed(match["name"].split(b" ")):
        if part in words() or len(part) < 3:
            break
        parts.append(part)
        start -= len(part) + bool(parts[1:])
    is_one = len(parts) >= 2 and any(len(part) >= 3 and part in local.lower() for part in parts)
    return (start, match.end("name")) if is_one and is_person(b" ".join(parts[::-1])) else None


def check_behind_address(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The name of `jane@... (Jane Doe)`."""
    start = hit - 1
    if _ADDRESS.search(bytes(view[max(low, start - 80) : start - 2])) is None:
        return []
    line = bytes(view[start : min(high, start + 80)]).split(b"\n", 1)[0]
    match = NAME.match(line)
    if match is None or line[match.end() : match.end() + 1] != b")" or not is_person(match[0]):
        return []
    return [Name(start, start + match.end(), NAME_BEHIND_ADDRESS)]


def local_part(view: memoryview, low: int, hit: int) -> bytes:
    """Of the address whose `@` ends at `hit`, where it can be a login; else empty."""
    before = bytes(view[max(low, hit - 66) : hit - 1])
    local = re.split(rb"[<(]", before)[-1]
    return local if _LOGIN.fullmatch(local) and is_username(local) else b""


def is_person(name: bytes) -> bool:
    """Of two words or more, none of an organisation, not all common."""
    parts = [part.strip(b".,'").lower() for part in name.split()]
    if any(part in _ORGANISATION for part in parts) or is_placeholder(name):
        return False
    if name.isupper() and 2 * sum(part in words() for part in parts) >= len(parts):
        return False  # of a license in capitals
    return not all(part in words() or len(part) < 3 for part in parts) and len(parts) <= MAX_WORDS


def is_somebody_named(name: bytes) -> bool:
    """A person's name by its words alone, where no tag says so: it begins with a given name, or with
    initials before a word that is not common, and has no common words, signs of code or acronyms."""
    parts = [part.strip(b".,") for part in name.split()]
    first, last = parts[0].lower(), parts[-1].lower()
    if not all(map(_is_name_word, parts)) or not is_person(name):
        return False
    if is_given(first):
        return not (first in words() and last in words()) and last not in _THINGS
    return (
        _is_initials(parts[0])
        and last not in words()
        and len(last) >= 3
        and parts[-1][:1].isupper()
    )


def is_thing(name: bytes) -> bool:
    """Rather a product, a title or a heading, where both stand: `Random Forests`, `LibGDX Core`, `CEL APIs`."""
    parts = [part.strip(b".,") for part in name.split()]
    first, last = parts[0].lower(), parts[-1].lower()
    if last in _THINGS or not all(map(_is_name_word, parts)):
        return True
    is_known = is_given(first) or _is_initials(parts[0])
    return not is_known and (first in words() or last in words())


def _is_initials(word: bytes) -> bool:
    return all(len(part) < 2 for part in re.split(rb"[.-]", word))


def is_given(word: bytes) -> bool:
    """A given name, or two with a hyphen of which one is known."""
    return any(part in given_names() for part in word.lower().split(b"-"))


def _is_name_word(part: bytes) -> bool:
    """Written as a part of a name is: no `LibGDX`, `APIs`, `camelCase`, nor an acronym beside words."""
    return _CODE_WORD.search(part) is None


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
