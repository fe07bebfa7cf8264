"""Laws of the git reader, on repositories made object by object."""

from __future__ import annotations

import datetime as dt
import hashlib

import pygit2
import pytest

from etl.sources import git
from etl.sources.config import Limits
from etl.sources.records import Person, repo_id_of
from tests.etl.sources.reading import read_source

WHO = pygit2.Signature("Ann", "ann@a.example", 1_600_000_000, 120)
BLOB, LINK, TREE, MODULE = 0o100644, 0o120000, 0o040000, 0o160000


def git_hash(raw: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(raw), raw)).hexdigest()


def write_tree(repository, entries):
    """Entries (name, mode, id) as they are, valid or not; git would refuse some of these names."""
    raw = b"".join(b"%o %s\0%s" % (mode, name, bytes.fromhex(oid)) for name, mode, oid in entries)
    return str(repository.odb.write(pygit2.GIT_OBJECT_TREE, raw))


def commit_raw(repository, tree, head=b"author A <a@a> 1 +0000\ncommitter A <a@a> 1 +0000"):
    raw = b"tree %s\n%s\n\nm\n" % (tree.encode(), head)
    commit = repository.odb.write(pygit2.GIT_OBJECT_COMMIT, raw)
    repository.references.create("refs/heads/master", commit, force=True)
    return str(commit)


def commit(repository, files, who=WHO, branch="HEAD", parents=()):
    entries = sorted(
        (name, BLOB, str(repository.create_blob(content))) for name, content in files.items()
    )
    tree = write_tree(repository, entries)
    return repository.create_commit(branch, who, who, "m", pygit2.Oid(hex=tree), list(parents))


@pytest.mark.parametrize("is_bare", [True, False])
def test_the_files_of_the_commit_are_read_not_those_of_the_working_tree(is_bare, tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "one.git"), bare=is_bare)
    oid = commit(repository, {b"a.py": b"a = 1\n", b"b.bin": b"\0"})
    (tmp_path / "one.git" / "untracked.py").write_text("x")
    found = read_source("git", tmp_path / "one.git")
    assert found.statuses == {"a.py": "stored", "b.bin": "binary"}
    assert found.texts["a.py"] == b"a = 1\n"
    assert found.files["one", "a.py"].source_blob_id == git_hash(b"a = 1\n")
    (repo,) = found.repos
    assert (repo.repo_name, repo.revision_id) == ("one", str(oid))
    assert repo.branch_name == "refs/heads/master"
    assert found.units[0].revision == str(oid)


def test_dates_are_utc_and_people_are_those_of_the_history(tmp_path):
    repository = pygit2.init_repository(str(tmp_path))
    old = pygit2.Signature("Bo", "bo@b.example", 1_500_000_000, 0)
    first = commit(repository, {b"a": b"1"}, who=old)
    author = pygit2.Signature("Ann", "ann@a.example", 1_600_000_000, 120)
    committer = pygit2.Signature("Cho", "cho@c.example", 1_600_000_060, -300)
    tree = repository[first].tree.id
    repository.create_commit("HEAD", author, committer, "m", tree, [first])
    (repo,) = read_source("git", tmp_path).repos
    assert repo.revision_date == dt.datetime(2020, 9, 13, 12, 26, 40, tzinfo=dt.UTC)
    assert repo.committer_date == dt.datetime(2020, 9, 13, 12, 27, 40, tzinfo=dt.UTC)
    assert repo.people == (
        Person("Ann", "ann@a.example", "author"),
        Person("Bo", "bo@b.example", "author"),
        Person("Bo", "bo@b.example", "committer"),
        Person("Cho", "cho@c.example", "committer"),
    )


def test_people_are_those_of_the_last_commits_only(tmp_path, monkeypatch):
    monkeypatch.setattr(git, "MAX_COMMITS", 2)
    repository = pygit2.init_repository(str(tmp_path))
    parents = []
    for number in range(4):
        who = pygit2.Signature(f"P{number}", "p@p.example", 1_600_000_000 + number, 0)
        parents = [commit(repository, {b"a": b"%d" % number}, who=who, parents=parents)]
    (repo,) = read_source("git", tmp_path).repos
    assert {person.name for person in repo.people} == {"P2", "P3"}


