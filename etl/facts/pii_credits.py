"""Whom does a text credit?    a hit in a row -> names

Beside the author's tag (`etl.facts.pii_names`): lists below a heading (`Contributors`, `Authors:`), phrases
(`thanks to`, `patch by`), manifests over several lines, entries of a ChangeLog and of translations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from etl.facts.pii_names import NAME, Name, is_person

CREDIT, LISTED, MANIFEST, ENTRY = "credit", "listed", "manifest_person", "entry"
RULES = (CREDIT, LISTED, MANIFEST, ENTRY)

_START = rb"[A-Z\xc3-\xf4]"
_DONE = (
    rb"patch(?:es)?|fix(?:es|ed)?|report(?:ed|s)?|ideas?|suggest(?:ion|ions|ed)|code|work|port(?:ed)?|contribution"
    rb"|implementation|translat(?:ion|ed)|modifi(?:ed|cations)|maintained|found|submitted|added|designed|updated?s?"
    rb"|edited|improve(?:d|ments)|provided|proposed|discovered|requested|reviewed|adapted|inspired|donated|invented"
    rb"|rewritten|extended|enhanced|packaged|documented|drawn|started|conceived|originally|photos?|logo|icons?|hacked"
    rb"|initiated|authored|prepared|developed|programmed|based on (?:work|code|an idea)"
)
CREDIT_HINT = (
    rb"(?i:\bthanks,? (?:goes |go )?to|\bthank you,? (?:to)?|\bkudos to|\bprops to|\bcredits?(?: goes| go)? to"
    rb"|courtesy of|acknowledge(?:ments?)?:?|(?:%s)[a-z ]{0,16} (?:by|from|of)):?[ \t]{1,3}[*_\[(\"']{0,3}%s"
    % (_DONE, _START)
)
LIST_HINT = (
    rb"(?i:authors?|contributors?|maintainers?|developers?|credits|thanks(?: to)?|translators?|committers?|reviewers"
    rb"|acknowledge?ments?|core team|programmers?|contributed by)(?:\(s\))?[ \t]?[:*=_]{0,3}[ \t\r]{0,3}\n"
    rb"[^A-Za-z0-9<>{}();]{0,100}" + _START
)
MANIFEST_HINT = (
    rb"(?i:[\"']?(?:author|authors|contributors|maintainers|developers)[\"']?\s{0,4}[:=]\s{0,4}[\[{]\s{0,40}[{]?\s{0,40}"
    rb"(?:[\"']?name[\"']?\s{0,4}[:=]\s{0,4})?[\"'])"
    + _START
    + rb"|<(?:developer|contributor|author|maintainer)>\s{0,60}(?:<id>[^<]{0,60}</id>\s{0,60})?<name>"
    + _START
)
ENTRY_HINT = (
    rb"\n(?:(?:19|20)\d\d-\d\d-\d\d[ \t]{1,4}|#[ \t]{1,3})"
    + _START
    + rb"[^\n<>:]{4,50}(?:, ?(?:19|20)\d\d|\n)"
)

_BULLET = re.compile(rb"(?:[ \t]*(?:[-*+#/;%>|.:~!=_\xe2\x80\xa2]+|\d{1,3}[.)]))*[ \t]*[\[(\"'*_]*")
_BEHIND = re.compile(rb"(?:\Z|[ \t]*(?:[<(,;:@/\[\]|*_\"')&.!-]|\xe2\x80|and\b|\\n|https?:|\d{4}))")
_MORE = re.compile(
    rb"(?:[ \t]*(?:\Z|[<(\[,;:.!&/|*_)\]\"'#@-]|\xe2\x80|\\n|'s\b)|[ \t]+(?:and|for|in|on|at|who|when|via|with|from"
    rb"|as|while|during|through|of|is|has|was|to|that|et|und|y|e|19\d\d|20\d\d)\b)"
)
_BETWEEN = re.compile(
    rb"[ \t]*(?:<[^<>\n]{0,80}>|\([^()\n]{0,80}\))?[ \t]*(?:,[ \t]*and|,|&|and|;|/)[ \t]+"
)
_QUOTED_NAME = re.compile(rb"[\"'>](?P<name>%s)[ ]{0,2}[<(\"']" % NAME.pattern)
_MANIFEST_BYTES, _LIST_BYTES, _LIST_GAPS = 2000, 20000, 2


def check_credit(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """`thanks to Jane Doe and Joe Roe for ...`."""
    start = hit - 1
    line = bytes(view[start : min(high, start + 200)]).split(b"\n", 1)[0]
    return list(_row_of_names(line, start, CREDIT))


def _row_of_names(line: bytes, offset: int, rule: str) -> Iterator[Name]:
    position = 0
    while True:
        match = NAME.match(line, position)
        if match is None or not is_person(match[0]) or not _MORE.match(line, match.end()):
            return
        yield Name(offset + match.start(), offset + match.end(), rule)
        between = _BETWEEN.match(line, match.end())
        if between is None:
            return
        position = between.end()


def check_list(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """Each line that begins with a name, below the heading, up to the third that does not."""
    start = hit - 1
    text = bytes(view[start : min(high, start + _LIST_BYTES)])
    found: list[Name] = []
    gaps, position = 0, 0
    for line in text.split(b"\n"):
        begin = _BULLET.match(line).end()  # type: ignore[union-attr]
        match = NAME.match(line, begin)
        if match is not None and is_person(match[0]) and _BEHIND.match(line, match.end()):
            at = start + position
            found.append(Name(at + match.start(), at + match.end(), LISTED))
            gaps = 0
        elif line.strip(b" \t\r#*/-=~_"):
            gaps += 1
            if gaps > (_LIST_GAPS if found else 0):
                break
        position += len(line) + 1
    return found


def check_manifest(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """The names in quotes or elements up to the bracket that closes the field."""
    start = hit - 2
    text = bytes(view[start : min(high, start + _MANIFEST_BYTES)])
    is_markup = text[:1] == b">"
    end = text.find(b"</developers>" if is_markup else b"]")
    brace = text.find(b"}")
    before = bytes(view[max(low, start - 120) : start])
    if not is_markup and b"[" not in before[-80:]:
        end = brace
    text = text[: end if end > 0 else 120]
    if is_markup and end < 0:
        text = text[:120].split(b"</name>")[0] + b"<"
    return [
        Name(start + match.start("name"), start + match.end("name"), MANIFEST)
        for match in _QUOTED_NAME.finditer(text)
        if is_person(match["name"])
    ]


def check_entry(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """`2004-05-06  Jane Doe` of a ChangeLog, `# Jane Doe, 2012` of a translation."""
    end = hit - (1 if view[hit - 1] == 10 else 0)
    begin = max(low, end - 120)
    line = bytes(view[begin:end]).rpartition(b"\n")[2]
    offset = end - len(line)
    lead = re.match(rb"(?:(?:19|20)\d\d-\d\d-\d\d|#)[ \t]{1,4}", line)
    if lead is None:
        return []
    match = NAME.match(line, lead.end())
    if match is None or not is_person(match[0]):
        return []
    rest = line[match.end() :].strip()
    is_year = re.fullmatch(rb",? ?(?:19|20)\d\d", rest) is not None
    is_one = is_year or (not rest and lead[0][:1] != b"#")
    return [Name(offset + match.start(), offset + match.end(), ENTRY)] if is_one else []
