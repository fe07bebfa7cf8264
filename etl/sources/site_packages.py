"""Reader of `site-packages`: a distribution is a repository, made of the files its RECORD lists."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from etl.sources.config import Limits, SourceConfig, require_folder
from etl.sources.decode import make_name, text_path
from etl.sources.metadata import MAX_BYTES, Package, core_metadata
from etl.sources.records import LINK, ErrorRecord, Record, RepoRecord, Unit
from etl.sources.tree import read_file

logger = logging.getLogger(__name__)

COMPILED = re.compile(rb"(^|/)__pycache__/|\.py[co]$")
MAX_RECORD_BYTES = 64 << 20  # about half a million files


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """One unit a *.dist-info folder, in the order of names.

    Cost: one lstat a file. Raises: ConfigError for a source that is missing or unreadable.
    """
    root = require_folder(source)
    found = False
    for info in sorted(root.glob("*.dist-info")):
        found = True
        try:
            listed = _record(info)
            paths, num_outside = _paths(listed)
        except OSError:
            message = "expected a file RECORD that lists its files, found none that can be read"
            yield ErrorRecord(source.location, _shown(info.name), "no_record", message)
            continue
        except csv.Error:
            message = "expected a file RECORD of comma-separated values, found something else"
            yield ErrorRecord(source.location, _shown(info.name), "corrupt_record", message)
            continue
        name = _name_of(info)
        if num_outside:
            logger.debug("%s: %s files outside the folder are passed over", name, num_outside)
        digest, size_bytes = hashlib.sha256(listed), 0
        for path in paths:
            try:
                stats = os.lstat(os.path.join(os.fsencode(root), path))
            except OSError:
                continue
            digest.update(b"%s\0%d\0%d\n" % (path, stats.st_size, stats.st_mtime_ns))
            size_bytes += stats.st_size
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
    try:
        paths, _ = _paths(_record(info))
    except (OSError, csv.Error):
        message = "expected a file RECORD that lists its files, found none that can be read"
        yield ErrorRecord(unit.source, unit.name, "no_record", message)
        return
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
    is_inside = functools.lru_cache(maxsize=4096)(functools.partial(_is_inside, root))
    for path in paths:
        try:
            found = os.lstat(os.path.join(root, path))
        except OSError:
            found = None
        if found is None or stat.S_ISDIR(found.st_mode):
            message = "RECORD lists it, the folder does not have it"
            member = f"{unit.name}/{_shown(path)}"
            yield ErrorRecord(unit.source, member, "missing_file", message)
        elif not is_inside(os.path.dirname(path)):
            yield make_name(path, 0, LINK)
        else:
            yield from read_file(unit, root, path, found, limits)


def _record(info: Path) -> bytes:
    with open(info / "RECORD", "rb") as file:
        return file.read(MAX_RECORD_BYTES)


def _paths(record: bytes) -> tuple[list[bytes], int]:
    """Of the listed files: those below the folder, once each, sorted; and how many lie outside.

    Compiled files are in neither. Raises: csv.Error.
    """
    text = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
    paths: set[bytes] = set()
    outside: set[bytes] = set()
    for row in csv.reader(text):
        if not row or not row[0]:
            continue
        path = os.path.normpath(row[0].encode("utf-8", "surrogateescape"))
        if COMPILED.search(path):
            continue
        is_outside = path.startswith((b"../", b"/")) or path in (b".", b"..") or b"\0" in path
        (outside if is_outside else paths).add(path)
    return sorted(paths), len(outside)


def _is_inside(root: bytes, folder: bytes) -> bool:
    """Whether a folder below `root` truly lies there: none of its parents is a link to elsewhere."""
    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(root, folder))
    return os.path.commonpath([real_root, real]) == real_root


def _metadata(info: Path) -> Package:
    try:
        with open(info / "METADATA", "rb") as file:
            return core_metadata(file.read(MAX_BYTES))
    except OSError:
        return Package()


def _name_of(info: Path) -> str:
    """The normalised name (PEP 503): the folder is NAME-VERSION.dist-info."""
    name = info.name.removesuffix(".dist-info").rpartition("-")[0] or info.stem
    return _shown(re.sub(r"[-_.]+", "-", name).lower())


def _shown(name: str | bytes) -> str:
    return text_path(os.fsencode(name))[0]
