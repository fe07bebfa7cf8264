"""Laws of the site-packages reader: a distribution is what its RECORD lists below the folder."""

from __future__ import annotations

import os

import pytest

from etl.sources.records import Person
from tests.etl.sources.reading import read_source

METADATA = """Metadata-Version: 2.1
Name: Foo.Bar
Version: 1.2
License: MIT
Author: Ann
Author-email: ann@a.example
Home-page: https://foo.example

Text.
"""


def install(root, name="Foo.Bar-1.2", files=(), record=None):
    info = root / f"{name}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    for path in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"# {path}\n")
    lines = record if record is not None else [f"{path},sha256=x,7" for path in files]
    text = "\n".join([*lines, f"{name}.dist-info/METADATA,,", f"{name}.dist-info/RECORD,,", ""])
    (info / "RECORD").write_bytes(text.encode("utf-8", "surrogateescape"))
    return info


def test_a_distribution_is_the_files_that_record_lists(tmp_path):
    install(tmp_path, files=["foo/a.py", "foo/b.py"])
    (tmp_path / "foo" / "unlisted.py").write_text("x")
    found = read_source("site-packages", tmp_path)
    assert sorted(found.texts) == [
        "Foo.Bar-1.2.dist-info/METADATA",
        "Foo.Bar-1.2.dist-info/RECORD",
        "foo/a.py",
        "foo/b.py",
    ]
    assert found.texts["foo/a.py"] == b"# foo/a.py\n"
    assert found.errors == []


def test_the_repository_is_what_the_metadata_says(tmp_path):
    install(tmp_path)
    (repo,) = read_source("site-packages", tmp_path).repos
    assert (repo.repo_name, repo.revision_id, repo.host_license) == ("foo-bar", "1.2", "MIT")
    assert repo.people == (Person("Ann", "ann@a.example", "author"),)
    assert repo.url == "https://foo.example"


def test_scripts_outside_and_compiled_files_are_passed_over_without_an_error(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "foo").write_text("#!/bin/sh\n")
    root = tmp_path / "lib" / "python" / "site-packages"
    outside = ["../../../bin/foo,,", "/etc/passwd,,", "foo/../../x.py,,"]
    compiled = ["foo/__pycache__/a.cpython-311.pyc,,", "foo/old.pyc,,", "foo/old.pyo,,"]
    install(root, files=["foo/a.py"], record=["foo/a.py,,", *outside, *compiled])
    found = read_source("site-packages", root)
    assert "foo/a.py" in found.texts
    assert len(found.files) == 3
    assert found.errors == []


def test_a_listed_file_that_is_not_there_is_an_error_row(tmp_path):
    (tmp_path / "folder").mkdir()
    install(tmp_path, files=["a.py"], record=["a.py,,", "gone.py,,", "folder,,"])
    found = read_source("site-packages", tmp_path)
    assert "a.py" in found.texts
    assert found.problems == [
        ("missing_file", "foo-bar/folder"),
        ("missing_file", "foo-bar/gone.py"),
    ]


def test_a_distribution_without_record_is_an_error_row_and_the_others_are_read(tmp_path):
    install(tmp_path, files=["a.py"])
    (tmp_path / "bad-1.0.dist-info").mkdir()
    found = read_source("site-packages", tmp_path)
    assert found.problems == [("no_record", "bad-1.0.dist-info")]
    assert "a.py" in found.texts


@pytest.mark.parametrize("line", ['"' + "x" * 200_000 + '"', "x" * 200_000])
def test_a_record_that_is_no_table_is_an_error_row_and_the_others_are_read(line, tmp_path):
    install(tmp_path, files=["a.py"])
    install(tmp_path, name="bad-1.0", record=[line])
    found = read_source("site-packages", tmp_path)
    assert found.problems == [("corrupt_record", "bad-1.0.dist-info")]
    assert "a.py" in found.texts


def test_a_record_that_is_gone_by_the_time_it_is_read_is_an_error_row(tmp_path):
    from etl.sources import site_packages
    from etl.sources.config import Limits

    info = install(tmp_path, files=["a.py"])
    (unit,) = read_source("site-packages", tmp_path).units
    (info / "RECORD").unlink()
    (error,) = site_packages.read_unit(unit, Limits())
    assert error.kind == "no_record"


def test_names_with_commas_separators_and_other_bytes_are_found(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.py"), "wb") as file:
        file.write(b"x\n")
    files = ["a,b.py", "line\u2028break.py", "c\rd.py"]
    record = [
        '"a,b.py",,',
        '"c\rd.py",,',
        "line\u2028break.py,,",
        "caf\udce9.py,,",
        "gone\udce9.py,,",
    ]
    install(tmp_path, files=files, record=record)
    found = read_source("site-packages", tmp_path)
    assert {"a,b.py", "line\u2028break.py", "c\rd.py", "caf%E9.py"} <= found.texts.keys()
    assert found.problems == [("missing_file", "foo-bar/gone%E9.py")]


def test_a_folder_that_is_a_link_to_elsewhere_is_not_read_through(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.py").write_text("secret\n")
    root = tmp_path / "site-packages"
    root.mkdir()
    (root / "foo").symlink_to(tmp_path / "secret")
    install(root, record=["foo/a.py,,"])
    assert read_source("site-packages", root).files["foo-bar", "foo/a.py"].status == "link"


def test_a_source_that_is_itself_reached_by_a_link_is_read(tmp_path):
    install(tmp_path / "real", files=["foo/a.py"])
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert read_source("site-packages", tmp_path / "linked").statuses["foo/a.py"] == "stored"


def test_a_new_version_is_the_same_repository_with_another_fingerprint(tmp_path):
    install(tmp_path / "old", files=["a.py"])
    install(tmp_path / "new", name="foo_bar-1.3", files=["a.py"])
    old, new = (
        read_source("site-packages", tmp_path / at, host="pypi").units[0] for at in ("old", "new")
    )
    assert old.repo_id == new.repo_id
    assert old.fingerprint != new.fingerprint
