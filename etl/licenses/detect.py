"""Which license does a stated text mean?    role, text -> SPDX expression, score

License texts by licenseclassifier (google/licensecheck's method); tags, notices and names by
`naming`. Several licenses in one text all apply, unless the text says that one may choose. A text
that nobody knows is `LicenseRef-unknown`, and so are terms beside a known text: they are not
permission.
"""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import json
import re
from typing import Any, NamedTuple

from etl.licenses import naming
from etl.licenses.categories import (
    UNKNOWN,
    all_of,
    any_of,
    badness,
    ids_of,
    spdx_expression,
)
from etl.licenses.choices import offers_choice
from etl.licenses.names import TEXT

MIN_COVERAGE = 75.0  # percent of a text that known license texts must cover
MIN_PARTIAL_COVERAGE = 20.0  # with a known text in it, but much that is not
MAX_POINTER_CHARS = 1500
MAX_CHOICES = 3  # licenses between which one text offers a choice; a longer list is a bundle

MAX_HEAD_CHARS = 400  # of a license text, where its copyright lines may stand

FAMILY_SCORE = 0.6  # of a manifest that names a family of licenses only


class Detection(NamedTuple):
    expression: str | None  # None: it states nothing
    score: float  # share of the text that known licenses cover; 1 for a tag or an SPDX id


NOTHING = Detection(None, 0.0)


@functools.lru_cache(maxsize=1)
def detector_version() -> str:
    """Of the detector, its data and the rules of this file: cached results are of one version."""
    packages = ("licenseclassifier", "license-expression")
    parts = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return "; ".join(["stackmill 2", *parts])


def detect(role: str, text: str) -> Detection:
    """What a text or a manifest states. Never fails on a stranger's text."""
    return _detect_text(text) if role == TEXT else _detect_fields(json.loads(text))


@functools.lru_cache(maxsize=65_536)
def named(stated: str) -> str:
    """The expression that a license field means; LicenseRef-unknown where nobody can say."""
    if len(stated) > naming.MAX_NAME_CHARS:
        return spdx_expression(stated) or _detect_text(stated).expression or UNKNOWN
    return naming.named(stated)


# --- manifests


def _detect_fields(fields: dict[str, Any]) -> Detection:
    """An expression decides; a license field with the classifiers that are stricter than it."""
    classifiers = fields.get("classifiers", [])
    found = {value: naming.classified(value) for value in classifiers}
    found.update({name: named(name) for name in fields.get("names", [])})  # pom
    known = sorted({expression for expression in found.values() if expression})
    stated = fields.get("expression")
    if stated and not naming.points_elsewhere(stated):
        return Detection(named(stated), 1.0)
    stated = fields.get("license")
    if stated and not naming.points_elsewhere(stated):
        expression = named(stated)
        if naming.says_nothing(stated) and known:
            return Detection(all_of(known), 0.8)
        stricter = [
            other
            for other in known
            if badness(other) > badness(expression) and not naming.is_within(other, expression)
        ]
        score = FAMILY_SCORE if naming.is_family(stated) else 0.9
        return Detection(all_of([expression, *stricter]), score)
    if not known:
        return NOTHING
    is_family = all(naming.is_family(value) for value, expression in found.items() if expression)
    return Detection(all_of(known), FAMILY_SCORE if is_family else 0.8)


# --- texts

