"""Which shingles has a content?    contents -> packed shingle sets, at the blocks that compare them

Content is read by a join of ids that are broadcast to it (a few are looked up, page by page) and
leaves its task as shingle hashes, 8 bytes each. Of a content that is only to be like its document's,
128 bits of hash of the set leave it.
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
from etl.near_dedup.arrow import (
    ID_WORDS,
    PACK_BYTES,
    PACKED,
    by_part,
    chunks,
    ids_of_words,
    in_order,
    of_kind,
    packed_batch,
    packed_sets,
    unpacked,
    unpacked_sets,
    words_of_ids,
)
from etl.near_dedup.bands import Ints, Words
from etl.near_dedup.prune import CONTENTS
from etl.stage import Lake
from etl.tables import BLOBS

LOOK_UP_IDS, LOOK_UPS = 1024, 4  # ids that one scan looks up; scans that a look-up may take
LOOK_UP_SHARE = 64  # contents for each id that is looked up: of fewer the pages are most of `blobs`
LIST_IDS = 32  # in a list of SQL

# Roles of a content: its set is the document's; it must be like that set; the one it must be like
OWNER, MATE, MODEL = 0, 1, 2

HEAD_WIDTHS = [
    1,
    1,
    1,
    1,
    ID_WORDS,
    2,
]  # document, shingles, values shipped, bytes, blob_id, digest


class Contents(NamedTuple):
    """Which content is needed where: a row for each block."""

    part: Ints
    document: Ints
    role: Ints
    blob: Ints  # int64[n, 4]


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
    contents = _looked_up(lake, blob[is_first]).join(F.broadcast(placed), on="blob_id", how="inner")
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


def _looked_up(lake: Lake, blob: Ints) -> DataFrame:
    """Contents, these among them; ids ascend. Cost: of a few the pages they lie in, else all of `blobs`."""
    contents = lake.read(BLOBS).select("blob_id", "size_class", "content")
    is_many = len(blob) > LOOK_UPS * LOOK_UP_IDS
    if is_many or LOOK_UP_SHARE * len(blob) > contents.count():
        return contents
    ids = ids_of_words(blob).to_pylist()
    scans = [
        contents.where(is_one_of(ids[start : start + LOOK_UP_IDS]))
        for start in range(0, len(ids), LOOK_UP_IDS)
    ]
    return reduce(DataFrame.unionByName, scans, contents.where(F.lit(False)))


def is_one_of(ids: list[str]) -> str:
    """Whether blob_id is, as a tree of short lists. Parquet's reader serialises a list as a chain, some
    levels of the stack for each of its values: a thousand overflow it while the JVM is cold, and Spark
    then waits for ever."""
    lists = [ids[start : start + LIST_IDS] for start in range(0, len(ids), LIST_IDS)]
    terms = [f"blob_id IN ({', '.join(map(repr, some))})" for some in lists]
    while len(terms) > 1:
        pairs = [terms[start : start + 2] for start in range(0, len(terms), 2)]
        terms = [f"({' OR '.join(pair)})" for pair in pairs]
    return terms[0]


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
                packed_sets(
                    taken(values, offsets, row[rows[shipped[rows] > 0]]),
                    *(head[rows] for head in heads),
                ),
            )
            for number, of_part in by_part(part)
            for rows in cut(of_part, shipped)
        )


def cut(rows: Ints, shipped: Ints, num_bytes: int = PACK_BYTES) -> list[Ints]:
    """Rows whose values fill a packed binary."""
    filled = np.cumsum(8 * shipped[rows]) // num_bytes
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
    heads, values = unpacked_sets(of_kind(rows, CONTENTS), HEAD_WIDTHS)
    document, size, shipped, num_bytes, blob, digest = heads
    offsets = np.append(0, np.cumsum(shipped))
    return Sets(document, size, blob, digest, num_bytes, values, offsets)
