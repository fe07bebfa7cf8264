"""What a reader yields. Plain tuples: they cross from a reader to Arrow, never into a hot loop."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MAX_TEXT_BYTES = 10 * 1024 * 1024  # "files over 10 MB": 10 MiB of raw bytes, as the-stack-v2's code

# files.status
STORED = "stored"  # its text is in `blobs`
BINARY = "binary"  # NUL bytes in what is not UTF-16/32, or no encoding found
OVERSIZE = "oversize"  # over the size limit; never read whole
LINK = "link"  # a symbolic link, submodule or device: a name without content of its own
UNREADABLE = "unreadable"  # it is there and could not be read: a source_errors row says why


def repo_id_of(identity: str) -> str:
    """32 hex digits: the first 16 bytes of SHA-256 of `host:host_id`, a canonical URL or a path."""
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Person(NamedTuple):
    name: str
    email: str
    role: str  # author, committer, maintainer


@dataclass(frozen=True)
class Unit:
    """One repository to be read: found by listing a source, read on an executor.

    `identity` makes the repo_id and does not change with revisions. `fingerprint` changes whenever
    the content may have changed; the same fingerprint means that the unit need not be read again.
    """

    kind: str  # tree, site-packages, git, archives
    source: str  # the configured location, as written into repos.source and source_errors.source
    location: str  # absolute path of the unit, or what else its reader needs
    identity: str
    name: str
    host: str
    fingerprint: str
    size_bytes: int  # estimate, for balancing tasks
    revision: str | None = None  # commit that is to be read, where the source has commits
    branch_name: str | None = None  # ref that led to it

    @property
    def repo_id(self) -> str:
        return repo_id_of(self.identity)


@dataclass(frozen=True)
class RepoRecord:
    repo_id: str
    repo_name: str
    host: str
    account: str | None = None  # owner on its host
    url: str | None = None
    revision_id: str | None = None
    branch_name: str | None = None
    revision_date: dt.datetime | None = None  # UTC, author date of the revision
    committer_date: dt.datetime | None = None
    fork_of: str | None = None
    is_fork: bool = False
    stars: int | None = None
    forks: int | None = None
    host_license: str | None = None  # what the host or the package registry says of the whole
    people: tuple[Person, ...] = field(default=())


@dataclass(frozen=True)
class FileRecord:
    """A file of a repository. `raw` is None unless status is STORED (then `text` is set too)."""

    path: str  # `/`-separated, relative, percent-escaped where not UTF-8
    size_bytes: int
    status: str
    is_path_escaped: bool = False
    source_blob_id: str | None = None  # git's or Software Heritage's hash, if the source has one
    hash_basis: str = "raw"  # "text" where the source gave text only
    source_encoding: str | None = None  # what the source says; `encoding` is what was found
    blob_id: str | None = None  # SHA-256 of the raw bytes, lower-case hex; also for binary if read
    text_id: str | None = None  # SHA-256 of the text without BOM and with LF line ends
    encoding: str | None = None
    text: bytes | None = None  # the decoded text as UTF-8, BOM dropped, line ends as they were


@dataclass(frozen=True)
class ErrorRecord:
    """What could not be read, and why. `message` holds no content of a file."""

    source: str
    member: str  # repository or path inside the source; "" for the source itself
    kind: str  # e.g. corrupt_archive, path_traversal, too_many_files, permission, no_commits
    message: str


Record = RepoRecord | FileRecord | ErrorRecord


class Reader(Protocol):
    """A reader module's two functions. Both are generators and neither holds a repository whole."""

    def list_units(self, source: object) -> Iterator[Unit | ErrorRecord]: ...

    def read_unit(self, unit: Unit) -> Iterator[Record]: ...
