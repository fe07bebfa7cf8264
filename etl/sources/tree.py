"""Reader of `tree`: a folder whose children are working trees, one repository each."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from etl.sources.config import Limits, SourceConfig, require_folder
from etl.sources.decode import make_file, make_name, text_path
from etl.sources.records import (
    LINK,
    OVERSIZE,
    UNREADABLE,
    ErrorRecord,
    FileRecord,
    Record,
    RepoRecord,
    Unit,
)

SKIPPED = frozenset({b".git", b".hg", b".svn"})  # a version control's own files are no sources
MAX_DEPTH = 200  # folders inside one another


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """One unit a child folder, in the order of names. Raises ConfigError for a missing source."""
    root = require_folder(source)
    found = False
    for entry in sorted(os.scandir(os.fsencode(root)), key=lambda entry: entry.name):
        name, _ = text_path(entry.name)
        if entry.is_symlink() or not entry.is_dir():
            continue
        found = True
        digest, size_bytes = hashlib.sha256(), 0
        for path, info in walk(entry.path, b""):
            if info is not None:
                digest.update(b"%s\0%d\0%d\n" % (path, info.st_size, info.st_mtime_ns))
                size_bytes += info.st_size
        location = os.fsdecode(entry.path)
        yield Unit(
            kind=source.kind,
            source=source.location,
            location=location,
            identity=f"{source.host}:{name}" if source.host else location,
            name=name,
            host=source.host or "",
            fingerprint=digest.hexdigest(),
            size_bytes=size_bytes,
        )
    if not found:
        message = "expected folders inside it, a repository each, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The repository, then its files in the order of paths. One file at a time is in memory."""
    yield RepoRecord(unit.repo_id, unit.name, unit.host, revision_id=_revision(unit.location))
    for path, info in walk(os.fsencode(unit.location), b""):
        if info is None:
            message = "expected a folder that can be listed"
            yield ErrorRecord(
                unit.source, f"{unit.name}/{text_path(path)[0]}", "permission", message
            )
        else:
            yield from read_file(unit, os.fsencode(unit.location), path, info, limits)


def read_file(
    unit: Unit, root: bytes, path: bytes, info: os.stat_result, limits: Limits
) -> Iterator[FileRecord | ErrorRecord]:
    """The file at root/path; with an error row if it is there and cannot be read."""
    if not stat.S_ISREG(info.st_mode):
        yield make_name(path, 0, LINK)
    elif info.st_size > limits.max_file_bytes:
        yield make_name(path, info.st_size, OVERSIZE)
    else:
        try:
            with open(os.path.join(root, path), "rb") as file:
                raw = file.read(limits.max_file_bytes + 1)  # it may have grown since it was listed
        except OSError as error:
            yield make_name(path, info.st_size, UNREADABLE)
            member = f"{unit.name}/{text_path(path)[0]}"
            message = f"expected a readable file, found: {os.strerror(error.errno or 0)}"
            yield ErrorRecord(unit.source, member, "unreadable", message)
            return
        is_over = len(raw) > limits.max_file_bytes
        yield make_name(path, len(raw), OVERSIZE) if is_over else make_file(path, raw)


def walk(
    folder: bytes, prefix: bytes, depth: int = 0
) -> Iterator[tuple[bytes, os.stat_result | None]]:
    """Paths below a folder with their lstat, sorted; links are named and never followed.

    A folder that cannot be listed, or lies too deep, is given with None.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield prefix, None
        return
    for entry in entries:
        path = prefix + b"/" + entry.name if prefix else entry.name
        if entry.is_dir(follow_symlinks=False):
            if entry.name in SKIPPED:
                continue
            if depth >= MAX_DEPTH:
                yield path, None
            else:
                yield from walk(entry.path, path, depth + 1)
        else:
            try:
                yield path, entry.stat(follow_symlinks=False)
            except OSError:
                yield path, None


def _revision(location: str) -> str | None:
    """The commit that is checked out, where the tree is a git working tree."""
    if not os.path.exists(os.path.join(location, ".git")):
        return None
    import pygit2

    try:
        return str(pygit2.Repository(location).revparse_single("HEAD").id)
    except (pygit2.GitError, KeyError):
        return None
