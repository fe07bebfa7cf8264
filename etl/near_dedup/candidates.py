"""Which pairs may be alike?    new documents, signatures, band_index -> candidate pairs, blocks to defer

Spark moves band rows packed (see `etl.near_dedup.arrow`), as some thousand binaries: 16 bytes a band of a
new document in one shuffle, and as much of each row of the index that one of them meets; kernels sort
and join them. What a part finds, and its rows for the index, are staged together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.contents import of_appends
from etl.facts import annotators, minhash
from etl.near_dedup import bands
from etl.near_dedup.arrow import (
    buffers_of,
    by_part,
    chunks,
    of_kind,
    packed_batch,
    parts_of,
    unpacked,
)
from etl.near_dedup.bands import Ints
from etl.near_dedup.blocks import mixed
from etl.near_dedup.config import NearDedupConfig
from etl.stage import Lake
from etl.tables import BAND_INDEX, SIGNATURES

SKETCH_ROWS = 1024  # sketches, or rows of the index, in an Arrow batch: 64 MB at most
PART_BYTES = 16 << 20
INDEX_ROWS = 1 << 12  # band rows in a row of the index: 64 KB
MET_BANDS = 1 << 23  # hashes that are sent to every task which reads the index: 64 MB

Appends = list[int | None]  # values of `added`

PAIRS_KIND, STARS_KIND, DEFERRED_KIND, MATES_KIND = 0, 1, 2, 3

BANDS = "part int, role int, band_hash binary, document binary"
FOUND = "part int, kind int, packed binary, first_hash long, band_hash binary, document binary"


class Candidates(NamedTuple):
    """Candidate pairs; star edges of deferred documents; held documents that become deferred;
    documents of several contents."""

    left: Ints
    right: Ints
    star: Ints
    member: Ints
    deferred: Ints
    mates: Ints


def part_bits(num_documents: int, config: NearDedupConfig) -> int:
    """2^bits parts of about PART_BYTES."""
    num_bytes = 16 * config.bands * num_documents
    return max(2, (num_bytes // PART_BYTES).bit_length())


def signatures_of(
    lake: Lake, splits: dict[str, int] | None = None, appends: Appends | None = None
) -> DataFrame:
    """Contents that have shingles, by the current version's signatures, with their `document`.

    `splits`: documents of contents whose set hash belongs to another set. `appends`: those alone.
    """
    rows = lake.read(SIGNATURES)
    if appends is not None:
        rows = of_appends(rows, appends)
    is_current = F.col("version") == annotators.SIGNATURES_VERSION
    rows = rows.where(is_current & (F.col("num_shingles") > 0))
    return rows.withColumn("document", _document(splits or {}))


def _document(splits: dict[str, int]) -> Column:
    document = F.col("set_hash")
    for blob_id, own in splits.items():
        document = F.when(F.col("blob_id") == blob_id, F.lit(own).cast("long")).otherwise(document)
    return document


def find_buckets(
    lake: Lake,
    sketches: DataFrame,
    num_new: int,
    deferred: Ints,
    bits: int,
    config: NearDedupConfig,
) -> DataFrame:
    """document, sketch of what is new -> `FOUND`, staged: what the buckets hold, and index rows.

    `deferred`: documents of the index that are. Cost: one read of the new sketches and of the
    index; one shuffle of 16 bytes a band of the new documents, and of the held ones that share it. Of
    more than MET_BANDS new bands all of the index is shuffled.
    """
    lake.batch_rows(SKETCH_ROWS)
    rows = sketches.select("document", "sketch").mapInArrow(_Bands(config, bits), BANDS)
    if lake.exists(BAND_INDEX):
        met: bands.Words | None = None
        if num_new * (config.bands + 1) <= MET_BANDS:
            rows = lake.staged("bands", rows)
            new = [row["band_hash"] for row in rows.select("band_hash").collect()]
            met = np.unique(unpacked(new, [1])[0].view(np.uint64))
        held = lake.read(BAND_INDEX).select("band_hash", "document")
        rows = rows.unionByName(held.mapInArrow(_Held(bits, met), BANDS))
    buckets = rows.repartition("part").sortWithinPartitions("part")
    return lake.staged("buckets", buckets.mapInArrow(_Buckets(config, deferred, bits), FOUND))


class _Bands:
    def __init__(self, config: NearDedupConfig, bits: int) -> None:
        self.bands, self.rows, self.bits = config.bands, config.rows, bits

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            documents = np.array(batch.column("document"), np.int64)
            hashes = bands.band_hashes(sketches_of(batch.column("sketch")), self.bands, self.rows)
            # And a bucket of its own for each document, where its contents meet, like or unlike
            hashes = np.column_stack((hashes, mixed(documents.view(np.uint64))))
            yield _bands_batch(*bands.split_bands(hashes, documents, self.bits), bands.NEW)


class _Held:
    """`met`: the hashes of new documents, ascending; None: all of the index is taken."""

    def __init__(self, bits: int, met: bands.Words | None) -> None:
        self.bits, self.met = bits, met

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            hashes = unpacked(buffers_of(batch.column("band_hash")), [1])[0].view(np.uint64)
            documents = unpacked(buffers_of(batch.column("document")), [1])[0]
            if self.met is not None:
                lengths = np.array(pc.binary_length(batch.column("band_hash")), np.int64) // 8
                is_met = bands.are_met(hashes, np.append(0, np.cumsum(lengths)), self.met)
                hashes, documents = hashes[is_met], documents[is_met]
            found = bands.split_bands(hashes.reshape(-1, 1), documents, self.bits)
            yield _bands_batch(*found, bands.COMPLETE)


def _bands_batch(hashes: bands.Words, documents: Ints, bounds: Ints, role: int) -> pa.RecordBatch:
    """`BANDS`: a row a part."""
    ends = (8 * bounds).astype(np.int32)
    offsets, count = pa.py_buffer(ends), len(bounds) - 1
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.arange(count, dtype=np.int32)),
            pa.array(np.full(count, role, np.int32)),
            pa.Array.from_buffers(pa.binary(), count, [None, offsets, pa.py_buffer(hashes)]),
            pa.Array.from_buffers(pa.binary(), count, [None, offsets, pa.py_buffer(documents)]),
        ],
        names=["part", "role", "band_hash", "document"],
    )


def sketches_of(column: pa.Array) -> bands.Sketches:
    """uint32[n, 256] of a binary array without nulls or empty values."""
    if len(column) == 0:
        return np.empty((0, minhash.POSITIONS), np.uint32)
    _, offsets, data = column.buffers()
    start = np.frombuffer(offsets, np.int32)[column.offset]
    size = len(column) * minhash.POSITIONS
    values = np.frombuffer(data, "<u4", count=size, offset=int(start))
    return values.reshape(len(column), minhash.POSITIONS)


class _Buckets:
    def __init__(self, config: NearDedupConfig, deferred: Ints, bits: int) -> None:
        self.limits = (config.bucket_documents, config.bucket_pairs)
        self.deferred, self.bits = np.sort(deferred), bits

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in parts_of(batches):
            yield from self._of_part(rows)

    def _of_part(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        new = rows.filter(pa.array(np.asarray(rows.column("role")) == bands.NEW))
        held = rows.filter(pa.array(np.asarray(rows.column("role")) != bands.NEW))
        hashes, documents = _sorted(new)
        yield _index_batch(hashes, documents)
        kinds = np.full(len(hashes), bands.NEW, np.uint8)
        if len(held):
            held_hashes, held_documents = _sorted(held)
            is_met = bands.places_in(hashes, held_hashes) >= 0
            held_hashes, held_documents = held_hashes[is_met], held_documents[is_met]
            is_deferred = np.isin(held_documents, self.deferred)
            roles = np.where(is_deferred, bands.DEFERRED, bands.COMPLETE).astype(np.uint8)
            hashes = np.concatenate((hashes, held_hashes))
            order = np.argsort(hashes, kind="stable")  # two runs: a merge
            hashes = hashes[order]
            documents = np.concatenate((documents, held_documents))[order]
            kinds = np.concatenate((kinds, roles))[order]
        yield _found_batch(bands.find_sorted(hashes, documents, kinds, self.limits), self.bits)


def _sorted(rows: pa.Table) -> tuple[bands.Words, Ints]:
    hashes = unpacked(buffers_of(rows.column("band_hash")), [1])[0].view(np.uint64)
    documents = unpacked(buffers_of(rows.column("document")), [1])[0]
    order = bands.in_order(hashes)
    return hashes[order], documents[order]


def _index_batch(hashes: bands.Words, documents: Ints) -> pa.RecordBatch:
    """`FOUND`: the rows of the index."""
    starts = range(0, len(hashes), INDEX_ROWS)
    cuts = [slice(start, start + INDEX_ROWS) for start in starts]
    count = len(cuts)
    return pa.RecordBatch.from_arrays(
        [
            pa.nulls(count, pa.int32()),
            pa.nulls(count, pa.int32()),
            pa.nulls(count, pa.binary()),
            pa.array([int(hashes[cut.start].view(np.int64)) for cut in cuts], pa.int64()),
            pa.array([hashes[cut].tobytes() for cut in cuts], pa.binary()),
            pa.array([documents[cut].tobytes() for cut in cuts], pa.binary()),
        ],
        names=["part", "kind", "packed", "first_hash", "band_hash", "document"],
    )


def _found_batch(found: bands.Found, bits: int) -> pa.RecordBatch:
    """`FOUND`: pairs, stars, deferrals and mates, in parts by their own hashes."""
    rows: list[tuple[int, int, bytes]] = []
    shift = np.uint64(64 - bits)
    for kind, columns, keys in (
        (PAIRS_KIND, (found.left, found.right), bands.pair_hashes(found.left, found.right)),
        (STARS_KIND, (found.star, found.member), bands.pair_hashes(found.star, found.member)),
        (DEFERRED_KIND, (found.deferred,), mixed(found.deferred.view(np.uint64))),
        (MATES_KIND, (found.mates,), mixed(found.mates.view(np.uint64))),
    ):
        for part, places in by_part((keys >> shift).astype(np.int64)):
            rows += [(part, kind, data) for data in chunks(*(column[places] for column in columns))]
    batch = packed_batch(rows)
    return pa.RecordBatch.from_arrays(
        [
            *batch.columns,
            pa.nulls(len(rows), pa.int64()),
            pa.nulls(len(rows), pa.binary()),
            pa.nulls(len(rows), pa.binary()),
        ],
        names=["part", "kind", "packed", "first_hash", "band_hash", "document"],
    )


def index_rows(found: DataFrame) -> DataFrame:
    """BAND_INDEX rows of what is new, sorted by hash in each."""
    return found.where("band_hash IS NOT NULL").select("first_hash", "band_hash", "document")


def slices(lake: Lake, found: DataFrame, max_pairs: int) -> Iterator[Candidates]:
    """To the driver, at most about `max_pairs` pairs at a time, 16 bytes each.

    The first slice holds all that is no pair too. Nothing depends on how pairs are cut. Cost: one
    shuffle of 16 bytes for each pair of a bucket.
    """
    found = found.where("kind IS NOT NULL").select("part", "kind", "packed")
    is_pair = F.col("kind") == PAIRS_KIND
    sizes = found.where(is_pair).groupBy("part").agg(F.sum(F.octet_length("packed")).alias("bytes"))
    groups: list[list[int]] = [[]]
    held = 0
    for row in sorted(sizes.collect()):
        if groups[-1] and held + row["bytes"] > 16 * max_pairs:
            groups.append([])
            held = 0
        groups[-1].append(row["part"])
        held += row["bytes"]
    for number, group in enumerate(groups):
        wanted = found
        if len(groups) > 1:
            in_group = is_pair & F.col("part").isin(group)
            wanted = found.where(in_group | ~is_pair if number == 0 else in_group)
        yield _collected(lake, wanted)


def _collected(lake: Lake, found: DataFrame) -> Candidates:
    by_hash = found.repartition("part").sortWithinPartitions("part")
    rows = by_hash.mapInArrow(_unique, "kind int, packed binary").collect()
    columns: list[Ints] = []
    for kind, widths in (
        (PAIRS_KIND, [1, 1]),
        (STARS_KIND, [1, 1]),
        (DEFERRED_KIND, [1]),
        (MATES_KIND, [1]),
    ):
        columns += unpacked([row["packed"] for row in rows if row["kind"] == kind], widths)
    return Candidates(*columns)


def _unique(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _, rows in parts_of(batches):
        found: list[tuple[int, bytes]] = []
        for kind in (PAIRS_KIND, STARS_KIND):
            pairs = bands.unique_pairs(*unpacked(of_kind(rows, kind), [1, 1]))
            found += [(kind, data) for data in chunks(*pairs)]
        for kind in (DEFERRED_KIND, MATES_KIND):
            documents = np.unique(unpacked(of_kind(rows, kind), [1])[0])
            found += [(kind, data) for data in chunks(documents)]
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([kind for kind, _ in found], pa.int32()),
                pa.array([data for _, data in found], pa.binary()),
            ],
            names=["kind", "packed"],
        )
