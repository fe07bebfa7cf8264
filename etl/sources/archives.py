"""Reader of `archives`: sdists, wheels, crates, npm packages, zips; each archive is a repository.

Read as streams, nothing is unpacked to disk. What is unsafe in an archive (a path that leaves it, a
link, a device, more bytes than the limits allow) is named and passed over; what comes before a
corrupt place is used.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from etl.sources.config import Limits, SourceConfig, require_folder
from etl.sources.decode import make_file, make_name, text_path
from etl.sources.metadata import Package, core_metadata, npm_metadata
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

TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".crate")
ZIP_SUFFIXES = (".zip", ".whl")
CORRUPT = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip


class Member(NamedTuple):
    """A member of an archive; `read(n)` gives at most n bytes of it."""

    path: bytes
    size_bytes: int
    kind: str  # file, link, device or folder
    read: Callable[[int], bytes]


class Unsafe(Exception):
    """The rest of the archive must not be read. Holds the error's kind and message."""


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """One unit an archive in the folder, in the order of names; or the one file that is named."""
    root = require_folder(source)
    paths = [root] if root.is_file() else sorted(path for path in root.iterdir() if path.is_file())
    found = False
    for path in paths:
        stem = _stem(path.name)
        if stem is None:
            continue
        found = True
        info = path.stat()
        yield Unit(
            kind=source.kind,
            source=source.location,
            location=str(path),
            identity=f"{source.host}:{stem}" if source.host else str(path),
            name=stem,
            host=source.host or "",
            fingerprint=f"{info.st_size} {info.st_mtime_ns}",
            size_bytes=info.st_size * 5,  # source text compresses to about a fifth
        )
    if not found:
        message = f"expected files {', '.join(TAR_SUFFIXES + ZIP_SUFFIXES)}, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The repository, then its files in the archive's order, each path once."""
    try:
        package = _package(unit, limits)
    except CORRUPT as error:
        yield ErrorRecord(unit.source, unit.name, "corrupt_archive", _broken(error))
        return
    version = re.search(r"-(\d[^-]*)(?:-|$)", unit.name)
    yield RepoRecord(
        unit.repo_id,
        unit.name,
        unit.host,
        url=package.url,
        revision_id=package.version or (version[1] if version else None),
        host_license=package.license,
        people=package.people,
    )
    try:
        yield from _files(unit, limits)
    except Unsafe as unsafe:
        kind, message = unsafe.args
        yield ErrorRecord(unit.source, unit.name, kind, message)
    except CORRUPT as error:
        yield ErrorRecord(unit.source, unit.name, "corrupt_archive", _broken(error))


def _files(unit: Unit, limits: Limits) -> Iterator[Record]:
    seen: set[bytes] = set()
    top = _Top(unit.name)
    for member in _members(unit, limits):
        if member.kind == "folder":
            continue
        shown = text_path(member.path)[0]
        if not _is_inside(member.path):
            message = "a path that leaves the archive was passed over"
            yield ErrorRecord(unit.source, f"{unit.name}/{shown}", "path_traversal", message)
            continue
        path = top.strip(os.path.normpath(member.path))
        if path in seen:
            message = "a second member of this path was passed over"
            yield ErrorRecord(unit.source, f"{unit.name}/{shown}", "duplicate_member", message)
            continue
        seen.add(path)
        yield from _file(unit, member, path, limits)


def _file(
    unit: Unit, member: Member, path: bytes, limits: Limits
) -> Iterator[FileRecord | ErrorRecord]:
    if member.kind in ("link", "device"):
        yield make_name(path, 0, LINK)
    elif member.size_bytes > limits.max_file_bytes:
        yield make_name(path, member.size_bytes, OVERSIZE)
    else:
        try:
            raw = member.read(limits.max_file_bytes + 1)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            # Of one member of a zip; in a stream (tar) what follows cannot be found either.
            if not _is_zip(unit.location):
                raise
            yield make_name(path, member.size_bytes, UNREADABLE)
            member_name = f"{unit.name}/{text_path(path)[0]}"
            yield ErrorRecord(unit.source, member_name, "corrupt_member", _broken(error))
            return
        is_over = len(raw) > limits.max_file_bytes
        yield make_name(path, len(raw), OVERSIZE) if is_over else make_file(path, raw)


