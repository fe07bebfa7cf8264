"""What is still missing?    unverified documents that would be kept -> their pairs

A block's documents meet in one task, in rank order: of those that would be kept the pivots are
chosen, and every document of the block is compared with every pivot (`etl.near_dedup.greedy`). The
pivots are then complete. Of a block above the bound, the first in rank that would be kept make the
pivots in one task; then chunks of the others are compared with the pivots, a task each.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.facts.kernels import Mask
from etl.near_dedup import blocks
from etl.near_dedup.arrow import chunks, joined, joined_bytes, whole_blocks
from etl.near_dedup.bands import Ints, packed
from etl.near_dedup.candidates import signatures_of, sketches_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.verify import (
    BLOCK_ROWS,
    DOCUMENT,
    PIECE_ROWS,
    VERIFIED,
    Sets,
    by_block,
    placements,
    sets_of,
    shingle_rows,
    verified_batch,
)
from etl.stage import Lake

SKETCH, ROLES = 3, 4  # kinds of rows in a block, beside those of `verify`
MEMBER, DEMANDED, PIVOT = 0, 1, 2  # roles


class Unverified(NamedTuple):
    """Of the lake's unverified documents: their block, shingle count, and rank."""

    document: Ints
    block: Ints
    size: Ints
    rank: Ints


class _Task(NamedTuple):
    """Documents of some blocks in rank order, with their roles."""

    block: Ints
    document: Ints
    role: Ints


def compare_demanded(
    lake: Lake,
    unverified: Unverified,
    is_demanded: Mask,
    owners: DataFrame,
    threshold: float,
    config: NearDedupConfig,
) -> DataFrame:
    """`VERIFIED`, staged: new pairs; and a row without blob_b for each document that is complete.

    `owners`: document -> blob. Cost: reads content and sketch of the blocks that hold a demanded
    document; ships 8 bytes a shingle and 1 KB a document (pivots of a block above the bound: once
    a chunk).
    """
    order = np.lexsort((unverified.rank, unverified.block))
    block, document = unverified.block[order], unverified.document[order]
    num_bytes = 8 * unverified.size[order] + 1024
    demanded = is_demanded[order]
    labels, of = np.unique(block, return_inverse=True)
    is_wanted = np.bincount(of, weights=demanded, minlength=len(labels))[of] > 0
    is_whole = (np.bincount(of, weights=num_bytes, minlength=len(labels)) <= config.block_bytes)[of]
    is_first = demanded & (_running(of, np.where(demanded, num_bytes, 0)) <= config.block_bytes)
    is_first |= demanded & (_running(of, demanded.astype(np.int64)) == 1)
    chosen = is_wanted & (is_whole | is_first)
    first = _Task(block[chosen], document[chosen], np.where(demanded[chosen], DEMANDED, MEMBER))
    found = _run(lake, first, owners, threshold, config)
    is_rest = is_wanted & ~chosen
    if not is_rest.any():
        return found
    complete = found.where("blob_b IS NULL").select("document_a").collect()
    pivots = np.array([row["document_a"] for row in complete], np.int64)
    rest = _chunks(of, block, document, num_bytes, is_rest, np.isin(document, pivots), config)
    more = _run(lake, rest, owners, threshold, config).where("blob_b IS NOT NULL")
    return lake.staged("demanded", found.unionByName(more))


def _running(of: Ints, values: Ints) -> Ints:
    """Sum so far inside each group; `of` is ascending."""
    total = np.cumsum(values)
    starts = np.searchsorted(of, np.arange(of[-1] + 1 if len(of) else 0))
    before = total[starts] - values[starts]
    running: Ints = total - before[of]
    return running


def _chunks(
    of: Ints,
    block: Ints,
    document: Ints,
    num_bytes: Ints,
    is_rest: Mask,
    is_pivot: Mask,
    config: NearDedupConfig,
) -> _Task:
    """The rest of each block in chunks, each with the block's pivots."""
    chunk = _running(of, np.where(is_rest, num_bytes, 0)) // config.block_bytes
    tasks = []
    for group in np.unique(of[is_rest]):
        rows = np.flatnonzero((of == group) & is_rest)
        pivots = np.flatnonzero((of == group) & is_pivot)
        for number in np.unique(chunk[rows]):
            members = np.sort(np.concatenate((rows[chunk[rows] == number], pivots)))
            seed = block[rows[:1]].view(np.uint64) + np.uint64(number + 1)
            label = blocks.mixed(seed).view(np.int64)[0]
            tasks.append(
                _Task(
                    np.full(len(members), label),
                    document[members],
                    np.where(is_pivot[members], PIVOT, MEMBER),
                )
            )
    return _Task(*(np.concatenate(columns) for columns in zip(*tasks, strict=True)))


