"""Labelled lines from real packages, by what distributions say of their own people.

    folder of installed packages, folder of source distributions -> lines, by package

The people that any package names (manifests, AUTHORS, license headers, tags: `etl.facts.pii_names`) are
looked for in the candidate lines of all; what the pattern layer finds is labelled too. Then every value
found is replaced by a made one: nobody's name, address or key is in the data. What has the form of a name
and is nobody's is not known, and no loss is taken of it, unless it stands in three packages or more: a
person is not in all of them, `Visual Studio` is.
"""

from __future__ import annotations

import collections
import email.parser
import hashlib
import json
import logging
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import getaddresses
from pathlib import Path

import numpy as np
import pyarrow as pa

from etl.context_pii.lines import PROSE_EXTENSIONS, candidate_lines, line_texts
from etl.errors import ConfigError
from etl.facts import pii
from etl.facts.pii_names import NAME, is_person, person_hashes
from etl.facts.pii_people import find_people
from training.ner.made import Labelled
from training.ner.names import People

logger = logging.getLogger(__name__)

PACKAGE_BYTES = 4 << 20  # of a package that are read
FILE_BYTES = 200_000
PACKAGE_LINES = 400
MANY_PACKAGES = 3
HELD_OUT_SHARE = 0.15
_ENTITIES = {
    "name": "NAME",
    "username": "USERNAME",
    "password": "PASSWORD",
    "key": "KEY",
    "email": "",
}
_MENTION = re.compile(r"(?<![\w.`])@[A-Za-z][\w-]+(?![\w/.(])")
_COMPILED = re.compile(r"(^|/)__pycache__/|\.(?:py[co]|so|dll|exe|png|jpg|gif|gz|zip|whl)$")


@dataclass
class Package:
    """Its texts, code and prose apart, each joined to one; and hashes of whom it names."""

    name: str
    code: str = ""
    prose: str = ""
    people: set[int] = field(default_factory=set)

    @property
    def is_held_out(self) -> bool:
        digest = hashlib.sha256(self.name.encode()).digest()
        return digest[0] < 256 * HELD_OUT_SHARE


@dataclass(frozen=True)
class Line:
    """A candidate line of a package, with the spans (start, end, kind) in it, in characters."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


def labelled_lines(
    site_packages: Path, sdists: Path, excluded: frozenset[str], seed: int, num_fills: int = 1
) -> tuple[list[Labelled], list[Labelled]]:
    """Lines of packages that are learned from, each with `num_fills` sets of made values, and of those that
    are held out."""
    packages = [
        package
        for package in (*_installed(site_packages), *_archived(sdists))
        if package.name not in excluded
    ]
    if not packages:
        raise ConfigError(
            f"{site_packages}, {sdists}: expected packages, found none: set --sources"
        )
    everybody: set[int] = set()
    for package in packages:
        for row in pii.scan(pa.array([package.code, package.prose])).field("people").to_pylist():
            package.people.update(row)
        everybody |= package.people
    by_package = {package.name: _lines_of(package, sorted(everybody)) for package in packages}
    num_packages = collections.Counter(
        form
        for lines in by_package.values()
        for form in {f for line in lines for f in _forms(line)}
    )
    halves: tuple[list[Labelled], list[Labelled]] = ([], [])
    makers = (People(seed, False), People(seed, True))
    for package in packages:
        half = int(package.is_held_out)
        for line in by_package[package.name]:
            for _ in range(1 if half else num_fills):
                halves[half].append(_labelled(line, num_packages, makers[half]))
    logger.info(
        "%d packages, %d hashes of people; lines: %d, held out %d",
        len(packages), len(everybody), len(halves[0]), len(halves[1]),
    )  # fmt: skip
    return halves


def excluded_packages(labels: Path) -> frozenset[str]:
    """Names of the packages of a labelled set, which nothing is learned from."""
    try:
        rows = [json.loads(line) for line in labels.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{labels}: expected the labelled set, found {type(error).__name__}: set --exclude"
        ) from None
    return frozenset(_normal(row["package"].split("==")[0]) for row in rows)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(folder: Path) -> Iterator[Package]:
    for info in sorted(folder.glob("*.dist-info")):
        record, metadata = info / "RECORD", info / "METADATA"
        if not record.is_file():
            continue
        package = Package(_normal(info.name.removesuffix(".dist-info").rpartition("-")[0]))
        if metadata.is_file():
            package.people |= _manifest_people(metadata.read_text("utf-8", "replace"))
        paths = sorted(line.split(",")[0] for line in record.read_text("utf-8").splitlines())
        _fill(package, ((path, _read(folder / path)) for path in paths if ".." not in path))
        yield package


def _read(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > FILE_BYTES or _COMPILED.search(str(path)):
        return b""
    return path.read_bytes()


def _archived(folder: Path) -> Iterator[Package]:
    """The newest archive of each name, by the order of file names."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.glob("*.tar.gz")):
        newest[_normal(path.name.removesuffix(".tar.gz").rpartition("-")[0])] = path
    for name, path in newest.items():
        package = Package(name)
        with tarfile.open(path) as archive:
            _fill(package, _members(package, archive))
        yield package


