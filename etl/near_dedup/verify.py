"""Are they?    candidate pairs -> verified similarities

First the sketches of the documents that are in a candidate pair (1 KB each), then the contents of
those whose pairs pass the count and sketch bounds, are shipped to the block that compares them.
Content is read by a join of ids that are broadcast to it and leaves its task as shingle hashes, 8
bytes each. Contents of one document must have its set: of each but the first, 128 bits of hash of
the set are shipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.batches import CONTENT_ROWS, gathered
from etl.facts.minhash import POSITIONS
from etl.near_dedup import blocks
from etl.near_dedup.arrow import (
    ID_WORDS,
    PACK_BYTES,
    PACKED,
    by_part,
    chunks,
    ids_of_words,
    in_order,
    numbers,
    of_kind,
    packed,
    packed_batch,
    parts_of,
    unpacked,
    words_of_ids,
)
from etl.near_dedup.bands import Ints, Words
from etl.near_dedup.candidates import SKETCH_ROWS, sketches_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.transfer import local_columns
from etl.stage import Lake
from etl.tables import BLOBS

SKETCH_BYTES = 1024 + 64

SKETCHES, CONTENTS, PAIRS = 0, 1, 2  # kinds of packed rows of a block

# Roles of a content: its set is the document's; it must be like that set; the one it must be like
OWNER, MATE, MODEL = 0, 1, 2

SKETCH_WIDTHS = [1, 1, 1, ID_WORDS, POSITIONS // 2]  # document, shingles, is_new, blob_id, sketch
PAIR_WIDTHS = [1, 1]
HELD_WIDTHS = [1, 1, 1, ID_WORDS]  # the sketch's without it
HEAD_WIDTHS = [
    1,
    1,
    1,
    1,
    ID_WORDS,
    2,
]  # document, shingles, values shipped, bytes, blob_id, digest

FOUND = "kind int, packed binary"
VERIFIED = (
    "blob_a string, blob_b string, document_a long, document_b long, similarity double, "
    "content_bytes long"
)


class Survivors(NamedTuple):
    """Pairs that pass the count and sketch bounds; and contents of their documents and of those
    that have mates: shingle count, whether the content is new, blob_id."""

    left: Ints
    right: Ints
    document: Ints
    size: Ints
    is_new: Ints
    blob: Ints


class Contents(NamedTuple):
    """Which content is needed where: a row for each block."""

    part: Ints
    document: Ints
    role: Ints
    blob: Ints  # int64[n, 4]


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


# --- sketches


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
        order = _owner_first(document, is_new, blob)
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


def rows_of(documents: Ints, order: Ints, wanted: Ints) -> Ints:
    """The first row of each wanted document; -1 where there is none. `order` sorts the documents."""
    ordered = documents[order]
    if len(ordered) == 0:
        return np.full(len(wanted), -1)
    places = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
    return np.where(ordered[places] == wanted, order[places], -1)


# --- contents


def content_rows(lake: Lake, wanted: Contents) -> DataFrame:
    """`PACKED`: the shingles of contents, read once; the large ones by themselves, as a batch of
    them has fewer rows."""
    order = in_order(wanted.blob)
    columns = [column[order] for column in (wanted.part, wanted.document, wanted.role)]
    blob = wanted.blob[order]
    is_first = np.ones(len(blob), np.bool_)
    is_first[1:] = (blob[1:] != blob[:-1]).any(axis=1)
    placed = lake.local_rows(
        [(data,) for data in chunks(*columns, is_first.astype(np.int64), blob)], "packed binary"
    ).mapInArrow(_unpack_places, "blob_id string, places binary")
    contents = (
        lake.read(BLOBS)
        .select("blob_id", "size_class", "content")
        .join(F.broadcast(placed), on="blob_id", how="inner")
    )
    ready = []
    is_large = F.col("size_class") > 0
    large = [
        row["size_class"]
        for row in lake.read(BLOBS).where(is_large).select("size_class").distinct().collect()
    ]
    for size_class in [*sorted(large, reverse=True), 0]:
        lake.batch_rows(CONTENT_ROWS[size_class])
        of_class = contents.where(F.col("size_class") == size_class).drop("size_class")
        rows = of_class.withColumn("blob_id", F.unhex("blob_id")).mapInArrow(_shingle, PACKED)
        ready.append(lake.staged("shingles", rows) if size_class else rows)
    return reduce(DataFrame.unionByName, ready)


def _unpack_places(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """A row a content: its places (part, document, role, whether the first) one after the other."""
    for batch in batches:
        for value in batch.column("packed"):
            columns = unpacked([value.as_buffer()], [1, 1, 1, 1, ID_WORDS])
            blob = columns[-1]
            starts = np.append(0, np.flatnonzero((blob[1:] != blob[:-1]).any(axis=1)) + 1)
            places = np.stack(columns[:-1], axis=1)
            ends = (32 * np.append(starts, len(blob))).astype(np.int32)
            buffers = [None, pa.py_buffer(ends), pa.py_buffer(places)]
            yield pa.RecordBatch.from_arrays(
                [
                    ids_of_words(blob[starts]),
                    pa.Array.from_buffers(pa.binary(), len(starts), buffers),
                ],
                names=["blob_id", "places"],
            )


def _shingle(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from etl.near_dedup.similarity import digests, shingle_sets, taken

    for batch in gathered(batches):
        content = batch.column("content")
        values, offsets = shingle_sets(content)
        ids = words_of_ids(batch.column("blob_id"))
        places = batch.column("places")
        of_row = np.array(pc.binary_length(places), np.int64) // 32
        (place,) = unpacked([value.as_buffer() for value in places], [4])
        part, document, role, is_first = np.ascontiguousarray(place.T)
        row = np.repeat(np.arange(len(places)), of_row)
        size = np.diff(offsets)[row]
        shipped = np.where(role == MATE, 0, size)
        num_bytes = np.array(pc.binary_length(content), np.int64)[row] * is_first
        digest = digests(values, offsets, row, role != OWNER)
        heads = (document, size, shipped, num_bytes, ids[row], digest)
        yield packed_batch(
            (
                number,
                CONTENTS,
                packed(
                    np.array([len(rows)]),
                    *(head[rows] for head in heads),
                    taken(values, offsets, row[rows[shipped[rows] > 0]]),
                ),
            )
            for number, of_part in by_part(part)
            for rows in _cut(of_part, shipped)
        )


def _cut(rows: Ints, shipped: Ints) -> list[Ints]:
    """Rows whose values fill a packed binary."""
    filled = np.cumsum(8 * shipped[rows]) // PACK_BYTES
    return np.split(rows, np.flatnonzero(np.diff(filled)) + 1)


class Sets(NamedTuple):
    """Shingle sets of a block's contents; those of mates are empty."""

    document: Ints
    size: Ints
    blob: Ints
    digest: Ints
    num_bytes: Ints
    values: Words
    offsets: Ints

    @property
    def is_owner(self) -> npt.NDArray[np.bool_]:
        return np.diff(self.offsets) > 0


