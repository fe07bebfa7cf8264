"""Which contents are alike?    signatures, blobs -> documents, band_index, pairs, unverified

A document is a set of shingles: contents with equal sets are one document (their equality is
verified). Two documents are compared if they share a band, and a pair is what this finds: both
follow from the two texts alone, so neither the order of arrival nor other documents can change it.

What the election needs to know is which pairs there are between a kept document and others. Of a
complete document all pairs are verified here. Documents in overfull buckets (templates, a file in
100,000 versions) have too many: they are deferred to a block, listed in `unverified`, and their
pairs with each other are verified when the election keeps one of them (`etl.near_dedup.elect`).
What is verified stays: `pairs` knows no rank and no threshold but the floor of the bands.

Only new documents meet the index. A document that has lost a content is taken out and, if others
are left of it, comes in again. `documents` is written last: what is not in it is done again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.near_dedup import candidates
from etl.near_dedup.bands import Ints
from etl.near_dedup.blocks import components
from etl.near_dedup.candidates import Candidates, signatures_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.transfer import collect_columns, local_columns
from etl.near_dedup.verify import MATE, Survivors, prune, verify
from etl.stage import Counts, Lake, Stage
from etl.tables import BAND_INDEX, BLOBS, DOCUMENTS, PAIRS, SIGNATURES, UNVERIFIED

MATES_BLOCK = 256  # contents of one document that are compared with it in one block


def near_dedup(lake: Lake, config: NearDedupConfig) -> Counts:
    """Brings the four tables up to date.

    Cost of a new document: its sketch read once, its band rows (16 bytes a band) shuffled twice,
    the index read once for all. Of a document in a candidate pair: its sketch again; of one whose
    pair passes the bounds: its content, shipped as 8 bytes a shingle.
    """
    _start_over(lake, config)
    for similarity, probability in config.curve():
        lake.progress("near_dedup: similarity %.2f is compared in %.5f", similarity, probability)
    changed = lake.staged("changed", _changed(lake))
    sizes = {row["change"]: row["count"] for row in changed.groupBy("change").count().collect()}
    num_new = sizes.get("new", 0)
    new = changed.where("change = 'new'")
    if sizes.get("gone"):
        again = _take_out(lake, changed.where("change = 'gone'"))
        num_new += again.count()
        new = new.unionByName(again)
    counts = {"contents_new": sizes.get("new", 0), "contents_gone": sizes.get("gone", 0)}
    if num_new:
        counts.update(_add(lake, new.drop("change"), num_new, config))
    elif not lake.exists(DOCUMENTS):  # no text has a shingle: `decide` must see that this has run
        lake.overwrite(DOCUMENTS, lake.local_rows([], DOCUMENTS.schema))
    return counts


def _start_over(lake: Lake, config: NearDedupConfig) -> None:
    """Where the tables were built otherwise they are emptied: everything is new."""
    stored = lake.read(DOCUMENTS).select("scheme").distinct().limit(2).collect()
    if [row["scheme"] for row in stored] not in ([], [config.scheme]):
        lake.progress("near_dedup: %s: another configuration: starts over", config.scheme)
        for table in (DOCUMENTS, PAIRS, UNVERIFIED, BAND_INDEX):
            lake.overwrite(table, lake.local_rows([], table.schema))


def _changed(lake: Lake) -> DataFrame:
    """blob_id, document, is_split, change: new or gone. Cost: one shuffle of ids, about 80 bytes each."""
    held = lake.read(DOCUMENTS).select("blob_id", "document", "is_split")
    current = signatures_of(lake).select("blob_id", "set_hash")
    both = held.join(current, on="blob_id", how="full")
    is_new, is_gone = F.col("document").isNull(), F.col("set_hash").isNull()
    return (
        both.withColumn("change", F.when(is_new, "new").when(is_gone, "gone"))
        .where("change IS NOT NULL")
        .withColumn("document", F.coalesce("document", "set_hash"))
        .withColumn("is_split", F.coalesce("is_split", F.lit(False)))
        .select("blob_id", "document", "is_split", "change")
    )


def _take_out(lake: Lake, gone: DataFrame) -> DataFrame:
    """Deletes the documents that lost a content; what is left of them is to come in again."""
    lost = gone.select("document").distinct()
    held = lake.read(DOCUMENTS).select("blob_id", "document", "is_split")
    out = lake.staged("out", held.join(lost, on="document", how="left_semi"))
    again = out.join(gone.select("blob_id"), on="blob_id", how="left_anti")
    again = lake.staged("again", again.withColumn("change", F.lit("again")))
    pairs = lake.read(PAIRS).select("blob_a", "blob_b", "document_a", "document_b")
    ends = [
        pairs.join(lost.withColumnRenamed("document", end), on=end, how="left_semi")
        for end in ("document_a", "document_b")
    ]
    rows = ends[0].unionByName(ends[1]).select("blob_a", "blob_b").distinct()
    dead = lost.join(again.select("document"), on="document", how="left_anti")
    dead = dead.join(lake.read(UNVERIFIED), on="document", how="left_semi")
    lake.delete(PAIRS, lake.staged("pairs-out", rows))
    lake.delete(UNVERIFIED, lake.staged("unverified-out", dead))
    lake.delete(DOCUMENTS, out.select("blob_id"))
    return again


class _Blocked(NamedTuple):
    """Deferred documents with their block's label; empty and unchanged if nothing is deferred."""

    document: Ints
    block: Ints
    is_changed: bool


