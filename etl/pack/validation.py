"""Which validation files are like a training file?    corpus -> files to leave out of validation

Every training file is compared with every validation file, exactly: the Jaccard similarity of their sets of
5-word shingles, of the text that the model reads. A loss on a text that was half read is no validation.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.batches import gathered
from etl.shares import is_below
from etl.stage import Lake

VALIDATION_BYTES = 256 << 20  # of text that is compared: its shingles are held by every worker
BATCH_ROWS = 64  # files in a batch: half of them of 10 MB are 320 MB
REPORTED = 20  # pairs in the manifest

_SHINGLED = "repo_id string, path string, shingles binary"
_ALIKE = "number long, similarity double, train_repo_id string, train_path string"


class Overlap(NamedTuple):
    """`left_out`: (repo_id, path) and the training file most like it, the most similar first."""

    files: int
    compared: int
    left_out: list[dict[str, Any]]

    def report(self, floor: float) -> dict[str, Any]:
        """For the manifest: ids and paths."""
        return {
            "files": self.files,
            "compared": self.compared,
            "max_similarity": floor,
            "left_out": len(self.left_out),
            "most_similar": self.left_out[:REPORTED],
        }


def overlap(lake: Lake, rows: DataFrame, floor: float, folder: Path) -> Overlap:
    """Validation files of `rows` (of `corpus`) whose similarity to a training file reaches the floor.

    Where the validation texts are more than VALIDATION_BYTES, a sample of them by hash is compared. Cost: one
    read of the content, which is not shuffled; the shingles of the validation files are collected.
    """
    validation = rows.where("split = 'validation'")
    sums = validation.agg(
        F.count("*").alias("files"), F.coalesce(F.sum("length_bytes"), F.lit(0)).alias("bytes")
    ).collect()[0]
    if not sums["files"]:
        return Overlap(0, 0, [])
    lake.batch_rows(BATCH_ROWS)
    digest = F.sha2(F.concat_ws(" ", "repo_id", "path"), 256)
    sample = validation.where(is_below(digest, min(1.0, VALIDATION_BYTES / max(1, sums["bytes"]))))
    shingled = sample.select("repo_id", "path", "content").mapInArrow(_shingle, _SHINGLED)
    found = sorted(shingled.collect(), key=lambda row: (row["repo_id"], row["path"]))
    path = folder / f".{uuid.uuid4().hex}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_index([row["shingles"] for row in found], floor, path)
        training = rows.where("split = 'train'").select("repo_id", "path", "content")
        alike = training.mapInArrow(_Comparison(str(path), floor), _ALIKE)
        best = alike.groupBy("number").agg(
            F.max(F.struct("similarity", "train_repo_id", "train_path")).alias("best")
        )
        pairs = best.select("number", "best.*").collect()
    finally:
        path.unlink(missing_ok=True)
    left_out = [
        {
            "repo_id": found[row["number"]]["repo_id"],
            "path": found[row["number"]]["path"],
            **{name: row[name] for name in ("similarity", "train_repo_id", "train_path")},
        }
        for row in pairs
    ]
    left_out.sort(key=lambda row: (-row["similarity"], row["repo_id"], row["path"]))
    return Overlap(sums["files"], len(found), left_out)


def _write_index(shingles: list[Any], floor: float, path: Path) -> None:
    from etl.near_dedup.overlap import index_of

    sets = [np.frombuffer(raw, np.uint64) for raw in shingles]
    offsets = np.cumsum([0, *map(len, sets)])
    values = np.concatenate(sets) if sets else np.empty(0, np.uint64)
    index_of(values, offsets, floor).save(path)


def _shingle(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from etl.near_dedup.similarity import shingle_sets

    for batch in gathered(batches):
        values, offsets = shingle_sets(batch.column("content"))
        raw = [values[start:end].tobytes() for start, end in itertools.pairwise(offsets)]
        columns = [batch.column("repo_id"), batch.column("path"), pa.array(raw, pa.binary())]
        yield pa.RecordBatch.from_arrays(columns, names=["repo_id", "path", "shingles"])


class _Comparison:
    """Training files to `_ALIKE`: a row for each pair."""

    def __init__(self, path: str, floor: float) -> None:
        self.path, self.floor = path, floor

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from etl.near_dedup.overlap import Index, alike
        from etl.near_dedup.similarity import shingle_sets

        index = Index.load(Path(self.path))
        for batch in gathered(batches):
            rows, numbers, similarities = alike(
                index, *shingle_sets(batch.column("content")), self.floor
            )
            taken = pa.array(rows)
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(numbers),
                    pa.array(similarities),
                    batch.column("repo_id").take(taken),
                    batch.column("path").take(taken),
                ],
                names=["number", "similarity", "train_repo_id", "train_path"],
            )
