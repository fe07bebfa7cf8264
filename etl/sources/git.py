"""Reader of `git`: repositories, bare or not, at a ref. libgit2 reads objects; no process a file."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
REMOTE = re.compile(r"^(?:\w+://)?(?:[^@/]*@)?([^:/]+)(?::\d+)?[:/]+(.+?)(?:\.git)?/*$")


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """The repository at the path, or each one directly below it, in the order of names."""
    root = require_folder(source)
    found = False
    for path in [root] if _is_repository(root) else sorted(root.iterdir()):
        if not path.is_dir() or not _is_repository(path):
            continue
        found = True
        yield _unit(source, path)
    if not found:
        message = "expected a git repository, or folders that are ones, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The repository at its commit, then its files in the tree's order."""
    repository = pygit2.Repository(unit.location)
    commit = repository[unit.revision]
    host, name, url = _origin(repository, Path(unit.location))
    yield RepoRecord(
        unit.repo_id,
        unit.name,
        unit.host or host,
        account=name.rpartition("/")[0] or None,
        url=url,
        revision_id=str(commit.id),
        branch_name=_branch(repository),
        revision_date=_time(commit.author.time),
        committer_date=_time(commit.committer.time),
        people=_people(repository, commit),
    )
    for path, entry in _walk(commit.tree, b""):
        yield from _read_entry(unit, repository, path, entry, limits)


def _read_entry(
    unit: Unit, repository: Any, path: bytes, entry: Any, limits: Limits
) -> Iterator[Record]:
    if entry.filemode in (pygit2.GIT_FILEMODE_LINK, pygit2.GIT_FILEMODE_COMMIT):
        yield make_name(path, 0, LINK)
        return
    try:
        _, size_bytes = repository.odb.read_header(entry.id)  # its size, without its content
        if size_bytes > limits.max_file_bytes:
            yield make_name(path, size_bytes, OVERSIZE)
        else:
            yield make_file(path, repository[entry.id].data, str(entry.id))
    except (pygit2.GitError, KeyError):
        yield make_name(path, 0, UNREADABLE)
        member = f"{unit.name}/{text_path(path)[0]}"
        message = f"expected the object {entry.id}, found none or a broken one"
        yield ErrorRecord(unit.source, member, "missing_object", message)


def _walk(tree: Any, prefix: bytes) -> Iterator[tuple[bytes, Any]]:
    for entry in tree:
        path = prefix + b"/" + entry.raw_name if prefix else entry.raw_name
        if entry.filemode == pygit2.GIT_FILEMODE_TREE:
            yield from _walk(entry, path)
        else:
            yield path, entry


def _unit(source: SourceConfig, path: Path) -> Unit | ErrorRecord:
    repository = pygit2.Repository(str(path))
    host, name, url = _origin(repository, path)
    commit_id = _commit_id(repository, source.ref)
    if commit_id is None:
        expected = source.ref or "HEAD"
        is_empty = repository.is_empty or repository.head_is_unborn
        kind = "no_commits" if is_empty else "no_such_ref"
        message = f"expected a commit at {expected}, found none"
        return ErrorRecord(source.location, name, kind, message)
    identity = f"{source.host}:{name}" if source.host else url or str(path)
    return Unit(
        kind=source.kind,
        source=source.location,
        location=str(path),
        identity=identity,
        name=name,
        host=source.host or host,
        fingerprint=commit_id,
        size_bytes=_stored_bytes(path),
        revision=commit_id,
    )


def _is_repository(path: Path) -> bool:
    return (path / ".git").exists() or (
        (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()
    )


def _commit_id(repository: Any, ref: str | None) -> str | None:
    try:
        return str(repository.revparse_single(ref or "HEAD").peel(pygit2.Commit).id)
    except (pygit2.GitError, KeyError, ValueError):
        return None


def _origin(repository: Any, path: Path) -> tuple[str, str, str | None]:
    """Host, owner/name and canonical URL of the origin; else the folder's name."""
    try:
        remote = repository.remotes["origin"].url
    except (KeyError, pygit2.GitError):
        remote = None
    found = REMOTE.match(remote) if remote and not remote.startswith(("/", ".", "file:")) else None
    if found is None:
        return "", path.name.removesuffix(".git"), None
    host, name = found[1].lower(), found[2].strip("/")
    return host, name, f"https://{host}/{name}"


def _branch(repository: Any) -> str | None:
    return None if repository.head_is_detached else str(repository.head.name)


def _time(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _people(repository: Any, commit: Any) -> tuple[Person, ...]:
    """Authors and committers of the last commits, once each, sorted."""
    people = set()
    for index, each in enumerate(repository.walk(commit.id)):
        if index == MAX_COMMITS:
            break
        people.add(Person(each.author.name, each.author.email, "author"))
        people.add(Person(each.committer.name, each.committer.email, "committer"))
    return tuple(sorted(people))


def _stored_bytes(path: Path) -> int:
    """Size of the packs and loose objects: an estimate for balancing, not of the tree."""
    objects = path / ".git" / "objects" if (path / ".git").is_dir() else path / "objects"
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(objects)
        for name in names
    )
