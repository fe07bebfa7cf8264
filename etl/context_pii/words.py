"""What does a tagged line hold?    a line, labels of its words -> spans in UTF-8 bytes

A line is cut into words in the same way for every backend: a run of letters, marks and digits, one
ideograph, or one other sign. A classifier says B-NAME, I-NAME, ..., O of each word; what it says is taken
only where the text can be such a thing: a name has two words of which one is not common, a credential is
no placeholder, and nothing is taken out of the middle of code.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, NamedTuple

from etl.facts.pii_names import COPYRIGHT_HOLDER, NAME, is_person
from etl.facts.pii_secrets import NOT_PASSWORD
from etl.facts.pii_text import is_placeholder, is_random, is_template, is_worded, words
from etl.facts.pii_users import is_somebody, is_tag

VERSION = 3
DETECTOR = "context"
WORD = (
    r"[\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}]|[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]"
)
KINDS = {  # entity of a label -> kind of a span; any other entity is passed over
    "NAME": "name",
    "PER": "name",
    "PERSON": "name",
    "USERNAME": "username",
    "PASSWORD": "password",
    "KEY": "key",
}

_KNOWN = (  # what a classifier gets to see: Latin, Greek, Cyrillic, punctuation, Chinese, Japanese
    (0x21, 0x7E), (0xA1, 0x52F), (0x1E00, 0x1EFF), (0x2010, 0x2027), (0x3001, 0x3002), (0x3041, 0x30FF),
    (0x4E00, 0x9FFF),
)  # fmt: skip
_STAND_IN = "\xa4"
_CJK_NAME = re.compile("[\u3040-\u30ff\u4e00-\u9fff]{2,8}")
_CJK_CUE = re.compile(r"(?i)作者|著者|译|訳|翻译|author|\bby\b|copyright|©|@")
_NAME_ENDS = " \t.,;:'\"`-_*()[]{}<>/&|#~!?=+"
_LOGIN = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,37}[A-Za-z0-9])?")
_BEFORE_LOGIN = re.compile(
    r"(?i)(?:@|[.](?:com|org|io)/~?|~|/home/|[\\/]users[\\/]"
    r"|\b(?:user(?: ?name)?|log(?:in|ged in)|sign in|account|nick|handle|irc|github|twitter|id)"
    r"(?: as| user| is| was)?[\s:='\"`*]{1,4}"
    r"|\b(?:by|thanks|thanks to|author|todo|fixme|xxx|note)[\s:(]{1,3}|\bssh |\bas (?:user )?['\"`]?)$"
)
_CREDITED = re.compile(
    r"(?i)(?:\b(?:by|authors?|thanks?|to|from|with|and|via|cc|copyright|maintainers?|contributors?|contact)\b|[©@:,&])"
    r"[^.\w]{0,6}(?:[^\W\d_]+ ){0,1}$"
)
_CAMEL = re.compile(r"\b(?!(?:Mc|Mac|De|Di|Du|La|Le|Van|Von|Fitz)[A-Z])\w*[a-z][A-Z]")
_GERUND = re.compile(r"\w{3,}ing\b")
_FILE = re.compile(r"\.\w{1,4}$")
_LOGIN_PART = re.compile(r"[\w.-]")
_VALUE_SIGN = re.compile(rb"[0-9!@#$%^&*]")
_VALUE_PART = re.compile(r"[^\s\"'`<>(){}\[\],;|]")
_COPYRIGHT = re.compile(r"(?i)copyright|\(c\)|©|&copy;")
_COMMENT = re.compile(r"\s*(?:#|//|/\*|\*|--|;|%|<!--|\"\"\"|'''|REM\b|dnl\b|\.\.)")
_COMMENT_BEHIND = re.compile(r"(?:^|\s)(?:#|//|--|/\*|<!--)\s")
_CODE = re.compile(r"[={}();\[\]]|\b(?:def|import|return|const|let|var|from)\b")


class Word(NamedTuple):
    """Characters [start, end) of a line, a label, and how sure it is, in [0, 1]."""

    start: int
    end: int
    label: str
    score: float


class LineSpan(NamedTuple):
    """Bytes [start, end) of a line in UTF-8."""

    kind: str
    start: int
    end: int
    detector: str
    score: float


def shown(line: str) -> str:
    """The line as a classifier sees it: character by character, letters without their accents (Spark NLP
    takes them away), what is of another script as one sign.

    All in the basic plane, so that UTF-16 counts as Python does.
    """
    return line.translate(_table())


def word_bounds(line: str) -> list[tuple[int, int]]:
    """Where the words of a line (WORD) begin and end."""
    return [bounds for _, bounds in splitter().pre_tokenize_str(line)]


@functools.cache
def splitter() -> Any:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    return Split(Regex(WORD), behavior="removed", invert=True)


class _Table(dict[int, str]):
    def __missing__(self, point: int) -> str:
        is_known = any(low <= point <= high for low, high in _KNOWN)
        value = chr(point) if is_known else " " if chr(point).isspace() else _STAND_IN
        apart = unicodedata.normalize("NFD", value)
        if len(apart) > 1 and all(unicodedata.combining(mark) for mark in apart[1:]):
            value = apart[0]
        self[point] = value
        return value


@functools.cache
def _table() -> _Table:
    return _Table()


def spans_of(line: str, tagged: Iterable[Word]) -> list[LineSpan]:
    """The spans of one line, in order, without overlap. `tagged` in order."""
    found: list[LineSpan] = []
    last = 0
    for entity, start, end, score in _entities(tagged):
        kind = KINDS.get(entity)
        if kind is None or start < last:
            continue
        bounds = _BOUNDS[kind](line, start, end)
        if bounds is None or bounds[0] < last:
            continue
        start, last = bounds
        low = len(line[:start].encode())
        high = low + len(line[start:last].encode())
        is_holder = kind == "name" and _COPYRIGHT.search(line, 0, start)
        detector = COPYRIGHT_HOLDER if is_holder else DETECTOR
        found.append(LineSpan(kind, low, high, detector, round(score, 3)))
    return found


def _entities(tagged: Iterable[Word]) -> list[tuple[str, int, int, float]]:
    """Runs of B-X I-X I-X; an I-X without a B-X before it begins one. The score is the least."""
    found: list[tuple[str, int, int, float]] = []
    is_open = False
    for word in tagged:
        mark, _, entity = word.label.partition("-")
        if not entity:
            is_open = False
            continue
        is_more = is_open and mark == "I" and found[-1][0] == entity
        if is_more and word.start - found[-1][2] <= 2:
            _, start, _, score = found[-1]
            found[-1] = (entity, start, word.end, min(score, word.score))
        else:
            found.append((entity, word.start, word.end, word.score))
        is_open = True
    return found


def _name(line: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and line[start] in _NAME_ENDS:
        start += 1
    while end > start and line[end - 1] in _NAME_ENDS:
        end -= 1
    text = line[start:end]
    if _CJK_NAME.fullmatch(text):
        return (start, end) if _CJK_CUE.search(line, 0, start) else None
    end = _whole_name(line, start, end)
    text = line[start:end]
    raw = text.encode()
    if NAME.fullmatch(raw) is None or not is_person(raw):
        return None
    if not (text[0].isupper() and text.split()[-1][0].isupper()):
        return None
    if re.match(r"\s*::", line[end:]) or _CAMEL.search(text):  # a classifier of packages, a class
        return None
    if not _CREDITED.search(line[:start]) and _is_heading(text):
        return None
    is_part = line[end : end + 1] in ("_", "(") or line[start - 1 : start] in ("_", "\\", "/", "@")
    return None if is_part else (start, end)


def _is_heading(text: str) -> bool:
    """It begins as a title does: with a common word, a gerund or an acronym before other words."""
    first = text.split()[0]
    is_acronym = len(first) >= 3 and first.isupper() and not text.isupper()
    is_common = first.lower().encode() in words()
    return is_common or is_acronym or _GERUND.match(first) is not None


def _whole_name(line: str, start: int, end: int) -> int:
    """Behind the further names that follow, if they do: `Jane Doe` of `Jane Doe Roebuck`."""
    match = NAME.match(line[start:].encode())
    if match is None or not is_person(match[0]) or " " not in line[start:end]:
        return end
    longer = start + len(match[0].decode("utf-8", "ignore"))
    added = line[end:longer].split()
    is_names = all(word[0].isupper() and word.lower().encode() not in words() for word in added)
    return longer if longer > end and is_names else end


def _username(line: str, start: int, end: int) -> tuple[int, int] | None:
    start, end = _widened(line, start, end, _LOGIN_PART)
    while end > start and line[end - 1] in "-._":
        end -= 1
    while start < end and line[start] in "-._":
        start += 1
    text = line[start:end]
    if (
        not _LOGIN.fullmatch(text)
        or _FILE.search(text)
        or not _BEFORE_LOGIN.search(line[:start])
        or text.isupper()
        or not is_somebody(text.encode())
        or (line[start - 1 : start] == "@" and ("_" in text or is_tag(line[end:].encode())))
    ):
        return None
    return (start, end) if _may_be_taken(line, start, end) else None


def _password(line: str, start: int, end: int) -> tuple[int, int] | None:
    start, end = _value(line, start, end)
    raw = line[start:end].encode()
    is_none = (
        len(raw) < 4
        or b" " in raw
        or _VALUE_SIGN.search(raw) is None
        or NOT_PASSWORD.fullmatch(raw)
        or is_placeholder(raw)
        or is_template(raw)
        or raw.lower() in words()
    )
    if is_none or (raw.isalpha() and is_worded(raw)) or line[end : end + 1] == "(":
        return None
    return (start, end) if _may_be_taken(line, start, end) else None


def _key(line: str, start: int, end: int) -> tuple[int, int] | None:
    start, end = _value(line, start, end)
    raw = line[start:end].encode()
    is_key = (
        len(raw) >= 12
        and raw[:1] != b"$"
        and is_random(raw)
        and not is_placeholder(raw)
        and not is_template(raw)
    )
    return (start, end) if is_key and _may_be_taken(line, start, end) else None


_BOUNDS = {"name": _name, "username": _username, "password": _password, "key": _key}


def _widened(line: str, start: int, end: int, part: re.Pattern[str]) -> tuple[int, int]:
    while start > 0 and part.match(line[start - 1]):
        start -= 1
    while end < len(line) and part.match(line[end]):
        end += 1
    return start, end


def _value(line: str, start: int, end: int) -> tuple[int, int]:
    start, end = _widened(line, start, end, _VALUE_PART)
    while end > start and line[end - 1] in ".:!?*":
        end -= 1
    while start < end and line[start] in ":=*":
        start += 1
    return start, end


def _may_be_taken(line: str, start: int, end: int) -> bool:
    """In a comment, in quotes, or in a line that is no code: what reads it goes on reading it."""
    before = line[:start]
    if _COMMENT.match(line) or _COMMENT_BEHIND.search(before):
        return True
    if any(before.count(quote) % 2 and quote in line[end:] for quote in "\"'`"):
        return True
    return _CODE.search(line) is None
