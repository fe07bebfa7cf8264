"""Are they?    pairs that pass the bounds, contents -> verified similarities, sets of deferred documents

The contents of documents whose pairs pass the bounds are read once and compared block by block, as
sets of shingles, exactly. Contents of one document must have its set. The same reading gives the
sets of documents that the election is to compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from etl.near_dedup import blocks, similarity
from etl.near_dedup.arrow import ids_of_words, of_kind, parts_of, unpacked
from etl.near_dedup.bands import Ints, rows_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.contents import (
    MATE,
    MODEL,
    OWNER,
    Contents,
    Sets,
    content_rows,
    cut,
    sets_of,
)
from etl.near_dedup.prune import (
    PAIR_WIDTHS,
    PAIRS,
    Survivors,
    owner_first,
    pair_rows,
    to_blocks,
)
from etl.stage import Lake

VERIFIED = (
    "blob_a string, blob_b string, document_a long, document_b long, similarity double, "
    "content_bytes long, shingles binary"
)
SETS_BYTES = 32 << 20  # of sets in a batch that leaves a task


class Deferred(NamedTuple):
    """Documents whose sets are to be kept: shingle count, and the content to take it from."""

    document: Ints
    size: Ints
    blob: Ints


def verify(lake: Lake, found: Survivors, deferred: Deferred, config: NearDedupConfig) -> DataFrame:
    """`VERIFIED`, staged: pairs at or above the floor; contents that are new to a document with
    another (similarity 1; null: unlike it); sets of the deferred documents (without blob_b); and a
    row with the bytes of content read for each block.

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
    num_blocks = int(made.block.max()) + 1 if len(made.block) else 0
    part = num_blocks + np.cumsum(8 * deferred.size) // config.block_bytes
    kept = Contents(part, deferred.document, np.full(len(part), OWNER), deferred.blob)
    wanted = (_contents(made, held, is_owner), kept)
    rows = content_rows(lake, Contents(*map(np.concatenate, zip(*wanted, strict=True))))
    rows = rows.unionByName(pair_rows(lake, made))
    compared = to_blocks(rows).mapInArrow(_Verify(config.floor, num_blocks), VERIFIED)
    return lake.staged("verified", compared)


def _owners(found: Survivors) -> tuple[Survivors, npt.NDArray[np.bool_]]:
    """Contents sorted by document: the owner of each, then the new ones; and which are owners."""
    order = owner_first(found.document, found.is_new, found.blob)
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
    def __init__(self, floor: float, num_blocks: int) -> None:
        self.floor, self.num_blocks = floor, num_blocks

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part, rows in parts_of(batches):
            yield from self._of_part(rows) if part < self.num_blocks else _sets(sets_of(rows))

    def _of_part(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        sets = sets_of(rows)
        left, right = unpacked(of_kind(rows, PAIRS), PAIR_WIDTHS)
        owners = np.flatnonzero(sets.is_owner)
        order = owners[np.argsort(sets.document[owners], kind="stable")]
        is_pair = left != right
        one = rows_of(sets.document, order, left[is_pair])
        two = rows_of(sets.document, order, right[is_pair])
        found = similarity.similarities(sets.values, sets.offsets, one, two, self.floor)
        hits = np.flatnonzero(found >= self.floor)
        yield verified_batch(sets.document, sets.blob, one[hits], two[hits], found[hits])
        mates = np.flatnonzero(~sets.is_owner)
        own = rows_of(sets.document, order, sets.document[mates])
        is_same = (own >= 0) & (sets.digest[own] == sets.digest[mates]).all(axis=1)
        is_same &= sets.size[own] == sets.size[mates]
        similarity_of_mates = np.where(is_same, 1.0, np.nan)
        yield verified_batch(sets.document, sets.blob, own, mates, similarity_of_mates)
        yield bytes_batch(int(sets.num_bytes.sum()))


def _sets(sets: Sets) -> Iterator[pa.RecordBatch]:
    """`VERIFIED`: a row a document, with its set."""
    for rows in cut(np.arange(len(sets.document)), np.diff(sets.offsets), SETS_BYTES):
        ends = np.append(0, np.cumsum(8 * np.diff(sets.offsets)[rows])).astype(np.int32)
        values = pa.py_buffer(similarity.taken(sets.values, sets.offsets, rows))
        document, none = pa.array(sets.document[rows]), pa.nulls(len(rows), pa.string())
        yield verified_rows(
            ids_of_words(sets.blob[rows]), none, document, document,
            pa.nulls(len(rows), pa.float64()), pa.nulls(len(rows), pa.int64()),
            pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(ends), values]),
        )  # fmt: skip
    yield bytes_batch(int(sets.num_bytes.sum()))


def verified_batch(
    document: Ints, blob: Ints, i: Ints, j: Ints, found: npt.NDArray[np.float64]
) -> pa.RecordBatch:
    """`VERIFIED`: the lesser blob_id first where both are alike, the document's own where not."""
    ids_a, ids_b = ids_of_words(blob[i]), ids_of_words(blob[j])
    unlike = np.isnan(found)
    is_ordered = np.array(pc.less(ids_a, ids_b), np.bool_) | unlike
    document_a, document_b = document[i], document[j]
    return verified_rows(
        pc.if_else(pa.array(is_ordered), ids_a, ids_b),
        pc.if_else(pa.array(is_ordered), ids_b, ids_a),
        pa.array(np.where(is_ordered, document_a, document_b)),
        pa.array(np.where(is_ordered, document_b, document_a)),
        pa.array(found, pa.float64(), mask=unlike),
        pa.nulls(len(i), pa.int64()),
    )


def bytes_batch(num_bytes: int) -> pa.RecordBatch:
    """`VERIFIED`: a row that says how much content was read."""
    return verified_rows(
        pa.nulls(1, pa.string()), pa.nulls(1, pa.string()), pa.nulls(1, pa.int64()),
        pa.nulls(1, pa.int64()), pa.nulls(1, pa.float64()), pa.array([num_bytes], pa.int64()),
    )  # fmt: skip


def verified_rows(*columns: pa.Array) -> pa.RecordBatch:
    """`VERIFIED`; without its last column, no sets."""
    names = [column.split()[0] for column in VERIFIED.split(", ")]
    rest = [pa.nulls(len(columns[0]), pa.binary())] * (len(names) - len(columns))
    return pa.RecordBatch.from_arrays([*columns, *rest], names=names)
