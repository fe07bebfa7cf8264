"""Laws of reading on executors: one bad unit stops nothing, tasks do not depend on order."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pytest

from etl.ingest import TASK_BYTES, _read_units, _tasks
from etl.sources import reader_for
from etl.sources.config import Limits, SourceConfig
from etl.sources.records import Unit


def units_of(folder: Path) -> list[Unit]:
    for name in ("ann", "bob", "cho"):
        (folder / name).mkdir()
        (folder / name / "a.py").write_text(f"NAME = '{name}'\n")
    found = list(reader_for("tree").list_units(SourceConfig(kind="tree", path=str(folder))))
    assert all(isinstance(unit, Unit) for unit in found)
    return found  # type: ignore[return-value]


def test_a_repository_is_left_out_by_name_and_rows_cannot_be() -> None:
    source = SourceConfig(kind="tree", path="x", leave_out=["torch", "nvidia-*"])
    names = ("torch", "torch-geometric", "nvidia-cublas", "a-nvidia-b")
    assert [source.leaves_out(name) for name in names] == [True, False, True, False]
    with pytest.raises(ValueError, match="expected a source of repositories, found jsonl"):
        SourceConfig(kind="jsonl", path="x", leave_out=["torch"])


@pytest.mark.filterwarnings("ignore:distutils Version classes")  # PySpark's own
def test_a_unit_whose_reader_raises_is_a_row_and_the_others_are_read(tmp_path: Path) -> None:
    ann, bob, cho = units_of(tmp_path)
    units = [ann, replace(bob, kind="of no reader"), cho]
    batches = [
        pa.RecordBatch.from_pydict({"task": [0], "unit": [json.dumps(asdict(unit))]})
        for unit in units
    ]
    rows = [row for batch in _read_units(batches, Limits().model_dump_json()) for row in
            batch.to_pylist()]  # fmt: skip
    files = {row["repo_name"]: row["content"] for row in rows if row["file"]}
    assert files == {"ann": "NAME = 'ann'\n", "cho": "NAME = 'cho'\n"}
    (error,) = [row for row in rows if row["error"]]
    assert (error["repo_id"], error["error"]["kind"]) == (bob.repo_id, "reader_failed")
    assert error["error"]["member"] == "bob"
    assert [row["row"] for row in rows] == list(range(len(rows)))


def test_units_make_the_same_tasks_in_any_order_and_a_task_is_bounded(tmp_path: Path) -> None:
    (one, *_) = units_of(tmp_path)
    draw = random.Random(3)
    units = [
        replace(one, identity=str(n), size_bytes=draw.randrange(2 * TASK_BYTES)) for n in range(200)
    ]
    tasks = _tasks(units)
    shuffled = list(units)
    draw.shuffle(shuffled)
    assert _tasks(shuffled) == tasks
    assert sorted(unit.identity for _, unit in tasks) == sorted(unit.identity for unit in units)
    sizes: dict[int, list[int]] = {}
    for task, unit in tasks:
        sizes.setdefault(task, []).append(unit.size_bytes)
    assert all(sum(held) <= TASK_BYTES or len(held) == 1 for held in sizes.values())
