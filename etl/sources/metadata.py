"""What does a package say of itself?    METADATA, PKG-INFO, package.json, Cargo.toml -> Package"""

from __future__ import annotations

import email.parser
import json
import re
import tomllib
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
    text = raw[:MAX_BYTES].decode("utf-8", "replace").replace("\0", "")
    # Headers end at the first empty line; the description behind it can be anything.
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    fields = email.parser.HeaderParser().parsestr(head)
    classifiers = [
        value.rsplit("::", 1)[1].strip()
        for value in fields.get_all("Classifier", [])
        if value.startswith("License ::")
    ]
    # Several classifiers do not say "and" or "or": read as the stricter of the two.
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
    except (ValueError, RecursionError):
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
        _repository_url(_text(url)),
        tuple(people),
    )


def crate_metadata(raw: bytes) -> Package:
    """Of Cargo.toml."""
    try:
        fields = tomllib.loads(raw[:MAX_BYTES].decode("utf-8")).get("package")
    except (ValueError, RecursionError):
        return Package()
    if not isinstance(fields, dict):
        return Package()
    authors = fields.get("authors")
    people = [_npm_person(value, "author") for value in authors or () if isinstance(authors, list)]
    return Package(
        _text(fields.get("name")),
        _text(fields.get("version")),
        _text(fields.get("license")),
        _repository_url(_text(fields.get("repository")) or _text(fields.get("homepage"))),
        tuple(person for person in people if person),
    )


def _repository_url(url: str | None) -> str | None:
    """As a web address where it is a git one; without a user's name and password."""
    if url is None:
        return None
    short = re.fullmatch(r"(?:github:)?([\w.-]+/[\w.-]+)", url)
    if short:
        url = f"https://github.com/{short[1]}"
    url = re.sub(r"^(git\+)?(git|https?|ssh)://", lambda found: _scheme(found[2]), url)
    return re.sub(r"^(https?://)[^@/]*@", r"\1", url).removesuffix(".git")


def _scheme(stated: str) -> str:
    return "http://" if stated == "http" else "https://"


def _text(value: Any) -> str | None:
    """A string that UTF-8 can hold: JSON can escape half a character."""
    if not isinstance(value, str):
        return None
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8") or None


def _short(value: str | None) -> str | None:
    """A field of one line; older packages put whole license texts into License."""
    if value is None or value.strip() in ("", "UNKNOWN"):
        return None
    text = str(value).strip()
    return text if "\n" not in text and len(text) <= 200 else None


def _url(fields: Any) -> str | None:
    labelled: dict[str, str] = {}
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
        found = re.match(r"([^<(]*)(?:<([^>]*)>)?", _text(value) or "")
        if found and found[0]:
            return Person(found[1].strip(), (found[2] or "").strip(), role)
    return None
