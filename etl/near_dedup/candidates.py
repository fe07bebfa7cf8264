"""Which pairs may be alike?    new documents, signatures, band_index -> candidate pairs, blocks to defer

Spark moves band rows packed (see `etl.near_dedup.bands`): 16 bytes a band of a new document in one
shuffle, as some thousand binaries; kernels sort and join them. The index is read once, by a join
with the new hashes (broadcast where they are few); of it only the buckets that are met are moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.facts import annotators, minhash
from etl.near_dedup import bands
from etl.near_dedup.arrow import chunks, joined, joined_bytes, parts_of
from etl.near_dedup.bands import Ints
from etl.near_dedup.config import NearDedupConfig
from etl.stage import Lake
from etl.tables import BAND_INDEX, SIGNATURES, UNVERIFIED

SKETCH_ROWS = 8192  # sketches in an Arrow batch: 8 MB
BAND_ROWS = 1 << 17  # of the index in an Arrow batch: 2 MB
PART_BYTES = 32 << 20

PACKED = "part int, kind int, packed binary"
PAIRS_KIND, STARS_KIND, DEFERRED_KIND = 0, 1, 2


class Candidates(NamedTuple):
    """Candidate pairs; star edges of deferred documents; held documents that become deferred."""

    left: Ints
    right: Ints
    star: Ints
    member: Ints
    deferred: Ints


def part_bits(num_documents: int, config: NearDedupConfig) -> int:
    """2^bits parts of about PART_BYTES."""
    num_bytes = 16 * config.bands * num_documents
    return max(2, (num_bytes // PART_BYTES).bit_length())


def signatures_of(lake: Lake) -> DataFrame:
    """Documents that have shingles: the current version's signatures."""
    is_current = F.col("version") == annotators.SIGNATURES_VERSION
    return lake.read(SIGNATURES).where(is_current & (F.col("num_shingles") > 0))


def band_rows(lake: Lake, new: DataFrame, bits: int, config: NearDedupConfig) -> DataFrame:
    """blob_id, document of what is new -> packed band rows. Cost: one read of the new sketches."""
    lake.batch_rows(SKETCH_ROWS)
    sketches = (
        signatures_of(lake)
        .select("blob_id", "sketch")
        .join(new.select("blob_id", "document"), on="blob_id", how="inner")
    )
    rows = sketches.select("document", "sketch").mapInArrow(_Bands(config, bits), PACKED)
    return lake.staged("bands", rows)


