"""What lies in an archive?    a tar or zip, as a stream -> its members, within limits

An archive can be a bomb, or built to crash its reader: every byte that is unpacked is counted, no
header is read whole before its size is known, and a damaged header is an error, not an end.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, Protocol

from etl.sources.config import Limits

TAR_SUFFIXES = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar", ".crate",
)  # fmt: skip
ZIP_SUFFIXES = (".zip", ".whl")
CORRUPT = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    NotImplementedError, RuntimeError, ValueError, struct.error, OverflowError,
)  # fmt: skip
READ_BYTES = 64 << 10
SMALL_BYTES = 1 << 20  # unpacked bytes that are no bomb, whatever the ratio
MAX_HEADER_BYTES = 1 << 20  # of a tar's long name or extended header
MAX_XZ_MEMORY_BYTES = 192 << 20  # xz -9 needs 65 MiB
ZIP_ENTRY_BYTES = 192  # of a zip's directory, a member: 46 and the name and extra fields
HEADERS = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)  # fmt: skip


class Member(NamedTuple):
    """A member of an archive; `read(n)` gives at most n bytes of it, before the next is taken."""

    path: bytes
    size_bytes: int
    kind: str  # file, link, device or folder
    read: Callable[[int], bytes]


class Unsafe(Exception):
    """The rest of the archive must not be read. Holds the error's kind and message."""


class Stream(Protocol):
    """Gives what it has: an error comes with the read after the last good byte, not before."""

    def read1(self, size: int, /) -> bytes: ...


def members(location: str, limits: Limits) -> Iterator[Member]:
    """Members in the archive's order. Raises: Unsafe beyond the limits; CORRUPT."""
    read = _zip_members if is_zip(location) else _tar_members
    packed_bytes = max(1, os.path.getsize(location))
    allowed = min(limits.max_archive_bytes, max(SMALL_BYTES, packed_bytes * limits.max_ratio))
    for number, member in enumerate(read(location, limits, _Budget(packed_bytes, allowed))):
        if number >= limits.max_members:
            raise Unsafe("too_many_members", f"more than {limits.max_members} members")
        yield member


def is_zip(location: str) -> bool:
    return location.lower().endswith(ZIP_SUFFIXES)


class _Budget:
    """Unpacked bytes that an archive may still give."""

    def __init__(self, packed_bytes: int, allowed_bytes: int) -> None:
        self.packed_bytes, self.allowed_bytes, self.spent_bytes = packed_bytes, allowed_bytes, 0

    def spend(self, num_bytes: int) -> None:
        self.spent_bytes += num_bytes
        if self.spent_bytes > self.allowed_bytes:
            message = (
                f"more than {self.allowed_bytes} bytes unpacked from {self.packed_bytes}: the rest "
                "was not read; raise ingest.limits if the archive can be trusted"
            )
            raise Unsafe("archive_bomb", message)


# --- tar


def _tar_members(location: str, limits: Limits, budget: _Budget) -> Iterator[Member]:
    with open(location, "rb") as packed:
        stream = _Counted(_unpacked(packed), budget)
        with tarfile.open(
            fileobj=stream,  # type: ignore[call-overload]
            mode="r|",
            bufsize=READ_BYTES,
            tarinfo=_Header,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # else every header stays in memory
                path = info.name.encode("utf-8", "surrogateescape")
                content = archive.extractfile(info) if info.isreg() else None
                yield Member(path, info.size, _tar_kind(info), _reader(content, info.size))
        while stream.read(READ_BYTES):  # to the end, where the checksum is
            pass


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return "file"
    if info.isdir():
        return "folder"
    return "link" if info.issym() or info.islnk() else "device"


def _reader(content: IO[bytes] | None, size_bytes: int) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        expected = min(limit, size_bytes)  # asked for more, `read` makes room for all of it
        raw = content.read(expected) if content is not None else b""
        if len(raw) < expected:
            raise EOFError("the archive ends inside a member")
        return raw

    return read


class _Header(tarfile.TarInfo):
    """A tar header; `tarfile` takes a damaged one for the end of the archive, this one does not."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("a header is missing or damaged") from error
        if header.type in HEADERS and header.size > MAX_HEADER_BYTES:
            raise Unsafe("archive_bomb", f"a header of more than {MAX_HEADER_BYTES} bytes")
        return header


class _Counted:
    """A stream whose bytes are spent from a budget. It ends once: a second end is an error."""

    def __init__(self, stream: Stream, budget: _Budget) -> None:
        self.stream, self.budget, self.num_ends = stream, budget, 0

    def read(self, size: int, /) -> bytes:
        raw = self.stream.read1(size)
        self.budget.spend(len(raw))
        self.num_ends += not raw
        if self.num_ends > 100:
            raise EOFError("read on behind the end")  # tarfile would, for some sparse headers
        return raw


def _unpacked(packed: io.BufferedReader) -> Stream:
    """By its first bytes, not its name."""
    head = packed.peek(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(packed)
    if head.startswith(b"\xfd7zXZ\0"):
        return _Xz(packed)
    return packed


class _Xz:
    """An xz stream that may not take more memory than a bound: its header states how much it takes."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self.packed, self.decoder = packed, self._decoder()

    def _decoder(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY_BYTES)

    def read1(self, size: int, /) -> bytes:
        raw = b""
        while not raw:
            block = b""
            if self.decoder.eof:  # padding may follow, or a further stream
                block = self.decoder.unused_data.lstrip(b"\0")
                while not block:
                    padded = self.packed.read(READ_BYTES)
                    if not padded:
                        return b""
                    block = padded.lstrip(b"\0")
                self.decoder = self._decoder()
            elif self.decoder.needs_input:
                block = self.packed.read(READ_BYTES)
                if not block:
                    raise EOFError("the archive ends inside a stream")
            raw = self.decoder.decompress(block, size)
        return raw


# --- zip


def _zip_members(location: str, limits: Limits, budget: _Budget) -> Iterator[Member]:
    with _Guarded(open(location, "rb", buffering=0)) as packed:
        # The directory is read at once: its size bounds the memory that its members take.
        packed.most = max(READ_BYTES, limits.max_members * ZIP_ENTRY_BYTES)
        with zipfile.ZipFile(packed) as archive:
            packed.most = None
            for info in archive.infolist():
                budget.spend(info.file_size)
                is_utf8 = bool(info.flag_bits & 0x800)
                path = info.filename.encode("utf-8" if is_utf8 else "cp437", "replace")

                def read(limit: int, info: zipfile.ZipInfo = info) -> bytes:
                    with archive.open(info) as content:  # stops at the size that it states
                        return content.read(limit)

                yield Member(path, info.file_size, _zip_kind(info), read)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.filename.endswith("/") or kind == stat.S_IFDIR:  # is_dir raises for an empty name
        return "folder"
    if kind == stat.S_IFLNK:
        return "link"
    return "file" if kind in (0, stat.S_IFREG) else "device"


class _Guarded(io.BufferedReader):
    """A file of which no more than `most` bytes are read at once."""

    most: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None and size is not None and size > self.most:
            raise Unsafe("too_many_members", f"a directory of more than {self.most} bytes")
        return super().read(size)
