"""Reader of `git`: repositories, bare or not, at a ref. libgit2 reads objects; no process a file."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pygit2

from etl.sources.config import Limits, SourceConfig, require_folder
from etl.sources.decode import make_file, make_name, text_path
from etl.sources.records import (
    LINK,
    OVERSIZE,
    UNREADABLE,
    ErrorRecord,
    Person,
    Record,
    RepoRecord,
    Unit,
)

MAX_COMMITS = 1000  # of the history, for the people of the repository
MAX_DEPTH = 200  # folders inside one another
# user:password@ is never kept; the port is part of a web address and of no other.
WEB_REMOTE = re.compile(r"https?://(?:[^@/]*@)?(([^:/]+)(?::\d+)?)/+(.+?)(?:\.git)?/*")
OTHER_REMOTE = re.compile(
    r"(?:(?:ssh|git|git\+ssh|ssh\+git|ftps?)://(?:[^@/]*@)?(([^:/]+))(?::\d+)?/+"
    r"|(?:[^@/:]+@)?(([^:/@]{2,})):(?!//))/*(.+?)(?:\.git)?/*"
)
BROKEN = (pygit2.GitError, KeyError, ValueError, OSError)


class Origin(NamedTuple):
    host: str
    name: str  # owner/name; the folder's name where there is no origin
    url: str | None  # canonical


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """The repository at the path, or each one directly below it, in the order of names.

    Raises: ConfigError for a source that is missing or unreadable.
    """
    root = require_folder(source)
    found = False
    for path in [root] if _is_repository(root) else sorted(root.iterdir()):
        if not path.is_dir() or not _is_repository(path):
            continue
        found = True
        try:
            yield _unit(source, path)
        except BROKEN as error:
            message = f"expected a git repository, found a broken one ({type(error).__name__})"
            yield ErrorRecord(source.location, _shown(path), "corrupt_repository", message)
    if not found:
        message = "expected a git repository, or folders that are ones, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The repository at its commit, then its files in the tree's order. One blob is in memory."""
    try:
        repository = pygit2.Repository(unit.location)
        commit = repository[unit.revision]
        tree = commit.tree
        origin = _origin(repository, Path(unit.location))
    except BROKEN as error:
        message = f"expected the commit {unit.revision}, found none ({type(error).__name__})"
        yield ErrorRecord(unit.source, unit.name, "corrupt_repository", message)
        return
    yield RepoRecord(
        unit.repo_id,
        unit.name,
        unit.host or origin.host,
        account=unit.name.rpartition("/")[0] or None,
        url=origin.url,
        revision_id=str(commit.id),
        branch_name=unit.branch_name,
        revision_date=_time(commit, "author"),
        committer_date=_time(commit, "committer"),
        people=_people(repository, commit),
    )
    for number, found in enumerate(_walk(unit, tree, b"")):
        if number >= limits.max_files:
            message = f"more than {limits.max_files} files: the rest was not read"
            yield ErrorRecord(unit.source, unit.name, "too_many_files", message)
            return
        if isinstance(found, ErrorRecord):
            yield found
        else:
            yield from _read_entry(unit, repository, *found, limits)


def _read_entry(
    unit: Unit, repository: Any, path: bytes, entry: Any, limits: Limits
) -> Iterator[Record]:
    object_id = str(entry.id)
    if entry.filemode in (pygit2.GIT_FILEMODE_LINK, pygit2.GIT_FILEMODE_COMMIT):
        yield make_name(path, 0, LINK, object_id)
        return
    try:
        _, size_bytes = repository.odb.read_header(entry.id)  # its size, without its content
        raw = repository[entry.id].data if size_bytes <= limits.max_file_bytes else None
    except BROKEN:
        yield make_name(path, 0, UNREADABLE, object_id)
        message = f"expected the object {object_id}, found none or a broken one"
        yield ErrorRecord(unit.source, _member(unit, path), "missing_object", message)
        return
    if raw is None:
        yield make_name(path, size_bytes, OVERSIZE, object_id)
    else:
        yield make_file(path, raw, object_id)


