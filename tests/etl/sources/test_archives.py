"""Laws of the archive reader: what is safe is used, what is not is named, and nothing explodes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.sources import archives, members
from etl.sources.config import Limits, SourceConfig
from etl.sources.records import Person
from tests.etl.sources.reading import read_source

FILES = {"one-1.0/a.py": b"a = 1\n", "one-1.0/sub/b.py": b"b = 2\n"}
TEXTS = {"a.py": b"a = 1\n", "sub/b.py": b"b = 2\n"}
PACKERS = {
    "tar": lambda raw: raw,
    "tar.gz": gzip.compress,
    "tgz": gzip.compress,
    "crate": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def tar(files, *infos):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in infos:
            archive.addfile(info)
    return buffer.getvalue()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def write(tmp_path, name, raw):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(raw)
    return tmp_path


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_tar_is_read_whatever_packs_it(suffix, tmp_path):
    found = read_source(
        "archives", write(tmp_path, f"one-1.0.{suffix}", PACKERS[suffix](tar(FILES)))
    )
    assert found.texts == TEXTS
    (repo,) = found.repos
    assert (repo.repo_name, repo.revision_id) == ("one-1.0", "1.0")
    assert found.errors == []


@pytest.mark.parametrize("suffix", ["zip", "whl"])
def test_a_zip_is_read(suffix, tmp_path):
    found = read_source("archives", write(tmp_path, f"one-1.0.{suffix}", zipped(FILES)))
    assert found.texts == TEXTS
    assert found.errors == []


def test_the_bytes_decide_how_a_tar_is_packed_not_its_name(tmp_path):
    folder = write(tmp_path, "one-1.0.tar.gz", lzma.compress(tar(FILES)))
    assert read_source("archives", folder).texts == TEXTS


def test_streams_in_a_row_are_one(tmp_path):
    raw = tar(FILES)
    for suffix, pack in [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]:
        packed = pack(raw[:700]) + pack(raw[700:])
        padded = packed + bytes(8) if suffix == "xz" else packed
        folder = write(tmp_path / suffix, f"one-1.0.tar.{suffix}", padded)
        found = read_source("archives", folder)
        assert (found.texts, found.errors) == (TEXTS, [])


def test_one_file_may_be_the_source(tmp_path):
    write(tmp_path, "one-1.0.tar", tar(FILES))
    write(tmp_path, "two-1.0.tar", tar(FILES))
    found = read_source("archives", tmp_path / "two-1.0.tar")
    assert [repo.repo_name for repo in found.repos] == ["two-1.0"]


def test_archives_come_in_the_order_of_names_and_other_files_are_passed_over(tmp_path):
    for name in ("b-1.zip", "a-1.zip"):
        write(tmp_path, name, zipped({"x": b"1"}))
    write(tmp_path, "notes.txt", b"x")
    write(tmp_path, "c-1.rar", b"x")
    found = read_source("archives", tmp_path)
    assert [unit.name for unit in found.units] == ["a-1", "b-1"]
    assert found.problems == [("unsupported_archive", "c-1.rar")]


@pytest.mark.parametrize(
    ("archive", "member", "path"),
    [
        ("numpy-1.26.4.tar.gz", "numpy-1.26.4/setup.py", "setup.py"),
        ("Foo.Bar-1.0.tar.gz", "foo_bar-1.0/setup.py", "setup.py"),
        ("foo-bar-1.0.zip", "foo-bar-1.0/setup.py", "setup.py"),
        ("left-pad-1.3.0.tgz", "package/index.js", "index.js"),
        ("serde-1.0.0.crate", "serde-1.0.0/src/lib.rs", "src/lib.rs"),
        ("foo-1.0.tar.gz", "./foo-1.0/setup.py", "setup.py"),
        ("foo-1.0.tar.gz", "package/index.py", "package/index.py"),
        ("foo-1.0.tar.gz", "other/setup.py", "other/setup.py"),
        ("foo-1.0.tar.gz", "foo-1.0", "foo-1.0"),
        ("foo-1.0-py3-none-any.whl", "foo/a.py", "foo/a.py"),
    ],
)
def test_the_folder_that_packers_add_is_dropped(archive, member, path, tmp_path):
    files = {member: b"x\n"}
    is_zip = archive.endswith((".zip", ".whl"))
    raw = zipped(files) if is_zip else gzip.compress(tar(files))
    assert read_source("archives", write(tmp_path, archive, raw)).texts == {path: b"x\n"}


PKG_INFO = b"Metadata-Version: 2.1\nName: one\nVersion: 1.0.post1\nLicense: MIT\nAuthor: Ann\n\n"
NPM = b'{"name": "one", "version": "1.0.1", "license": "MIT", "author": "Ann"}'
CRATE = b'[package]\nname = "one"\nversion = "1.0.2"\nlicense = "MIT"\nauthors = ["Ann"]\n'


@pytest.mark.parametrize(
    ("archive", "member", "manifest", "version"),
    [
        ("one-1.0.tar.gz", "one-1.0/PKG-INFO", PKG_INFO, "1.0.post1"),
        ("one-1.0-py3-none-any.whl", "one-1.0.dist-info/METADATA", PKG_INFO, "1.0.post1"),
        ("one-1.0.tgz", "package/package.json", NPM, "1.0.1"),
        ("one-1.0.crate", "one-1.0/Cargo.toml", CRATE, "1.0.2"),
        ("one-1.0.tar.gz", "one-1.0/sub/PKG-INFO", PKG_INFO, "1.0"),
        ("one.tar.gz", "one/README", b"x", None),
    ],
)
def test_the_manifest_at_the_top_describes_the_repository(
    archive, member, manifest, version, tmp_path
):
    files = {"one-1.0/a.py": b"1\n", member: manifest}
    raw = zipped(files) if archive.endswith(".whl") else gzip.compress(tar(files))
    (repo,) = read_source("archives", write(tmp_path, archive, raw)).repos
    assert repo.revision_id == version
    if version not in ("1.0", None):
        assert (repo.host_license, repo.people) == ("MIT", (Person("Ann", "", "author"),))


EVIL = ["../x.py", "one-1.0/../../x.py", "/etc/x.py", "C:\\x.py", "\\x.py", "a\\..\\..\\x.py"]


@pytest.mark.parametrize("path", EVIL)
@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_path_that_leaves_the_archive_is_a_row_and_the_rest_is_read(path, suffix, tmp_path):
    files = {"one-1.0/a.py": b"1\n", path: b"2\n", "one-1.0/z.py": b"3\n"}
    raw = tar(files) if suffix == "tar" else zipped(files)
    found = read_source("archives", write(tmp_path, f"one-1.0.{suffix}", raw))
    assert found.texts == {"a.py": b"1\n", "z.py": b"3\n"}
    assert found.problems == [("path_traversal", f"one-1.0/{path}")]


def test_links_and_devices_of_a_tar_are_names_without_content(tmp_path):
    infos = [
        special("one-1.0/soft", tarfile.SYMTYPE, "/etc/passwd"),
        special("one-1.0/loop", tarfile.SYMTYPE, "loop"),
        special("one-1.0/hard", tarfile.LNKTYPE, "one-1.0/a.py"),
        special("one-1.0/null", tarfile.CHRTYPE),
        special("one-1.0/disk", tarfile.BLKTYPE),
        special("one-1.0/pipe", tarfile.FIFOTYPE),
        special("one-1.0/folder", tarfile.DIRTYPE),
    ]
    raw = tar({"one-1.0/a.py": b"1\n"}, *infos)
    found = read_source("archives", write(tmp_path, "one-1.0.tar", raw))
    assert found.statuses == {
        "a.py": "stored", "soft": "link", "loop": "link", "hard": "link",
        "null": "link", "disk": "link", "pipe": "link",
    }  # fmt: skip
    assert found.errors == []


def test_links_and_devices_of_a_zip_are_names_without_content(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, mode in [("soft", stat.S_IFLNK), ("null", stat.S_IFCHR), ("a", stat.S_IFREG)]:
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode | 0o644) << 16
            archive.writestr(info, "../../etc/passwd")
    found = read_source("archives", write(tmp_path, "one-1.0.zip", buffer.getvalue()))
    assert found.statuses == {"soft": "link", "null": "link", "a": "stored"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_the_first_of_two_members_of_one_path_is_used(suffix, tmp_path):
    if suffix == "tar":
        raw = tar({"one-1.0/a": b"1\n", "one-1.0/./a": b"2\n", "one-1.0/x/../a": b"3\n"})
    else:
        raw = zipped({"one-1.0/a": b"1\n", "one-1.0/./a": b"2\n", "a": b"3\n"})
    found = read_source("archives", write(tmp_path, f"one-1.0.{suffix}", raw))
    assert found.texts == {"a": b"1\n"}
    assert [error.kind for error in found.errors] == ["duplicate_member"] * 2


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    info = tarfile.TarInfo("one-1.0/caf\udce9.py")
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as archive:
        archive.addfile(info)
    found = read_source("archives", write(tmp_path / "tar", "one-1.0.tar", buffer.getvalue()))
    ((key, file),) = found.files.items()
    assert key == ("one-1.0", "caf%E9.py")
    assert file.is_path_escaped
    # A zip without the UTF-8 flag: bytes as they are, UTF-8 more often than not.
    raw = zipped({"XXXXX.py": b"", "YYYY.py": b""})
    raw = raw.replace(b"XXXXX", "café".encode()).replace(b"YYYY", b"caf\xe9")
    found = read_source("archives", write(tmp_path / "zip", "one-1.0.zip", raw))
    assert list(found.texts) == ["café.py", "caf%E9.py"]


def test_an_archive_whose_own_name_is_not_utf8_is_read(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"\xe9-1.0.tar"), "wb") as file:
        file.write(tar(FILES))
    found = read_source("archives", tmp_path)
    assert [repo.repo_name for repo in found.repos] == ["%E9-1.0"]
    assert len(found.files) == 2


INSIDE, OUTSIDE = ["a.py", "sub/b.py", "c d"], ["../x.py", "/etc/x.py", "sub/../../x.py"]
TYPES = [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(st.lists(st.tuples(st.sampled_from(INSIDE + OUTSIDE), st.sampled_from(TYPES)), max_size=12))
def test_each_member_is_a_file_or_an_error_row_and_none_is_both(tmp_path, members):
    infos = [special(name, kind, "a.py") for name, kind in members]
    found = read_source("archives", write(tmp_path, "one-1.0.tar", tar({}, *infos)))
    names = [name for name, kind in members if kind != tarfile.DIRTYPE]
    inside = [name for name in names if name in INSIDE]
    assert set(found.statuses) == set(inside)
    assert sorted(error.kind for error in found.errors) == sorted(
        ["duplicate_member"] * (len(inside) - len(set(inside)))
        + ["path_traversal"] * (len(names) - len(inside))
        + ["empty_archive"] * (not names)
    )
    first = {name: kind for name, kind in reversed(members) if kind != tarfile.DIRTYPE}
    assert found.statuses == {
        name: "stored" if first[name] == tarfile.REGTYPE else "link" for name in set(inside)
    }


# --- damage


@pytest.mark.parametrize(
    "raw",
    [b"", b"no archive", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"PK\3\4", bytes(100)],
    ids=repr,
)
@pytest.mark.parametrize("suffix", ["tar.gz", "zip"])
def test_a_corrupt_archive_is_a_row_and_the_good_ones_are_read(raw, suffix, tmp_path):
    write(tmp_path, f"bad-1.0.{suffix}", raw)
    write(tmp_path, "one-1.0.tar", tar(FILES))
    found = read_source("archives", tmp_path)
    assert found.texts == TEXTS
    assert [repo.repo_name for repo in found.repos] == ["one-1.0"]
    assert found.problems == [("corrupt_archive", "bad-1.0")]


@pytest.mark.parametrize("suffix", PACKERS)
def test_what_comes_before_the_place_where_an_archive_ends_is_used(suffix, tmp_path):
    noise = random.Random(0).randbytes(400_000)
    raw = PACKERS[suffix](tar({"one-1.0/a.py": b"1\n" * 50_000, "one-1.0/noise": noise}))
    found = read_source("archives", write(tmp_path, f"one-1.0.{suffix}", raw[: len(raw) * 3 // 4]))
    if suffix != "tar.bz2":  # the blocks of bzip2 are longer than the file
        assert found.texts == {"a.py": b"1\n" * 50_000}
    assert found.problems == [("corrupt_archive", "one-1.0")]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_tar_cut_between_two_members_is_told(suffix, tmp_path):
    raw = PACKERS[suffix](tar(FILES)[:1024])
    found = read_source("archives", write(tmp_path, f"one-1.0.{suffix}", raw))
    assert found.texts == {"a.py": b"a = 1\n"}
    assert found.problems == [("corrupt_archive", "one-1.0")]


def test_a_damaged_header_in_the_middle_is_told(tmp_path):
    raw = bytearray(tar(FILES))
    raw[1024 + 150] ^= 0xFF  # in the checksum of the second header
    found = read_source("archives", write(tmp_path, "one-1.0.tar", bytes(raw)))
    assert found.texts == {"a.py": b"a = 1\n"}
    assert found.problems == [("corrupt_archive", "one-1.0")]


def test_a_wrong_checksum_behind_the_last_member_is_told(tmp_path):
    raw = bytearray(gzip.compress(tar(FILES)))
    raw[-8] ^= 0xFF
    found = read_source("archives", write(tmp_path, "one-1.0.tar.gz", bytes(raw)))
    assert found.texts == TEXTS
    assert found.problems == [("corrupt_archive", "one-1.0")]


def test_a_corrupt_member_of_a_zip_is_a_row_and_the_others_are_read(tmp_path):
    noise = random.Random(0).randbytes(1000)
    raw = bytearray(zipped({"one-1.0/a": b"1\n", "one-1.0/b": noise, "one-1.0/c": b"3\n"}))
    raw[raw.index(noise[100:120])] ^= 0xFF
    found = read_source("archives", write(tmp_path, "one-1.0.zip", bytes(raw)))
    assert found.statuses == {"a": "stored", "b": "unreadable", "c": "stored"}
    assert found.problems == [("corrupt_member", "one-1.0/b")]


def test_an_encrypted_member_of_a_zip_is_a_row(tmp_path):
    raw = bytearray(zipped({"one-1.0/a": b"1\n"}))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.index(mark) + offset] |= 1
    found = read_source("archives", write(tmp_path, "one-1.0.zip", bytes(raw)))
    assert found.statuses == {"a": "unreadable"}
    assert found.problems == [("corrupt_member", "one-1.0/a")]


def test_a_member_without_a_name_is_a_row_and_the_others_are_read(tmp_path):
    raw = zipped({"X": b"1\n", "one-1.0/a.py": b"2\n"}).replace(b"X", b"\0")
    found = read_source("archives", write(tmp_path, "one-1.0.zip", raw))
    assert found.texts == {"a.py": b"2\n"}
    assert [error.kind for error in found.errors] == ["path_traversal"]


def test_an_archive_without_files_is_a_row(tmp_path):
    write(tmp_path, "one-1.0.zip", zipped({}))
    write(tmp_path, "two-1.0.tar", tar({}))
    found = read_source("archives", tmp_path)
    assert found.problems == [("empty_archive", "one-1.0"), ("empty_archive", "two-1.0")]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
@given(data=st.data(), suffix=st.sampled_from(["tar", "tar.gz", "tar.xz", "zip"]))
def test_no_damage_raises_and_no_error_shows_content(data, suffix, tmp_path):
    files = {**FILES, "one-1.0/PKG-INFO": PKG_INFO, "one-1.0/caf\xe9" + "x" * 120: b"S3CRET" * 9}
    raw = bytearray(zipped(files) if suffix == "zip" else PACKERS[suffix](tar(files)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(raw)))
    folder = write(tmp_path / suffix, f"one-1.0.{suffix}", bytes(raw[:cut]))  # alone in it
    found = read_source("archives", folder)
    assert "S3CRET" not in " ".join(error.message for error in found.errors)


# --- bombs


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_bomb_is_stopped_at_the_ratio_and_what_came_before_is_used(suffix, tmp_path):
    files = {"one-1.0/a.py": b"1\n"} | {f"one-1.0/{n}": bytes(9 << 20) for n in range(8)}
    raw = zipped(files) if suffix == "zip" else PACKERS[suffix](tar(files))
    found = read_source("archives", write(tmp_path, f"one-1.0.{suffix}", raw))
    assert found.texts["a.py"] == b"1\n"
    assert len(found.files) < len(files)
    assert found.problems == [("archive_bomb", "one-1.0")]
    assert [repo.repo_name for repo in found.repos] == ["one-1.0"]


def test_a_small_archive_may_be_packed_at_any_ratio(tmp_path):
    raw = gzip.compress(tar({"one-1.0/a": b" " * 900_000}))
    found = read_source("archives", write(tmp_path, "one-1.0.tar.gz", raw))
    assert (found.statuses, found.errors) == ({"a": "stored"}, [])


def test_the_unpacked_bytes_of_an_archive_are_bounded_whatever_the_ratio(tmp_path):
    raw = tar({f"one-1.0/{n}": b"x" * 10_000 for n in range(100)})
    folder = write(tmp_path, "one-1.0.tar", raw)
    found = read_source("archives", folder, Limits(max_archive_bytes=300_000, max_ratio=10**9))
    assert 0 < len(found.files) < 100
    assert found.problems == [("archive_bomb", "one-1.0")]


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_too_many_members_are_cut_off(suffix, tmp_path):
    files = {f"one-1.0/{n}": b"1\n" for n in range(20)}
    raw = tar(files) if suffix == "tar" else zipped(files)
    folder = write(tmp_path, f"one-1.0.{suffix}", raw)
    found = read_source("archives", folder, Limits(max_members=12))
    assert len(found.files) == 12
    assert found.problems == [("too_many_members", "one-1.0")]


def test_a_zip_directory_too_large_for_the_members_it_may_have_is_not_read(tmp_path):
    raw = zipped({f"one-1.0/{n:05}{'x' * 200}": b"" for n in range(500)})
    folder = write(tmp_path, "one-1.0.zip", raw)
    found = read_source("archives", folder, Limits(max_members=10))
    assert found.files == {}
    assert found.problems == [("too_many_members", "one-1.0")]


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_member_over_the_limit_is_named_and_not_held(suffix, tmp_path):
    files = {"one-1.0/big": b"x" * 11, "one-1.0/small": b"x" * 10}
    raw = tar(files) if suffix == "tar" else zipped(files)
    folder = write(tmp_path, f"one-1.0.{suffix}", raw)
    found = read_source("archives", folder, Limits(max_file_bytes=10))
    assert found.statuses == {"big": "oversize", "small": "stored"}
    assert found.files["one-1.0", "big"].size_bytes == 11


def test_a_large_line_in_an_archive_costs_no_memory(tmp_path):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as packed:
        info = tarfile.TarInfo("one-1.0/line")
        info.size = 256 << 20
        packed.write(info.tobuf())
        for _ in range(256):
            packed.write(b"x" * (1 << 20))
        packed.write(tar({"one-1.0/a.py": b"1\n"}))
    folder = write(tmp_path, "one-1.0.tar.gz", buffer.getvalue())
    tracemalloc.start()
    found = read_source("archives", folder, Limits(max_ratio=10_000))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.statuses == {"line": "oversize", "a.py": "stored"}
    assert peak_bytes < 4 << 20


@pytest.mark.parametrize("kind", sorted(members.HEADERS))
def test_a_header_that_is_a_bomb_is_not_read(kind, tmp_path):
    info = special("one-1.0/name", kind)
    info.size = (8 << 30) - 1
    folder = write(tmp_path, "one-1.0.tar", tar({"one-1.0/a.py": b"1\n"})[:1024] + info.tobuf())
    found = read_source("archives", folder)
    assert found.texts == {"a.py": b"1\n"}
    assert found.problems == [("archive_bomb", "one-1.0")]


def test_an_xz_stream_that_asks_for_much_memory_is_not_unpacked(tmp_path):
    raw = bytearray(lzma.compress(tar(FILES)))
    header, num_bytes = 12, (raw[12] + 1) * 4
    place = raw.index(b"\x21\x01", header) + 2  # LZMA2, and one byte for its dictionary's size
    raw[place] = 36  # 1 GiB
    checksum = zlib.crc32(raw[header : header + num_bytes - 4])
    raw[header + num_bytes - 4 : header + num_bytes] = struct.pack("<I", checksum)
    found = read_source("archives", write(tmp_path, "one-1.0.tar.xz", bytes(raw)))
    assert found.files == {}
    assert found.problems == [("corrupt_archive", "one-1.0")]
    assert lzma.decompress(raw) == tar(FILES)  # nothing else is wrong with it


def test_a_path_too_long_is_a_row_and_the_rest_is_read(tmp_path):
    raw = tar({"one-1.0/" + "x/" * 3000: b"1\n", "one-1.0/a.py": b"1\n"})
    found = read_source("archives", write(tmp_path, "one-1.0.tar", raw))
    assert found.texts == {"a.py": b"1\n"}
    assert [error.kind for error in found.errors] == ["long_path"]
    assert len(found.errors[0].member) < 5000


def test_a_sparse_member_is_read_and_one_that_claims_terabytes_is_named(tmp_path):
    info = special("one-1.0/sparse", tarfile.GNUTYPE_SPARSE)
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"%011o\0" % ((1 << 33) - 1)  # the size that it unfolds to
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    folder = write(tmp_path, "one-1.0.tar", bytes(raw) + tar({"one-1.0/a.py": b"1\n"}))
    found = read_source("archives", folder)
    assert found.statuses == {"sparse": "oversize", "a.py": "stored"}


def test_the_members_that_were_read_are_not_kept(tmp_path):
    raw = tar({f"one-1.0/{n}": b"" for n in range(3000)})
    folder = write(tmp_path, "one-1.0.tar", raw)
    (unit,) = archives.list_units(SourceConfig(kind="archives", path=str(folder)))
    records = archives.read_unit(unit, Limits())
    next(records)
    tracemalloc.start()
    for _ in records:
        pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 3000 * 300 + (1 << 19)


def test_one_archive_on_two_hosts_is_two_repositories_and_a_host_frees_from_the_place(tmp_path):
    write(tmp_path / "a", "one-1.0.zip", zipped(FILES))
    write(tmp_path / "b", "one-1.0.zip", zipped(FILES))

    def repo_id(at, **settings):
        return read_source("archives", tmp_path / at, **settings).repos[0].repo_id

    assert repo_id("a", host="pypi") == repo_id("b", host="pypi")
    assert (
        len({repo_id("a", host="pypi"), repo_id("a", host="npm"), repo_id("a"), repo_id("b")}) == 4
    )


def test_the_fingerprint_is_size_and_time_of_change(tmp_path):
    folder = write(tmp_path, "one-1.0.zip", zipped(FILES))
    first = read_source("archives", folder).units[0].fingerprint
    assert read_source("archives", folder).units[0].fingerprint == first
    os.utime(folder / "one-1.0.zip", ns=(1, 2))
    assert read_source("archives", folder).units[0].fingerprint != first
