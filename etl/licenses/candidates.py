"""What does a license file or manifest state?    content -> normalised text, its hash

Most license files are one text with another copyright line: normalised they fall together, and each
text is detected once. Of a manifest only the license fields are kept.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

import pyarrow as pa

from etl.licenses.names import TEXT

LICENSE_VERSION = 2

MAX_TEXT_CHARS = 256 << 10  # of a license text; what lies beyond is not looked at
MAX_MANIFEST_CHARS = 1 << 18  # a longer manifest is data and states nothing
_ANY_LENGTH = ("metadata", "text")  # a description may follow, which is not looked at

CANDIDATE = pa.struct(
    [("license_role", pa.string()), ("text_hash", pa.string()), ("text", pa.string())]
)

# All three see a line without runs of blanks, and none has two ways through one run: linear time.
_DECORATION = re.compile(
    r"^(?:(?://+|/\*+|\*+/|\*+|#+|;+|--+|<!--|-->|%+|\.\.|>|\|) ?)+| ?(?<!\*)\*+/$"
)
_COPYRIGHT = re.compile(  # a year or a sign is what tells a notice from a sentence about notices
    r"^\W*(?:(?:portions\W+)?copyright\b.{0,60}\b(?:19|20)\d\d\b|\(c\)\s*(?:19|20)\d\d\b|©"
    r"|(?:portions\W+)?copyright\s*(?:\(c\)|©)|all rights reserved\W*$)",
    re.IGNORECASE,
)
_MEANS_SOMETHING = re.compile(  # more than who holds the copyright: such a line stays
    r"licen[cs]|permi|grant|redistribut|distribut|warrant|gpl|\bus(?:e[ds]?|ing|age)\b|commercial"
    r"|forbid|prohibit|\bmay\b|\bmust\b|\bshall\b|\bnot?\b|\bcop(?:y|ies|ied|ying)\b|modif|patent"
    r"|provided|subject|terms|condition|spdx|\bunder\b|public domain|confidential|proprietary"
    r"|\bare\b|\bis\b|deriv|based on",
    re.IGNORECASE,
)
_RESERVED = re.compile(r"all rights reserved", re.IGNORECASE)
_EMAIL = re.compile(r"<?(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[\w-]{1,63}>?")
# Addresses that are words of a license, in lower case. Source: the texts of SPDX's license list.
_ADDRESSES = """
    apache@apache.org bram@vim.org eay@cryptsoft.com foundation@openldap.org freetype@nongnu.org
    freetype-devel@nongnu.org group@php.net jseward@acm.org jseward@bzip.org license@saxpath.org
    license@sendmail.com license@zend.com maintainer@vim.org openssl-core@openssl.org
    pm@saxpath.org qhull_bug@qhull.org site-policy@w3.org tjh@cryptsoft.com vocal@vovida.org
"""
_OF_LICENSES = frozenset(_ADDRESSES.split())
_MARKUP = re.compile(
    r"</?(?:p|br|pre|html|body|head|title|div|span|b|i|em|strong|center|h\d|ul|ol|li|a|tt|code"
    r"|blockquote)\b[^<>]{0,200}>",
    re.IGNORECASE,
)


def extract(role: str, text: str) -> tuple[str | None, str | None]:
    """Hash (of role and text) and text; two times None where the file states nothing."""
    if role == TEXT:
        stated = _stated_text(text)
    else:
        bounded = text if role in _ANY_LENGTH else text[: MAX_MANIFEST_CHARS + 1]
        found = {} if len(bounded) > MAX_MANIFEST_CHARS else _FIELDS[role](text)
        fields = {key: value for key, value in found.items() if value}
        stated = json.dumps(fields, sort_keys=True, ensure_ascii=False) if fields else ""
    if not stated:
        return None, None
    return hashlib.sha256(f"{role}\n{stated}".encode("utf-8", "replace")).hexdigest(), stated


def _stated_text(text: str) -> str:
    stated = normalised(text)
    if not stated and _RESERVED.search(text[:MAX_TEXT_CHARS]):
        return "All rights reserved."  # a copyright line that says so is a statement
    return stated


def normalised(text: str) -> str:
    """A license text without copyright lines, addresses, decoration and differences of blanks.

    Case and punctuation stay: detection gives the same for it as for the original, and two licenses
    never become one, for no word of a sentence is dropped.
    """
    lines = []
    for line in text[:MAX_TEXT_CHARS].splitlines():
        bare = _DECORATION.sub("", " ".join(_MARKUP.sub(" ", line).split()))
        if _COPYRIGHT.match(bare) and not _MEANS_SOMETHING.search(bare):
            continue
        lines.append(" ".join(_EMAIL.sub(_kept_address, bare).split()))
    return "\n".join(line for line in lines if line.strip("-=*_~ "))


def _kept_address(match: re.Match[str]) -> str:
    return match[0] if match[0].strip("<>").lower() in _OF_LICENSES else ""


def license_candidates(content: pa.Array, roles: pa.ListArray) -> pa.ListArray:
    """For each content a list of CANDIDATE, one a role; a row without roles costs nothing."""
    found: list[list[dict[str, Any]]] = [[] for _ in range(len(content))]
    for row, role in zip(
        roles.value_parent_indices().to_pylist(), roles.flatten().to_pylist(), strict=True
    ):
        text_hash, text = extract(role, content[row].as_py() or "")
        found[row].append({"license_role": role, "text_hash": text_hash, "text": text})
    return pa.array(found, pa.list_(CANDIDATE))


# --- manifests: text -> expression, license, classifiers; a broken one states nothing


def _fields(
    expression: Any = None, license_: Any = None, classifiers: Any = None
) -> dict[str, Any]:
    """What is not a string is not a statement; a whole text is kept as a license file's is."""
    if isinstance(license_, str) and "\n" in license_.strip():
        license_ = _stated_text(license_)
    listed = classifiers if isinstance(classifiers, list) else []
    return {
        "expression": expression if isinstance(expression, str) else None,
        "license": license_ if isinstance(license_, str) else None,
        "classifiers": sorted(
            {value for value in listed if isinstance(value, str) and value.startswith("License ::")}
        ),
    }


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):  # TOMLDecodeError, or a number that Python refuses
        return {}


