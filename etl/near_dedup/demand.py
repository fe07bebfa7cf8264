"""What is still missing?    unverified documents that would be kept -> their pairs

A block's documents meet in one task, in rank order: of those that would be kept the pivots are
chosen, and every document of the block is compared with every pivot (`etl.near_dedup.greedy`). The
pivots are then complete. Of a block above the bound, the first in rank that would be kept make the
pivots in one task; then chunks of the others are compared with the pivots, a task each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.facts.kernels import Mask
from etl.facts.minhash import POSITIONS
from etl.near_dedup.arrow import (
    ID_WORDS,
    PACKED,
    by_part,
    chunks,
    ids_of_words,
    numbers,
    of_kind,
    packed_batch,
    packed_sets,
    parts_of,
    unpacked,
    unpacked_sets,
)
from etl.near_dedup.bands import Ints, Sketches, Words, rows_of
from etl.near_dedup.candidates import sketches_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.contents import cut
from etl.near_dedup.prune import to_blocks
from etl.near_dedup.transfer import local_columns
from etl.near_dedup.verify import VERIFIED, verified_batch, verified_rows
from etl.stage import Lake
from etl.tables import DEFERRED_SETS

SETS, ROLES = 0, 1  # kinds of packed rows of a block
SET_BYTES = 64 << 20  # of sets in an Arrow batch, if all were as large as the largest
SET_ROWS = 4096  # at most, in an Arrow batch
MEMBER, DEMANDED, PIVOT = 0, 1, 2  # roles
IS_COMPLETE = "blob_b IS NULL AND blob_a IS NOT NULL"  # of the rows that are compared on demand


class Unverified(NamedTuple):
    """Of the lake's unverified documents: their block, shingle count, rank and content."""

    document: Ints
    block: Ints
    size: Ints
    rank: Ints
    blob: Ints


class _Task(NamedTuple):
    """Documents of some blocks in rank order, with their roles; each part is compared by itself."""

    part: Ints
    document: Ints
    role: Ints
    blob: Ints


