"""Laws of the tree reader: every file is named once, nothing outside is read, memory is bounded."""

from __future__ import annotations

import hashlib
import os
import tracemalloc

import pygit2
import pytest

from etl.sources import tree
from etl.sources.config import Limits
from etl.sources.records import repo_id_of
from tests.etl.sources.reading import read_source


def write(path, content=b"x = 1\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_child_folder_is_a_repository_and_its_files_are_read(tmp_path):
    write(tmp_path / "bob" / "b.py", b"b = 2\n")
    write(tmp_path / "ann" / "src" / "a.py", b"a = 1\n")
    write(tmp_path / "ann" / "logo.png", b"\x89PNG\0")
    found = read_source("tree", tmp_path)
    assert [repo.repo_name for repo in found.repos] == ["ann", "bob"]
    assert found.texts == {"src/a.py": b"a = 1\n", "logo.png": None, "b.py": b"b = 2\n"}
    assert found.statuses == {"src/a.py": "stored", "logo.png": "binary", "b.py": "stored"}
    picture = found.files["ann", "logo.png"]
    assert picture.blob_id == hashlib.sha256(b"\x89PNG\0").hexdigest()
    assert (picture.size_bytes, picture.text_id) == (5, None)
    assert found.errors == []


def test_what_is_no_folder_is_an_error_row_and_a_link_is_not_followed(tmp_path):
    write(tmp_path / "source" / "ann" / "a.py")
    write(tmp_path / "source" / "loose.py")
    write(tmp_path / "elsewhere" / "secret.py")
    (tmp_path / "source" / "linked").symlink_to(tmp_path / "elsewhere")
    found = read_source("tree", tmp_path / "source")
    assert list(found.texts) == ["a.py"]
    assert found.problems == [("not_a_repository", "linked"), ("not_a_repository", "loose.py")]


def test_links_loops_and_pipes_are_named_and_never_followed(tmp_path):
    write(tmp_path / "secret.py")
    write(tmp_path / "source" / "ann" / "sub" / "a.py")
    sub = tmp_path / "source" / "ann" / "sub"
    (sub / "out.py").symlink_to(tmp_path / "secret.py")
    (sub / "up").symlink_to("..")
    (sub / "self").symlink_to("self")
    (sub / "broken").symlink_to("nowhere")
    os.mkfifo(sub / "pipe")
    found = read_source("tree", tmp_path / "source")
    assert found.statuses == {
        "sub/a.py": "stored",
        "sub/broken": "link",
        "sub/out.py": "link",
        "sub/pipe": "link",
        "sub/self": "link",
        "sub/up": "link",
    }


def test_a_link_that_takes_a_files_place_after_the_listing_is_not_followed(tmp_path, monkeypatch):
    write(tmp_path / "secret.py", b"secret")
    write(tmp_path / "source" / "ann" / "a.py")
    whole_walk = tree.walk

    def walk(folder, prefix, depth=0):
        found = list(whole_walk(folder, prefix, depth))
        (tmp_path / "source" / "ann" / "a.py").unlink()
        (tmp_path / "source" / "ann" / "a.py").symlink_to(tmp_path / "secret.py")
        return found

    unit = read_source("tree", tmp_path / "source").units[0]
    monkeypatch.setattr(tree, "walk", walk)
    _, file, error = tree.read_unit(unit, Limits())
    assert (file.status, error.kind) == ("unreadable", "unreadable")


def test_a_version_controls_own_files_are_passed_over(tmp_path):
    write(tmp_path / "ann" / ".git" / "config")
    write(tmp_path / "ann" / "module" / ".git")
    write(tmp_path / "ann" / ".hg" / "store")
    write(tmp_path / "ann" / ".gitignore")
    assert list(read_source("tree", tmp_path).texts) == [".gitignore"]


def test_the_commit_that_is_checked_out_is_the_revision(tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "ann"))
    who = pygit2.Signature("Ann", "ann@a.example", 1, 0)
    empty = repository.TreeBuilder().write()
    commit = repository.create_commit("HEAD", who, who, "", empty, [])
    write(tmp_path / "ann" / "a.py")
    write(tmp_path / "bob" / "b.py")
    write(tmp_path / "cho" / ".git" / "HEAD", b"nonsense")
    revisions = [repo.revision_id for repo in read_source("tree", tmp_path).repos]
    assert revisions == [str(commit), None, None]


def test_paths_that_are_not_utf8_are_escaped_and_flagged(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"r\xe9po")
    os.mkdir(folder)
    with open(os.path.join(folder, b"caf\xe9 100%.py"), "wb") as file:
        file.write(b"x\n")
    found = read_source("tree", tmp_path)
    ((key, file),) = found.files.items()
    assert key == ("r%E9po", "caf%E9 100%25.py")
    assert file.is_path_escaped


