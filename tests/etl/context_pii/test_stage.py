"""The stage over lakes small enough to check by eye, with the shipped classifier on ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import DataFrame

from etl.assemble import AssembleConfig, assemble
from etl.context_pii.config import ContextPiiConfig
from etl.context_pii.stage import find_in_context
from etl.errors import ConfigError
from etl.tables import CONTEXT_LINES, CONTEXT_SPANS, DECISIONS, LINE_SPANS
from tests.etl import by_hand
from tests.etl.memory import MemoryLake

pytestmark = pytest.mark.spark

CODE = "def f(x):\n    # Contact: Jane Doerfel\n    return x\n"
README = "# Tool\n\nContact: Bob Roebuck\nLog in with user jdoerfel7 and password xK93mf2q\n"
AGAIN = "x = 1\n# Contact: Jane Doerfel\n"
FILES = [
    ("ann", "a.py", CODE),
    ("bob", "README.md", README),
    ("cho", "c.py", AGAIN),
    ("cho", "d.py", "y = 2\n"),
]
ONNX = ContextPiiConfig(backend="onnxruntime", budget_share=1.0)


@pytest.fixture
def lake(spark: Any) -> MemoryLake:
    return MemoryLake(spark)


def write(lake: MemoryLake, files: list[tuple[str, str, str]]) -> None:
    """A lake up to `decisions`: all files are kept."""
    by_hand.write(lake, [{"repo": repo, "path": path, "text": text} for repo, path, text in files])
    kept = [
        {"repo_id": by_hand.repo_id(repo), "path": path, "kept": True, "num_copies": 1, "split": "train"}
        for repo, path, _ in files
    ]  # fmt: skip
    lake.overwrite(DECISIONS, by_hand.frame(lake, DECISIONS, kept))


@pytest.fixture(scope="module")
def golden(spark: Any) -> tuple[MemoryLake, dict[str, int]]:
    """The lake of FILES, and what the stage counted: auto is ONNX Runtime where Spark NLP cannot be had."""
    lake = MemoryLake(spark)
    write(lake, FILES)
    return lake, find_in_context(lake, ContextPiiConfig(budget_share=1.0))


def found(lake: MemoryLake) -> dict[str, list[tuple[str, str]]]:
    """Text -> what was found in it."""
    texts = {row["blob_id"]: row["content"] for row in lake.tables["blobs"]}
    values = {}
    for row in lake.tables["context_spans"]:
        raw = texts[row["blob_id"]].encode()
        values[texts[row["blob_id"]]] = [
            (span["kind"], raw[span["start"] : span["end"]].decode()) for span in row["spans"]
        ]
    return values


def rows(lake: MemoryLake) -> list[list[Any]]:
    return [sorted(lake.tables[table.name]) for table in (CONTEXT_LINES, LINE_SPANS, CONTEXT_SPANS)]


EXPECTED = {
    CODE: [("name", "Jane Doerfel")],
    AGAIN: [("name", "Jane Doerfel")],
    README: [("name", "Bob Roebuck"), ("username", "jdoerfel7"), ("password", "xK93mf2q")],
}


def test_what_is_found_is_redacted_in_every_file_that_holds_the_line_and_no_table_holds_it(
    golden: tuple[MemoryLake, dict[str, int]],
) -> None:
    lake, counts = golden
    assert found(lake) == EXPECTED
    assert {name: counts[name] for name in ("contents_read", "lines", "lines_tagged", "lines_cut", "spans")} == {
        "contents_read": 4, "lines": 3, "lines_tagged": 3, "lines_cut": 0, "spans": 5,
    }  # fmt: skip
    held = str(rows(lake))
    assert not any(value in held for value in ("Doerfel", "Roebuck", "jdoerfel7", "xK93mf2q"))
    assemble(lake, AssembleConfig())
    corpus = {row["path"]: row["content"] for row in lake.tables["corpus"]}
    assert corpus["a.py"] == "def f(x):\n    # Contact: <NAME>\n    return x\n"
    assert corpus["README.md"].endswith(
        "Contact: <NAME>\nLog in with user <USERNAME> and password <PASSWORD>\n"
    )
    assert corpus["d.py"] == "y = 2\n"


def test_a_refresh_tags_only_new_lines_and_equals_a_rebuild(
    golden: tuple[MemoryLake, dict[str, int]], lake: MemoryLake
) -> None:
    write(lake, [*FILES[:2], ("dov", "gone.py", "# Contact: Ada Lindqvist\n")])
    assert find_in_context(lake, ONNX)["lines_tagged"] == 4
    write(lake, FILES)
    counts = find_in_context(lake, ONNX)
    assert (counts["contents_read"], counts["lines_tagged"]) == (2, 0)
    assert rows(lake) == rows(golden[0])


def test_neither_order_nor_partitions_change_a_row(
    golden: tuple[MemoryLake, dict[str, int]], spark: Any
) -> None:
    class Shuffled(MemoryLake):
        def read(self, table: Any) -> DataFrame:
            found = super().read(table).repartition(3)
            return found.sortWithinPartitions(found.columns[0], ascending=False)

    lake = Shuffled(spark)
    write(lake, FILES[::-1])
    find_in_context(lake, ONNX)
    assert rows(lake) == rows(golden[0])


def test_budget_and_score_are_settings_of_what_was_tagged_and_off_takes_it_back(
    golden: tuple[MemoryLake, dict[str, int]], lake: MemoryLake
) -> None:
    lake.tables = dict(golden[0].tables)
    sure = ContextPiiConfig(backend="onnxruntime", budget_share=1, min_score=1)
    counts = find_in_context(lake, sure)
    assert (counts["lines_tagged"], counts["spans"]) == (0, 0)
    kept_bytes = sum(len(text.encode()) for _, _, text in FILES)
    share = 30 / kept_bytes  # one of the lines of 20, 23 and 48 bytes
    counts = find_in_context(lake, ContextPiiConfig(backend="onnxruntime", budget_share=share))
    assert (counts["lines"], counts["lines_cut"]) == (3, 2)
    assert counts["bytes_tagged"] in (20, 23)
    assert counts["bytes_tagged"] + counts["bytes_cut"] == 20 + 23 + 48
    assert 0 < len(found(lake)) < len(EXPECTED)
    assert find_in_context(lake, ContextPiiConfig(backend="off")) == {}
    assert found(lake) == {}


def test_no_kept_file_gives_empty_tables(lake: MemoryLake) -> None:
    write(lake, [])
    assert find_in_context(lake, ONNX)["lines"] == 0
    assert rows(lake) == [[], [], []]


def test_what_cannot_be_run_stops_the_stage_before_it_writes(lake: MemoryLake) -> None:
    write(lake, FILES)
    with pytest.raises(ConfigError, match=r"expected a classic session .* found .*onnxruntime"):
        find_in_context(lake, ContextPiiConfig(backend="spark-nlp"))
    with pytest.raises(ConfigError, match=r"expected the file none/model\.onnx, found none"):
        find_in_context(lake, ContextPiiConfig(model="none"))
    assert CONTEXT_SPANS.name not in lake.tables


def test_an_unknown_backend_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="'auto', 'spark-nlp', 'onnxruntime' or 'off'"):
        ContextPiiConfig(backend="tensorflow")  # type: ignore[arg-type]