def _add(lake: Lake, new: DataFrame, num_new: int, config: NearDedupConfig) -> Counts:
    """`new`: blob_id, document, is_split, staged."""
    bits = candidates.part_bits(num_new, config)
    bands = candidates.band_rows(lake, new, bits, config)
    rows = bands
    if lake.exists(BAND_INDEX):
        lake.batch_rows(candidates.BAND_ROWS)
        rows = bands.unionByName(candidates.held_rows(lake, bands, bits))
    found = candidates.find_candidates(lake, rows, bits, config)
    members = new.select("blob_id", "document", F.lit(True).alias("is_new")).unionByName(
        lake.read(DOCUMENTS).select("blob_id", "document", F.lit(False).alias("is_new"))
    )
    mates = _mates(lake, new, members)
    counts = {"candidate_pairs": 0, "pairs_compared": 0, "pairs_verified": 0}
    split_ids: list[str] = []  # after a collision of 64 bits: none, or few
    deferred = _Blocked(*(np.empty(0, np.int64),) * 2, False)
    for number, some in enumerate(candidates.slices(found, config.driver_pairs)):
        if number == 0:
            deferred = _blocked(lake, some)
        left, right = _not_in_one_block(some, deferred)
        owners = _owners(lake, members, left, right)
        passed = _empty() if len(left) == 0 else prune(lake, left, right, owners, config)
        verified = verify(lake, passed, owners, mates if number == 0 else None, config)
        split = verified.where("similarity IS NULL").select("blob_b").collect()
        split_ids += [row["blob_b"] for row in split]
        counts["candidate_pairs"] += len(left)
        counts["pairs_compared"] += len(passed.left)
        counts["pairs_verified"] += store_pairs(lake, verified.where("similarity IS NOT NULL"))
    counts["documents_unverified"] = len(deferred.document)
    if deferred.is_changed:
        rows = local_columns(lake, "document long, block long", deferred.document, deferred.block)
        lake.overwrite(UNVERIFIED, rows)
    lake.batch_rows(candidates.SKETCH_ROWS)
    lake.append(BAND_INDEX, candidates.index_rows(bands))
    is_split = F.col("blob_id").isin(split_ids)
    done = new.where(~is_split) if split_ids else new
    lake.append(DOCUMENTS, done.withColumn("scheme", F.lit(config.scheme)))
    if split_ids:
        own = F.xxhash64("document", "blob_id")
        apart = new.where(is_split).select(
            "blob_id", own.alias("document"), F.lit(True).alias("is_split")
        )
        _add(lake, lake.staged("split", apart), len(split_ids), config)
    return counts


def _empty() -> Survivors:
    none = np.empty(0, np.int64)
    return Survivors(none, none, none, none)