def sets_of(rows: pa.Table) -> Sets:
    heads: list[tuple[Ints, ...]] = [unpacked([], HEAD_WIDTHS)]
    values = [np.empty(0, np.uint64)]
    for buffer in of_kind(rows, CONTENTS):
        words = np.frombuffer(buffer, np.int64)
        end = 1 + int(words[0]) * sum(HEAD_WIDTHS)
        heads.append(unpacked([words[1:end]], HEAD_WIDTHS))
        values.append(words[end:].view(np.uint64))
    document, size, shipped, num_bytes, blob, digest = (
        np.concatenate(columns) for columns in zip(*heads, strict=True)
    )
    offsets = np.append(0, np.cumsum(shipped))
    return Sets(document, size, blob, digest, num_bytes, np.concatenate(values), offsets)


def verify(lake: Lake, found: Survivors, config: NearDedupConfig) -> DataFrame:
    """`VERIFIED`, staged: pairs at or above the floor; contents that are new to a document with
    another (similarity 1; null: unlike it); and a row with the bytes of content read for each block.

    Cost: reads each content once; ships 8 bytes a shingle of each document, once a block.
    """
    held, is_owner = _owners(found)
    documents, sizes = held.document[is_owner], held.size[is_owner]
    mated = np.unique(held.document[~is_owner])
    made = blocks.blocks_of(
        np.concatenate((found.left, mated)),
        np.concatenate((found.right, mated)),
        (documents, 8 * sizes),
        config.block_bytes,
    )
    rows = content_rows(lake, _contents(made, held, is_owner))
    rows = rows.unionByName(pair_rows(lake, made))
    return lake.staged("verified", to_blocks(rows).mapInArrow(_Verify(config.floor), VERIFIED))


