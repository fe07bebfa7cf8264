"""Which license does a stated text mean?    role, text -> SPDX expression, score

License texts by licenseclassifier (google/licensecheck's method); tags and short notices by
expressions of our own; names and classifiers of manifests by a table. Several licenses in one text
all apply, unless the text says that one may choose. A license text that nobody knows is
`LicenseRef-unknown`: it is not permission.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
from typing import NamedTuple

from etl.licenses.categories import PROPRIETARY, UNKNOWN, all_of, any_of, spdx_expression
from etl.licenses.names import TEXT

MIN_COVERAGE = 75.0  # percent of a text that known license texts must cover
MIN_PARTIAL_COVERAGE = (
    20.0  # with a known text in it, but much that is not: evidence, not the whole
)


MAX_POINTER_CHARS = 1500
_OTHER_FILE = re.compile(r"\b(?:LICEN[CS]E|COPYING)[-._][A-Za-z0-9]+")


class Detection(NamedTuple):
    expression: str | None  # None: it states nothing
    score: float  # share of the text that known licenses cover; 1 for a tag or an SPDX id


NOTHING = Detection(None, 0.0)

_TAG = re.compile(r"SPDX-License-Identifier:?\s*([^\n*]+)")
_CHOICE = re.compile(
    r"dual[- ]?licen[cs]|either (?:of )?(?:the|these|license|under)|at your (?:option|choice)"
    r"|your choice of|choose (?:either|one)|licensed under (?:either|any) ",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=1)
def detector_version() -> str:
    """Of the detector, its data and the rules of this file: cached results are of one version."""
    names = ("licenseclassifier", "license-expression")
    parts = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return "; ".join(["stackmill 1", *parts])


def detect(role: str, text: str) -> Detection:
    """What a text or a manifest states. Never fails on a stranger's text."""
    if role == TEXT:
        return _detect_text(text)
    fields = json.loads(text)
    found = [named(name) for name in fields.get("names", [])]  # pom
    for key in ("expression", "license"):
        stated = fields.get(key)
        if stated and not _points_elsewhere(stated):
            return Detection(named(stated), 1.0 if key == "expression" else 0.9)
    found += [_classified(value) for value in fields.get("classifiers", [])]
    known = [expression for expression in found if expression]
    return Detection(all_of(known), 0.8) if known else NOTHING


def _detect_text(text: str) -> Detection:
    from licenseclassifier._engine import scan  # its public function hides the coverage

    coverage = scan(text)
    spans = [(match.id, match.start, match.end) for match in coverage.match]
    ids = sorted({current_id(name) for name, _, _ in spans})
    outside = _outside(text, spans)
    tags = [named(tag.strip()) for tag in _TAG.findall(outside)]
    if tags:
        return Detection(all_of([tag or UNKNOWN for tag in tags]), 1.0)
    score = min(1.0, coverage.percent / 100)
    if not ids or coverage.percent < MIN_PARTIAL_COVERAGE:
        if len(text) <= MAX_POINTER_CHARS and _OTHER_FILE.search(text):
            return NOTHING  # it says which files hold the licenses: they speak for themselves
        noticed = _noticed(text)
        return Detection(noticed or UNKNOWN, 0.5 if noticed else 0.0)
    ids = _without_implied(ids)
    if coverage.percent < MIN_COVERAGE and not _is_preamble(outside):
        ids = [*ids, UNKNOWN]  # a good part of the text is terms that nobody knows
    may_choose = len(ids) > 1 and _CHOICE.search(outside[:3000]) is not None
    return Detection(any_of(ids) if may_choose and len(ids) < 4 else all_of(ids), score)


def _outside(text: str, spans: list[tuple[str, int, int]]) -> str:
    """What no license text covers."""
    parts, last = [], 0
    for _, start, end in sorted(spans, key=lambda span: span[1]):
        parts.append(text[last : max(last, start)])
        last = max(last, end)
    return "\n".join([*parts, text[last:]])