def _walk(
    unit: Unit, tree: Any, prefix: bytes, depth: int = 0
) -> Iterator[tuple[bytes, Any] | ErrorRecord]:
    """The files below a tree; what is broken or leaves the repository is an error row."""
    try:
        entries = list(tree)
    except BROKEN:
        message = f"expected the tree {tree.id}, found none or a broken one"
        yield ErrorRecord(unit.source, _member(unit, prefix), "missing_object", message)
        return
    for entry in entries:
        path = prefix + b"/" + entry.raw_name if prefix else entry.raw_name
        if entry.raw_name in (b"", b".", b"..") or b"/" in entry.raw_name:
            message = "a path that leaves the repository was passed over"
            yield ErrorRecord(unit.source, _member(unit, path), "path_traversal", message)
        elif entry.filemode != pygit2.GIT_FILEMODE_TREE:
            yield path, entry
        elif depth >= MAX_DEPTH:
            message = f"expected at most {MAX_DEPTH} folders inside one another"
            yield ErrorRecord(unit.source, _member(unit, path), "too_deep", message)
        else:
            yield from _walk(unit, entry, path, depth + 1)


def _unit(source: SourceConfig, path: Path) -> Unit | ErrorRecord:
    repository = pygit2.Repository(str(path))
    origin = _origin(repository, path)
    commit_id, branch = _commit(repository, source.ref)
    if commit_id is None:
        is_empty = repository.is_empty or repository.head_is_unborn
        kind = "no_commits" if is_empty else "no_such_ref"
        message = f"expected a commit at {source.ref or 'HEAD'}, found none"
        return ErrorRecord(source.location, origin.name, kind, message)
    return Unit(
        kind=source.kind,
        source=source.location,
        location=str(path),
        identity=f"{source.host}:{origin.name}" if source.host else origin.url or str(path),
        name=origin.name,
        host=source.host or origin.host,
        fingerprint=f"{commit_id} {branch}",
        size_bytes=_stored_bytes(repository),
        revision=commit_id,
        branch_name=branch,
    )


def _is_repository(path: Path) -> bool:
    try:
        return (path / ".git").exists() or (
            (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
        )
    except OSError:
        return False


def _commit(repository: Any, ref: str | None) -> tuple[str | None, str | None]:
    """The commit at a ref and, where it is a branch or a tag, its full name."""
    try:
        commit, reference = repository.resolve_refish(ref or "HEAD")
    except BROKEN:
        return None, None
    name = reference.resolve().name if reference is not None else None
    return str(commit.id), None if name == "HEAD" else name


def _origin(repository: Any, path: Path) -> Origin:
    try:
        remote = repository.remotes["origin"].url or ""
    except BROKEN:
        remote = ""
    web, other = WEB_REMOTE.fullmatch(remote), OTHER_REMOTE.fullmatch(remote)
    if web is None and other is None:
        return Origin("", _shown(path), None)
    found = [part for part in (web or other).groups() if part]  # type: ignore[union-attr]
    authority, host, name = (part.strip("/") for part in found)
    return Origin(host.lower(), name, f"https://{authority.lower()}/{name}")


def _shown(path: Path) -> str:
    return text_path(os.fsencode(path.name))[0].removesuffix(".git")


def _member(unit: Unit, path: bytes) -> str:
    return f"{unit.name}/{text_path(path)[0]}"


def _time(commit: Any, role: str) -> dt.datetime | None:
    """None for a date that no calendar holds: a commit can say anything."""
    try:
        return dt.datetime.fromtimestamp(getattr(commit, role).time, dt.UTC)
    except (OverflowError, *BROKEN):
        return None


def _people(repository: Any, commit: Any) -> tuple[Person, ...]:
    """Authors and committers of the last commits, once each, sorted. A shallow history ends early."""
    people = set()
    try:
        for index, each in enumerate(repository.walk(commit.id)):
            if index == MAX_COMMITS:
                break
            people.add(_person(each.author, "author"))
            people.add(_person(each.committer, "committer"))
    except BROKEN:
        pass  # what came before the missing commit stands
    return tuple(sorted(people))


def _person(signature: Any, role: str) -> Person:
    return Person(
        signature.raw_name.decode("utf-8", "replace"),
        signature.raw_email.decode("utf-8", "replace"),
        role,
    )


def _stored_bytes(repository: Any) -> int:
    """Size of the packs and loose objects: an estimate for balancing, not of the tree."""
    total = 0
    for folder, _, names in os.walk(os.path.join(repository.path, "objects")):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue  # packed away meanwhile
    return total
