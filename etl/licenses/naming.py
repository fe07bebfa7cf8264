"""Which license does a name mean, as manifests and notices write it?    words -> SPDX expression

A name that is no SPDX id is looked up in a table; joined names are taken apart; what is left is
searched for well-known names. A GNU license without "or later" is the version named and no other.
"""

from __future__ import annotations

import re

from etl.licenses.categories import (
    PROPRIETARY,
    UNKNOWN,
    all_of,
    any_of,
    category,
    ids_of,
    spdx_expression,
)

MAX_NAME_CHARS = 400  # beyond it a field holds a license text
MAX_NOTICE_CHARS = 4000  # a longer text is more than a notice

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
    "bsd 2 clause": "BSD-2-Clause", "2 clause bsd": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
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
    "european union public 1.2": "EUPL-1.2", "cecill": "CECILL-2.1",
    "gpl": "GPL-1.0-or-later", "gnu gpl": "GPL-1.0-or-later",
    "gnu general public": "GPL-1.0-or-later",
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
# Names of a family: beside a text of it they say nothing more.
_FAMILIES = frozenset(
    {
        "bsd", "gpl", "gnu gpl", "gnu general public", "lgpl", "gnu lgpl", "agpl", "apache",
        "gnu lesser general public", "gnu library or lesser general public", "apache software",
        "mpl", "mozilla public", "eclipse public", "zope public", "academic free", "cddl", "cc0",
        "boost", "python",
    }
)  # fmt: skip
_FILLER = re.compile(r"\b(?:the|licen[cs]e[ds]?|licensing|under|of)\b|[,;:()\"'_/-]+")
_POINTER = re.compile(
    r"^\W*(?:see|look|read|refer|file)\b|^\W*(?:licen[cs]e|copying)(?:[-._]\w+)*\W*$", re.IGNORECASE
)
_SAYS_NOTHING = re.compile(
    r"^\W*(?:dual|multiple|various|mixed|unknown|none|other|custom)?\W*(?:licen[cs]e[ds]?)?\W*$",
    re.IGNORECASE,
)


def named(stated: str) -> str:
    """The expression that a short license field means; LicenseRef-unknown where nobody can say."""
    text = stated.strip()
    return _one_name(text) or _joined_names(text) or noticed(text) or UNKNOWN


def classified(classifier: str) -> str | None:
    """Of a trove classifier; one that only says "OSI Approved" states nothing."""
    name = classifier.rpartition("::")[2].strip()
    if name in ("", "OSI Approved", "DFSG approved"):
        return None
    bare = re.sub(r"\s*\([^)]*\)", "", name)
    inside = re.search(r"\(([^()]+)\)$", name)
    return _one_name(bare) or (_one_name(inside[1]) if inside else None) or named(bare)


def is_family(stated: str) -> bool:
    """It names a family of licenses, such as "BSD", and not which of them."""
    return _plain(re.sub(r"\s*\([^)]*\)", "", stated.rpartition("::")[2])) in _FAMILIES


def points_elsewhere(stated: str) -> bool:
    """ "SEE LICENSE IN x", "LICENSE.txt": says where the license is, not which."""
    return len(stated) < 100 and _POINTER.search(stated) is not None and named(stated) == UNKNOWN


def says_nothing(stated: str) -> bool:
    """ "Dual License", "Other": there is a license, and the field does not say which."""
    return _SAYS_NOTHING.match(stated) is not None


def _plain(text: str) -> str:
    return " ".join(_FILLER.sub(" ", text.lower()).split()).rstrip(".")


def _one_name(text: str) -> str | None:
    if text.upper() == "UNLICENSED":  # npm's word for "no license is given"; SPDX has Unlicense
        return PROPRIETARY
    found = spdx_expression(text)
    if found is not None:
        return found
    plain = _plain(text)
    return _NAMES.get(plain) or _NAMES.get(re.sub(r"\bversion ", "", plain))


def _joined_names(text: str) -> str | None:
    """ "MIT or Apache 2.0": names that are no ids, joined by words. A bare list is an AND."""
    for operator in (r"\s+or\s+(?!later\b|newer\b|any\b)", r"\s+and\s+", r"\s*[,/&;|]\s*"):
        parts = re.split(operator, _without_brackets(text), flags=re.IGNORECASE)
        if len(parts) < 2 or any(part.count("(") != part.count(")") for part in parts):
            continue
        found = [_one_name(part.strip()) or _joined_names(part.strip()) for part in parts]
        known = [expression for expression in found if expression]
        if len(known) == len(parts):
            return any_of(known) if "or" in operator else all_of(known)
        if known and "," not in operator:
            read = [
                expression or noticed(part) or UNKNOWN
                for expression, part in zip(found, parts, strict=True)
            ]
            return any_of(read) if "or" in operator else all_of(read)
    return None