_TERMS = re.compile(
    r"\b(?:must|shall|may not|prohibited|restrict\w*|commercial|forbidden|without (?:the )?prior"
    r"|not permitted|only if|provided that|patent)\b",
    re.IGNORECASE,
)


def _is_preamble(outside: str) -> bool:
    """Names of files, authors and headings around license texts: nothing that sounds like terms."""
    return len(_TERMS.findall(outside)) <= 1


def _without_implied(ids: list[str]) -> list[str]:
    """GPL-3.0-only beside GPL-3.0-or-later is the text and the notice that widens it."""
    later = {name.removesuffix("-or-later") for name in ids if name.endswith("-or-later")}
    return [
        name for name in ids if name.removesuffix("-only") not in later or name.endswith("later")
    ]


@functools.lru_cache(maxsize=4096)
def current_id(name: str) -> str:
    """The id that SPDX uses today for a (perhaps deprecated) one; unknown ids become a reference."""
    return spdx_expression(name) or f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]', '-', name)}"


# --- notices: a text that names its license and does not hold it

_NOTICES = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), expression)
    for pattern, expression in (
        (r"GNU Affero General Public License.{0,80}?version 3|\bAGPL-?\s?v?3", "AGPL-3.0-or-later"),
        (r"GNU (?:Lesser|Library) General Public License.{0,80}?version 2\.1|\bLGPL-?\s?v?2\.1", "LGPL-2.1-or-later"),
        (r"GNU (?:Lesser|Library) General Public License.{0,80}?version 3|\bLGPL-?\s?v?3", "LGPL-3.0-or-later"),
        (r"GNU (?:Lesser|Library) General Public License|\bLGPL\b", "LGPL-2.0-or-later"),
        (r"GNU General Public License.{0,80}?version 3|\bGPL-?\s?v?3", "GPL-3.0-or-later"),
        (r"GNU General Public License.{0,80}?version 2|\bGPL-?\s?v?2", "GPL-2.0-or-later"),
        (r"GNU General Public License|\bGPL\b", "GPL-1.0-or-later"),
        (r"Mozilla Public License.{0,40}?2\.0|\bMPL-?\s?v?2", "MPL-2.0"),
        (r"Eclipse Public License.{0,40}?2\.0", "EPL-2.0"),
        (r"Apache License,? (?:Version )?2\.0|apache\.org/licenses/LICENSE-2\.0", "Apache-2.0"),
        (r"\bMIT License\b|opensource\.org/licenses/mit", "MIT"),
        (r"\b(?:3|three)[- ]clause BSD|BSD 3[- ]clause", "BSD-3-Clause"),
        (r"\b(?:2|two)[- ]clause BSD|BSD 2[- ]clause", "BSD-2-Clause"),
        (r"\bISC License\b", "ISC"),
        (r"Creative Commons Zero|\bCC0\b", "CC0-1.0"),
    )
)  # fmt: skip
MAX_NOTICE_CHARS = 4000  # a longer text is more than a notice


def _noticed(text: str) -> str | None:
    """All licenses that a short notice names: of one family the first, which is the most exact."""
    if len(text) > MAX_NOTICE_CHARS:
        return None
    found: dict[str, str] = {}
    for pattern, expression in _NOTICES:
        if pattern.search(text):
            found.setdefault(expression.partition("-")[0], expression)
    if not found:
        return None
    # More than one name may be a choice, a history or a comparison: all of them are taken to apply.
    return all_of(list(found.values()))


# --- names, as manifests write them

