"""The stage over lakes small enough to check by eye, with the shipped classifier on ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import DataFrame

from etl.assemble import AssembleConfig, assemble
from etl.context_pii import stage
from etl.context_pii.config import ContextPiiConfig
from etl.context_pii.stage import find_in_context
from etl.errors import ConfigError
from etl.tables import BLOBS, CONTEXT_LINES, CONTEXT_SPANS, CORPUS, DECISIONS, LINE_SPANS
from tests.etl import by_hand
from tests.etl.memory import MemoryLake

pytestmark = pytest.mark.spark

CODE = "def f(x):\n    # Contact: Jane Doerfel\n    return x\n"
README = "# Tool\n\nContact: Bob Roebuck. Log in with user jdoerfel7 and password xK93mf2q\n"
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
    by_hand.write(lake, [{"repo": repo, "path": path, "text": text} for repo, path, text in files])
    kept = [
        {
            "repo_id": by_hand.repo_id(repo),
            "path": path,
            "kept": True,
            "num_copies": 1,
            "split": "train",
        }
        for repo, path, _ in files
    ]
    lake.overwrite(DECISIONS, by_hand.frame(lake, DECISIONS, kept))


def found(lake: MemoryLake) -> dict[str, list[tuple[str, str]]]:
    """Text -> what was found in it."""
    texts = {row["blob_id"]: row["content"] for row in lake.read(BLOBS).collect()}
    values = {}
    for row in lake.read(CONTEXT_SPANS).collect():
        raw = texts[row["blob_id"]].encode()
        values[texts[row["blob_id"]]] = [
            (span["kind"], raw[span["start"] : span["end"]].decode()) for span in row["spans"]
        ]
    return values


EXPECTED = {
    CODE: [("name", "Jane Doerfel")],
    AGAIN: [("name", "Jane Doerfel")],
    README: [("name", "Bob Roebuck"), ("username", "jdoerfel7"), ("password", "xK93mf2q")],
}


def test_what_is_found_is_redacted_in_every_file_that_holds_the_line(lake: MemoryLake) -> None:
    write(lake, FILES)
    counts = find_in_context(lake, ONNX)
    assert found(lake) == EXPECTED
    assert {name: counts[name] for name in ("contents_read", "lines", "lines_tagged", "lines_cut", "spans")} == {
        "contents_read": 4, "lines": 2, "lines_tagged": 2, "lines_cut": 0, "spans": 5,
    }  # fmt: skip
    assemble(lake, AssembleConfig())
    corpus = {row["path"]: row["content"] for row in lake.read(CORPUS).collect()}
    assert corpus["a.py"] == "def f(x):\n    # Contact: <NAME>\n    return x\n"
    assert corpus["README.md"].endswith(
        "Contact: <NAME>. Log in with user <USERNAME> and password <PASSWORD>\n"
    )
    assert corpus["d.py"] == "y = 2\n"


def test_tables_hold_no_value(lake: MemoryLake) -> None:
    write(lake, FILES)
    find_in_context(lake, ONNX)
    held = str([lake.tables[table.name] for table in (CONTEXT_LINES, LINE_SPANS, CONTEXT_SPANS)])
    assert not any(value in held for value in ("Doerfel", "Roebuck", "jdoerfel7", "xK93mf2q"))


def test_a_refresh_tags_only_new_lines_and_equals_a_rebuild(lake: MemoryLake, spark: Any) -> None:
    write(lake, FILES[:2])
    find_in_context(lake, ONNX)
    write(lake, FILES[1:])
    counts = find_in_context(lake, ONNX)
    assert (counts["contents_read"], counts["lines_tagged"]) == (2, 0)
    rebuilt = MemoryLake(spark)
    write(rebuilt, FILES[1:])
    find_in_context(rebuilt, ONNX)
    for table in (CONTEXT_LINES, LINE_SPANS, CONTEXT_SPANS):
        assert sorted(lake.tables[table.name]) == sorted(rebuilt.tables[table.name])
    assert find_in_context(lake, ONNX)["contents_read"] == 0


def test_neither_order_nor_partitions_change_a_row(lake: MemoryLake, spark: Any) -> None:
    write(lake, FILES)
    find_in_context(lake, ONNX)

    class Shuffled(MemoryLake):
        def read(self, table: Any) -> DataFrame:
            return (
                super()
                .read(table)
                .repartition(5)
                .sortWithinPartitions(super().read(table).columns[0], ascending=False)
            )

    other = Shuffled(spark)
    write(other, FILES[::-1])
    find_in_context(other, ONNX)
    for table in (CONTEXT_LINES, LINE_SPANS, CONTEXT_SPANS):
        assert sorted(lake.tables[table.name]) == sorted(other.tables[table.name])


def test_what_the_budget_cuts_is_counted_and_the_best_lines_stay(lake: MemoryLake) -> None:
    write(lake, FILES)
    kept_bytes = sum(len(text.encode()) for _, _, text in FILES)
    share = 30 / kept_bytes  # one line, of 24 bytes
    counts = find_in_context(lake, ContextPiiConfig(backend="onnxruntime", budget_share=share))
    assert counts["lines_tagged"] + counts["lines_cut"] == counts["lines"] == 2
    assert counts["bytes_tagged"] <= 30
    assert counts["bytes_cut"] > 0
    assert len(found(lake)) < len(EXPECTED)
    nothing = find_in_context(lake, ContextPiiConfig(backend="onnxruntime", budget_share=0))
    assert (nothing["lines_cut"], found(lake)) == (2, {})


def test_a_higher_score_asks_for_surer_spans_without_tagging_again(lake: MemoryLake) -> None:
    write(lake, FILES)
    find_in_context(lake, ONNX)
    counts = find_in_context(
        lake, ContextPiiConfig(backend="onnxruntime", budget_share=1, min_score=1)
    )
    assert (counts["lines_tagged"], counts["spans"]) == (0, 0)


def test_off_finds_nothing_and_takes_back_what_was_found(lake: MemoryLake) -> None:
    write(lake, FILES)
    find_in_context(lake, ONNX)
    assert find_in_context(lake, ContextPiiConfig(backend="off")) == {}
    assert found(lake) == {}


def test_no_kept_file_gives_empty_tables(lake: MemoryLake) -> None:
    write(lake, [])
    assert find_in_context(lake, ONNX)["lines"] == 0
    assert lake.read(CONTEXT_SPANS).count() == 0


def test_spark_nlp_where_it_cannot_be_had_is_an_error_that_names_both(lake: MemoryLake) -> None:
    write(lake, FILES)
    with pytest.raises(ConfigError, match=r"expected a classic session .* found .*onnxruntime"):
        find_in_context(lake, ContextPiiConfig(backend="spark-nlp"))


def test_auto_is_onnx_runtime_where_spark_nlp_cannot_be_had(lake: MemoryLake) -> None:
    write(lake, FILES)
    find_in_context(lake, ContextPiiConfig(budget_share=1.0))
    assert found(lake) == EXPECTED


def test_a_missing_model_stops_the_stage_before_it_writes(lake: MemoryLake) -> None:
    write(lake, FILES)
    with pytest.raises(ConfigError, match=r"expected the file none/model\.onnx, found none"):
        find_in_context(lake, ContextPiiConfig(model="none"))
    assert stage.CONTEXT_SPANS.name not in lake.tables
