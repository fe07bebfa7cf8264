"""Spells of contents at paths, over versions of a corpus written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from etl.history import record_history
from etl.tables import CORPUS, CORPUS_HISTORY
from tests.etl.memory import MemoryLake

pytestmark = pytest.mark.spark


@pytest.fixture
def lake(spark: Any) -> MemoryLake:
    return MemoryLake(spark)


def write(lake: MemoryLake, files: dict[str, str]) -> None:
    """{"repo/path": content}: the next version of the corpus."""
    rows = []
    for place, content in files.items():
        repo, path = place.split("/")
        row = {"repo_id": repo, "path": path, "blob_id": content, "text_id": content}
        rows.append(tuple(row.get(name) for name in CORPUS.columns))
    lake.overwrite(CORPUS, lake.local_rows(rows, CORPUS.schema))


def spells(lake: MemoryLake) -> set[tuple[str, str, int, int | None]]:
    rows = lake.read(CORPUS_HISTORY).collect()
    found = {
        (f"{row['repo_id']}/{row['path']}", row["blob_id"], row["valid_from"], row["valid_to"])
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def test_each_content_has_a_spell_for_every_stay_at_a_path(lake: MemoryLake) -> None:
    """A run that was killed behind its write is recorded by the next one before it writes."""
    assert record_history(lake) == 0  # there is no corpus
    write(lake, {"r/a": "x", "r/b": "y", "s/a": "x"})
    assert record_history(lake) == 2
    write(lake, {"r/a": "z", "s/a": "x"})  # and killed
    assert record_history(lake) == 1
    write(lake, {"r/a": "z", "r/b": "y", "t/a": "x"})
    assert record_history(lake) == 3
    writes = lake.versions[CORPUS_HISTORY.name]
    write(lake, {"r/a": "z", "r/b": "y", "t/a": "x"})
    assert record_history(lake) == record_history(lake) == 0
    assert lake.versions[CORPUS_HISTORY.name] == writes
    assert spells(lake) == {
        ("r/a", "x", 0, 1), ("r/a", "z", 1, None), ("r/b", "y", 0, 1), ("r/b", "y", 2, None),
        ("s/a", "x", 0, 2), ("t/a", "x", 2, None),
    }  # fmt: skip


def test_a_sample_has_no_history(lake: MemoryLake) -> None:
    lake.sample = 0.5
    write(lake, {"r/a": "x"})
    assert record_history(lake) == 0
    assert not lake.exists(CORPUS_HISTORY)