def compare_demanded(
    lake: Lake,
    unverified: Unverified,
    is_demanded: Mask,
    threshold: float,
    config: NearDedupConfig,
) -> DataFrame:
    """`VERIFIED`, staged: new pairs; and a row without blob_b for each document that is complete.

    Cost: reads `deferred_sets`; ships 8 bytes a shingle and 1 KB a document of the blocks that hold a
    demanded document (pivots of a block above the bound: once a chunk).
    """
    lake.batch_rows(min(SET_ROWS, 1 + SET_BYTES // (8 * int(unverified.size.max()) + 1024)))
    order = np.lexsort((unverified.rank, unverified.block))
    block, document = unverified.block[order], unverified.document[order]
    blob = unverified.blob[order]
    num_bytes = 8 * unverified.size[order] + 1024
    demanded = is_demanded[order]
    labels, of = np.unique(block, return_inverse=True)
    is_wanted = np.bincount(of, weights=demanded, minlength=len(labels))[of] > 0
    is_whole = (np.bincount(of, weights=num_bytes, minlength=len(labels)) <= config.block_bytes)[of]
    is_first = demanded & (_running(of, np.where(demanded, num_bytes, 0)) <= config.block_bytes)
    is_first |= demanded & (_running(of, demanded.astype(np.int64)) == 1)
    chosen = is_wanted & (is_whole | is_first)
    role = np.where(demanded[chosen], DEMANDED, MEMBER)
    first = _Task(of[chosen], document[chosen], role, blob[chosen])
    found = _run(lake, first, threshold, config)
    is_rest = is_wanted & ~chosen
    if not is_rest.any():
        return found
    complete = found.where(IS_COMPLETE).select("document_a").collect()
    pivots = np.array([row["document_a"] for row in complete], np.int64)
    rest = _chunks(of, document, blob, num_bytes, is_rest, np.isin(document, pivots), config)
    more = _run(lake, rest, threshold, config).where(f"NOT ({IS_COMPLETE})")
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
    document: Ints,
    blob: Ints,
    num_bytes: Ints,
    is_rest: Mask,
    is_pivot: Mask,
    config: NearDedupConfig,
) -> _Task:
    """The rest of each block in chunks, each with the block's pivots."""
    chunk = _running(of, np.where(is_rest, num_bytes, 0)) // config.block_bytes
    tasks: list[_Task] = []
    for group in np.unique(of[is_rest]):
        rows = np.flatnonzero((of == group) & is_rest)
        pivots = np.flatnonzero((of == group) & is_pivot)
        for number in np.unique(chunk[rows]):
            members = np.sort(np.concatenate((rows[chunk[rows] == number], pivots)))
            tasks.append(
                _Task(
                    np.full(len(members), len(tasks)),
                    document[members],
                    np.where(is_pivot[members], PIVOT, MEMBER),
                    blob[members],
                )
            )
    return _Task(*(np.concatenate(columns) for columns in zip(*tasks, strict=True)))


def _run(lake: Lake, task: _Task, threshold: float, config: NearDedupConfig) -> DataFrame:
    cuts = np.append(np.flatnonzero(np.diff(task.part)) + 1, len(task.part))
    starts = np.append(0, cuts[:-1])
    roles = [
        (int(task.part[start]), ROLES, data)
        for start, end in zip(starts, cuts, strict=True)
        for data in chunks(np.arange(end - start), *(column[start:end] for column in task[1:]))
    ]
    placed = local_columns(lake, "part int, document long", task.part, task.document)
    sets = lake.read(DEFERRED_SETS).select("document", "sketch", "shingles")
    sets = sets.join(F.broadcast(placed), on="document").mapInArrow(_pack, PACKED)
    rows = sets.unionByName(lake.local_rows(roles, PACKED))
    return lake.staged(
        "demanded", to_blocks(rows).mapInArrow(_Compare(threshold, config), VERIFIED)
    )


def _pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from etl.near_dedup.similarity import taken

    for batch in batches:
        document = numbers(batch.column("document"))
        sketch = sketches_of(batch.column("sketch")).view(np.int64)
        values, offsets = _values(batch.column("shingles"))
        size = np.diff(offsets)
        yield packed_batch(
            (
                part,
                SETS,
                packed_sets(
                    taken(values, offsets, rows), document[rows], size[rows], sketch[rows]
                ),
            )
            for part, of_part in by_part(numbers(batch.column("part")))
            for rows in cut(of_part, size)
        )  # fmt: skip


def _values(column: pa.Array) -> tuple[Words, Ints]:
    """The shingle hashes of all rows; where each row's begin."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    start, end = int(ends[0]), int(ends[-1])
    values = np.frombuffer(data.slice(start, end - start), np.uint64)
    return values, (ends - start).astype(np.int64) // 8


class _Sets(NamedTuple):
    """Of a block's documents."""

    document: Ints
    sketch: Sketches
    values: Words
    offsets: Ints


def _sets_of(rows: pa.Table) -> _Sets:
    widths = [1, 1, POSITIONS // 2]  # document, shingles, sketch
    (document, size, sketch), values = unpacked_sets(of_kind(rows, SETS), widths)
    offsets = np.append(0, np.cumsum(size))
    return _Sets(document, sketch.view(np.uint32), values, offsets)


class _Compare:
    def __init__(self, threshold: float, config: NearDedupConfig) -> None:
        self.threshold, self.floor = threshold, config.floor
        self.scheme = (config.bands, config.rows, config.min_agreement)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in parts_of(batches):
            yield from self._of_part(rows)

    def _of_part(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        from etl.near_dedup import greedy
        from etl.near_dedup.similarity import taken

        sets = _sets_of(rows)
        rank, document, role, blob = unpacked(of_kind(rows, ROLES), [1, 1, 1, ID_WORDS])
        order = np.argsort(rank)
        places = rows_of(sets.document, np.argsort(sets.document, kind="stable"), document[order])
        order, places = order[places >= 0], places[places >= 0]
        if len(places) == 0:
            return
        document, role, blob = document[order], role[order], blob[order]
        offsets = np.append(0, np.cumsum(np.diff(sets.offsets)[places]))
        values = taken(sets.values, sets.offsets, places)
        found = greedy.compare(
            values,
            offsets,
            sets.sketch[places],
            role == DEMANDED,
            role == PIVOT,
            self.floor,
            self.threshold,
            self.scheme,
        )
        yield verified_batch(document, blob, found.pivot, found.other, found.similarity)
        yield _complete(document[found.is_pivot], blob[found.is_pivot])


def _complete(documents: Ints, blob: Ints) -> pa.RecordBatch:
    document, count = pa.array(documents), len(documents)
    ids = ids_of_words(blob)
    none, no_score = pa.nulls(count, pa.string()), pa.nulls(count, pa.float64())
    return verified_rows(ids, none, document, document, no_score, pa.nulls(count, pa.int64()))