def test_an_oversize_file_is_named_without_its_bytes_being_read(tmp_path, monkeypatch):
    write(tmp_path / "ann" / "a.py")
    with open(tmp_path / "ann" / "huge.json", "wb") as file:
        file.truncate(1 << 30)
    whole = tree._content

    def content(path, size_bytes, most):
        assert not path.endswith(b"huge.json")
        return whole(path, size_bytes, most)

    monkeypatch.setattr(tree, "_content", content)
    tracemalloc.start()
    found = read_source("tree", tmp_path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    huge = found.files["ann", "huge.json"]
    assert (huge.status, huge.size_bytes, huge.blob_id) == ("oversize", 1 << 30, None)
    assert peak_bytes < 1 << 20


@pytest.mark.parametrize(("size", "status"), [(9, "stored"), (10, "stored"), (11, "oversize")])
def test_a_file_of_exactly_the_limit_is_read(size, status, tmp_path):
    write(tmp_path / "ann" / "a.py", b"x" * size)
    found = read_source("tree", tmp_path, Limits(max_file_bytes=10))
    assert found.statuses == {"a.py": status}


@pytest.mark.parametrize(("added", "status"), [(3, "stored"), (30, "oversize")])
def test_a_file_that_has_grown_since_it_was_listed_is_read_to_the_limit(
    added, status, tmp_path, monkeypatch
):
    write(tmp_path / "ann" / "a.py", b"12345")
    unit = read_source("tree", tmp_path).units[0]
    whole = tree._content

    def content(path, size_bytes, most):
        with open(path, "ab") as file:
            file.write(b"6" * added)
        return whole(path, size_bytes, most)

    monkeypatch.setattr(tree, "_content", content)
    _, file = tree.read_unit(unit, Limits(max_file_bytes=10))
    assert file.status == status
    assert file.size_bytes == min(5 + added, 11)


def test_a_file_that_may_not_be_read_is_a_row_and_the_others_are_read(tmp_path, monkeypatch):
    write(tmp_path / "ann" / "a.py")
    write(tmp_path / "ann" / "locked.py")
    write(tmp_path / "ann" / "z.py")
    whole = os.open

    def refuse(path, flags, *rest):
        if os.fspath(path).endswith(b"locked.py"):
            raise PermissionError(13, "Permission denied", path)
        return whole(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    found = read_source("tree", tmp_path)
    assert found.statuses == {"a.py": "stored", "locked.py": "unreadable", "z.py": "stored"}
    (error,) = found.errors
    assert (error.kind, error.member) == ("unreadable", "ann/locked.py")
    assert error.message == "expected a readable file, found: Permission denied"


def test_a_folder_that_may_not_be_listed_is_a_row_and_the_others_are_read(tmp_path, monkeypatch):
    write(tmp_path / "ann" / "a.py")
    write(tmp_path / "ann" / "locked" / "b.py")
    whole = os.scandir

    def refuse(path):
        if os.fsencode(path).endswith(b"locked"):
            raise PermissionError(13, "Permission denied", path)
        return whole(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = read_source("tree", tmp_path)
    assert list(found.texts) == ["a.py"]
    assert found.problems == [("permission", "ann/locked")]


def test_folders_too_deep_are_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "MAX_DEPTH", 2)
    write(tmp_path / "ann" / "1" / "2" / "a.py")
    write(tmp_path / "ann" / "1" / "2" / "3" / "b.py")
    found = read_source("tree", tmp_path)
    assert list(found.texts) == ["1/2/a.py"]
    assert found.problems == [("permission", "ann/1/2/3")]


def test_the_fingerprint_changes_with_content_name_and_nothing_else(tmp_path):
    write(tmp_path / "ann" / "a.py", b"1")

    def fingerprint():
        return read_source("tree", tmp_path).units[0].fingerprint

    first = fingerprint()
    assert fingerprint() == first
    os.utime(tmp_path / "ann" / "a.py", ns=(1, 2))
    second = fingerprint()
    (tmp_path / "ann" / "a.py").rename(tmp_path / "ann" / "b.py")
    third = fingerprint()
    write(tmp_path / "bob" / "c.py")
    assert fingerprint() == third
    assert len({first, second, third}) == 3


def test_one_name_on_two_hosts_is_two_repositories(tmp_path):
    write(tmp_path / "one" / "ann" / "a.py")
    write(tmp_path / "two" / "ann" / "a.py")
    one = read_source("tree", tmp_path / "one", host="one.example").repos[0]
    two = read_source("tree", tmp_path / "two", host="two.example").repos[0]
    neither = read_source("tree", tmp_path / "one").repos[0]
    assert one.repo_name == two.repo_name == "ann"
    assert one.repo_id == repo_id_of("one.example:ann")
    assert len({one.repo_id, two.repo_id, neither.repo_id}) == 3
    assert neither.repo_id == repo_id_of(str(tmp_path / "one" / "ann"))


def test_a_host_makes_ids_that_do_not_depend_on_the_place(tmp_path):
    write(tmp_path / "one" / "ann" / "a.py")
    write(tmp_path / "two" / "ann" / "a.py")
    ids = {read_source("tree", tmp_path / at, host="h").repos[0].repo_id for at in ("one", "two")}
    assert len(ids) == 1


def test_a_repository_that_is_gone_by_the_time_it_is_read_is_a_row(tmp_path):
    write(tmp_path / "ann" / "a.py")
    unit = read_source("tree", tmp_path).units[0]
    (tmp_path / "ann" / "a.py").unlink()
    (tmp_path / "ann").rmdir()
    (error,) = tree.read_unit(unit, Limits())
    assert error.kind == "missing_repository"