_NAMES = {
    "mit": "MIT", "expat": "MIT", "mit expat": "MIT", "x11": "X11", "mit 0": "MIT-0",
    "apache": "Apache-2.0", "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache software": "Apache-2.0", "apache software 2.0": "Apache-2.0", "asl 2.0": "Apache-2.0",
    "apache v2": "Apache-2.0", "apache version 2.0": "Apache-2.0", "apache2": "Apache-2.0",
    "apache2.0": "Apache-2.0", "asl 2": "Apache-2.0", "apache v2.0": "Apache-2.0",
    "apache software version 2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "modified bsd": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause", "3 clause bsd": "BSD-3-Clause", "bsd3": "BSD-3-Clause",
    "revised bsd": "BSD-3-Clause", "bsd 3": "BSD-3-Clause", "bsd 3 clauses": "BSD-3-Clause",
    "three clause bsd": "BSD-3-Clause",
    "bsd 2 clause": "BSD-2-Clause", "2 clause bsd": "BSD-2-Clause", "simplified bsd": "BSD-2-Clause",
    "freebsd": "BSD-2-Clause", "0bsd": "0BSD", "isc": "ISC", "iscl": "ISC", "zlib": "Zlib",
    "zlib libpng": "Zlib", "boost": "BSL-1.0", "boost software": "BSL-1.0",
    "boost software 1.0": "BSL-1.0", "bsl 1.0": "BSL-1.0", "boost 1.0": "BSL-1.0",
    "python software foundation": "PSF-2.0", "psf": "PSF-2.0", "psfl": "PSF-2.0",
    "python": "Python-2.0", "unlicense": "Unlicense", "cc0": "CC0-1.0", "cc0 1.0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0", "wtfpl": "WTFPL", "hpnd": "HPND",
    "historical permission notice and disclaimer": "HPND", "artistic 2.0": "Artistic-2.0",
    "public domain": "LicenseRef-scancode-public-domain", "mulan psl v2": "MulanPSL-2.0",
    "blueoak 1.0.0": "BlueOak-1.0.0", "zpl 2.1": "ZPL-2.1", "zope public": "ZPL-2.1",
    "academic free": "AFL-3.0", "universal permissive": "UPL-1.0", "the unlicense": "Unlicense",
    "mpl 2.0": "MPL-2.0", "mpl2": "MPL-2.0", "mozilla public 2.0": "MPL-2.0", "mpl": "MPL-2.0",
    "mozilla public": "MPL-2.0", "mozilla public version 2.0": "MPL-2.0", "mpl v2.0": "MPL-2.0",
    "mozilla public 1.1": "MPL-1.1", "epl 1.0": "EPL-1.0", "epl 2.0": "EPL-2.0",
    "eclipse public": "EPL-1.0", "eclipse public 1.0": "EPL-1.0", "eclipse public 2.0": "EPL-2.0",
    "eclipse public v2.0": "EPL-2.0", "eclipse public v 2.0": "EPL-2.0",
    "cddl": "CDDL-1.0", "cddl 1.0": "CDDL-1.0", "eupl 1.2": "EUPL-1.2",
    "european union public licence 1.2": "EUPL-1.2", "cecill": "CECILL-2.1",
    "gpl": "GPL-1.0-or-later", "gnu gpl": "GPL-1.0-or-later", "gnu general public": "GPL-1.0-or-later",
    "gpl 2": "GPL-2.0-only", "gpl 2.0": "GPL-2.0-only", "gplv2": "GPL-2.0-only",
    "gpl v2": "GPL-2.0-only", "gnu gpl v2": "GPL-2.0-only", "gnu gpl 2": "GPL-2.0-only",
    "gnu general public v2": "GPL-2.0-only", "gplv2+": "GPL-2.0-or-later",
    "gpl 2+": "GPL-2.0-or-later", "gnu general public v2 or later": "GPL-2.0-or-later",
    "gplv2 or later": "GPL-2.0-or-later", "gpl v2+": "GPL-2.0-or-later",
    "gpl 3": "GPL-3.0-only", "gpl 3.0": "GPL-3.0-only", "gplv3": "GPL-3.0-only",
    "gpl v3": "GPL-3.0-only", "gnu gpl v3": "GPL-3.0-only", "gnu gpl 3": "GPL-3.0-only",
    "gnu gplv3": "GPL-3.0-only", "gnu general public v3": "GPL-3.0-only",
    "gplv3+": "GPL-3.0-or-later", "gpl 3+": "GPL-3.0-or-later", "gpl v3+": "GPL-3.0-or-later",
    "gnu general public v3 or later": "GPL-3.0-or-later", "gplv3 or later": "GPL-3.0-or-later",
    "lgpl": "LGPL-2.0-or-later", "gnu lgpl": "LGPL-2.0-or-later",
    "gnu lesser general public": "LGPL-2.0-or-later",
    "gnu library or lesser general public": "LGPL-2.0-or-later",
    "lgpl 2.1": "LGPL-2.1-only", "lgplv2.1": "LGPL-2.1-only", "lgplv2.1+": "LGPL-2.1-or-later",
    "gnu lesser general public v2": "LGPL-2.0-only", "lgplv2": "LGPL-2.0-only",
    "gnu lesser general public v2 or later": "LGPL-2.0-or-later", "lgplv2+": "LGPL-2.0-or-later",
    "lgpl 3": "LGPL-3.0-only", "lgpl 3.0": "LGPL-3.0-only", "lgplv3": "LGPL-3.0-only",
    "gnu lesser general public v3": "LGPL-3.0-only", "lgplv3+": "LGPL-3.0-or-later",
    "gnu lesser general public v3 or later": "LGPL-3.0-or-later", "lgpl 3+": "LGPL-3.0-or-later",
    "lgpl 2.1+": "LGPL-2.1-or-later",
    "agpl": "AGPL-3.0-only", "agpl 3.0": "AGPL-3.0-only", "agplv3": "AGPL-3.0-only",
    "gnu affero general public v3": "AGPL-3.0-only", "agplv3+": "AGPL-3.0-or-later",
    "gnu affero general public v3 or later": "AGPL-3.0-or-later",
    "unlicensed": PROPRIETARY, "proprietary": PROPRIETARY, "other proprietary": PROPRIETARY,
    "commercial": PROPRIETARY, "all rights reserved": PROPRIETARY, "private": PROPRIETARY,
    "nvidia proprietary software": PROPRIETARY,
}  # fmt: skip
_FILLER = re.compile(r"\b(?:the|licen[cs]e[ds]?|licensing|under|of)\b|[,;:()\"'_/-]+")
_POINTER = re.compile(r"^\W*(?:see|file|look|read|refer|custom|dual|other|various|unknown)\b|licen[cs]e\.\w+\W*$|^licen[cs]e$", re.IGNORECASE)  # fmt: skip
MAX_NAME_CHARS = 400  # beyond it a field holds a license text


