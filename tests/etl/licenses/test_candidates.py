# ruff: noqa: E501 (tables of one case a line)
"""What is kept of a license file or manifest: its terms, never its authors."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import re
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.licenses.candidates import extract, license_candidates, normalised
from etl.licenses.detect import detect
from etl.licenses.names import MANIFESTS, license_role
from tests.etl.licenses import texts

MANIFEST_ROLES = sorted({*MANIFESTS.values(), "gemspec"})
DIFFERENT = {
    "MIT": texts.MIT,
    "MIT-0": texts.MIT_0,
    "ISC": texts.ISC,
    "BSD-2": texts.BSD_2,
    "BSD-3": texts.BSD_3,
    "GPL-2.0-only": texts.gnu_notice("GNU General Public License", "2", or_later=False),
    "GPL-2.0-or-later": texts.gnu_notice("GNU General Public License", "2", or_later=True),
    "GPL-3.0-only": texts.gnu_notice("GNU General Public License", "3", or_later=False),
    "GPL-3.0-or-later": texts.gnu_notice("GNU General Public License", "3", or_later=True),
    "LGPL-3.0": texts.gnu_notice("GNU Lesser General Public License", "3", or_later=True),
    "AGPL-3.0": texts.gnu_notice("GNU Affero General Public License", "3", or_later=True),
    "Apache-2.0": texts.APACHE_NOTICE,
    "proprietary": texts.PROPRIETARY,
    "MIT, but": texts.MIT + "\nCopyright (c) 2020 Ann Example. No commercial use.\n",
    "reserved": "Copyright 2020 Ann Example. All rights reserved.",
}


def fields(role: str, text: str) -> dict[str, object] | None:
    stated = extract(role, text)[1]
    return json.loads(stated) if stated else None


# --- normalisation


@pytest.mark.parametrize(
    "variant",
    [
        texts.MIT.replace("2020 Ann Example <ann@example.org>", "2011-2024, Fay & Gil GmbH"),
        texts.MIT.replace("Copyright (c) 2020 Ann Example <ann@example.org>", "© Hal, 1999"),
        texts.MIT.replace("Ann Example <ann@example.org>", "Ann\nCopyright (c) 2022 Ida\n"),
        texts.MIT.replace("\n", "\r\n"),
        texts.MIT.replace("\n", "\n\n  \n"),
        "\n".join(f" * {line}" for line in texts.MIT.splitlines()),
        "\n".join(f"# {line}" for line in texts.MIT.splitlines()),
        "\n".join(f"//   {line}  " for line in texts.MIT.splitlines()),
        "/*\n" + texts.MIT + "*/\n",
        "<!--\n" + texts.MIT + "-->",
        "<pre>\n" + texts.MIT + "</pre>",
        texts.MIT.replace("MIT License\n", "MIT License\n===========\n"),
    ],
)
def test_texts_with_the_same_terms_are_one_text(variant):
    assert normalised(variant) == normalised(texts.MIT)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(DIFFERENT, 2)))
def test_two_licenses_are_never_one_text(one, other):
    assert extract("text", DIFFERENT[one])[0] != extract("text", DIFFERENT[other])[0]


def test_names_and_addresses_of_authors_are_dropped():
    stated = normalised(
        texts.MIT + "\nAll rights reserved.\nQuestions: <ann.b+c@mail.example.org>\n"
    )
    assert not re.search(r"Ann|example|@|2020", stated)


def test_an_address_that_is_a_word_of_the_license_stays():
    line = "written permission, please contact openssl-core@openssl.org."
    assert normalised(line) == line


@pytest.mark.parametrize(
    "line",
    [
        "Copyright (c) 2020 Ann. Commercial use is forbidden.",
        "Copyright 2019 Bob. You may not modify this file.",
        "(c) 2021 Cho. Released under the GPL.",
        "Copyright (c) 1995 Dov, licensed under the terms below",
        "© 2020 Eve, for internal evaluation, provided that no fee is charged",
    ],
)
def test_a_copyright_line_that_says_more_stays(line):
    assert normalised(line) == line


def test_nothing_but_reserved_rights_is_a_statement():
    assert extract("text", "Copyright 2020 Ann.\nAll rights reserved.\n")[1] is not None
    assert extract("text", "") == extract("text", " \n\t\n") == (None, None)


@given(st.text(alphabet="ab .#*/-@<>\n©1290(c)copyrightCOPYRIGHT\r\t", max_size=300))
def test_normalising_twice_changes_nothing_but_what_was_wrapped_twice(text):
    once = normalised(text)
    assert len(normalised(once)) <= len(once)
    assert "\n\n" not in once


def test_the_hash_depends_on_the_role():
    assert extract("text", "MIT")[0] != extract("cargo", '[package]\nlicense = "MIT"')[0]


def _license_files() -> list[Path]:
    found = []
    for distribution in importlib.metadata.distributions():
        for path in distribution.files or []:
            if ".dist-info/" in str(path) and license_role(str(path)) == "text":
                found.append(Path(str(distribution.locate_file(path))))
    return sorted(path for path in found if path.is_file())


# Bundles of over 60 KB, where a rule of dashes or a copyright line parts two texts of one family
# (OpenSSL and SSLeay; libpng's two), which are then matched as one or as the other.
BUNDLES = ("pillow", "pyarrow")


def test_the_normalised_text_is_detected_as_the_original():
    files = [file for file in _license_files() if not str(file.parent).count("pip/_vendor")]
    differing = set()
    for file in files:
        text = file.read_bytes().decode("utf-8", "replace")
        if detect("text", text).expression != detect("text", normalised(text)).expression:
            differing.add(file)
    assert len(files) > 30
    assert not [file for file in differing if not any(name in str(file) for name in BUNDLES)]


# --- manifests: what they state

STATED = [  # role, text, expression, license, classifiers
    ("pyproject", '[project]\nlicense = "MIT"', "MIT", None, None),
    ("pyproject", '[project]\nlicense = {text = "BSD"}', None, "BSD", None),
    ("pyproject", '[tool.poetry]\nlicense = "ISC"', None, "ISC", None),
    (
        "pyproject",
        '[project]\nclassifiers = ["License :: OSI Approved :: MIT License", "Topic :: X"]',
        None,
        None,
        ["License :: OSI Approved :: MIT License"],
    ),
    ("cargo", '[package]\nlicense = "MIT/Apache-2.0"', "MIT OR Apache-2.0", None, None),
    ("cargo", '[workspace.package]\nlicense = "MIT"', "MIT", None, None),
    ("setup_cfg", "[metadata]\nlicense = MIT\nname = x", None, "MIT", None),
    ("setup_cfg", "[metadata]\nlicense_expression = MIT", "MIT", None, None),
    ("package_json", '{"license": "MIT"}', "MIT", None, None),
    ("package_json", '{"license": {"type": "ISC", "url": "x"}}', "ISC", None, None),
    ("package_json", '{"licenses": [{"type": "MIT"}, {"type": "GPL-2.0"}]}', "(MIT) OR (GPL-2.0)", None, None),
    ("metadata", "Name: x\nLicense: BSD\n\nLicense: in the description", None, "BSD", None),
    ("metadata", "License-Expression: MIT\nLicense: UNKNOWN\n", "MIT", None, None),
    ("gemspec", "Gem::Specification.new do |s|\n s.license = 'MIT'\nend", "MIT", None, None),
    ("gemspec", 's.licenses = ["MIT", "Ruby"]', "(MIT) OR (Ruby)", None, None),
    ("gemspec", "s.licenses = %w[MIT Ruby]", "(MIT) OR (Ruby)", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("role", "text", "expression", "license_", "classifiers"), STATED)
def test_a_manifest_states_its_license_fields(role, text, expression, license_, classifiers):
    stated = {"expression": expression, "license": license_, "classifiers": classifiers}
    assert fields(role, text) == {key: value for key, value in stated.items() if value}


def test_a_pom_states_the_names_of_its_own_licenses():
    text = """<?xml version="1.0"?><project xmlns="http://maven.apache.org/POM/4.0.0">
      <name>x</name><licenses><license><name> Apache License,
      Version 2.0 </name><url>u</url></license><license><name>EPL 2.0</name></license></licenses>
      <developers><developer><name>Ann Example</name></developer></developers></project>"""
    assert fields("pom", text) == {"names": ["Apache License,\n      Version 2.0", "EPL 2.0"]}


SILENT = [
    ("pyproject", "[project]\nname = 'x'"),
    ("pyproject", "[project]\nlicense = {file = 'LICENSE'}"),
    ("pyproject", "[project\nlicense = 'MIT'"),
    ("pyproject", "project = 3"),
    ("pyproject", "[[project]]\nlicense = 'MIT'"),
    ("pyproject", "[project]\nlicense = 7\nclassifiers = 5"),
    ("pyproject", "[project]\nlicense = ['MIT']\nclassifiers = [1, ['License :: x']]"),
    ("pyproject", "[project]\nlicense = {text = 5}"),
    ("pyproject", "x = 0001-99-99"),
    ("pyproject", "x = " + "9" * 5000),
    ("pyproject", "x = " + "[" * 5000),
    ("pyproject", '[project]\nlicense = "MIT"\n#' + "x" * (1 << 20)),
    ("cargo", "[package]\nlicense.workspace = true"),
    ("cargo", "[package]\nlicense-file = 'LICENSE'"),
    ("cargo", "package = ['license']"),
    ("setup_cfg", "no section\nlicense = MIT"),
    ("setup_cfg", "[options]\nlicense = MIT"),
    ("setup_cfg", "[metadata\nlicense"),
    ("setup_cfg", "[metadata]\n  stray\nlicense"),
    ("package_json", "{"),
    ("package_json", "[]"),
    ("package_json", "null"),
    ("package_json", '"MIT"'),
    ("package_json", '{"license": 5}'),
    ("package_json", '{"license": {"type": {"x": "MIT"}}}'),
    ("package_json", '{"licenses": [5, null, {"url": "x"}]}'),
    ("package_json", "[" * 100_000),
    ("package_json", '{"version": ' + "9" * 5000 + "}"),
    ("pom", "<project>"),
    ("pom", "not xml"),
    ("pom", "<project><dependencies><dependency><licenses><license><name>GPL</name></license></licenses></dependency></dependencies></project>"),
    ("metadata", ""),
    ("metadata", "License"),
    ("metadata", "License: UNKNOWN\n"),
    ("metadata", "  License: MIT"),
    ("gemspec", "s.name = 'license'"),
    ("gemspec", "s.license = LICENSE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "text"), SILENT, ids=[f"{role}-{place}" for place, (role, _) in enumerate(SILENT)]
)
def test_a_broken_or_silent_manifest_states_nothing(role, text):
    assert extract(role, text) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        "<project><licenses><license><name>&b;</name></license></licenses></project>",
        '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        "<project><licenses><license><name>&a;</name></license></licenses></project>",
        "<!DOCTYPE project><project><licenses><license><name>MIT</name></license></licenses></project>",
    ],
)
def test_no_entity_of_a_pom_is_expanded(text):
    assert extract("pom", text) == (None, None)


@settings(max_examples=300, deadline=None)
@given(role=st.sampled_from([*MANIFEST_ROLES, "text"]), text=st.text(max_size=200))
def test_no_text_makes_a_reader_fail(role, text):
    text_hash, stated = extract(role, text)
    assert (text_hash is None) == (stated is None)


@settings(max_examples=200, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "license", "x"]), inner, max_size=3),
        max_leaves=6,
    ),
    key=st.sampled_from(["license", "licenses"]),
)  # fmt: skip
def test_a_license_of_an_unexpected_type_never_fails(value, key):
    stated = extract("package_json", json.dumps({key: value}))[1]
    if stated is not None:
        detect("package_json", stated)


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("pyproject", '[project]\nname = "SECRET"\nauthors = [{name = "SECRET"}]\nlicense = "MIT"\n[tool.x]\ntoken = "SECRET"'),
        ("cargo", '[package]\nauthors = ["SECRET"]\nlicense = "MIT"'),
        ("setup_cfg", "[metadata]\nauthor = SECRET\nlicense = MIT\nclassifiers =\n  Topic :: SECRET\n"),
        ("package_json", '{"author": "SECRET", "_authToken": "SECRET", "license": {"type": "MIT", "url": "SECRET"}}'),
        ("pom", "<project><developers><developer><name>SECRET</name></developer></developers><licenses><license><name>MIT</name><url>SECRET</url></license></licenses></project>"),
        ("metadata", "Author: SECRET\nAuthor-Email: SECRET\nLicense: MIT\n\nSECRET"),
        ("metadata", "Author: A\nLicense: MIT License\n  \n  Copyright (c) 2020 SECRET <a@SECRET.org>\n  \n  Permission is granted\n"),
        ("gemspec", "s.authors = ['SECRET']\ns.license = 'MIT'"),
    ],
)  # fmt: skip
def test_only_license_fields_survive(role, text):
    stated = extract(role, text)[1]
    assert stated is not None
    assert "MIT" in stated
    assert "SECRET" not in stated


# --- batches and cost


def test_a_batch_gives_each_row_a_candidate_for_each_of_its_roles():
    content = pa.array([texts.MIT, None, "x", "License: MIT\n"], pa.large_string())
    roles = pa.array([["text"], ["text"], [], ["metadata", "text"]], pa.list_(pa.string()))
    found = license_candidates(content, roles).to_pylist()
    assert [[one["license_role"] for one in row] for row in found] == [
        ["text"], ["text"], [], ["metadata", "text"],
    ]  # fmt: skip
    assert found[0][0]["text_hash"] == extract("text", texts.MIT)[0]
    assert found[1][0]["text_hash"] is None
    assert found[3][0]["text"] == '{"license": "MIT"}'


@pytest.mark.parametrize(
    "text",
    ["a" * 262_144, " " * 262_144 + "x", "x " + "*" * 262_144, "<b " * 80_000, "a@a." * 60_000,
     "copyright " * 26_000, ".licenses=[" * 100_000, "# " * 130_000, "a.b-" * 60_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
@pytest.mark.parametrize("role", ["text", *MANIFEST_ROLES])
def test_time_is_linear_in_the_text(role, text):
    start = time.process_time()
    extract(role, text)
    assert time.process_time() - start < 20  # a quadratic expression takes minutes
