"""Reader of `site-packages`: a distribution is a repository, made of the files its RECORD lists."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from etl.sources.config import Limits, SourceConfig, require_folder
from etl.sources.metadata import Package, core_metadata
from etl.sources.records import ErrorRecord, Record, RepoRecord, Unit
from etl.sources.tree import read_file

COMPILED = re.compile(r"(^|/)__pycache__/|\.py[co]$")


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """One unit a *.dist-info folder, in the order of names. Raises ConfigError as `tree` does."""
    root = require_folder(source)
    found = False
    for info in sorted(root.glob("*.dist-info")):
        found = True
        record = info / "RECORD"
        try:
            listed = record.read_bytes()
        except OSError:
            message = "expected a file RECORD that lists its files, found none"
            yield ErrorRecord(source.location, info.name, "no_record", message)
            continue
        digest, size_bytes = hashlib.sha256(listed), 0
        for path in _paths(listed):
            try:
                found_stat = os.lstat(root / path)
            except OSError:
                continue
            digest.update(f"{path}\0{found_stat.st_size}\0{found_stat.st_mtime_ns}\n".encode())
            size_bytes += found_stat.st_size
        name = _name_of(info)
        yield Unit(
            kind=source.kind,
            source=source.location,
            location=str(info),
            identity=f"{source.host}:{name}" if source.host else f"{root}#{name}",
            name=name,
            host=source.host or "",
            fingerprint=digest.hexdigest(),
            size_bytes=size_bytes,
        )
    if not found:
        message = "expected *.dist-info folders, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The distribution, then the files that RECORD lists below the folder, sorted.

    Files that it lists outside (scripts) belong to the environment and are passed over.
    """
    info = Path(unit.location)
    root = os.fsencode(info.parent)
    package = _metadata(info)
    yield RepoRecord(
        unit.repo_id,
        unit.name,
        unit.host,
        url=package.url,
        revision_id=package.version,
        host_license=package.license,
        people=package.people,
    )
    for path in _paths((info / "RECORD").read_bytes()):
        name = os.fsencode(path)
        try:
            found = os.lstat(os.path.join(root, name))
        except OSError:
            message = "RECORD lists it, the folder does not have it"
            yield ErrorRecord(unit.source, f"{unit.name}/{path}", "missing_file", message)
            continue
        yield from read_file(unit, root, name, found, limits)


def _paths(record: bytes) -> list[str]:
    """Of the listed files: those below the folder, without compiled ones, once each, sorted."""
    lines = record.decode("utf-8", "surrogateescape").splitlines()
    paths = {os.path.normpath(row[0]).replace(os.sep, "/") for row in csv.reader(lines) if row}
    return sorted(
        path
        for path in paths
        if not path.startswith(("../", "/")) and path != ".." and not COMPILED.search(path)
    )


def _metadata(info: Path) -> Package:
    try:
        return core_metadata((info / "METADATA").read_bytes())
    except OSError:
        return Package()


def _name_of(info: Path) -> str:
    """The normalised name (PEP 503): the folder is NAME-VERSION.dist-info."""
    name = info.name.removesuffix(".dist-info").rpartition("-")[0] or info.stem
    return re.sub(r"[-_.]+", "-", name).lower()
