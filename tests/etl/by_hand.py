"""Rows of the tables written by hand: what a test does not say has an ordinary value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame

from etl.facts import annotators
from etl.stage import Lake
from etl.tables import BLOBS, FACTS, FILES, LICENSES, NAME_FACTS, PII_SPANS, REPOS, Table

Row = dict[str, Any]

VERSIONS = {
    "facts": annotators.FACTS_VERSION,
    "name_facts": annotators.NAMES_VERSION,
    "pii_spans": annotators.PII_VERSION,
}

FACT = {
    "num_bytes": 500, "num_chars": 500, "num_lines": 20,
    "max_line_length": 60, "avg_line_length": 24.0, "alphabetic_fraction": 0.7,
    "alphanumeric_fraction": 0.75, "base64_fraction": 0.0, "hex_fraction": 0.0,
    "unicode_escape_fraction": 0.0, "max_encoded_run": 0, "has_generated_marker": False,
    "contaminated_by": [],
}  # fmt: skip
NAME_FACT = {
    "language": "Python", "language_type": "programming",
    "strategy": "extension", "confidence": 1.0, "is_generated": False,
    "visible_text_chars": None, "visible_text_fraction": None,
}  # fmt: skip


def repo_id(name: str) -> str:
    """32 hex digits that a reader of a test can tell apart: they begin with a hash of the name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def frame(lake: Lake, table: Table, rows: Iterable[Row]) -> DataFrame:
    return lake.local_rows(
        [tuple(row.get(name) for name in table.columns) for row in rows], table.schema
    )


def write(lake: Lake, files: Iterable[Row]) -> None:
    """A lake up to `licenses`. A file is a dict with repo and path; every other key has a default:

    text (its content), blob (default: from text), language and any other column of FACTS,
    NAME_FACTS, LICENSES (license_category), FILES (status, is_vendored), PII_SPANS (spans; its people
    are `declared`) and REPOS (stars, is_fork, people).
    """
    full = [_full(file) for file in files]
    for table in (REPOS, FILES, BLOBS, FACTS, NAME_FACTS, LICENSES, PII_SPANS):
        rows = [{**row, "version": VERSIONS.get(table.name)} for row in full]
        if table is PII_SPANS:
            rows = [{**row, "people": row["declared"]} for row in rows]
        unique = {tuple(row.get(key) for key in table.key): row for row in rows}
        kept = [
            row
            for key, row in unique.items()
            if row["status"] == "stored" or table in (REPOS, FILES, LICENSES)
        ]
        lake.overwrite(table, frame(lake, table, kept))


def _full(file: Row) -> Row:
    path = file["path"]
    basename = path.rsplit("/", 1)[-1]
    text = file.get("text", f"text of {file['repo']} {path}")
    text_id = hashlib.sha256(text.encode()).hexdigest()
    row = {
        **FACT,
        **NAME_FACT,
        "repo_id": repo_id(file["repo"]),
        "repo_name": file["repo"],
        "host": "example",
        "basename": basename,
        "extension": basename.rsplit(".", 1)[1].lower() if "." in basename else "",
        "status": "stored",
        "size_bytes": len(text.encode()),
        "is_path_escaped": False,
        "is_vendored": False,
        "is_test": False,
        "is_documentation": False,
        "hash_basis": "raw",
        "size_class": 0,
        "encoding": "utf-8",
        "content": text,
        "text_id": text_id,
        "blob_id": text_id,
        "license_expression": "MIT",
        "license_category": "permissive",
        "evidence": [],
        "spans": [],
        "is_fork": False,
        "people": [],
        "declared": [],
        **file,
    }
    if row["status"] != "stored":
        row.update(text_id=None, content=None, blob_id=None)
    return row
