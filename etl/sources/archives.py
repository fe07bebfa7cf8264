"""Reader of `archives`: sdists, wheels, crates, npm packages, zips; each archive is a repository.

Read as streams (`etl.sources.members`), nothing is unpacked to disk. What is unsafe in an archive
(a path that leaves it, a link, a device, more bytes than the limits allow) is named and passed
over; what comes before a corrupt place is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from etl.sources.config import Limits, SourceConfig, require_folder
from etl.sources.decode import make_file, make_name, text_path
from etl.sources.members import (
    CORRUPT,
    TAR_SUFFIXES,
    ZIP_SUFFIXES,
    Member,
    Unsafe,
    is_zip,
    members,
)
from etl.sources.metadata import (
    MAX_BYTES,
    Package,
    core_metadata,
    crate_metadata,
    npm_metadata,
)
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

OTHER_SUFFIXES = (".7z", ".rar", ".zst", ".tzst", ".lz", ".lz4", ".tar.z", ".gem")
MAX_PATH_BYTES = 4096
MANIFESTS = (  # at the top of an archive: pattern of the path, of the archive's name, reader
    (re.compile(rb"[^/]+/PKG-INFO"), (".tar.gz", ".tgz", ".tar.bz2", ".zip"), core_metadata),
    (re.compile(rb"[^/]+\.dist-info/METADATA"), (".whl", ".zip"), core_metadata),
    (re.compile(rb"package/package\.json"), (".tgz",), npm_metadata),
    (re.compile(rb"[^/]+/Cargo\.toml"), (".crate",), crate_metadata),
)


def list_units(source: SourceConfig) -> Iterator[Unit | ErrorRecord]:
    """One unit an archive in the folder, in the order of names; or the one file that is named.

    Raises: ConfigError for a source that is missing or unreadable.
    """
    root = require_folder(source, or_file=True)
    paths = [root] if root.is_file() else sorted(path for path in root.iterdir() if path.is_file())
    found = False
    for path in paths:
        shown = text_path(os.fsencode(path.name))[0]
        stem = _stem(shown)
        if stem is None:
            if shown.lower().endswith(OTHER_SUFFIXES):
                message = f"expected {_suffixes()}, found an archive of another kind"
                yield ErrorRecord(source.location, shown, "unsupported_archive", message)
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
        message = f"expected files {_suffixes()}, found none"
        yield ErrorRecord(source.location, "", "empty_source", message)


def read_unit(unit: Unit, limits: Limits) -> Iterator[Record]:
    """The repository, then its files in the archive's order, each path once.

    An archive of which nothing can be read is an error row alone.
    """
    package = _package(unit, limits)
    version = re.search(r"-(\d[^-]*)(?:-|$)", unit.name)
    repo = RepoRecord(
        unit.repo_id,
        unit.name,
        unit.host,
        url=package.url,
        revision_id=package.version or (version[1] if version else None),
        host_license=package.license,
        people=package.people,
    )
    is_open, problem = False, None
    try:
        for record in _files(unit, limits):
            if not is_open:
                is_open = True
                yield repo
            yield record
    except Unsafe as unsafe:
        problem = unsafe.args
    except CORRUPT as error:
        # The kind of damage; never what the archive holds.
        found = f"found one that cannot be read ({type(error).__name__})"
        problem = ("corrupt_archive", f"expected a whole archive, {found}")
    if not is_open:
        if problem is None:
            problem = ("empty_archive", "expected files, found an archive without any")
        if problem[0] != "corrupt_archive":
            yield repo
    if problem is not None:
        yield ErrorRecord(unit.source, unit.name, *problem)


def _files(unit: Unit, limits: Limits) -> Iterator[Record]:
    seen: set[bytes] = set()
    tops = {_plain(unit.name.encode())}
    if unit.location.lower().endswith(".tgz"):
        tops.add(b"package")  # npm's
    for member in members(unit.location, limits):
        if member.kind == "folder":
            continue
        path = _strip(os.path.normpath(member.path), tops)
        kind, message = "", ""
        if len(member.path) > MAX_PATH_BYTES:
            kind, message = "long_path", f"a path of over {MAX_PATH_BYTES} bytes was passed over"
        elif not _is_inside(member.path):
            kind, message = "path_traversal", "a path that leaves the archive was passed over"
        elif path in seen:
            kind, message = "duplicate_member", "a second member of this path was passed over"
        if kind:
            yield ErrorRecord(unit.source, _shown(unit, member.path), kind, message)
        else:
            seen.add(path)
            yield from _file(unit, member, path, limits)


def _file(
    unit: Unit, member: Member, path: bytes, limits: Limits
) -> Iterator[FileRecord | ErrorRecord]:
    if member.kind != "file":
        yield make_name(path, 0, LINK)
    elif member.size_bytes > limits.max_file_bytes:
        yield make_name(path, member.size_bytes, OVERSIZE)
    else:
        try:
            raw = member.read(limits.max_file_bytes + 1)
        except CORRUPT as error:
            # Of one member of a zip; in a stream (tar) what follows cannot be found either.
            if not is_zip(unit.location):
                raise
            yield make_name(path, member.size_bytes, UNREADABLE)
            message = f"expected a whole member, found a broken one ({type(error).__name__})"
            yield ErrorRecord(unit.source, _shown(unit, path), "corrupt_member", message)
            return
        is_over = len(raw) > limits.max_file_bytes
        yield make_name(path, len(raw), OVERSIZE) if is_over else make_file(path, raw)


def _package(unit: Unit, limits: Limits) -> Package:
    """From the manifest at the top. What is wrong with the archive is told when it is read."""
    name = unit.location.lower()
    wanted = [(path, parse) for path, suffixes, parse in MANIFESTS if name.endswith(suffixes)]
    if not wanted:
        return Package()
    try:
        for member in members(unit.location, limits):
            path = member.path.removeprefix(b"./")
            for pattern, parse in wanted:
                if member.kind == "file" and pattern.fullmatch(path):
                    return parse(member.read(MAX_BYTES))
    except (Unsafe, *CORRUPT):
        pass
    return Package()


def _strip(path: bytes, tops: set[bytes]) -> bytes:
    """Without the leading folder that packers add: the archive's stem, or npm's `package`."""
    first, slash, rest = path.partition(b"/")
    return rest if slash and rest and _plain(first) in tops else path


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


def _shown(unit: Unit, path: bytes) -> str:
    shown, _ = text_path(path[:MAX_PATH_BYTES].replace(b"\0", b"?"))
    return f"{unit.name}/{shown}"


def _suffixes() -> str:
    return ", ".join(TAR_SUFFIXES + ZIP_SUFFIXES)


def _stem(name: str) -> str | None:
    for suffix in TAR_SUFFIXES + ZIP_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return None