_TAG = re.compile(r"SPDX-License-Identifier:?[ \t]*([^\n]+)")
_TAG_END = re.compile(r"[\s'\"`]*(?:\*+/|-->|#\}|\*\)|\*+)?[\s'\"`]*$")
_NOTICE_LINE = re.compile(r"^\W*(?:copyright\s*(?:\(c\)|©|\d{4})|\(c\)|©).*", re.I | re.M)
_OTHER_FILE = re.compile(r"\b(?:LICEN[CS]E|COPYING)[-._][A-Za-z0-9]+")
_TERMS = re.compile(
    r"\b(?:must|shall|may not|prohibited|restrict\w*|commercial|forbidden|without (?:the )?prior"
    r"|not permitted|only if|provided that|patent|agrees? to)\b",
    re.IGNORECASE,
)
_RESTRICTION = re.compile(  # one of these beside a known text takes from what it grants
    r"(?<!commercial and )(?<!commercial or )non[- ]?commercial"
    r"|(?<!free for )(?<!any )(?<!non-)(?<!non )commercial (?:use|purpose)"
    r"|not be used (?!(?:in|for|to|as)\b[^.]{0,30}(?:advertis|endorse|promot))"
    r"|(?:is|are) (?:not permitted|prohibited|forbidden)"
    r"|(?:personal|internal|academic|educational|evaluation) (?:use|purpose)"
    r"|(?:may|must|shall) not (?:be )?(?:use|sell|sold|redistribut|distribut|cop[iy]|modif)"
    r"(?![^.]{0,60}\bexcept)"
    r"|right to sell|proprietary and confidential|confidential and proprietary"
    r"|(?:\bcopyright\b|\(c\)|©)[^.]{0,80}?\b(?:proprietary|confidential|do not (?:re)?distribute)",
    re.IGNORECASE,
)
_MENTION = re.compile(  # of a license that governs something, in what no license text covers
    r"\b(?:under|licen[cs]e:|licensed)[^.]{0,80}?(?=GNU (?:Affero |Lesser |Library )?General Public"
    r"|\b[AL]?GPL[- ]?(?:v|version )?[123])"
    r"|(?:\bcopyright\b|\(c\)|©)[^.]{0,80}?(?=\b[AL]?GPL[- ]?(?:v|version )?[123])"
    r"|(?=\b[AL]?GPL[- ]?(?:v|version )?[123][^.,;]{0,20} licensed\b)",
    re.IGNORECASE,
)
_EXCEPTIONS = tuple(
    (re.compile(pattern, re.IGNORECASE), family, exception)
    for pattern, family, exception in (
        (r"\bclasspath\W{1,3}exception", "GPL-2.0", "Classpath-exception-2.0"),
        (r"GCC Runtime Library Exception", "GPL-3.0", "GCC-exception-3.1"),
        (r"LLVM Exceptions? to the Apache", "Apache-2.0", "LLVM-exception"),
    )
)


def _detect_text(text: str) -> Detection:
    coverage = _scanner().scan(text)
    spans = [(match.id, match.start, match.end) for match in coverage.match]
    ids = _without_implied({current_id(name) for name, _, _ in spans})
    gaps = [*_outside(text, spans), *_notices(text, spans)]
    outside = "\n".join(gaps)
    preamble = text[: min((m.start for m in coverage.match if not m.is_url), default=len(text))]
    tags = _tags(outside)
    if tags:
        # A choice below a text is of a part: it excuses no text.
        deciding = _tags(preamble) if " OR " in all_of(tags) else tags
        return _with_tags(tags, deciding, ids, coverage.percent, outside)
    if not ids or coverage.percent < MIN_PARTIAL_COVERAGE:
        if not ids and len(text) <= MAX_POINTER_CHARS and _OTHER_FILE.search(text):
            return NOTHING  # it says which files hold the licenses: they speak for themselves
        noticed = naming.noticed(text)
        found = [expression for expression in (noticed, *ids) if expression]
        if not noticed:
            found.append(UNKNOWN)
        return Detection(all_of(found), 0.5 if noticed else 0.0)
    mentioned = _mentioned(outside, ids)
    expressions = _with_exceptions([*ids, *mentioned], text)
    may_choose = 1 < len(expressions) <= MAX_CHOICES and offers_choice(preamble, expressions)
    found = [any_of(expressions) if may_choose else all_of(expressions)]
    if _adds_terms(outside, coverage.percent):
        found.append(UNKNOWN)
    return Detection(all_of(found), min(1.0, coverage.percent / 100))