class _Bands:
    def __init__(self, config: NearDedupConfig, bits: int) -> None:
        self.bands, self.rows, self.bits = config.bands, config.rows, bits

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sketches = sketches_of(batch.column("sketch"))
            documents = np.array(batch.column("document"), np.int64)
            hashes = bands.band_hashes(sketches, self.bands, self.rows)
            yield _packed_batch(
                (part, bands.NEW, data)
                for part, data in bands.pack_bands(hashes, documents, self.bits)
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


def _packed_batch(rows: Iterable[tuple[int, int, bytes]]) -> pa.RecordBatch:
    parts, kinds, data = [], [], []
    for part, kind, value in rows:
        parts.append(part)
        kinds.append(kind)
        data.append(value)
    return pa.RecordBatch.from_arrays(
        [pa.array(parts, pa.int32()), pa.array(kinds, pa.int32()), pa.array(data, pa.binary())],
        names=["part", "kind", "packed"],
    )


def held_rows(lake: Lake, new_bands: DataFrame, bits: int) -> DataFrame:
    """Packed rows of the index that share a hash with a new document.

    Cost: reads the index, 16 bytes a row; shuffles what is met (and all of it only where the new
    hashes are too many to be broadcast).
    """
    hashes = new_bands.mapInArrow(_hashes, "band_hash long").distinct()
    met = lake.read(BAND_INDEX).join(hashes, on="band_hash", how="left_semi")
    deferred = lake.read(UNVERIFIED).select("document", F.lit(True).alias("is_deferred"))
    rows = met.join(deferred, on="document", how="left")
    kind = F.when(F.col("is_deferred"), bands.DEFERRED).otherwise(bands.COMPLETE)
    return rows.select("band_hash", "document", kind.alias("kind")).mapInArrow(_Pack(bits), PACKED)


def _hashes(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        hashes, _ = joined(batch.column("packed"))
        yield pa.RecordBatch.from_arrays([pa.array(np.unique(hashes))], names=["band_hash"])


class _Pack:
    def __init__(self, bits: int) -> None:
        self.bits = bits

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            hashes = np.array(batch.column("band_hash"), np.int64).view(np.uint64)
            documents = np.array(batch.column("document"), np.int64)
            kinds = np.array(batch.column("kind"), np.int64)
            yield _packed_batch(
                (part, kind, data)
                for kind in (bands.COMPLETE, bands.DEFERRED)
                for part, data in bands.split_by_part(
                    hashes[kinds == kind],
                    self.bits,
                    hashes[kinds == kind],
                    documents[kinds == kind],
                )
            )


def index_rows(new_bands: DataFrame) -> DataFrame:
    """BAND_INDEX rows of what is new, sorted by hash. Cost: one shuffle of packed rows."""
    sorted_parts = new_bands.repartition("part").sortWithinPartitions("part")
    return sorted_parts.mapInArrow(_index_rows, "band_hash long, document long")


def _index_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _, rows in parts_of(batches, "part"):
        hashes, documents = joined(rows.column("packed"))
        order = np.lexsort((documents, hashes))
        hashes, documents = hashes[order], documents[order]
        fresh = np.ones(len(hashes), np.bool_)
        fresh[1:] = (hashes[1:] != hashes[:-1]) | (documents[1:] != documents[:-1])
        hashes, documents = hashes[fresh], documents[fresh]
        for start in range(0, len(hashes), BAND_ROWS):
            stop = start + BAND_ROWS
            yield pa.RecordBatch.from_arrays(
                [pa.array(hashes[start:stop]), pa.array(documents[start:stop])],
                names=["band_hash", "document"],
            )


def find_candidates(lake: Lake, rows: DataFrame, bits: int, config: NearDedupConfig) -> DataFrame:
    """Packed band rows -> packed candidate pairs (each once), star edges and deferrals, staged.

    Cost: two shuffles of packed rows: the bands, and 16 bytes for each pair of a bucket.
    """
    buckets = rows.repartition("part").sortWithinPartitions("part")
    found = buckets.mapInArrow(_Buckets(config, bits), PACKED)
    unique = found.repartition("part").sortWithinPartitions("part", "kind")
    return lake.staged("candidates", unique.mapInArrow(_unique, PACKED))


class _Buckets:
    def __init__(self, config: NearDedupConfig, bits: int) -> None:
        self.limits = (config.bucket_documents, config.bucket_pairs)
        self.bits = bits

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _, rows in parts_of(batches, "part"):
            yield _packed_batch(self._of_part(rows))

    def _of_part(self, rows: pa.Table) -> Iterator[tuple[int, int, bytes]]:
        kinds = np.asarray(rows.column("kind"))
        hashes, documents, roles = [], [], []
        for kind in (bands.NEW, bands.COMPLETE, bands.DEFERRED):
            of_kind = joined(rows.filter(pa.array(kinds == kind)).column("packed"))
            hashes.append(of_kind[0].view(np.uint64))
            documents.append(of_kind[1])
            roles.append(np.full(len(of_kind[0]), kind, np.uint8))
        found = bands.find(
            np.concatenate(hashes), np.concatenate(documents), np.concatenate(roles), self.limits
        )
        keys = bands.pair_hashes(found.left, found.right)
        for part, data in bands.split_by_part(keys, self.bits, found.left, found.right):
            yield part, PAIRS_KIND, data
        for kind, columns in (
            (STARS_KIND, (found.star, found.member)),
            (DEFERRED_KIND, (found.deferred,)),
        ):
            for data in chunks(*columns):
                yield 0, kind, data


def _unique(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for part, rows in parts_of(batches, "part"):
        kinds = np.asarray(rows.column("kind"))
        pairs, stars, deferred = (
            rows.filter(pa.array(kinds == kind)).column("packed")
            for kind in (PAIRS_KIND, STARS_KIND, DEFERRED_KIND)
        )
        found = [
            (part, kind, data)
            for kind, column in ((PAIRS_KIND, pairs), (STARS_KIND, stars))
            for data in chunks(*bands.unique_pairs(*joined(column)))
        ]
        found += [(part, DEFERRED_KIND, data) for data in chunks(np.unique(joined(deferred, 1)[0]))]
        yield _packed_batch(found)


def slices(found: DataFrame, max_pairs: int) -> Iterator[Candidates]:
    """To the driver, at most about `max_pairs` pairs at a time, 16 bytes each.

    The first slice holds all star edges and deferrals too. Nothing depends on how pairs are cut.
    """
    sizes = found.where(F.col("kind") == PAIRS_KIND).groupBy("part")
    parts = sizes.agg(F.sum(F.octet_length("packed")).alias("bytes")).orderBy("part").collect()
    groups: list[list[int]] = [[]]
    held = 0
    for row in parts:
        if groups[-1] and held + row["bytes"] > 16 * max_pairs:
            groups.append([])
            held = 0
        groups[-1].append(row["part"])
        held += row["bytes"]
    for number, group in enumerate(groups):
        is_pair = F.col("kind") == PAIRS_KIND
        wanted = is_pair & F.col("part").isin(group)
        yield _collected(found.where(wanted | ~is_pair if number == 0 else wanted))


def _collected(found: DataFrame) -> Candidates:
    rows = found.select("kind", "packed").collect()
    of = {
        kind: [row["packed"] for row in rows if row["kind"] == kind]
        for kind in (PAIRS_KIND, STARS_KIND, DEFERRED_KIND)
    }
    return Candidates(
        *joined_bytes(of[PAIRS_KIND]),
        *joined_bytes(of[STARS_KIND]),
        *(np.unique(column) for column in joined_bytes(of[DEFERRED_KIND], 1)),
    )
