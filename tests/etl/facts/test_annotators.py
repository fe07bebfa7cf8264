"""The one pass: what is due, row for row, in the columns of the tables."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from etl import tables
from etl.facts import heads, kernels, quality
from etl.facts.annotators import GROUPS, INPUT, OUTPUT, annotate_batch

ALL = sum(group.bit for group in GROUPS)


def batch(*rows: tuple[str, str | None, list[str] | None, int | None]) -> pa.RecordBatch:
    columns = [
        pa.array(list(column), kind)
        for column, kind in zip(zip(*rows, strict=True), INPUT.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=INPUT)


PAGE = "<html><title>t</title><p>hello world, hello page of words</p></html>"


def test_every_group_is_computed_where_it_is_due_and_null_elsewhere() -> None:
    rows = [(str(bits), PAGE, ["a.html"], bits) for bits in range(ALL + 1)]
    result = annotate_batch(batch(*rows))
    assert result.schema == OUTPUT
    for group in GROUPS:
        expected = [bool(bits & group.bit) for bits in range(ALL + 1)]
        assert result.column(group.column).is_valid().to_pylist() == expected


def test_facts_of_a_page_are_right() -> None:
    [row] = annotate_batch(batch(("b", PAGE, ["a.html", "a.py"], ALL))).to_pylist()
    assert row["blob_id"] == "b"
    assert row["facts"]["num_chars"] == len(PAGE)
    assert row["facts"]["contaminated_by"] == []
    assert row["signature"]["num_tokens"] == 13
    assert row["pii"] == {"spans": [], "people": []}
    html, python = row["names"]
    assert (html["basename"], html["language"]) == ("a.html", "HTML")
    assert html["visible_text_chars"] == len("hello world, hello page of words")
    assert html["visible_text_fraction"] == 32 / len(PAGE)
    assert (python["basename"], python["language"]) == ("a.py", "Python")
    assert python["visible_text_chars"] is None
    assert python["visible_text_fraction"] is None


def test_null_content_names_and_due_are_nulls() -> None:
    rows = annotate_batch(
        batch(("a", None, ["a.py"], ALL), ("b", "x", None, ALL), ("c", "x", ["a.py"], None))
    ).to_pylist()
    assert all(rows[0][group.column] is None for group in GROUPS)
    assert rows[1]["names"] is None
    assert rows[1]["facts"]["num_chars"] == 1
    assert all(rows[2][group.column] is None for group in GROUPS)


def test_a_slice_and_an_empty_batch_are_as_the_whole() -> None:
    rows = [(str(i), PAGE[i:], [f"a{i}.html"], ALL) for i in range(8)]
    whole = annotate_batch(batch(*rows))
    assert annotate_batch(batch(*rows).slice(3, 2)).to_pylist() == whole.slice(3, 2).to_pylist()
    empty = annotate_batch(batch(*rows).slice(3, 0))
    assert empty.schema == OUTPUT
    assert empty.num_rows == 0


def test_other_columns_are_no_matter() -> None:
    extra = batch(("a", "x", ["a.py"], ALL)).append_column("roles", pa.array([["text"]]))
    assert annotate_batch(extra).schema == OUTPUT


@pytest.mark.filterwarnings("ignore:distutils Version classes")  # PySpark's own
@pytest.mark.parametrize(
    ("column", "table"),
    [
        ("facts", tables.FACTS),
        ("signature", tables.SIGNATURES),
        ("pii", tables.PII_SPANS),
        ("names", tables.NAME_FACTS),
    ],
)
def test_columns_are_those_of_the_tables(column: str, table: tables.Table) -> None:
    kind = OUTPUT.field(column).type
    fields = list(kind.value_type if pa.types.is_list(kind) else kind)
    wanted = [
        f for f in to_arrow_schema(table.schema) if f.name not in ("blob_id", "version", "added")
    ]
    assert [(f.name, strip(f.type)) for f in fields] == [(f.name, strip(f.type)) for f in wanted]


def strip(kind: pa.DataType) -> pa.DataType:
    """Without nullability, which Arrow counts as part of a nested type."""
    if pa.types.is_list(kind):
        return pa.list_(strip(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, strip(field.type)) for field in kind])
    return kind


def test_bits_are_distinct() -> None:
    assert sorted(group.bit for group in GROUPS) == [1, 2, 4, 8]


LARGE = """
import sys
from pathlib import Path
import pyarrow as pa
from etl.facts.annotators import INPUT, annotate_batch
line = "def name_%d(a, b): return a + b * %d  # words and more words, café\\n"
text = "".join(line % (i, i) for i in range(170_000))[: 9_900_000]
for _ in range(3):
    rows = [pa.array(list("abcdef")), pa.array([text] * 6), pa.array([["a.py"]] * 6)]
    batch = pa.RecordBatch.from_arrays([*rows, pa.array([15] * 6, pa.int32())], schema=INPUT)
    annotate_batch(batch)
status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's where that is larger
sys.stdout.write(str(int(status.split("VmHWM:")[1].split()[0]) // 1024))
"""


@pytest.mark.slow
def test_a_batch_of_six_files_of_ten_megabytes_stays_under_800_mb() -> None:
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", LARGE], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 800


def test_compiled_code_is_no_older_than_any_source_of_its_packages() -> None:
    """numba alone would go on with old code of a kernel that another file calls."""
    stamps = {
        function._cache._cache_file._source_stamp  # type: ignore[attr-defined]
        for function in (kernels.count_characters, quality._quality_rows, heads._flag_rows)
    }
    digest = hashlib.sha256()
    for package in ("facts", "near_dedup", "context_pii"):
        for source in sorted((Path(kernels.__file__).parents[1] / package).glob("*.py")):
            digest.update(source.read_bytes())
    assert stamps == {digest.hexdigest()}


def test_kernels_work_where_no_cache_can_be_written(tmp_path: Path) -> None:
    """A read-only package and no writable home: compiled in memory."""
    code = (
        "import numba.core.caching as caching\n"
        "def nowhere(*_): return None\n"
        "for locator in caching.CacheImpl._locator_classes:\n"
        "    locator.from_function = nowhere\n"
        "from etl.facts.kernels import count_characters\n"
        "import numpy as np\n"
        "assert count_characters(np.frombuffer('é'.encode(), np.uint8), 0, 2) == 1\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