@functools.lru_cache(maxsize=1)
def _scanner() -> Any:
    """licenseclassifier's, whose public function hides the coverage and starts a text too early.

    From a copyright word up to 50 words above a license text it takes all for that text: what
    stands between would never be read.
    """
    from licenseclassifier._engine import builtin_scanner

    scanner = copy.copy(builtin_scanner())
    scanner._copyright = -1  # no such word
    return scanner


def _tags(text: str) -> list[str]:
    return [naming.named(_TAG_END.sub("", tag)) for tag in _TAG.findall(text)]


def _with_tags(
    tags: list[str], deciding: list[str], ids: list[str], percent: float, outside: str
) -> Detection:
    """Deciding tags say how the texts apply; texts that they do not name apply as well."""
    decided = " AND ".join(f"({tag})" for tag in deciding)
    others = [name for name in ids if not ids_of(name) <= ids_of(decided)]
    others = [name for name in others if not (naming.is_within(name, decided) and "GPL" in name)]
    found = [*tags, *others]
    if ids and percent < MIN_COVERAGE and len(_TERMS.findall(outside)) > 1:
        found.append(UNKNOWN)
    return Detection(all_of(found), 1.0)


def _outside(text: str, spans: list[tuple[str, int, int]]) -> list[str]:
    """What no license text covers, a string for each gap between them."""
    parts, last = [], 0
    for _, start, end in sorted(spans, key=lambda span: span[1]):
        parts.append(text[last : max(last, start)])
        last = max(last, end)
    return [*parts, text[last:]]


def _notices(text: str, spans: list[tuple[str, int, int]]) -> list[str]:
    """Copyright lines at the head of license texts, whose patterns let any words follow there."""
    heads = [text[start : min(end, start + MAX_HEAD_CHARS)] for _, start, end in spans]
    return [line for head in heads for line in _NOTICE_LINE.findall(head)]


def _adds_terms(outside: str, percent: float) -> bool:
    """Beside the known texts stand terms that nobody knows, not only names and headings."""
    if percent < MIN_COVERAGE and len(_TERMS.findall(outside)) > 1:
        return True
    return _RESTRICTION.search(" ".join(outside.split())) is not None


def _mentioned(outside: str, ids: list[str]) -> list[str]:
    """GNU licenses that something is said to be under, whose texts are not there."""
    flat = " ".join(outside.split())
    found = {
        name
        for match in _MENTION.finditer(flat)
        for name in naming.gnu_licenses(flat[match.end() : match.end() + 120])
        if "Combined Software" not in flat[match.end() : match.end() + 40]  # LLVM's exception
    }
    families = {name.partition("-")[0] for name in ids}
    return sorted(name for name in found if name.partition("-")[0] not in families)


def _with_exceptions(ids: list[str], text: str) -> list[str]:
    flat = " ".join(text.split()) if any("GPL" in name or "Apache" in name for name in ids) else ""
    for pattern, family, exception in _EXCEPTIONS:
        of_family = [name for name in ids if name.startswith(family)]
        is_bundle = len(ids) > MAX_CHOICES and "GPL" not in family
        if len(of_family) == 1 and not is_bundle and pattern.search(flat):
            ids = [f"{name} WITH {exception}" if name in of_family else name for name in ids]
    return ids


def _without_implied(ids: set[str]) -> list[str]:
    """GPL-3.0-only beside GPL-3.0-or-later is the text and the notice that widens it."""
    later = {name.removesuffix("-or-later") for name in ids if name.endswith("-or-later")}
    return sorted(name for name in ids if name.removesuffix("-only") not in later)


@functools.lru_cache(maxsize=4096)
def current_id(name: str) -> str:
    """SPDX's present id for a perhaps deprecated one; an unknown id becomes a reference."""
    return spdx_expression(name) or f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]', '-', name)}"
