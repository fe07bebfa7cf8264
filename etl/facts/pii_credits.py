"""Whom does a text credit?    a hit in a row -> names

Beside the author's tag (`etl.facts.pii_names`): lists below a heading (`Contributors`, `Authors:`), phrases
(`thanks to`, `patch by`), manifests over several lines, entries of a ChangeLog and of translations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from etl.facts.pii_names import NAME, Name, is_given, is_person, is_somebody_named, is_thing
from etl.facts.pii_users import is_kin, is_somebody

CREDIT, LISTED, MANIFEST, ENTRY, LINKED, BY_NAME = (
    "credit", "listed", "manifest_person", "entry", "linked_person", "by_name",
)  # fmt: skip
RULES = (CREDIT, LISTED, MANIFEST, ENTRY, LINKED, BY_NAME)
LISTED_LOGIN, LINKED_LOGIN, MANIFEST_LOGIN = "listed_login", "linked_login", "manifest_login"
LOGIN_RULES = (LISTED_LOGIN, LINKED_LOGIN, MANIFEST_LOGIN)

_START = rb"[A-Z\xc3-\xf4]"
_DONE = (
    rb"patch(?:es)?|fix(?:es|ed)?|report(?:ed|s)?|ideas?|suggest(?:ion|ions|ed)|code|work|port(?:ed)?|contribution"
    rb"|implementation|translat(?:ion|ed)|modifi(?:ed|cations)|maintained|found|submitted|added|designed|updated?s?"
    rb"|edited|improve(?:d|ments)|provided|proposed|discovered|requested|reviewed|adapted|inspired|donated|invented"
    rb"|rewritten|extended|enhanced|packaged|documented|drawn|started|conceived|originally|photos?|logo|icons?|hacked"
    rb"|initiated|authored|prepared|developed|programmed|based on (?:work|code|an idea)"
)
CREDIT_HINT = (
    rb"(?i:\bthanks(?:,? (?:goes |go )?to|:)|\bthank you,? (?:to)?|\bkudos to|\bprops to"
    rb"|\bcredit(?:s|ed)?(?:(?: goes| go)? to|:)|\bhat tip to|\battribut(?:ed|es it) to"
    rb"|courtesy of|acknowledge(?:ments?)?:?|(?:%s)[a-z ]{0,16} (?:by|from|of)):?[ \t]{1,3}[*_\[(\"']{0,3}%s"
    % (_DONE, _START)
)
BY_HINT = rb"\b(?:[Bb]y|[Ff]rom|[Vv]ia|BY)[: ][ ]{0,2}[\"'\[*(]?[A-Z\xc3-\xc5][a-z.\x80-\xf4]"
LIST_HINT = (
    rb"(?i:authors?|contributors?|maintainers?|developers?|credits|thanks(?: to)?|translators?|committers?|reviewers"
    rb"|acknowledge?ments?|core team|programmers?|contributed by)(?:\(s\)| [a-z ]{2,24}:)?[ \t]?"
    rb"[:*=_]{0,3}[ \t\r]{0,3}\n"
    rb"[^A-Za-z0-9<>{}();]{0,100}" + _START
)
MANIFEST_HINT = (
    rb"(?i:[\"']?(?:author|authors|contributors|maintainers|developers)[\"']?\s{0,4}[:=]\s{0,4}[\[{]\s{0,40}[{]?\s{0,40}"
    rb"(?:[\"']?name[\"']?\s{0,4}[:=]\s{0,4})?[\"'])"
    rb"[A-Za-z\xc3-\xf4]"
    + rb"|<(?:developer|contributor|author|maintainer)>\s{0,60}(?:<id>[^<]{0,60}</id>\s{0,60})?<name>"
    + _START
)
ENTRY_HINT = (
    rb"\n(?:(?:19|20)\d\d-\d\d-\d\d[ \t]{1,4}|#[ \t]{1,3})"
    + _START
    + rb"[^\n<>:]{4,50}(?:, ?(?:19|20)\d\d|\n)"
)
LINK_HINT = (
    rb"[A-Za-z0-9.\x80-\xff][\"'`]?(?:[ ]{0,2}[<(]|\]\()https?://(?:www\.)?"
    rb"(?:(?:github|gitlab|twitter)\.com|bitbucket\.org)/[A-Za-z0-9]"
)

_BULLET = re.compile(rb"(?:[ \t]*(?:[-*+#/;%>|.:~!=_\xe2\x80\xa2]+|\d{1,3}[.)]))*[ \t]*[\[(\"'*_]*")
_BEHIND = re.compile(
    rb"(?:\Z|[ \t]*(?:[<(,;:@/\[\]|*\"')&.!-]|_(?!\w)|\xe2\x80|and\b|\\n|https?:|\d{4}))"
)
_MORE = re.compile(
    rb"(?:[ \t\r]*(?:\Z|\n|[<(\[,;:.!&/|*_)\]\"'#@-]|\xe2\x80|\\n|'s\b)|[ \t]+(?:and|for|in|on|at|who|when|via|with"
    rb"|from|as|while|during|through|of|is|has|was|to|that|et|und|y|e|19\d\d|20\d\d)\b)"
)
_BETWEEN = re.compile(
    rb"[ \t]*(?:<[^<>\n]{0,80}>|\([^()\n]{0,80}\))?[ \t]*(?:,[ \t]*and\b|,|&|and\b|;|/)"
    rb"(?:[ \t]+|[ \t\r]*\n[ \t]*(?:#+|//+|\*|;+|--|%+|!+)?[ \t]+(?:and[ \t]+)?)"
)
_BEFORE_NAME = (b" ", b":", b'"', b"'", b"[", b"*", b"(")
_WHOLE = re.compile(  # what something is made of, not whom it is from
    rb"(?i)\b(?:implementation|modifications?|improvements?|updates?|translation|port|report|reports|adapt\w*|photos?|logo"
    rb"|icons?|found|fix(?:es)?|document\w*)[a-z ]{0,16} of:?[ \t]+[*_\[(\"']*\Z"
)
_QUOTED_NAME = re.compile(rb"[\"'>](?P<name>%s)[ ]{0,2}[<(\"']" % NAME.pattern)
_ITEM_LOGIN = re.compile(
    rb"@?(?P<login>[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){2,38}),?[ \t\r]*\Z"
)
_NAMED_LOGIN = re.compile(
    rb"\b(?:name|login)[\"']?\s{0,4}[:=]\s{0,4}[\"'](?P<login>[a-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){2,38})[\"']"
)
_LINK = re.compile(
    rb"(?P<open>[`\[*_\"']{0,3})(?P<text>[^`\[\]<>()\n]{2,60}?)(?:[`\"'*_]{0,3}[ ]{0,2}[<(]|[*_]{0,2}\]\()https?://[a-z.]{5,20}/\Z"
)
_TARGET = re.compile(rb"(?P<owner>[A-Za-z0-9_-]{1,39})(?:/(?P<repo>[A-Za-z0-9_.-]+))?")
_MANIFEST_BYTES, _LIST_BYTES, _LIST_GAPS = 2000, 20000, 2


def check_credit(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """`thanks to Jane Doe and Joe Roe for ...`."""
    start = hit - 1
    text = bytes(view[start : min(high, start + 400)])
    if _WHOLE.search(bytes(view[max(low, start - 30) : start])):
        return []
    return list(_row_of_names(text, start, CREDIT))


def check_by(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """`by Jane Doe`, `(from J. Doe)`: a name that is one by its own words."""
    begin = max(low, hit - 12)
    before = bytes(view[begin:hit])
    start = begin + max(before.rfind(sign) for sign in _BEFORE_NAME) + 1
    first = bytes(view[start : min(high, start + 26)]).partition(b" ")[0]
    if len(first) > 2 and b"." not in first and not is_given(first):
        return []  # most are no names: told apart before anything dear
    text = bytes(view[start : min(high, start + 400)])
    match = NAME.match(text)
    if match is None or not is_somebody_named(_whole(match)):
        return []
    return list(_row_of_names(text, start, BY_NAME))


def _whole(match: re.Match[bytes]) -> bytes:
    return match[0].removesuffix(b"'s")


def _row_of_names(text: bytes, offset: int, rule: str) -> Iterator[Name]:
    """Names with commas and `and` between them; behind one of these the row may go on a line below."""
    position = 0
    while True:
        match = NAME.match(text, position)
        if match is None:
            return
        name = _whole(match)
        is_one = _MORE.match(text, match.start() + len(name)) is not None
        if not is_one or not is_person(name) or is_thing(name):
            return
        yield Name(offset + match.start(), offset + match.start() + len(name), rule)
        between = _BETWEEN.match(text, match.end())
        if between is None:
            return
        position = between.end()


def check_list(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """Each line that begins with a name, or is a login, below the heading, up to the third that is neither."""
    start = hit - 1
    text = bytes(view[start : min(high, start + _LIST_BYTES)])
    found: list[Name] = []
    gaps, position = 0, 0
    for line in text.split(b"\n"):
        begin = _BULLET.match(line).end()  # type: ignore[union-attr]
        match = NAME.match(line, begin)
        is_one = match is not None and is_person(match[0]) and not is_thing(match[0])
        if match is not None and is_one and _BEHIND.match(line, match.end()):
            at = start + position
            found.append(Name(at + match.start(), at + match.end(), LISTED))
            gaps = 0
        elif (
            found
            and begin
            and line[begin - 1] in b" \t@*-"
            and (login := _ITEM_LOGIN.match(line, begin))
            and is_somebody(login["login"])
        ):
            at = start + position
            found.append(Name(at + login.start("login"), at + login.end("login"), LISTED_LOGIN))
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
    found = [
        Name(start + match.start("name"), start + match.end("name"), MANIFEST)
        for match in _QUOTED_NAME.finditer(text)
        if is_person(match["name"])
    ]
    lead = bytes(view[max(low, start - 16) : start])
    begin = start - len(lead)
    return found + [
        Name(begin + match.start("login"), begin + match.end("login"), MANIFEST_LOGIN)
        for match in _NAMED_LOGIN.finditer(lead + text)
        if is_somebody(match["login"])
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


def check_link(view: memoryview, low: int, high: int, hit: int) -> list[Name]:
    """`[Jane Doe](https://github.com/jane7)`, `Joe Roe <https://github.com/jroe/tool>`, a login likewise.

    Where the address goes on to a repository, the text is a person's only if the account's name has to do with
    it: else it is the name of a thing.
    """
    start = hit - 1
    before = bytes(view[max(low, start - 120) : start]).rpartition(b"\n")[2]
    begin = start - len(before)
    match = _LINK.search(before, _start_of_link(before))
    target = _TARGET.match(bytes(view[start : min(high, start + 100)]))
    if match is None or target is None:
        return []
    text, owner, repo = match["text"], target["owner"].lower(), target["repo"]
    end = begin + match.end("text")
    if text.lower() == owner:
        is_one = (repo is None or repo.lower() != owner) and is_somebody(text)
        return [Name(end - len(text), end, LINKED_LOGIN)] if is_one else []
    names = [name for name in NAME.finditer(text) if name.end() == len(text)]
    if not names or (match["open"] and names[0].start()) or not is_person(names[0][0]):
        return []
    if repo is not None and (is_thing(names[0][0]) or not is_kin(names[0][0], owner)):
        return []
    return [Name(end - len(names[0][0]), end, LINKED)]


def _start_of_link(before: bytes) -> int:
    """No text of the link at the end begins before this: behind the last bracket, but for three marks."""
    end = before.rfind(b"http") - 1
    text = before[:end].rstrip(b"] ").rstrip(b"`\"'*_")
    return max(0, max(text.rfind(byte) for byte in b"`[]<>()") - 2)