@functools.lru_cache(maxsize=65_536)
def named(stated: str) -> str:
    """The expression that a license field means; LicenseRef-unknown where nobody can say."""
    text = stated.strip()
    known = _named_plainly(text)
    if known is not None:
        return known
    if len(text) > MAX_NAME_CHARS:
        return _detect_text(text).expression or UNKNOWN
    for operator, join in ((" OR ", any_of), (" AND ", all_of)):
        # "MIT or Apache 2.0": names that are no ids, joined by words
        parts = re.split(operator, text.strip("()"), flags=re.IGNORECASE)
        if len(parts) > 1 and "(" not in text.strip("()"):
            return join([_named_plainly(part.strip()) or UNKNOWN for part in parts])
    return _noticed(text) or UNKNOWN


def _named_plainly(text: str) -> str | None:
    if text.upper() == "UNLICENSED":  # npm's word for "no license is given"; SPDX has Unlicense
        return PROPRIETARY
    found = spdx_expression(text)
    if found is not None:
        return found
    plain = " ".join(_FILLER.sub(" ", text.lower()).split()).rstrip(".")
    return _NAMES.get(plain) or _NAMES.get(re.sub(r"\bversion ", "", plain))


def _points_elsewhere(stated: str) -> bool:
    """ "SEE LICENSE IN x", "LICENSE.txt": says where the license is, not which."""
    return len(stated) < 100 and _POINTER.search(stated.strip()) is not None


def _classified(classifier: str) -> str | None:
    """Of a trove classifier; one that only says "OSI Approved" states nothing."""
    name = classifier.rsplit("::", 1)[1].strip()
    if name in ("OSI Approved", "DFSG approved"):
        return None
    name = re.sub(r"\s*\([^)]*\)", "", name).replace("later", "later")
    return named(name)
