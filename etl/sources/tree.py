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

Found = tuple[bytes, os.stat_result | None, str]  # path, its lstat, else why there is none


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """One unit a child folder, in the order of names; what else lies there is an error row.

    Cost: one lstat a file. Raises: ConfigError for a source that is missing or unreadable.
    """
    root = require_folder(source)
    found = False
    for entry in sorted(os.scandir(os.fsencode(root)), key=lambda entry: entry.name):
        name, _ = text_path(entry.name)
        if not entry.is_dir(follow_symlinks=False):
            kind = "a link" if entry.is_symlink() else "a file"
            message = f"expected a folder, a repository each, found {kind}: it was passed over"
            yield ErrorRecord(source.location, name, "not_a_repository", message)
            continue
        found = True
        digest, size_bytes = hashlib.sha256(), 0
        for path, info, _ in walk(entry.path, b""):
            if info is not None:
                digest.update(b"%s\0%d\0%d\n" % (path, info.st_size, info.st_mtime_ns))
                size_bytes += info.st_size
        revision = _revision(entry.path)
        digest.update((revision or "").encode())
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
            revision=revision,
        )
    if not found:
        message = "expected folders inside it, a repository each, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The repository, then its files, folder by folder in the order of names.

    One file at a time is in memory. Nothing that a link points at is read.
    """
    root = os.fsencode(unit.location)
    if not os.path.isdir(root):
        message = "expected a folder, found none: it was removed since it was listed"
        yield ErrorRecord(unit.source, unit.name, "missing_repository", message)
        return
    yield RepoRecord(unit.repo_id, unit.name, unit.host, revision_id=unit.revision)
    for path, info, problem in walk(root, b""):
        if info is None:
            yield ErrorRecord(unit.source, _member(unit, path), "permission", problem)
        else:
            yield from read_file(unit, root, path, info, limits)


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
            raw = _content(os.path.join(root, path), info.st_size, limits.max_file_bytes)
        except OSError as error:
            yield make_name(path, info.st_size, UNREADABLE)
            message = f"expected a readable file, found: {os.strerror(error.errno or 0)}"
            yield ErrorRecord(unit.source, _member(unit, path), "unreadable", message)
            return
        is_over = len(raw) > limits.max_file_bytes
        yield make_name(path, len(raw), OVERSIZE) if is_over else make_file(path, raw)


def _content(path: bytes, size_bytes: int, most: int) -> bytes:
    """The file's bytes, at most one more than `most`: it may have grown since it was listed."""
    with open(path, "rb", opener=_open_no_link) as file:
        raw: bytes = file.read(size_bytes + 1)
        if len(raw) > size_bytes:
            raw += file.read(most + 1 - len(raw))
    return raw


def _open_no_link(path: str | bytes, flags: int) -> int:
    """A link or a pipe that has taken the file's place since is neither followed nor waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def walk(folder: bytes, prefix: bytes, depth: int = 0) -> Iterator[Found]:
    """Paths below a folder with their lstat, sorted; links are named and never followed.

    A folder that cannot be listed, or lies too deep, is given with the reason.
    """
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        yield prefix, None, f"expected a folder that can be listed, found: {why}"
        return
    for entry in entries:
        if entry.name in SKIPPED:
            continue
        path = prefix + b"/" + entry.name if prefix else entry.name
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError as error:
            yield path, None, f"expected a file, found: {os.strerror(error.errno or 0)}"
            continue
        if not stat.S_ISDIR(info.st_mode):
            yield path, info, ""
        elif depth >= MAX_DEPTH:
            yield path, None, f"expected at most {MAX_DEPTH} folders inside one another"
        else:
            yield from walk(entry.path, path, depth + 1)


def _member(unit: Unit, path: bytes) -> str:
    return f"{unit.name}/{text_path(path)[0]}"


def _revision(location: bytes) -> str | None:
    """The commit that is checked out, where the tree is a git working tree."""
    if not os.path.exists(os.path.join(location, b".git")):
        return None
    import pygit2

    try:
        return str(pygit2.Repository(os.fsdecode(location)).revparse_single("HEAD").id)
    except (pygit2.GitError, KeyError, ValueError):
        return None