def _without_brackets(text: str) -> str:
    text = text.strip()
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and place < len(text) - 1:
            return text  # (A) OR (B)
    return text[1:-1].strip()


# --- notices: a text that names its license and does not hold it

_GNU = re.compile(
    r"(?:GNU (?P<words>(?:Affero|Lesser|Library) )?General Public Licen[cs]e"
    r"|\b(?P<letters>[AL]?)GPL)"
    r"(?:.{0,80}?version |[-\s,(]{0,3}v?(?:ersion )?)(?P<version>[123](?:\.\d)?)(?P<plus>\+)?"
    r"|GNU (?P<words_alone>(?:Affero|Lesser|Library) )?General Public Licen[cs]e"
    r"|\b(?P<letters_alone>[AL]?)GPL\b(?![- ]compatible)",
    re.IGNORECASE | re.DOTALL,
)
_LATER = re.compile(
    r"\bor\b.{0,40}?\b(?:later|newer|greater|higher)\b|-or-later|\bany later",
    re.IGNORECASE | re.DOTALL,
)
_VERSIONS = {  # those that exist; the first is what a name without version means
    "GPL": ("1.0", "2.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "AGPL": ("3.0", "1.0"),
}
_NOTICES = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), expression)
    for pattern, expression in (
        (r"Mozilla Public License.{0,40}?2\.0|\bMPL-?\s?v?2", "MPL-2.0"),
        (r"Mozilla Public License.{0,40}?1\.1|\bMPL-?\s?v?1\.1", "MPL-1.1"),
        (r"Eclipse Public License.{0,40}?2\.0|\bEPL-?\s?v?2", "EPL-2.0"),
        (r"Eclipse Public License.{0,40}?1\.0|\bEPL-?\s?v?1", "EPL-1.0"),
        (r"Common Development and Distribution License|\bCDDL\b", "CDDL-1.0"),
        (r"Apache License,? (?:Version )?2\.0|apache\.org/licenses/LICENSE-2\.0", "Apache-2.0"),
        (r"\bMIT License\b|opensource\.org/licenses/mit", "MIT"),
        (r"\b(?:3|three)[- ]clause BSD|BSD 3[- ]clause", "BSD-3-Clause"),
        (r"\b(?:2|two)[- ]clause BSD|BSD 2[- ]clause", "BSD-2-Clause"),
        (r"\bISC License\b", "ISC"),
        (r"Creative Commons Zero|\bCC0\b", "CC0-1.0"),
    )
)
_MORE_TERMS = re.compile(
    r"proprietary|confidential|all rights reserved|non[- ]?commercial|commercial use|evaluation"
    r"|not permitted|prohibited|forbidden|may not|internal use|personal use",
    re.IGNORECASE,
)


def noticed(text: str) -> str | None:
    """All licenses that a short notice names; with terms of its own they are not the whole."""
    if len(text) > MAX_NOTICE_CHARS:
        return None
    found = gnu_licenses(text)
    found += [expression for pattern, expression in _NOTICES if pattern.search(text)]
    if not found:
        return None
    # More than one name may be a choice, a history or a comparison: all of them are taken to apply.
    expression = all_of(found)
    if category(expression) == "permissive" and _MORE_TERMS.search(text):
        return all_of([expression, UNKNOWN])
    return expression


def gnu_licenses(text: str) -> list[str]:
    """GPL, LGPL and AGPL that a text names: of each the versions, or one name if it names none."""
    exact: set[str] = set()
    families: set[str] = set()
    for match in _GNU.finditer(text):
        words = (match["words"] or match["words_alone"] or "").strip().lower()
        letters = {"affero": "A", "lesser": "L", "library": "L"}.get(
            words, (match["letters"] or match["letters_alone"] or "").upper()
        )
        family = f"{letters}GPL"
        families.add(family)
        version = match["version"] or ""
        version = version if "." in version else f"{version}.0"
        if version in _VERSIONS[family]:
            is_later = match["plus"] or _LATER.search(text[match.end() : match.end() + 90])
            exact.add(f"{family}-{version}-{'or-later' if is_later else 'only'}")
    later = {name.removesuffix("-or-later") for name in exact if name.endswith("-or-later")}
    exact = {name for name in exact if name.removesuffix("-only") not in later}
    unnamed = families - {name.partition("-")[0] for name in exact}
    return sorted(exact | {f"{family}-{_VERSIONS[family][0]}-or-later" for family in unnamed})


def is_within(expression: str, whole: str) -> bool:
    """Every license of `expression` is, in whatever version, of a family that `whole` names."""
    families = {name.partition("-")[0] for name in ids_of(whole)}
    return all(name.partition("-")[0] in families for name in ids_of(expression))