def _section(values: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _pyproject(text: str) -> dict[str, Any]:
    values = _toml(text)
    project, poetry = _section(values, "project"), _section(values, "tool", "poetry")
    stated = project.get("license")
    classifiers = project.get("classifiers") or poetry.get("classifiers")
    if isinstance(stated, dict):  # {text = ...}; {file = ...} is the file itself
        return _fields(None, stated.get("text"), classifiers)
    return _fields(stated, poetry.get("license"), classifiers)


def _cargo(text: str) -> dict[str, Any]:
    values = _toml(text)
    own = _section(values, "package").get("license")
    stated = own or _section(values, "workspace", "package").get("license")
    # Before SPDX, crates wrote a slash for "or".
    return _fields(stated.replace("/", " OR ") if isinstance(stated, str) else None)


def _setup_cfg(text: str) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    if not parser.has_section("metadata"):
        return {}
    section = parser["metadata"]
    classifiers = section.get("classifiers", section.get("classifier", "")).splitlines()
    return _fields(
        section.get("license_expression"),
        section.get("license"),
        [line.strip() for line in classifiers],
    )


def _package_json(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    stated = values.get("license") or values.get("licenses")
    if isinstance(stated, dict):
        stated = stated.get("type")
    if isinstance(stated, list):  # the old form: a list of alternatives
        names = [item.get("type") if isinstance(item, dict) else item for item in stated]
        stated = " OR ".join(f"({name})" for name in names if isinstance(name, str))
    return _fields(stated)


def _metadata(text: str) -> dict[str, Any]:
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    values: dict[str, list[Any]] = {}
    name = ""
    for line in head.splitlines():
        if line[:1] in (" ", "\t"):
            if name:
                values[name][-1] += "\n" + line.strip().removeprefix("|").strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            values.setdefault(name, []).append(value.strip())
    stated = values.get("license", [""])[0][:MAX_TEXT_CHARS]
    return _fields(
        values.get("license-expression", [None])[0],
        None if stated == "UNKNOWN" else stated,
        values.get("classifier"),
    )


def _pom(text: str) -> dict[str, Any]:
    """Names of project/licenses/license. A document type is refused: no entity is expanded."""
    names: list[str] = []
    where: list[str] = []

    def start(tag: str, _: Any) -> None:
        where.append(tag.rpartition(":")[2])
        if where == ["project", "licenses", "license", "name"]:
            names.append("")

    def data(characters: str) -> None:
        if where == ["project", "licenses", "license", "name"]:
            names[-1] += characters

    def refuse(*_: Any) -> None:
        raise expat.ExpatError("a document type declaration is not read")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: where.pop()
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except (expat.ExpatError, ValueError, IndexError):
        return {}
    # Maven's licenses are alternatives only if said so, which the file cannot say: all apply.
    return {"names": sorted({name.strip() for name in names if name.strip()})}


_RUBY_COMMENT = re.compile(r"^=begin\b.*?^=end\b|^__END__\b.*", re.MULTILINE | re.DOTALL)
_GEM_LICENSE = re.compile(  # on a line where no comment begins before it
    r"""^[^#\n]{0,500}?\.licen[sc]es?\s*=\s*"""
    r"""(\[[^\]]{0,500}\]|%w[\[(][^\])]{0,500}[\])]|['"][^'"\n]{0,200}['"])""",
    re.MULTILINE,
)


def _gemspec(text: str) -> dict[str, Any]:
    """Of several assignments, which only a run of the file could tell apart, all apply."""
    assigned = _GEM_LICENSE.findall(_RUBY_COMMENT.sub("", text))
    stated = sorted({name for name in map(_gem_licenses, assigned) if name})
    return _fields(" AND ".join(f"({name})" for name in stated) if stated[1:] else "".join(stated))


def _gem_licenses(value: str) -> str:
    value = re.sub(r"#[^\n]*", "", value)
    is_words = value.startswith("%w")
    names = value[3:-1].split() if is_words else re.findall(r"['\"]([^'\"]+)['\"]", value)
    return " OR ".join(f"({name})" for name in names) if len(names) > 1 else "".join(names)


_FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "pyproject": _pyproject,
    "setup_cfg": _setup_cfg,
    "package_json": _package_json,
    "cargo": _cargo,
    "pom": _pom,
    "metadata": _metadata,
    "gemspec": _gemspec,
}
