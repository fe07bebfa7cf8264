"""May they be?    candidate pairs, sketches -> pairs that pass the count and sketch bounds

The sketches of the documents that are in a candidate pair, 1 KB each, are shipped to the block that
compares them. With the pairs that pass come the contents that verification has to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.batches import gathered
from etl.facts.minhash import POSITIONS
from etl.near_dedup import blocks
from etl.near_dedup.arrow import (
    ID_WORDS,
    PACKED,
    by_part,
    chunks,
    in_order,
    numbers,
    of_kind,
    packed_batch,
    parts_of,
    unpacked,
    words_of_ids,
)
from etl.near_dedup.bands import Ints, rows_of
from etl.near_dedup.candidates import SKETCH_ROWS, sketches_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.transfer import local_columns
from etl.stage import Lake

SKETCH_BYTES = 1024 + 64

SKETCHES, CONTENTS, PAIRS = 0, 1, 2  # kinds of packed rows of a block

SKETCH_WIDTHS = [1, 1, 1, ID_WORDS, POSITIONS // 2]  # document, shingles, is_new, blob_id, sketch
PAIR_WIDTHS = [1, 1]
HELD_WIDTHS = [1, 1, 1, ID_WORDS]  # the sketch's without it

FOUND = "kind int, packed binary"


class Survivors(NamedTuple):
    """Pairs that pass the count and sketch bounds; and contents of their documents and of those
    that have mates: shingle count, whether the content is new, blob_id."""

    left: Ints
    right: Ints
    document: Ints
    size: Ints
    is_new: Ints
    blob: Ints


def pair_rows(lake: Lake, found: blocks.Blocks) -> DataFrame:
    """`PACKED`: the pairs of each block."""
    rows = [
        (part, PAIRS, data)
        for part, places in by_part(found.pair_block)
        for data in chunks(found.left[places], found.right[places])
    ]
    return lake.local_rows(rows, PACKED)


def to_blocks(rows: DataFrame) -> DataFrame:
    """One shuffle of `PACKED`."""
    return rows.repartition("part").sortWithinPartitions("part")


def sketch_rows(lake: Lake, signatures: DataFrame, part: Ints, document: Ints) -> DataFrame:
    """`PACKED`: the sketches of all contents of the documents, to the parts given.

    `signatures` has is_new too. Cost: reads all sketches; 1 KB a content leaves its task.
    """
    placed = local_columns(lake, "part int, document long", part, document)
    rows = signatures.select(
        "document", "num_shingles", F.col("is_new").cast("long"),
        F.unhex("blob_id").alias("id"), "sketch",
    )  # fmt: skip
    return rows.join(F.broadcast(placed), on="document", how="inner").mapInArrow(
        _pack_sketches, PACKED
    )


def _pack_sketches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in gathered(batches):
        heads = [numbers(batch.column(name)) for name in ("document", "num_shingles", "is_new")]
        ids = words_of_ids(batch.column("id"))
        sketches = sketches_of(batch.column("sketch")).view(np.int64)
        yield packed_batch(
            (part, SKETCHES, data)
            for part, rows in by_part(numbers(batch.column("part")))
            for data in chunks(
                *(head[rows] for head in heads), ids[rows], sketches[rows], num_bytes=1 << 16
            )
        )


def prune(
    lake: Lake,
    signatures: DataFrame,
    left: Ints,
    right: Ints,
    mates: Ints,
    config: NearDedupConfig,
) -> Survivors:
    """Pairs that may reach the floor by their counts and sketches, and the contents to be read.

    `mates`: documents of several contents. Documents that are gone have no sketch, and their pairs
    survive not. Cost: reads and ships 1 KB a content.
    """
    made = blocks.blocks_of(
        np.concatenate((left, mates)),
        np.concatenate((right, mates)),
        SKETCH_BYTES,
        config.block_bytes,
    )
    lake.batch_rows(SKETCH_ROWS)
    rows = sketch_rows(lake, signatures, made.block, made.document)
    pruned = to_blocks(rows.unionByName(pair_rows(lake, made))).mapInArrow(_Prune(config), FOUND)
    collected = pruned.collect()
    pairs = unpacked([row["packed"] for row in collected if row["kind"] == PAIRS], PAIR_WIDTHS)
    held = unpacked([row["packed"] for row in collected if row["kind"] == SKETCHES], HELD_WIDTHS)
    return Survivors(*pairs, *held)


class _Prune:
    def __init__(self, config: NearDedupConfig) -> None:
        self.floor, self.least = config.floor, config.min_agreement

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in parts_of(batches):
            yield self._of_part(rows)

    def _of_part(self, rows: pa.Table) -> pa.RecordBatch:
        from etl.near_dedup import similarity

        document, size, is_new, blob, words = unpacked(of_kind(rows, SKETCHES), SKETCH_WIDTHS)
        left, right = unpacked(of_kind(rows, PAIRS), PAIR_WIDTHS)
        order = owner_first(document, is_new, blob)
        one, two = rows_of(document, order, left), rows_of(document, order, right)
        small, large = np.minimum(size[one], size[two]), np.maximum(size[one], size[two])
        alike = similarity.agreements(words.view(np.uint32), one, two)
        is_near = small >= self.floor * large - 1e-6
        passes = (one >= 0) & (two >= 0) & (alike >= self.least) & is_near
        wanted = np.unique(np.concatenate((left[passes], right[passes])))
        held = np.flatnonzero(np.isin(document, wanted))
        passes &= left != right
        found = [(PAIRS, data) for data in chunks(left[passes], right[passes])]
        found += [
            (SKETCHES, data)
            for data in chunks(document[held], size[held], is_new[held], blob[held])
        ]
        return pa.RecordBatch.from_arrays(
            [
                pa.array([kind for kind, _ in found], pa.int32()),
                pa.array([data for _, data in found], pa.binary()),
            ],
            names=["kind", "packed"],
        )


def owner_first(document: Ints, is_new: Ints, blob: Ints) -> Ints:
    """The order by document; of its contents those that were there before come first, then by id."""
    rank = np.empty(len(blob), np.int64)
    rank[in_order(blob)] = np.arange(len(blob))
    order: Ints = np.lexsort((rank, is_new, document))
    return order