def test_a_ref_names_the_commit_that_is_read(tmp_path):
    repository = pygit2.init_repository(str(tmp_path))
    first = commit(repository, {b"a.py": b"1\n"})
    commit(repository, {b"a.py": b"2\n"}, parents=[first])
    repository.create_branch("old", repository[first])
    repository.create_tag("v1", first, pygit2.GIT_OBJECT_COMMIT, WHO, "tag")
    for ref, branch in [("old", "refs/heads/old"), ("v1", "refs/tags/v1"), (str(first), None)]:
        found = read_source("git", tmp_path, ref=ref)
        assert found.texts == {"a.py": b"1\n"}
        assert found.repos[0].branch_name == branch
    assert read_source("git", tmp_path).texts == {"a.py": b"2\n"}
    assert read_source("git", tmp_path, ref="nowhere").errors[0].kind == "no_such_ref"


def test_repositories_without_commits_or_broken_are_rows_and_the_others_are_read(tmp_path):
    commit(pygit2.init_repository(str(tmp_path / "good")), {b"a.py": b"1\n"})
    pygit2.init_repository(str(tmp_path / "none"))
    (tmp_path / "broken" / ".git").mkdir(parents=True)
    (tmp_path / "not-git").mkdir()
    found = read_source("git", tmp_path)
    assert [repo.repo_name for repo in found.repos] == ["good"]
    assert found.problems == [("corrupt_repository", "broken"), ("no_commits", "none")]


@pytest.mark.parametrize(
    ("remote", "host", "name", "url"),
    [
        ("https://GitHub.com/o/n.git", "github.com", "o/n", "https://github.com/o/n"),
        ("https://bo:secret@github.com/o/n", "github.com", "o/n", "https://github.com/o/n"),
        ("git@github.com:o/n.git", "github.com", "o/n", "https://github.com/o/n"),
        ("ssh://git@g.example:2222/o/n/", "g.example", "o/n", "https://g.example/o/n"),
        ("https://g.example:8443/a/b/c", "g.example", "a/b/c", "https://g.example:8443/a/b/c"),
    ],
)
def test_the_origin_gives_host_name_and_url_without_credentials(remote, host, name, url, tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "folder"))
    commit(repository, {b"a.py": b"1\n"})
    repository.remotes.create("origin", remote)
    found = read_source("git", tmp_path / "folder")
    (repo,) = found.repos
    assert (repo.host, repo.repo_name, repo.url) == (host, name, url)
    assert repo.account == name.rpartition("/")[0]
    assert repo.repo_id == repo_id_of(url)
    assert "secret" not in repr(found)


@pytest.mark.parametrize("remote", ["/srv/x.git", "../x", "file:///srv/x", "foo/bar", "C:/x"])
def test_an_origin_on_this_machine_is_no_host(remote, tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "folder"))
    commit(repository, {b"a.py": b"1\n"})
    repository.remotes.create("origin", remote)
    (repo,) = read_source("git", tmp_path / "folder").repos
    assert (repo.host, repo.repo_name, repo.url, repo.account) == ("", "folder", None, None)
    assert repo.repo_id == repo_id_of(str(tmp_path / "folder"))


def test_one_name_on_two_hosts_is_two_repositories(tmp_path):
    ids = set()
    for host in ("one.example", "two.example"):
        repository = pygit2.init_repository(str(tmp_path / host))
        commit(repository, {b"a.py": b"1\n"})
        repository.remotes.create("origin", f"https://{host}/o/n")
        (repo,) = read_source("git", tmp_path / host).repos
        assert repo.repo_name == "o/n"
        ids.add(repo.repo_id)
    assert len(ids) == 2


def test_links_and_submodules_are_names_without_content(tmp_path):
    repository = pygit2.init_repository(str(tmp_path))
    target = str(repository.create_blob(b"../../etc/passwd"))
    tree = write_tree(repository, [(b"link", LINK, target), (b"module", MODULE, "11" * 20)])
    commit_raw(repository, tree)
    found = read_source("git", tmp_path)
    assert found.statuses == {"link": "link", "module": "link"}
    assert found.errors == []


