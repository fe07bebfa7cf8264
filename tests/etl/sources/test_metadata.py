"""What manifests say of their package, as stated; what cannot be parsed says nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.sources.metadata import Package, core_metadata, crate_metadata, npm_metadata
from etl.sources.records import Person


def test_core_metadata_gives_license_url_and_people():
    raw = b"""Metadata-Version: 2.4
Name: Foo_Bar
Version: 1.2
License-Expression: MIT OR Apache-2.0
License: something else
Author-email: Ann Lee <ann@a.example>, "Ng, Bo" <bo@b.example>
Maintainer: Cho
Home-page: https://home.example
Project-URL: Changelog, https://c.example
Project-URL: Source, https://git.example/foo

Name: not a header
"""
    assert core_metadata(raw) == Package(
        "Foo_Bar",
        "1.2",
        "MIT OR Apache-2.0",
        "https://git.example/foo",
        (
            Person("Ann Lee", "ann@a.example", "author"),
            Person("Ng, Bo", "bo@b.example", "author"),
            Person("Cho", "", "maintainer"),
        ),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License: BSD-3-Clause", "BSD-3-Clause"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        ("License: Copyright 2020\n        Permission is\nName: x", None),
        ("Classifier: Programming Language :: Python", None),
        (
            "Classifier: License :: OSI Approved :: BSD License\n"
            "Classifier: License :: OSI Approved :: Apache Software License",
            "Apache Software License AND BSD License",
        ),
    ],
)
def test_the_license_is_the_first_that_is_stated_in_short(fields, expected):
    assert core_metadata(fields.encode()).license == expected


def test_npm_metadata_gives_license_url_and_people():
    manifest = {
        "name": "@a/b",
        "version": "3.0.0",
        "license": {"type": "ISC"},
        "author": "Ann <ann@a.example> (https://a.example)",
        "contributors": [{"name": "Bo", "email": "bo@b.example"}, 7],
        "repository": {"url": "git+https://bo:secret@git.example/a/b.git"},
    }
    assert npm_metadata(json.dumps(manifest).encode()) == Package(
        "@a/b",
        "3.0.0",
        "ISC",
        "https://git.example/a/b",
        (Person("Ann", "ann@a.example", "author"), Person("Bo", "bo@b.example", "author")),
    )


def test_a_short_repository_lies_on_github():
    assert npm_metadata(b'{"repository": "a/b"}').url == "https://github.com/a/b"
    assert npm_metadata(b'{"repository": "github:a/b"}').url == "https://github.com/a/b"


def test_crate_metadata_gives_license_url_and_people():
    raw = b"""[package]
name = "serde"
version = "1.0.0-rc.1"
authors = ["Ann <ann@a.example>", "Bo"]
license = "MIT OR Apache-2.0"
repository = "https://git.example/serde.git"
"""
    assert crate_metadata(raw) == Package(
        "serde",
        "1.0.0-rc.1",
        "MIT OR Apache-2.0",
        "https://git.example/serde",
        (Person("Ann", "ann@a.example", "author"), Person("Bo", "", "author")),
    )


HALF = b'{"name": "a\\ud800b", "author": {"name": "\\udfff"}}'


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"[" * 100_000, b'{"people": ' * 50_000, b"\xff\xfe", b"7", HALF]
)
@pytest.mark.parametrize("parse", [core_metadata, npm_metadata, crate_metadata])
def test_a_broken_manifest_never_raises(parse, raw):
    found = parse(raw)
    for value in (*found[:4], *(part for person in found.people for part in person)):
        (value or "").encode("utf-8")  # a table of text can hold it


@given(raw=st.binary(max_size=300))
@pytest.mark.parametrize("parse", [core_metadata, npm_metadata, crate_metadata])
def test_any_bytes_are_parsed_or_say_nothing(parse, raw):
    assert isinstance(parse(raw), Package)