def _members(unit: Unit, limits: Limits) -> Iterator[Member]:
    """Members within the limits. Raises Unsafe beyond them: an archive can be a bomb."""
    compressed = max(1, os.path.getsize(unit.location))
    allowed = min(limits.max_archive_bytes, max(1 << 20, compressed * limits.max_ratio))
    num_members, total = 0, 0
    reader = _zip_members if _is_zip(unit.location) else _tar_members
    for member in reader(unit.location):
        num_members += 1
        total += member.size_bytes
        if num_members > limits.max_members:
            raise Unsafe("too_many_members", f"more than {limits.max_members} members")
        if total > allowed:
            message = (
                f"more than {allowed} bytes unpacked from {compressed}: the rest was not read; "
                "raise ingest.limits if the archive can be trusted"
            )
            raise Unsafe("archive_bomb", message)
        yield member


def _tar_members(location: str) -> Iterator[Member]:
    mode = "r|*" if not location.endswith(".crate") else "r|gz"
    with tarfile.open(location, mode, errorlevel=1) as archive:  # type: ignore[call-overload]
        for info in archive:
            kind = (
                "file" if info.isreg() else "folder" if info.isdir()
                else "link" if info.issym() or info.islnk() else "device"
            )  # fmt: skip
            path = info.name.encode("utf-8", "surrogateescape")
            stream = archive.extractfile(info) if info.isreg() else None
            yield Member(path, info.size, kind, _reader(stream, info.size))


def _reader(stream: IO[bytes] | None, size_bytes: int) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        raw = stream.read(limit) if stream is not None else b""
        if len(raw) < min(limit, size_bytes):
            raise EOFError("the archive ends inside a member")
        return raw

    return read


def _zip_members(location: str) -> Iterator[Member]:
    with zipfile.ZipFile(location) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "link" if stat.S_ISLNK(mode) else "file"
            is_utf8 = bool(info.flag_bits & 0x800)
            path = info.filename.encode("utf-8" if is_utf8 else "cp437", "replace")

            def read(limit: int, info: zipfile.ZipInfo = info) -> bytes:
                with archive.open(info) as stream:  # its size field may lie: read to the limit
                    return stream.read(limit)

            yield Member(path, info.file_size, kind, read)


def _package(unit: Unit, limits: Limits) -> Package:
    """From PKG-INFO, METADATA or package.json at the top, if it comes within the first members."""
    if unit.location.endswith((".whl", ".zip")):
        with zipfile.ZipFile(unit.location) as archive:
            for name in archive.namelist():
                if re.fullmatch(r"[^/]+(\.dist-info/METADATA|/PKG-INFO)", name):
                    return core_metadata(archive.read(name))
        return Package()
    for number, member in enumerate(_tar_members(unit.location)):
        name = member.path.decode("utf-8", "replace")
        if member.kind == "file" and member.size_bytes <= limits.max_file_bytes:
            if re.fullmatch(r"(\./)?[^/]+/PKG-INFO", name):
                return core_metadata(member.read(member.size_bytes))
            if re.fullmatch(r"(\./)?package/package\.json", name):
                return npm_metadata(member.read(member.size_bytes))
        if number >= limits.max_members:
            break
    return Package()


class _Top:
    """Strips the leading folder that packers add: the archive's stem, or npm's `package`."""

    def __init__(self, stem: str) -> None:
        self.names = {_plain(stem.encode()), b"package"}

    def strip(self, path: bytes) -> bytes:
        first, slash, rest = path.partition(b"/")
        return rest if slash and rest and _plain(first) in self.names else path


def _plain(name: bytes) -> bytes:
    return re.sub(rb"[-_.]+", b"-", name).lower()


def _is_inside(path: bytes) -> bool:
    normal = os.path.normpath(path)
    is_drive = re.match(rb"^[A-Za-z]:[\\/]", path) is not None
    return not (
        path.startswith((b"/", b"\\"))
        or is_drive
        or normal in (b".", b"..")
        or normal.startswith(b"../")
        or b"\0" in path
        or b"..\\" in path
    )


def _is_zip(location: str) -> bool:
    return location.endswith(ZIP_SUFFIXES)


def _stem(name: str) -> str | None:
    for suffix in TAR_SUFFIXES + ZIP_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return None


def _broken(error: BaseException) -> str:
    """The kind of damage; never what the archive holds."""
    return f"expected a whole archive, found one that cannot be read ({type(error).__name__})"