def test_paths_that_are_not_utf8_are_escaped_and_those_that_leave_are_rows(tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "r"))
    blob = str(repository.create_blob(b"x\n"))
    inner = write_tree(repository, [(b"caf\xe9.py", BLOB, blob)])
    entries = [(b"..", TREE, inner), (b"a/../b", BLOB, blob), (b"s\xfc", TREE, inner)]
    commit_raw(repository, write_tree(repository, entries))
    found = read_source("git", tmp_path / "r")
    ((key, file),) = found.files.items()
    assert key == ("r", "s%FC/caf%E9.py")
    assert file.is_path_escaped
    assert found.problems == [("path_traversal", "r/.."), ("path_traversal", "r/a/../b")]


def test_an_oversize_blob_is_not_loaded(tmp_path, monkeypatch):
    repository = pygit2.init_repository(str(tmp_path))
    commit(repository, {b"big": b"x" * 11, b"small": b"x" * 10})
    found = read_source("git", tmp_path, Limits(max_file_bytes=10))
    assert found.statuses == {"big": "oversize", "small": "stored"}
    big = found.files[found.units[0].name, "big"]
    assert (big.size_bytes, big.blob_id, big.source_blob_id) == (11, None, git_hash(b"x" * 11))


def test_missing_objects_are_rows_and_the_other_files_are_read(tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "r"))
    blob = str(repository.create_blob(b"x\n"))
    entries = [(b"a.py", BLOB, blob), (b"gone.py", BLOB, "11" * 20), (b"sub", TREE, "22" * 20)]
    commit_raw(repository, write_tree(repository, entries))
    found = read_source("git", tmp_path / "r")
    assert found.statuses == {"a.py": "stored", "gone.py": "unreadable"}
    assert found.problems == [("missing_object", "r/gone.py"), ("missing_object", "r/sub")]


def test_a_tree_that_unfolds_to_billions_of_files_is_cut_off(tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "r"))
    blob = str(repository.create_blob(b"x\n"))
    tree = write_tree(repository, [(b"%d" % n, BLOB, blob) for n in range(10)])
    for _ in range(9):
        tree = write_tree(repository, [(b"%d" % n, TREE, tree) for n in range(10)])
    commit_raw(repository, tree)
    found = read_source("git", tmp_path / "r", Limits(max_files=500))
    assert len(found.files) == 500
    assert found.problems == [("too_many_files", "r")]


def test_folders_too_deep_are_a_row(tmp_path):
    repository = pygit2.init_repository(str(tmp_path / "r"))
    tree = write_tree(repository, [(b"a", BLOB, str(repository.create_blob(b"x\n")))])
    for _ in range(2000):
        tree = write_tree(repository, [(b"d", TREE, tree)])
    commit_raw(repository, tree)
    found = read_source("git", tmp_path / "r")
    assert found.files == {}
    assert [error.kind for error in found.errors] == ["too_deep"]


@pytest.mark.parametrize(
    "head",
    [
        b"author caf\xe9 <a\xff@a> 99999999999999999 +0000\ncommitter A <a@a> 1 +0000",
        b"author A <a@a> -99999999999999999 +0000\ncommitter A <a@a> 1 +0000",
    ],
)
def test_names_and_dates_that_make_no_sense_do_not_stop_a_repository(head, tmp_path):
    repository = pygit2.init_repository(str(tmp_path))
    blob = str(repository.create_blob(b"x\n"))
    commit_raw(repository, write_tree(repository, [(b"a.py", BLOB, blob)]), head)
    found = read_source("git", tmp_path)
    assert found.texts == {"a.py": b"x\n"}
    assert found.repos[0].revision_date is None
    for person in found.repos[0].people:
        f"{person.name}{person.email}".encode()


def test_a_repository_that_is_gone_by_the_time_it_is_read_is_a_row(tmp_path):
    commit(pygit2.init_repository(str(tmp_path / "r")), {b"a.py": b"1\n"})
    (unit,) = read_source("git", tmp_path / "r").units
    (tmp_path / "r").rename(tmp_path / "moved")
    (error,) = git.read_unit(unit, Limits())
    assert error.kind == "corrupt_repository"
