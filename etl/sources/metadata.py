"""What does a package say of itself?    METADATA, PKG-INFO or package.json -> name, license, people"""

from __future__ import annotations

import email.parser
import json
import re
from email.utils import getaddresses
from typing import Any, NamedTuple

from etl.sources.records import Person

MAX_BYTES = 1 << 20  # a longer manifest is not read
PEOPLE_FIELDS = (("Author", "author"), ("Maintainer", "maintainer"))
URL_LABELS = ("source", "repository", "source code", "code", "github", "homepage", "home")


class Package(NamedTuple):
    name: str | None = None
    version: str | None = None
    license: str | None = None
    url: str | None = None
    people: tuple[Person, ...] = ()


def core_metadata(raw: bytes) -> Package:
    """Of Python's core metadata (METADATA, PKG-INFO); what cannot be parsed is left out."""
    text = raw[:MAX_BYTES].decode("utf-8", "replace")
    # Headers end at the first empty line; the description behind it can be anything.
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    fields = email.parser.HeaderParser().parsestr(head)
    classifiers = [
        value.rsplit("::", 1)[1].strip()
        for value in fields.get_all("Classifier", [])
        if value.startswith("License ::")
    ]
    stated = fields.get("License-Expression") or _short(fields.get("License"))
    return Package(
        _short(fields.get("Name")),
        _short(fields.get("Version")),
        stated or " AND ".join(sorted(set(classifiers))) or None,
        _url(fields),
        _people(fields),
    )


def npm_metadata(raw: bytes) -> Package:
    """Of package.json."""
    try:
        fields = json.loads(raw[:MAX_BYTES])
    except ValueError:
        return Package()
    if not isinstance(fields, dict):
        return Package()
    stated = fields.get("license")
    if isinstance(stated, dict):
        stated = stated.get("type")
    people = []
    for role, key in (
        ("author", "author"),
        ("maintainer", "maintainers"),
        ("author", "contributors"),
    ):
        values = fields.get(key) or []
        for value in values if isinstance(values, list) else [values]:
            person = _npm_person(value, role)
            if person:
                people.append(person)
    repository = fields.get("repository")
    url = repository.get("url") if isinstance(repository, dict) else repository
    return Package(
        _text(fields.get("name")),
        _text(fields.get("version")),
        _text(stated),
        _text(url),
        tuple(people),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _short(value: str | None) -> str | None:
    """A field of one line; older packages put whole license texts into License."""
    if value is None or value.strip() in ("", "UNKNOWN"):
        return None
    text = str(value).strip()
    return text if "\n" not in text and len(text) <= 200 else None


def _url(fields: Any) -> str | None:
    labelled = {}
    for value in fields.get_all("Project-URL", []):
        label, _, url = value.partition(",")
        labelled[label.strip().lower()] = url.strip()
    for label in URL_LABELS:
        if label in labelled:
            return labelled[label]
    return _short(fields.get("Home-page"))


def _people(fields: Any) -> tuple[Person, ...]:
    people = []
    for field, role in PEOPLE_FIELDS:
        name = _short(fields.get(field))
        addresses = [pair for pair in getaddresses(fields.get_all(f"{field}-email", [])) if pair[1]]
        people += [Person(shown or name or "", address, role) for shown, address in addresses]
        if name and not addresses:
            people.append(Person(name, "", role))
    return tuple(people)


def _npm_person(value: Any, role: str) -> Person | None:
    if isinstance(value, dict):
        return Person(_text(value.get("name")) or "", _text(value.get("email")) or "", role)
    if isinstance(value, str):
        found = re.match(r"([^<(]*)(?:<([^>]*)>)?", value)
        if found:
            return Person(found[1].strip(), (found[2] or "").strip(), role)
    return None