def _run(
    lake: Lake, task: _Task, owners: DataFrame, threshold: float, config: NearDedupConfig
) -> DataFrame:
    roles = enumerate(chunks(task.block, task.document, task.role))
    given = lake.local_rows(roles, "number int, packed binary")
    placed = placements(lake, task.block, task.document).join(owners, on="document", how="inner")
    placed = lake.staged("demand-placed", placed)
    places = placed.groupBy("blob_id").agg(
        F.collect_list(F.struct("block", "kind", "document")).alias("places")
    )
    sketches = (
        signatures_of(lake)
        .select("blob_id", F.col("num_shingles").alias("size"), F.col("sketch").alias("payload"))
        .join(placed.drop("kind"), on="blob_id", how="inner")
        .withColumns({"kind": F.lit(SKETCH), "piece": F.lit(0)})
    )
    rows = (
        shingle_rows(lake, places)
        .unionByName(sketches)
        .unionByName(given.mapInArrow(_unpack_roles, BLOCK_ROWS))
    )
    lake.batch_rows(PIECE_ROWS)
    return lake.staged("demanded", by_block(rows).mapInArrow(_Compare(threshold, config), VERIFIED))


def _unpack_roles(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A row for each run of one block: its documents in rank order and their roles."""
    for batch in batches:
        for number, value in zip(batch.column("number"), batch.column("packed"), strict=True):
            block, document, role = joined_bytes([value.as_py()], 3)
            cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(block)]
            runs = [(a, b) for a, b in itertools.pairwise(cuts) if b > a]
            count = len(runs)
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array([int(block[a]) for a, _ in runs], pa.int64()),
                    pa.array([ROLES] * count, pa.int32()),
                    pa.array([0] * count, pa.int64()),
                    pa.array([""] * count, pa.string()),
                    pa.array([number.as_py()] * count, pa.int32()),
                    pa.array([0] * count, pa.int64()),
                    pa.array([packed(document[a:b], role[a:b]) for a, b in runs], pa.binary()),
                ],
                names=["block", "kind", "document", "blob_id", "piece", "size", "payload"],
            )


class _Compare:
    def __init__(self, threshold: float, config: NearDedupConfig) -> None:
        self.threshold, self.floor = threshold, config.floor
        self.scheme = (config.bands, config.rows, config.min_agreement)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_blocks(batches):
            labels = np.asarray(rows.column("block"))
            cuts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
            for start, end in itertools.pairwise(cuts):
                yield from self._of_block(rows.slice(start, end - start))

    def _of_block(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        from etl.near_dedup import greedy

        kinds = np.asarray(rows.column("kind"))
        sets = sets_of(rows.filter(pa.array(kinds == DOCUMENT)))
        if len(sets.document) == 0:
            return
        sketch_rows = rows.filter(pa.array(kinds == SKETCH)).combine_chunks()
        sketches = sketches_of(sketch_rows.column("payload").combine_chunks())
        document, role = joined(rows.filter(pa.array(kinds == ROLES)).column("payload"))
        places = np.searchsorted(sets.document, document).clip(max=len(sets.document) - 1)
        is_there = sets.document[places] == document
        places, role = places[is_there], role[is_there]
        ranked = _ranked(sets, places)
        found = greedy.compare(
            ranked.values,
            ranked.offsets,
            np.ascontiguousarray(sketches[places]),
            role == DEMANDED,
            role == PIVOT,
            self.floor,
            self.threshold,
            self.scheme,
        )
        yield verified_batch(ranked, found.pivot, ranked, found.other, found.similarity)
        yield _complete(ranked, np.flatnonzero(found.is_pivot))


def _ranked(sets: Sets, places: Ints) -> Sets:
    values = [sets.values[sets.offsets[place] : sets.offsets[place + 1]] for place in places]
    offsets = np.append(0, np.cumsum([len(own) for own in values])).astype(np.int64)
    return Sets(
        sets.block[places],
        sets.document[places],
        sets.blob_id.take(pa.array(places)),
        np.concatenate(values),
        offsets,
    )


def _complete(sets: Sets, pivots: Ints) -> pa.RecordBatch:
    document = pa.array(sets.document[pivots])
    return pa.RecordBatch.from_arrays(
        [
            sets.blob_id.take(pa.array(pivots)).combine_chunks(),
            pa.nulls(len(pivots), pa.string()),
            document,
            document,
            pa.nulls(len(pivots), pa.float64()),
        ],
        names=["blob_a", "blob_b", "document_a", "document_b", "similarity"],
    )