def _owners(found: Survivors) -> tuple[Survivors, npt.NDArray[np.bool_]]:
    """Contents sorted by document: the owner of each, then the new ones; and which are owners."""
    order = _owner_first(found.document, found.is_new, found.blob)
    document, is_new = found.document[order], found.is_new[order]
    is_owner = np.ones(len(order), np.bool_)
    is_owner[1:] = document[1:] != document[:-1]
    # A document that was shipped to two blocks of sketches comes from both
    blob = found.blob[order]
    again = np.zeros(len(order), np.bool_)
    again[1:] = ~is_owner[1:] & (blob[1:] == blob[:-1]).all(axis=1)
    keeps = (is_owner | (is_new == 1)) & ~again
    held = Survivors(
        found.left,
        found.right,
        document[keeps],
        found.size[order][keeps],
        is_new[keeps],
        blob[keeps],
    )
    return held, is_owner[keeps]


def _owner_first(document: Ints, is_new: Ints, blob: Ints) -> Ints:
    """The order by document; of its contents those that were there before come first, then by id."""
    rank = np.empty(len(blob), np.int64)
    rank[in_order(blob)] = np.arange(len(blob))
    order: Ints = np.lexsort((rank, is_new, document))
    return order


def _contents(made: blocks.Blocks, held: Survivors, is_owner: npt.NDArray[np.bool_]) -> Contents:
    """Owners in each of their document's blocks, mates in the first."""
    owners = np.flatnonzero(is_owner)
    of_place = owners[np.searchsorted(held.document[owners], made.document)]
    mates = np.flatnonzero(~is_owner)
    by_document = np.argsort(made.document, kind="stable")
    first = by_document[np.searchsorted(made.document[by_document], held.document[mates])]
    is_mated = np.isin(made.document, held.document[mates])
    return Contents(
        np.concatenate((made.block, made.block[first])),
        np.concatenate((made.document, held.document[mates])),
        np.concatenate((np.where(is_mated, MODEL, OWNER), np.full(len(mates), MATE))),
        np.concatenate((held.blob[of_place], held.blob[mates])),
    )


class _Verify:
    def __init__(self, floor: float) -> None:
        self.floor = floor

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in parts_of(batches):
            yield from self._of_part(rows)

    def _of_part(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        from etl.near_dedup import similarity

        sets = sets_of(rows)
        left, right = unpacked(of_kind(rows, PAIRS), PAIR_WIDTHS)
        owners = np.flatnonzero(sets.is_owner)
        order = owners[np.argsort(sets.document[owners], kind="stable")]
        is_pair = left != right
        one = rows_of(sets.document, order, left[is_pair])
        two = rows_of(sets.document, order, right[is_pair])
        found = similarity.similarities(sets.values, sets.offsets, one, two, self.floor)
        hits = np.flatnonzero(found >= self.floor)
        yield verified_batch(sets, one[hits], two[hits], found[hits])
        mates = np.flatnonzero(~sets.is_owner)
        own = rows_of(sets.document, order, sets.document[mates])
        is_same = (own >= 0) & (sets.digest[own] == sets.digest[mates]).all(axis=1)
        is_same &= sets.size[own] == sets.size[mates]
        yield verified_batch(sets, own, mates, np.where(is_same, 1.0, np.nan))
        yield bytes_batch(int(sets.num_bytes.sum()))


def verified_batch(
    sets: Sets, i: Ints, j: Ints, similarity: npt.NDArray[np.float64]
) -> pa.RecordBatch:
    """`VERIFIED`: the lesser blob_id first where both are alike, the document's own where not."""
    ids_a, ids_b = ids_of_words(sets.blob[i]), ids_of_words(sets.blob[j])
    unlike = np.isnan(similarity)
    is_ordered = np.array(pc.less(ids_a, ids_b), np.bool_) | unlike
    document_a, document_b = sets.document[i], sets.document[j]
    return verified_rows(
        pc.if_else(pa.array(is_ordered), ids_a, ids_b),
        pc.if_else(pa.array(is_ordered), ids_b, ids_a),
        pa.array(np.where(is_ordered, document_a, document_b)),
        pa.array(np.where(is_ordered, document_b, document_a)),
        pa.array(similarity, pa.float64(), mask=unlike),
        pa.nulls(len(i), pa.int64()),
    )


def bytes_batch(num_bytes: int) -> pa.RecordBatch:
    """`VERIFIED`: a row that says how much content was read."""
    return verified_rows(
        pa.nulls(1, pa.string()), pa.nulls(1, pa.string()), pa.nulls(1, pa.int64()),
        pa.nulls(1, pa.int64()), pa.nulls(1, pa.float64()), pa.array([num_bytes], pa.int64()),
    )  # fmt: skip


def verified_rows(*columns: pa.Array) -> pa.RecordBatch:
    names = [column.split()[0] for column in VERIFIED.split(", ")]
    return pa.RecordBatch.from_arrays(list(columns), names=names)