def _members(package: Package, archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in sorted(archive.getmembers(), key=lambda member: member.name):
        if not member.isfile() or member.size > FILE_BYTES or _COMPILED.search(member.name):
            continue
        file = archive.extractfile(member)
        raw = file.read() if file is not None else b""
        if member.name.endswith("PKG-INFO"):
            package.people |= _manifest_people(raw.decode("utf-8", "replace"))
        yield member.name, raw


def _manifest_people(text: str) -> set[int]:
    head = re.split(r"\r?\n\r?\n", text.replace("\0", ""), maxsplit=1)[0]
    fields = email.parser.HeaderParser().parsestr(head)
    hashes: set[int] = set()
    for role in ("Author", "Maintainer"):
        hashes.update(person_hashes(fields.get(role) or "", ""))
        for name, address in getaddresses(fields.get_all(f"{role}-email", [])):
            hashes.update(person_hashes(name, address))
    return hashes


def _fill(package: Package, files: Iterator[tuple[str, bytes]]) -> None:
    texts: dict[bool, list[str]] = {False: [], True: []}
    size = 0
    for path, raw in files:
        if not raw or b"\0" in raw or size > PACKAGE_BYTES:
            continue
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            continue
        size += len(raw)
        basename = path.rpartition("/")[2]
        extension = basename.rpartition(".")[2].lower() if "." in basename else ""
        texts[extension in PROSE_EXTENSIONS].append(text)
    package.code, package.prose = ("\n".join(texts[is_prose]) for is_prose in (False, True))


def _lines_of(package: Package, everybody: list[int]) -> list[Line]:
    """Distinct candidate lines, at most PACKAGE_LINES, those with a find first."""
    content = pa.array([package.code, package.prose])
    nothing = pa.array([[], []], pa.list_(pii.SPAN))
    lines = candidate_lines(content, np.array([False, True]), nothing)
    texts = line_texts(content, lines).to_pylist()
    people = find_people(content, pa.array([everybody] * 2, pa.list_(pa.int64()))).to_pylist()
    spans = pii.scan(content).field("spans").to_pylist()
    found: dict[str, Line] = {}
    number = 0
    for row, in_row in enumerate(lines.to_pylist()):
        every = sorted((s["start"], -s["end"], s["kind"]) for s in spans[row] + people[row])
        first = 0
        for line in in_row:
            text = texts[number]
            number += 1
            while first < len(every) and -every[first][1] <= line["start"]:
                first += 1
            inside = []
            raw = text.encode()
            for start, minus_end, kind in every[first:]:
                if start >= line["end"]:
                    break
                low, high = start - line["start"], -minus_end - line["start"]
                if low >= 0 and high <= len(raw):
                    inside.append((len(raw[:low].decode()), len(raw[:high].decode()), kind))
            found.setdefault(text, Line(text, tuple(inside)))
    ordered = sorted(
        found.values(),
        key=lambda line: (not line.spans, hashlib.sha256(line.text.encode()).digest()),
    )
    return ordered[:PACKAGE_LINES]


def _forms(line: Line) -> Iterator[str]:
    """What has the form of a name and is not among the spans."""
    for start, end in _name_forms(line):
        yield line.text[start:end]


def _name_forms(line: Line) -> Iterator[tuple[int, int]]:
    raw = line.text.encode()
    for match in NAME.finditer(raw):
        if is_person(match[0]):
            start = len(raw[: match.start()].decode("utf-8", "ignore"))
            end = start + len(match[0].decode("utf-8", "ignore"))
            if not any(low < end and start < high for low, high, _ in line.spans):
                yield start, end


def _labelled(line: Line, num_packages: collections.Counter[str], people: People) -> Labelled:
    """The line with made values in place of found ones."""
    unknown = [
        bounds
        for bounds in _name_forms(line)
        if num_packages[line.text[slice(*bounds)]] < MANY_PACKAGES
    ]
    unknown += [
        match.span()
        for match in _MENTION.finditer(line.text)
        if line.text[: match.start()].strip(" \t*/#;-%")  # a decorator or doc tag is no mention
        and not any(low < match.end() and match.start() < high for low, high, _ in line.spans)
    ]
    text, position = "", 0
    entities, masked = [], []
    pieces = [(*span[:2], span[2]) for span in line.spans] + [(*bounds, "?") for bounds in unknown]
    for start, end, kind in sorted(pieces):
        if start < position:
            continue
        text += line.text[position:start]
        value = _made(kind, line.text[start:end], people)
        place = (len(text), len(text) + len(value))
        text += value
        position = end
        if kind == "?":
            masked.append(place)
        elif _ENTITIES.get(kind):
            entities.append((*place, _ENTITIES[kind]))
    text += line.text[position:]
    return Labelled(text, tuple(entities), tuple(masked))


def _made(kind: str, value: str, people: People) -> str:
    made = {
        "name": people.name, "username": people.login, "email": people.mail, "password": people.password,
        "key": people.key,
    }  # fmt: skip
    return made[kind]() if kind in made else value
