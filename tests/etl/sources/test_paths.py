"""What a path says: golden cases, of folders that make a file vendored and names that do not."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import enry
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources.paths import basename_extension, linguist_flags, path_flags


@pytest.mark.parametrize(
    "path",
    [
        "venv/lib/python3.7/site-packages/x.py",
        "env/lib64/python3.11/os.py",
        "usr/lib/python3/dist-packages/x.py",
        "web/node_modules/left-pad/index.js",
        "pip/_vendor/requests/api.py",
        "src/third_party/zlib/inflate.c",
        "src/thirdparty/zlib/inflate.c",
        "src/3rdparty/zlib/inflate.c",
        "vendor/github.com/a/b.go",
        "a/Vendor/b.go",
        "a/vendored/b.py",
        "include/cargo/serde_json-1.0.116/src/value/mod.rs",
        "a/externals/b.h",
        "a/extern/b.h",
        "bower_components/x/x.js",
        ".venv/x.py",
        "ios/Pods/AFNetworking/a.m",
        "ios/Carthage/Checkouts/a.swift",
        "deps/lua/lua.c",
        "static/jquery.min.js",
        "js/jquery-1.8.3.js",
    ],
)
def test_copies_of_others_code_are_vendored(path):
    assert path_flags(path).is_vendored


@pytest.mark.parametrize(
    "path",
    [
        "vendor.py",
        "src/vendor.py",
        "src/vendored.go",
        "src/cargo/util/mod.rs",
        "cargo/notes-1.0/a.rs",
        "numpy/linalg/linalg.py",
        "pkg/pods/list.go",
        "lib/python/x.py",
        "environment/lib.py",
        "src/external.c",
        "internal/x.go",
        "third_party.md",
        "app/inventory/vendor_list.rb",
        ".cargo/config.toml",
        "index.js",
    ],
)
def test_other_names_are_not_vendored(path):
    assert not path_flags(path).is_vendored


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/helper.py", True),
        ("pkg/test_x.py", True),
        ("pkg/x_test.go", True),
        ("src/a.spec.ts", True),
        ("src/__tests__/a.js", True),
        ("src/FooTest.java", True),
        ("src/latest.py", False),
        ("src/contest/a.py", False),
        ("src/testament.py", False),
    ],
)
def test_tests_are_known_by_folder_and_name(path, is_test):
    assert path_flags(path).is_test is is_test


@pytest.mark.parametrize(
    ("path", "is_documentation"),
    [("docs/a.py", True), ("README.md", True), ("LICENSE", True), ("src/doc.py", False)],
)
def test_documentation_is_known_by_folder_and_name(path, is_documentation):
    assert path_flags(path).is_documentation is is_documentation


def answers_of_go_enry(path):
    return enry.is_vendor(path), enry.is_test(path), enry.is_documentation(path)


PIECES = st.sampled_from(
    [
        "/", "/", "/", ".", "-", "_", "\n", " ", "a", "1.2", "x.js", "dist", "deps", "cache", "configure",
        "config.sub", "vendor", "vendors", "extern", "node_modules", "jquery", "jquery-1.8", "jquery-ui", "min",
        ".min", ".js", ".css", "docs", "Doc", "doc", "README", "LICENSE", "CHANGELOG", "CITATION", ".md",
        "examples", "man", "test", "tests", "Test", "Tests", "Spec", "_test", "_spec", "test_", ".py", ".go",
        ".rb", ".cs", ".java", ".scala", ".php", ".ts", ".tsx", "gradlew", "Pods", "fixtures", "bootstrap",
        "debian", ".d.ts", "mvnw", ".github", "Sparkle", "é", "octicons",
    ]
)  # fmt: skip


@settings(max_examples=3000, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_paths_are_flagged_as_by_go_enry(path):
    assert linguist_flags(path) == answers_of_go_enry(path)


def test_real_paths_are_flagged_as_by_go_enry():
    folder = Path(sysconfig.get_path("purelib"))
    paths = [str(path.relative_to(folder)) for path in folder.rglob("*")][::5]
    assert len(paths) > 1000
    for path in paths:
        assert linguist_flags(path) == answers_of_go_enry(path), path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.PY", ("b.PY", "py")),
        ("x.tar.gz", ("x.tar.gz", "gz")),
        ("a/.bashrc", (".bashrc", "")),
        ("Makefile", ("Makefile", "")),
        ("a.b/c", ("c", "")),
        ("c.", ("c.", "")),
        ("", ("", "")),
    ],
)
def test_basename_and_extension(path, expected):
    assert basename_extension(path) == expected
