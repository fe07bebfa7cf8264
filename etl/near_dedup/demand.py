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
from etl.near_dedup.arrow import PACKED, chunks, ids_of_words, of_kind, parts_of, unpacked
from etl.near_dedup.bands import Ints
from etl.near_dedup.candidates import signatures_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.contents import OWNER, Contents, Sets, content_rows, sets_of
from etl.near_dedup.prune import SKETCH_WIDTHS, SKETCHES, rows_of, sketch_rows, to_blocks
from etl.near_dedup.verify import VERIFIED, bytes_batch, verified_batch, verified_rows
from etl.stage import Lake

ROLES = 3  # kind of packed rows of a block, beside those of `verify`
MEMBER, DEMANDED, PIVOT = 0, 1, 2  # roles


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
    splits: dict[str, int],
    threshold: float,
    config: NearDedupConfig,
) -> DataFrame:
    """`VERIFIED`, staged: new pairs; and a row without blob_b for each document that is complete.

    Cost: reads content and sketch of the blocks that hold a demanded document; ships 8 bytes a
    shingle and 1 KB a document (pivots of a block above the bound: once a chunk).
    """
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
    found = _run(lake, first, splits, threshold, config)
    is_rest = is_wanted & ~chosen
    if not is_rest.any():
        return found
    is_complete = "blob_b IS NULL AND blob_a IS NOT NULL"
    complete = found.where(is_complete).select("document_a").collect()
    pivots = np.array([row["document_a"] for row in complete], np.int64)
    rest = _chunks(of, document, blob, num_bytes, is_rest, np.isin(document, pivots), config)
    more = _run(lake, rest, splits, threshold, config).where(f"NOT ({is_complete})")
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


def _run(
    lake: Lake,
    task: _Task,
    splits: dict[str, int],
    threshold: float,
    config: NearDedupConfig,
) -> DataFrame:
    cuts = np.append(np.flatnonzero(np.diff(task.part)) + 1, len(task.part))
    starts = np.append(0, cuts[:-1])
    roles = [
        (int(task.part[start]), ROLES, data)
        for start, end in zip(starts, cuts, strict=True)
        for data in chunks(np.arange(end - start), task.document[start:end], task.role[start:end])
    ]
    signatures = signatures_of(lake, splits).withColumn("is_new", F.lit(False))
    contents = Contents(task.part, task.document, np.full(len(task.part), OWNER), task.blob)
    shingles = content_rows(lake, contents)
    rows = shingles.unionByName(sketch_rows(lake, signatures, task.part, task.document))
    rows = rows.unionByName(lake.local_rows(roles, PACKED))
    return lake.staged(
        "demanded", to_blocks(rows).mapInArrow(_Compare(threshold, config), VERIFIED)
    )


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

        sets = sets_of(rows)
        yield bytes_batch(int(sets.num_bytes.sum()))
        known, *_, words = unpacked(of_kind(rows, SKETCHES), SKETCH_WIDTHS)
        rank, document, role = unpacked(of_kind(rows, ROLES), [1, 1, 1])
        document, role = document[np.argsort(rank)], role[np.argsort(rank)]
        places, sketched = _places(sets.document, document), _places(known, document)
        is_there = (places >= 0) & (sketched >= 0)
        places, sketched, role = places[is_there], sketched[is_there], role[is_there]
        if len(places) == 0:
            return
        offsets = np.append(0, np.cumsum(np.diff(sets.offsets)[places]))
        values = taken(sets.values, sets.offsets, places)
        found = greedy.compare(
            values,
            offsets,
            words.view(np.uint32)[sketched],
            role == DEMANDED,
            role == PIVOT,
            self.floor,
            self.threshold,
            self.scheme,
        )
        yield verified_batch(sets, places[found.pivot], places[found.other], found.similarity)
        yield _complete(sets, places[found.is_pivot])


def _places(documents: Ints, wanted: Ints) -> Ints:
    """A row of each wanted document; -1 where there is none."""
    return rows_of(documents, np.argsort(documents, kind="stable"), wanted)


def _complete(sets: Sets, pivots: Ints) -> pa.RecordBatch:
    document, count = pa.array(sets.document[pivots]), len(pivots)
    ids = ids_of_words(sets.blob[pivots])
    none, no_score = pa.nulls(count, pa.string()), pa.nulls(count, pa.float64())
    return verified_rows(ids, none, document, document, no_score, pa.nulls(count, pa.int64()))