def _blocked(lake: Lake, found: Candidates) -> _Blocked:
    """Blocks of deferred documents: those there were, joined by the buckets that overflow now."""
    held = lake.read(UNVERIFIED).select("document", "block")
    document, block = collect_columns(lake, held)
    if len(found.star) == 0 and len(found.deferred) == 0:
        return _Blocked(document, block, False)
    left = np.concatenate((found.star, document, found.deferred))
    right = np.concatenate((found.member, block, found.deferred))
    documents, labels = components(left, right)
    wanted = np.unique(np.concatenate((found.star, found.member, found.deferred, document)))
    return _Blocked(wanted, labels[np.searchsorted(documents, wanted)], True)


def _not_in_one_block(found: Candidates, deferred: _Blocked) -> tuple[Ints, Ints]:
    """Candidate pairs but for those of two deferred documents of one block."""
    if len(deferred.document) == 0:
        return found.left, found.right
    labels = []
    for documents in (found.left, found.right):
        places = np.searchsorted(deferred.document, documents).clip(max=len(deferred.document) - 1)
        is_deferred = deferred.document[places] == documents
        labels.append((is_deferred, deferred.block[places]))
    is_one = labels[0][0] & labels[1][0] & (labels[0][1] == labels[1][1])
    return found.left[~is_one], found.right[~is_one]


def _owners(lake: Lake, members: DataFrame, left: Ints, right: Ints) -> DataFrame:
    """document -> the blob that stands for it, one that was there before if there is one."""
    wanted = np.unique(np.concatenate((left, right)))
    documents = local_columns(lake, "document long", wanted)
    return lake.staged(
        "owners",
        members.join(documents, on="document", how="left_semi")
        .groupBy("document")
        .agg(F.min(F.struct("is_new", "blob_id"))["blob_id"].alias("blob_id")),
    )


def _mates(lake: Lake, new: DataFrame, members: DataFrame) -> DataFrame | None:
    """New contents that share their document with others, and the one each is compared with.

    blob_id, block, kind, document. Cost: reads the 8-byte keys of all contents; ships the new ones.
    """
    sizes = (
        members.join(new.select("document").distinct(), on="document", how="left_semi")
        .groupBy("document")
        .agg(
            F.min(F.struct("is_new", "blob_id"))["blob_id"].alias("owner"),
            F.count("*").alias("num_contents"),
        )
        .where("num_contents > 1")
    )
    sizes = lake.staged("mates", sizes)
    if sizes.isEmpty():
        return None
    num_blocks = F.ceil(F.col("num_contents") / MATES_BLOCK).cast("int")
    number = F.pmod(F.xxhash64("blob_id"), num_blocks)
    mates = (
        new.join(sizes, on="document", how="inner")
        .where("blob_id != owner")
        .select("blob_id", number.cast("int").alias("number"), "document", "owner")
    )
    block = F.xxhash64("document", "number")
    return mates.select(
        "blob_id", block.alias("block"), F.lit(MATE).alias("kind"), "document"
    ).unionByName(
        mates.select(
            F.col("owner").alias("blob_id"),
            block.alias("block"),
            F.lit(0).alias("kind"),
            "document",
        ).distinct()
    )


def store_pairs(lake: Lake, verified: DataFrame) -> int:
    """Appends the pairs that are not there yet; how many. Cost: one shuffle of 24 bytes a pair."""
    verified = verified.select(*PAIRS.columns)
    if lake.exists(PAIRS):
        held = _keyed(lake.read(PAIRS)).select("low", "high", "mate")
        fresh = _keyed(verified).join(held, on=["low", "high", "mate"], how="left_anti")
        verified = lake.staged("pairs", fresh.select(*PAIRS.columns))
    num_pairs = verified.count()
    if num_pairs:
        lake.append(PAIRS, verified.sort("document_a", "document_b"))
    return num_pairs


def _keyed(pairs: DataFrame) -> DataFrame:
    """A pair of documents is one pair whatever contents stand for them."""
    is_mate = F.col("document_a") == F.col("document_b")
    return (
        pairs.withColumn("low", F.least("document_a", "document_b"))
        .withColumn("high", F.greatest("document_a", "document_b"))
        .withColumn("mate", F.when(is_mate, F.concat("blob_a", "blob_b")).otherwise(""))
    )


STAGE = Stage(
    "near_dedup",
    "which contents are alike?",
    reads=(SIGNATURES, BLOBS),
    writes=(DOCUMENTS, BAND_INDEX, PAIRS, UNVERIFIED),
    config_type=NearDedupConfig,
    run=near_dedup,
)
