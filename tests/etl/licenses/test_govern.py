# ruff: noqa: E501 (tables of one case a line)
"""Which license governs each file, on repositories small enough to decide by eye."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from etl.licenses.candidates import LICENSE_VERSION, extract
from etl.licenses.categories import UNKNOWN
from etl.licenses.detect import detect, detector_version
from etl.licenses.govern import MAX_PARTS, LicenseConfig, combine, detect_texts, govern
from etl.licenses.names import license_role
from etl.tables import FILES, LICENSE_FACTS, LICENSE_TEXTS, LICENSES, REPOS, Table
from tests.etl.by_hand import repo_id
from tests.etl.licenses.texts import BSD_2, BSD_3, ISC, MIT, PROPRIETARY, gnu_notice

GPL_3 = gnu_notice("GNU General Public License", "3", or_later=True)
CODE = "x = 1\n"
BINARY = None  # a file without text

Files = dict[tuple[str, str], str | None]

CORPUS: Files = {
    # The nearest folder wins, whatever stands above.
    ("near", "LICENSE"): MIT,
    ("near", "a.py"): CODE,
    ("near", "lib/b.py"): CODE,
    ("near", "lib/gpl/COPYING"): GPL_3,
    ("near", "lib/gpl/c.py"): CODE,
    ("near", "lib/gpl/deep/er/d.py"): CODE,
    ("near", "lib/gplus/e.py"): CODE,
    ("near", "lib/gpl/deep/package.json"): '{"license": "ISC"}',
    ("near", "logo.png"): BINARY,
    # A silent or empty statement leaves the word to the folder above.
    ("near", "silent/package.json"): '{"name": "x"}',
    ("near", "silent/LICENSE"): "\n",
    ("near", "silent/f.js"): CODE,
    # Folders that speak for the folder that holds them.
    ("dist", "a-1.dist-info/METADATA"): "License-Expression: BSD-2-Clause\n",
    ("dist", "a-1.dist-info/licenses/LICENSE"): BSD_2,
    ("dist", "a/x.py"): CODE,
    ("egg", "EGG-INFO/PKG-INFO"): "License: MIT\n",
    ("egg", "x.py"): CODE,
    ("java", "META-INF/LICENSE"): ISC,
    ("java", "org/X.java"): CODE,
    ("reuse", "LICENSES/ISC.txt"): ISC,
    ("reuse", "src/x.c"): CODE,
    ("hub", ".github/LICENSE"): MIT,
    ("hub", "src/x.c"): CODE,
    # The licenses of bundled parts are not the repository's.
    ("parts", "x-1.dist-info/METADATA"): "License-Expression: MIT\n",
    ("parts", "x-1.dist-info/licenses/src/x/_vendor/y/LICENSE"): GPL_3,
    ("parts", "licenses/z.LICENSE"): GPL_3,
    ("parts", "x/a.py"): CODE,
    ("parts", "x/_vendor/y/b.py"): CODE,
    # What a manifest says of the texts beside it.
    ("choice", "Cargo.toml"): '[package]\nlicense = "MIT OR ISC"',
    ("choice", "LICENSE-MIT"): MIT,
    ("choice", "LICENSE-ISC"): ISC,
    ("choice", "src/lib.rs"): CODE,
    ("conflict", "package.json"): '{"license": "MIT"}',
    ("conflict", "LICENSE"): GPL_3,
    ("conflict", "x.js"): CODE,
    ("family", "PKG-INFO"): "License: BSD\n",
    ("family", "LICENSE"): BSD_2,
    ("family", "x.py"): CODE,
    ("closed", "LICENSE"): PROPRIETARY,
    ("closed", "x.py"): CODE,
    # The host speaks where nothing else does.
    ("hosted", "x.py"): CODE,
    ("hosted", "bin/x.so"): BINARY,
    ("both", "LICENSE"): GPL_3,
    ("both", "x.py"): CODE,
    ("bare", "x.py"): CODE,
}
HOSTS = {"hosted": "Apache License 2.0", "both": "MIT", "bare": None}

GOVERNED = {  # repo, path -> expression, category
    ("near", "a.py"): ("MIT", "permissive"),
    ("near", "lib/b.py"): ("MIT", "permissive"),
    ("near", "lib/gpl/c.py"): ("GPL-3.0-or-later", "strong_copyleft"),
    ("near", "lib/gpl/deep/er/d.py"): ("ISC", "permissive"),
    ("near", "lib/gplus/e.py"): ("MIT", "permissive"),
    ("near", "logo.png"): ("MIT", "permissive"),
    ("near", "silent/f.js"): ("MIT", "permissive"),
    ("dist", "a/x.py"): ("BSD-2-Clause", "permissive"),
    ("egg", "x.py"): ("MIT", "permissive"),
    ("java", "org/X.java"): ("ISC", "permissive"),
    ("reuse", "src/x.c"): ("ISC", "permissive"),
    ("hub", "src/x.c"): ("MIT", "permissive"),
    ("parts", "x/a.py"): ("MIT", "permissive"),
    ("parts", "x/_vendor/y/b.py"): ("GPL-3.0-or-later", "strong_copyleft"),
    ("choice", "src/lib.rs"): ("MIT OR ISC", "permissive"),
    ("conflict", "x.js"): ("GPL-3.0-or-later AND MIT", "strong_copyleft"),
    ("family", "x.py"): ("BSD-2-Clause", "permissive"),
    ("closed", "x.py"): (UNKNOWN, "other"),
    ("hosted", "x.py"): ("Apache-2.0", "permissive"),
    ("hosted", "bin/x.so"): ("Apache-2.0", "permissive"),
    ("both", "x.py"): ("GPL-3.0-or-later", "strong_copyleft"),
    ("bare", "x.py"): (None, "none"),
}


def _frame(spark: SparkSession, table: Table, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame(
        [tuple(row.get(name) for name in table.columns) for row in rows], table.schema
    )


def inputs(
    spark: SparkSession, files: Files, hosts: dict[str, str | None], seed: int = 0
) -> tuple[DataFrame, DataFrame, DataFrame]:
    """files, repos and license_facts, as ingest and annotate write them, in an order of `seed`."""
    file_rows, facts = [], {}
    for (repo, path), content in files.items():
        blob = hashlib.sha256(content.encode()).hexdigest() if content is not None else None
        role = license_role(path) if blob else None
        file_rows.append(
            {"repo_id": repo_id(repo), "path": path, "repo_name": repo, "blob_id": blob,
             "license_role": role, "status": "stored" if blob else "binary"}
        )  # fmt: skip
        if role is not None and content is not None:
            text_hash, text = extract(role, content)
            facts[blob, role] = {
                "blob_id": blob, "license_role": role, "version": LICENSE_VERSION,
                "text_hash": text_hash, "text": text,
            }  # fmt: skip
    repo_rows = [
        {"repo_id": repo_id(name), "repo_name": name, "host_license": hosts.get(name)}
        for name in sorted({repo for repo, _ in files})
    ]
    fact_rows = list(facts.values())
    for rows in (file_rows, repo_rows, fact_rows):
        random.Random(seed).shuffle(rows)  # type: ignore[arg-type]
    return (
        _frame(spark, FILES, file_rows).repartition(1 + seed * 3),
        _frame(spark, REPOS, repo_rows),
        _frame(spark, LICENSE_FACTS, fact_rows),
    )


def licenses(
    spark: SparkSession, files: Files, hosts: dict[str, str | None], seed: int = 0, **config: Any
) -> list[Any]:
    file_rows, repos, facts = inputs(spark, files, hosts, seed)
    texts = {}
    for (_, path), content in files.items():
        role = license_role(path)
        text_hash, text = extract(role, content) if role and content is not None else (None, None)
        if text_hash is not None:
            found = detect(role, text)
            texts[text_hash] = (text_hash, detector_version(), found.expression, found.score)
    text_rows = spark.createDataFrame(list(texts.values()), LICENSE_TEXTS.schema)
    rows = govern(file_rows, repos, facts, text_rows, LicenseConfig(**config))
    assert rows.columns == LICENSES.columns
    return sorted(rows.collect(), key=lambda row: (row["repo_name"], row["path"]))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[Any]:
    return licenses(spark, CORPUS, HOSTS)


# --- on frames


@pytest.mark.spark
def test_every_file_has_exactly_one_row(rows):
    assert [(row["repo_name"], row["path"]) for row in rows] == sorted(CORPUS)


@pytest.mark.spark
def test_each_file_is_governed_as_decided_by_hand(rows):
    found = {
        (row["repo_name"], row["path"]): (row["license_expression"], row["license_category"])
        for row in rows
    }
    assert {key: found[key] for key in GOVERNED} == GOVERNED


@pytest.mark.spark
def test_evidence_names_the_files_that_say_so_texts_first(rows):
    found = {(row["repo_name"], row["path"]): row["evidence"] for row in rows}
    assert [(one["path"], one["kind"], one["expression"]) for one in found["conflict", "x.js"]] == [
        ("LICENSE", "text", "GPL-3.0-or-later"),
        ("package.json", "package_json", "MIT"),
    ]
    of_host = found["hosted", "x.py"]
    assert [(one["kind"], one["expression"]) for one in of_host] == [("host", "Apache-2.0")]
    assert found["bare", "x.py"] == []


@pytest.mark.spark
def test_row_order_and_partitioning_change_nothing(spark, rows):
    assert licenses(spark, CORPUS, HOSTS, seed=2) == rows


@pytest.mark.spark
def test_a_host_that_is_not_trusted_says_nothing(spark):
    files: Files = {("hosted", "x.py"): CODE, ("hosted", "l/LICENSE"): MIT}
    found = licenses(spark, files, HOSTS, trust_host=False)
    assert [row["license_category"] for row in found] == ["permissive", "none"]


@pytest.mark.spark
def test_three_thousand_folders_are_each_governed_by_the_nearest(spark):
    files: Files = {("big", f"d{n % 60}/e{n}/x.py"): CODE for n in range(3000)}
    files |= {("big", f"d{n}/LICENSE"): MIT for n in range(0, 60, 2)}
    files["big", "COPYING"] = GPL_3
    found = licenses(spark, files, {})
    assert len(found) == len(files)
    for row in found:
        if row["path"].endswith("x.py"):
            number = int(row["path"].partition("/")[0][1:])
            expected = "GPL-3.0-or-later" if number % 2 else "MIT"
            assert row["license_expression"] == expected


@pytest.mark.spark
def test_empty_tables_give_empty_tables(spark):
    assert licenses(spark, {}, {}) == []


@pytest.mark.spark
def test_a_text_is_detected_once_and_again_by_another_detector(spark):
    files: Files = {("a", "LICENSE"): MIT, ("b", "COPYING"): MIT, ("c", "LICENSE"): ISC}
    facts = inputs(spark, files, {})[2]
    first = detect_texts(facts, _frame(spark, LICENSE_TEXTS, [])).collect()
    assert sorted(row["expression"] for row in first) == ["ISC", "MIT"]
    assert {row["version"] for row in first} == {detector_version()}
    known = [row.asDict() for row in first]
    assert detect_texts(facts, _frame(spark, LICENSE_TEXTS, known)).collect() == []
    old = [{**row, "version": "an older one"} for row in known]
    assert len(detect_texts(facts, _frame(spark, LICENSE_TEXTS, old)).collect()) == 2


# --- what the files of one folder say together


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([("text", "MIT")], "MIT"),
        ([("text", "MIT"), ("pyproject", "MIT")], "MIT"),
        ([("text", "MIT"), ("text", "ISC")], "ISC AND MIT"),
        ([("cargo", "MIT OR Apache-2.0"), ("text", "MIT"), ("text", "Apache-2.0")], "MIT OR Apache-2.0"),
        ([("cargo", "MIT OR Apache-2.0"), ("text", "MIT")], "MIT OR Apache-2.0"),
        ([("cargo", "MIT OR Apache-2.0"), ("text", "GPL-3.0-only")], "(MIT OR Apache-2.0) AND GPL-3.0-only"),
        ([("cargo", "MIT OR Apache-2.0"), ("text", UNKNOWN)], f"(MIT OR Apache-2.0) AND {UNKNOWN}"),
        ([("cargo", "MIT OR ISC"), ("pyproject", "GPL-3.0-only")], "(MIT OR ISC) AND GPL-3.0-only"),
        ([("pyproject", "GPL-2.0-or-later"), ("text", "GPL-2.0-only")], "GPL-2.0-or-later"),
        ([("pyproject", "MIT OR GPL-2.0-or-later"), ("text", "GPL-2.0-only"), ("text", "MIT")], "MIT OR GPL-2.0-or-later"),
        ([("pyproject", "GPL-2.0-only"), ("text", "GPL-2.0-or-later")], "GPL-2.0-only AND GPL-2.0-or-later"),
        ([("pyproject", "GPL-3.0-or-later"), ("text", "GPL-2.0-only")], "GPL-2.0-only AND GPL-3.0-or-later"),
        ([("pom", "GPL-2.0-only WITH Classpath-exception-2.0"), ("text", "GPL-2.0-only")], "GPL-2.0-only WITH Classpath-exception-2.0"),
        ([("pyproject", "LGPL-3.0-or-later"), ("text", "GPL-3.0-only"), ("text", "LGPL-3.0-only")], "LGPL-3.0-or-later"),
        ([("text", "GPL-3.0-only"), ("text", "LGPL-3.0-only")], "GPL-3.0-only AND LGPL-3.0-only"),
        ([("pyproject", "LGPL-3.0-or-later"), ("text", "GPL-2.0-only")], "GPL-2.0-only AND LGPL-3.0-or-later"),
        # A choice is not taken where the text of its mildest alternative is not there.
        ([("pyproject", "MIT OR GPL-3.0-only")], "MIT OR GPL-3.0-only"),
        ([("pyproject", "MIT OR GPL-3.0-only"), ("text", "GPL-3.0-only")], "(MIT OR GPL-3.0-only) AND GPL-3.0-only"),
        ([("pyproject", "MIT OR GPL-3.0-or-later"), ("text", "GPL-3.0-only")], "(MIT OR GPL-3.0-or-later) AND GPL-3.0-only"),
        ([("pyproject", "MIT OR LGPL-3.0-only"), ("text", "GPL-3.0-only")], "(MIT OR LGPL-3.0-only) AND GPL-3.0-only"),
        ([("pyproject", "MIT OR GPL-3.0-only"), ("text", "MIT")], "MIT OR GPL-3.0-only"),
        ([("pyproject", "MIT OR GPL-3.0-only"), ("text", "MIT"), ("text", "GPL-3.0-only")], "MIT OR GPL-3.0-only"),
        ([("pyproject", UNKNOWN), ("text", "MIT")], "MIT"),
        ([("pyproject", UNKNOWN)], UNKNOWN),
        ([("pyproject", "MIT"), ("text", UNKNOWN)], f"{UNKNOWN} AND MIT" if UNKNOWN < "MIT" else f"MIT AND {UNKNOWN}"),
    ],
)  # fmt: skip
def test_what_is_stated_together(stated, expected):
    assert combine(stated) == combine(stated[::-1]) == expected


def test_of_a_bundle_without_end_the_strictest_parts_are_kept():
    names = [f"BSD-{n}-Clause" for n in (1, 2, 3)] + [f"CC-BY-SA-{n}.0" for n in (1, 2, 3, 4)]
    many = [f"OLDAP-2.{n}" for n in range(9)] + [f"LPPL-1.{n}" for n in range(3)]
    more = [f"CC-BY-NC-{n}.0" for n in (1, 2, 3, 4)] + [f"CC-BY-ND-{n}.0" for n in (1, 2, 3, 4)]
    rest = [f"CC-BY-{n}.0" for n in (1, 2, 3, 4)] + ["MIT", "ISC", "Zlib", "0BSD", "X11", "NCSA"]
    last = ["HPND", "WTFPL", "AFL-3.0", "PHP-3.0", "W3C", "curl", "Apache-1.1", "MIT-0"]
    exception = "GPL-2.0-only WITH Classpath-exception-2.0"
    stated = [("text", name) for name in [*names, *many, *more, *rest, *last, exception]]
    assert len(stated) > MAX_PARTS
    kept = combine(stated).split(" AND ")
    assert len(kept) == MAX_PARTS
    assert {*more, *names[3:], exception} <= set(kept)


def test_the_bsd_texts_are_not_confused():
    assert combine([("text", "BSD-2-Clause"), ("text", "BSD-3-Clause")]).count("AND") == 1
    assert extract("text", BSD_2)[0] != extract("text", BSD_3)[0]
