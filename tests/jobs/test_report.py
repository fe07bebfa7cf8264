"""The report's figures are those of the files, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from etl.facts import annotators
from etl.report import Found, Share
from jobs.report import LINE_LABELS, SIZE_LABELS, _bins, _figures, _found, _steps

pytestmark = pytest.mark.spark

COLUMNS = (
    "source_kind string, reason string, language string, license_category string, "
    "license_expression string, size_bytes long, num_lines long, split string, kept boolean, "
    "failed_rules array<string>"
)
FILES = [
    ("tree", None, "Python", "permissive", "MIT", 3, 1, "train", True, []),
    ("tree", None, "Python", "permissive", "MIT", 5000, 200, "validation", True, []),
    ("git", "license", "C", "strong_copyleft", "GPL-3.0-only", 70, 9, None, False,
     ["license", "long_lines"]),
    ("git", "binary", None, None, None, 2_000_000_000, None, None, False, ["binary"]),
    ("git", "not_a_file", None, None, None, None, None, None, False, ["not_a_file"]),
]  # fmt: skip


def test_a_file_is_in_each_figure_that_it_has_a_value_for(spark: Any) -> None:
    found = _figures(spark.createDataFrame(FILES, COLUMNS))
    assert found["source"] == [Share("git", 3, 2_000_000_070), Share("tree", 2, 5003, 2, 5003)]
    assert found["language"] == [Share("Python", 2, 5003, 2, 5003), Share("C", 1, 70)]
    assert {share.name: share.files for share in found["category"]} == {
        "permissive": 2, "unknown": 2, "strong_copyleft": 1,
    }  # fmt: skip
    assert [share.name for share in found["expression"]] == ["MIT", "GPL-3.0-only"]
    assert {share.name: share.files for share in found["split"]} == {"train": 1, "validation": 1}
    order = ["binary", "license", "long_lines"]
    assert [step.reason for step in _steps(found["reason"], order)] == [
        "binary", "license", "not_a_file",
    ]  # fmt: skip
    assert [(step.reason, step.files) for step in _steps(found["failed_rule"], order)] == [
        ("binary", 1), ("license", 1), ("long_lines", 1), ("not_a_file", 1),
    ]  # fmt: skip


def test_a_file_without_a_size_or_lines_is_in_no_bin(spark: Any) -> None:
    found = _figures(spark.createDataFrame(FILES, COLUMNS))
    sizes = {one.label: (one.files, one.kept_files) for one in _bins(found["size"], SIZE_LABELS)}
    assert {label: bar for label, bar in sizes.items() if bar[0]} == {
        "1": (1, 1), "64": (1, 0), "4k": (1, 1), "16M+": (1, 0),
    }  # fmt: skip
    lines = {one.label: (one.files, one.kept_files) for one in _bins(found["lines"], LINE_LABELS)}
    assert {label: bar for label, bar in lines.items() if bar[0]} == {
        "1": (1, 1), "8": (1, 0), "128": (1, 1),  # a label is the least that is in the bin
    }  # fmt: skip


def test_finds_are_counted_once_a_content_and_kept_ones_apart(spark: Any) -> None:
    """Content `a` stands in two files, one of them kept; `b` is dropped; `c` has old finds only."""
    files = spark.createDataFrame(
        [("a", True), ("a", False), ("b", False), ("c", True), (None, False)],
        "blob_id string, kept boolean",
    )
    key, token, mail = ("key", "aws"), ("key", "npm"), ("email", "email")
    now = annotators.PII_VERSION
    spans = spark.createDataFrame(
        [("a", now, [key, mail]), ("b", now, [mail, mail, token]), ("c", now - 1, [key])],
        "blob_id string, version int, spans array<struct<kind: string, detector: string>>",
    )
    context = spark.createDataFrame(
        [("a", [("name", "context")])],
        "blob_id string, spans array<struct<kind: string, detector: string>>",
    )
    assert _found(files, spans, context) == {
        "found_kinds": (Found("email", 3, 1), Found("key", 2, 1), Found("name", 1, 1)),
        "detectors": (
            Found("email", 3, 1), Found("aws", 1, 1), Found("context", 1, 1), Found("npm", 1, 0),
        ),
    }  # fmt: skip
