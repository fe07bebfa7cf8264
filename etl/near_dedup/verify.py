"""Are they?    candidate pairs -> verified similarities

First the sketches of the documents that are in a candidate pair (1 KB each), then the contents of
those whose pairs pass the count and sketch bounds, are shipped to the block that compares them.
Content is read by a join of ids that are broadcast to it and leaves its task as shingle hashes, 8
bytes each, in pieces of 64 KB: an Arrow batch stays small whatever a document's size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.batches import CONTENT_ROWS, gathered
from etl.near_dedup import blocks
from etl.near_dedup.arrow import PACK_ROWS, chunks, joined, joined_bytes, whole_blocks, words_of
from etl.near_dedup.bands import Ints, Words, packed
from etl.near_dedup.candidates import SKETCH_ROWS, signatures_of, sketches_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.transfer import local_columns
from etl.stage import Lake
from etl.tables import BLOBS

PIECE = 8192  # shingles in a row: 64 KB
PIECE_ROWS = 512  # such rows in an Arrow batch: 32 MB
SKETCH_BYTES = 1024 + 64

DOCUMENT, MATE, PAIRS = 0, 1, 2  # kinds of rows in a block, in their order

BLOCK_ROWS = (
    "block long, kind int, document long, blob_id string, piece int, size long, payload binary"
)
SURVIVORS = "kind int, packed binary"
VERIFIED = "blob_a string, blob_b string, document_a long, document_b long, similarity double"


class Survivors(NamedTuple):
    """Pairs that pass the count and sketch bounds, and shingle counts of their documents."""

    left: Ints
    right: Ints
    document: Ints
    size: Ints


def placements(lake: Lake, block: Ints, document: Ints) -> DataFrame:
    """block, document, kind: a row a document and block, unpacked on the executors."""
    rows = local_columns(lake, "block long, document long", block, document)
    return rows.withColumn("kind", F.lit(DOCUMENT))


def pair_rows(lake: Lake, found: blocks.Blocks) -> DataFrame:
    """The pairs of each block as one of its `BLOCK_ROWS`."""
    starts = np.append(np.flatnonzero(np.diff(found.pair_block)) + 1, len(found.left))
    edges = np.searchsorted(starts, np.arange(PACK_ROWS, len(found.left), PACK_ROWS))
    cuts = np.unique(np.concatenate(([0], starts[edges], [len(found.left)])))
    rows = [
        (packed(found.pair_block[a:b], found.left[a:b], found.right[a:b]),)
        for a, b in itertools.pairwise(cuts)
    ]
    return lake.local_rows(rows, "packed binary").mapInArrow(_unpack_pairs, BLOCK_ROWS)


def _unpack_pairs(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for value in batch.column("packed"):
            block, left, right = joined_bytes([value.as_py()], 3)
            cuts = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(block)]
            bounds = [(a, b) for a, b in itertools.pairwise(cuts) if b > a]
            yield _block_batch(
                [int(block[a]) for a, _ in bounds],
                PAIRS,
                [packed(left[a:b], right[a:b]) for a, b in bounds],
            )


def _block_batch(block: list[int], kind: int, payload: list[bytes]) -> pa.RecordBatch:
    count = len(block)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(block, pa.int64()),
            pa.array([kind] * count, pa.int32()),
            pa.array([0] * count, pa.int64()),
            pa.array([""] * count, pa.string()),
            pa.array(range(count), pa.int32()),
            pa.array([0] * count, pa.int64()),
            pa.array(payload, pa.binary()),
        ],
        names=["block", "kind", "document", "blob_id", "piece", "size", "payload"],
    )


def by_block(rows: DataFrame) -> DataFrame:
    """One shuffle of `BLOCK_ROWS`."""
    return rows.repartition("block").sortWithinPartitions(
        "block", "kind", "document", "blob_id", "piece"
    )


# --- sketches


def prune(
    lake: Lake, left: Ints, right: Ints, owners: DataFrame, config: NearDedupConfig
) -> Survivors:
    """Pairs that may reach the floor by their counts and sketches.

    `owners`: document -> the blob that stands for it. Documents that are gone have none, and their
    pairs survive not. Cost: reads and ships 1 KB a document.
    """
    found = blocks.blocks_of(left, right, SKETCH_BYTES, config.block_bytes)
    placed = placements(lake, found.block, found.document).join(owners, on="document", how="inner")
    sketches = signatures_of(lake).select(
        "blob_id", F.col("num_shingles").alias("size"), F.col("sketch").alias("payload")
    )
    rows = sketches.join(placed, on="blob_id", how="inner").select(
        "block", "kind", "document", "blob_id", F.lit(0).alias("piece"), "size", "payload"
    )
    lake.batch_rows(SKETCH_ROWS)
    pruned = by_block(rows.unionByName(pair_rows(lake, found))).mapInArrow(
        _Prune(config), SURVIVORS
    )
    collected = pruned.collect()
    pairs = joined_bytes([row["packed"] for row in collected if row["kind"] == PAIRS])
    sizes = joined_bytes([row["packed"] for row in collected if row["kind"] == DOCUMENT])
    documents, first = np.unique(sizes[0], return_index=True)
    return Survivors(pairs[0], pairs[1], documents, sizes[1][first])


class _Prune:
    def __init__(self, config: NearDedupConfig) -> None:
        self.floor, self.least = config.floor, config.min_agreement

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from etl.near_dedup import similarity

        for rows in whole_blocks(batches):
            kinds = np.asarray(rows.column("kind"))
            documents = rows.filter(pa.array(kinds == DOCUMENT))
            pair_block, left, right = _pairs_of(rows.filter(pa.array(kinds == PAIRS)))
            if len(left) == 0 or len(documents) == 0:
                continue
            keys = np.array(documents.column("document"), np.int64)
            block = np.array(documents.column("block"), np.int64)
            sizes = np.array(documents.column("size"), np.int64)
            sketches = sketches_of(documents.column("payload").combine_chunks())
            one = blocks.find_rows(block, keys, pair_block, left)
            two = blocks.find_rows(block, keys, pair_block, right)
            small, large = np.minimum(sizes[one], sizes[two]), np.maximum(sizes[one], sizes[two])
            alike = similarity.agreements(sketches, one, two)
            passes = (alike >= self.least) & (small >= self.floor * large - 1e-6)
            left, right = left[passes], right[passes]
            used = np.unique(np.concatenate((one[passes], two[passes])))
            found = [(PAIRS, data) for data in chunks(left, right)]
            found += [(DOCUMENT, data) for data in chunks(keys[used], sizes[used])]
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array([kind for kind, _ in found], pa.int32()),
                    pa.array([data for _, data in found], pa.binary()),
                ],
                names=["kind", "packed"],
            )


def _pairs_of(rows: pa.Table) -> tuple[Ints, Ints, Ints]:
    """(block, left, right) of the pairs in rows of kind PAIRS."""
    if len(rows) == 0:
        empty = np.empty(0, np.int64)
        return empty, empty, empty
    lengths = np.array(pc.binary_length(rows.column("payload")), np.int64) // 16
    left, right = joined(rows.column("payload"))
    return np.repeat(np.array(rows.column("block"), np.int64), lengths), left, right


# --- contents


def shingle_rows(lake: Lake, placed: DataFrame) -> DataFrame:
    """blob_id, places (array of block, kind, document) -> `BLOCK_ROWS` with shingles, in pieces.

    Cost: reads the contents once; the large ones are staged, as a batch of them has fewer rows.
    """
    placed = lake.staged("placed", placed)
    contents = (
        lake.read(BLOBS)
        .select("blob_id", "size_class", "content")
        .join(placed, on="blob_id", how="inner")
    )
    ready = []
    classes = {row["size_class"] for row in _classes(lake, placed).collect()}
    for size_class in sorted(classes, reverse=True):
        lake.batch_rows(CONTENT_ROWS[size_class])
        of_class = contents.where(F.col("size_class") == size_class).drop("size_class")
        rows = of_class.mapInArrow(_shingle, BLOCK_ROWS)
        ready.append(lake.staged("shingles", rows) if size_class else rows)
    lake.batch_rows(PIECE_ROWS)
    return reduce(DataFrame.unionByName, ready)


def _classes(lake: Lake, placed: DataFrame) -> DataFrame:
    ids = lake.read(BLOBS).select("blob_id", "size_class")
    return (
        ids.join(placed.select("blob_id"), on="blob_id", how="left_semi")
        .select("size_class")
        .distinct()
    )


def _shingle(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from etl.near_dedup.similarity import shingle_sets

    for batch in gathered(batches):
        values, offsets = shingle_sets(batch.column("content"))
        places = batch.column("places")
        yield from _pieces(batch.column("blob_id"), places, values, offsets)


def _pieces(
    blob_id: pa.Array, places: pa.ListArray, values: Words, offsets: Ints
) -> Iterator[pa.RecordBatch]:
    rows = np.repeat(np.arange(len(places)), np.diff(np.asarray(places.offsets)))
    flat = places.flatten()
    sizes = np.diff(offsets)[rows]
    num_pieces = np.maximum(1, -(-sizes // PIECE))
    of_place = np.repeat(np.arange(len(rows)), num_pieces)
    piece = np.arange(len(of_place)) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    row = rows[of_place]
    start = offsets[row] + piece * PIECE
    stop = np.minimum(start + PIECE, offsets[row + 1])
    if len(rows) != len(places) or (rows != np.arange(len(places))).any():  # else as they lie
        of_rows = [values[offsets[i] : offsets[i + 1]] for i in rows]
        values = np.concatenate([*of_rows, np.empty(0, np.uint64)])
    ends = 8 * np.append(0, np.cumsum(stop - start)).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(values))]
    payload = pa.Array.from_buffers(pa.binary(), len(of_place), buffers)
    take = pa.array(of_place)
    yield pa.RecordBatch.from_arrays(
        [
            flat.field("block").take(take),
            flat.field("kind").take(take),
            flat.field("document").take(take),
            blob_id.take(pa.array(row)),
            pa.array(piece.astype(np.int32)),
            pa.array(sizes[of_place]),
            payload,
        ],
        names=["block", "kind", "document", "blob_id", "piece", "size", "payload"],
    )


class Sets(NamedTuple):
    """Shingle sets of the documents (or mates) of some blocks, sorted by block and document."""

    block: Ints
    document: Ints
    blob_id: pa.ChunkedArray
    values: Words
    offsets: Ints


def sets_of(rows: pa.Table) -> Sets:
    """Pieces put together."""
    block = np.array(rows.column("block"), np.int64)
    document = np.array(rows.column("document"), np.int64)
    first = np.flatnonzero(np.array(rows.column("piece"), np.int32) == 0)
    values, bounds = words_of(rows.column("payload"))
    offsets = np.append(bounds[first], bounds[-1])
    ids = rows.column("blob_id").take(pa.array(first))
    return Sets(block[first], document[first], ids, values, offsets)


def verify(
    lake: Lake,
    found: Survivors,
    owners: DataFrame,
    mates: DataFrame | None,
    config: NearDedupConfig,
) -> DataFrame:
    """`VERIFIED`, staged: pairs at or above the floor, and mates (similarity 1; null: unlike it).

    `mates`: blob_id, kind, document, block of contents that must have their document's set.
    Cost: reads the content of each document once; ships 8 bytes a shingle, once a block.
    """
    placed = [] if mates is None else [mates]
    made = blocks.blocks_of(
        found.left, found.right, (found.document, 8 * found.size), config.block_bytes
    )
    if len(found.left):
        placed.append(
            placements(lake, made.block, made.document).join(owners, on="document", how="inner")
        )
    if not placed:
        return lake.local_rows([], VERIFIED)
    places = (
        reduce(DataFrame.unionByName, placed)
        .groupBy("blob_id")
        .agg(F.collect_list(F.struct("block", "kind", "document")).alias("places"))
    )
    rows = shingle_rows(lake, places)
    if len(found.left):
        rows = rows.unionByName(pair_rows(lake, made))
    return lake.staged("verified", by_block(rows).mapInArrow(_Verify(config.floor), VERIFIED))


class _Verify:
    def __init__(self, floor: float) -> None:
        self.floor = floor

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from etl.near_dedup import similarity

        for rows in whole_blocks(batches):
            kinds = np.asarray(rows.column("kind"))
            documents = sets_of(rows.filter(pa.array(kinds == DOCUMENT)))
            pair_block, left, right = _pairs_of(rows.filter(pa.array(kinds == PAIRS)))
            if len(left):
                one = blocks.find_rows(documents.block, documents.document, pair_block, left)
                two = blocks.find_rows(documents.block, documents.document, pair_block, right)
                found = similarity.similarities(
                    documents.values, documents.offsets, one, two, self.floor
                )
                hits = np.flatnonzero(found >= self.floor)
                yield verified_batch(documents, one[hits], documents, two[hits], found[hits])
            mates = rows.filter(pa.array(kinds == MATE))
            if len(mates):
                yield _mates(documents, sets_of(mates))


def _mates(documents: Sets, mates: Sets) -> pa.RecordBatch:
    owners = blocks.find_rows(documents.block, documents.document, mates.block, mates.document)
    found = np.full(len(owners), np.nan)
    for row, owner in enumerate(owners):
        one = documents.values[documents.offsets[owner] : documents.offsets[owner + 1]]
        two = mates.values[mates.offsets[row] : mates.offsets[row + 1]]
        if owner >= 0 and np.array_equal(one, two):
            found[row] = 1.0
    return verified_batch(documents, owners, mates, np.arange(len(owners)), found)


def verified_batch(
    left: Sets,
    i: Ints,
    right: Sets,
    j: Ints,
    similarity: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> pa.RecordBatch:
    """`VERIFIED`: the lesser blob_id first where both are alike, the document's own where not."""
    ids_a = left.blob_id.take(pa.array(i)).combine_chunks()
    ids_b = right.blob_id.take(pa.array(j)).combine_chunks()
    unlike = np.isnan(similarity)
    is_ordered = np.array(pc.less(ids_a, ids_b), np.bool_) | unlike
    document_a, document_b = left.document[i], right.document[j]
    return pa.RecordBatch.from_arrays(
        [
            pc.if_else(pa.array(is_ordered), ids_a, ids_b),
            pc.if_else(pa.array(is_ordered), ids_b, ids_a),
            pa.array(np.where(is_ordered, document_a, document_b)),
            pa.array(np.where(is_ordered, document_b, document_a)),
            pa.array(similarity, pa.float64(), mask=unlike),
        ],
        names=["blob_a", "blob_b", "document_a", "document_b", "similarity"],
    )
