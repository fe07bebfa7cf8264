"""Which contents are alike?    signatures, blobs -> documents, band_index, pairs, unverified,
deferred_sets

A document is a set of shingles: contents with equal sets are one document (their equality is
verified). Two documents are compared if they share a band, and a pair is what this finds: both
follow from the two texts alone, so neither the order of arrival nor other documents can change it.

What the election needs to know is which pairs there are between a kept document and others. Of a
complete document all pairs are verified here. Documents in overfull buckets (templates, a file in
100,000 versions) have too many: they are deferred to a block, listed in `unverified` with their sets
in `deferred_sets`, and their pairs with each other are verified when the election keeps one of them
(`etl.near_dedup.elect`).
What is verified stays: `pairs` knows no rank and no threshold but the floor of the bands.

Only new documents meet the index. A document that has lost a content is taken out and, if others
are left of it, comes in again. `documents` is written last: what is not in it is done again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.contents import appends_of
from etl.near_dedup import candidates
from etl.near_dedup.arrow import ID_WORDS
from etl.near_dedup.bands import Ints, rows_of
from etl.near_dedup.blocks import components
from etl.near_dedup.candidates import Appends, Candidates, signatures_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.prune import owner_first, prune
from etl.near_dedup.transfer import collect_columns, local_columns
from etl.near_dedup.verify import Deferred, verify
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    BAND_INDEX,
    BLOBS,
    DEFERRED_SETS,
    DOCUMENTS,
    PAIRS,
    SIGNATURES,
    UNVERIFIED,
)


def near_dedup(lake: Lake, config: NearDedupConfig) -> Counts:
    """Brings the five tables up to date.

    Cost of a new document: its sketch read once, its band rows (16 bytes a band) shuffled once with
    what they meet in the index, all of which is read. Of a document in a candidate pair: its sketch
    again; of one whose pair passes the bounds, or that is deferred: its content, shipped as 8 bytes
    a shingle.
    """
    for similarity, probability in config.curve():
        lake.progress("near_dedup: similarity %.2f is compared in %.5f", similarity, probability)
    is_fresh = _starts_over(lake, config)
    splits = {} if is_fresh else splits_of(lake)
    counts = {"contents_new": 0, "contents_gone": 0}
    new: DataFrame | None = None  # blob_id and append of what comes in; None: all
    if is_fresh:
        num_new = counts["contents_new"] = signatures_of(lake).count()
    else:
        changed = lake.staged("changed", _changed(lake))
        sizes = {row["change"]: row["count"] for row in changed.groupBy("change").count().collect()}
        counts = {f"contents_{change}": sizes.get(change, 0) for change in ("new", "gone")}
        num_new = counts["contents_new"]
        new = changed.where("change = 'new'").select("blob_id", "added")
        if sizes.get("gone"):
            again = _take_out(lake, changed.where("change = 'gone'").select("blob_id", "document"))
            num_new += again.count()
            new = new.unionByName(again.select("blob_id", "added"))
    if num_new:
        counts |= _add(lake, new, num_new, splits, config)
    elif not lake.exists(DOCUMENTS):  # no text has a shingle: `decide` must see that this has run
        lake.overwrite(DOCUMENTS, lake.local_rows([], DOCUMENTS.schema))
    return counts


def _starts_over(lake: Lake, config: NearDedupConfig) -> bool:
    """Whether nothing is held. Where the tables were built otherwise they are emptied."""
    if not lake.exists(DOCUMENTS):
        return True
    stored = lake.read(DOCUMENTS).select("scheme").distinct().limit(2).collect()
    schemes = [row["scheme"] for row in stored]
    if schemes in ([], [config.scheme]):
        return not schemes
    lake.progress("near_dedup: %s: another configuration: starts over", config.scheme)
    for table in (DOCUMENTS, PAIRS, UNVERIFIED, DEFERRED_SETS, BAND_INDEX):
        lake.overwrite(table, lake.local_rows([], table.schema))
    return True


def splits_of(lake: Lake) -> dict[str, int]:
    """Documents of contents whose set hash is another set's: a collision of 64 bits, none or few."""
    rows = lake.read(DOCUMENTS).where("is_split").select("blob_id", "document").collect()
    return {row["blob_id"]: row["document"] for row in rows}


def _changed(lake: Lake) -> DataFrame:
    """blob_id, document, added, change: new or gone.

    Cost: two scans of ids. Only where what was appended before the last documents is not what they are
    of, as contents are gone: one shuffle of ids, about 80 bytes each.
    """
    held = lake.read(DOCUMENTS).select("blob_id", "document", "added")
    current = signatures_of(lake).select("blob_id", "set_hash", "added")
    append = F.coalesce("added", F.lit(-1))  # null: from an older version
    ids = (F.count("*"), F.expr("bit_xor(xxhash64(blob_id))"))
    last, *of_held = held.agg(F.max(append), *ids).collect()[0]
    if of_held == list(current.where(append <= last).agg(*ids).collect()[0]):
        new = current.where(F.col("added") > last).withColumn("document", F.lit(None).cast("long"))
        return new.select("blob_id", "document", "added", F.lit("new").alias("change"))
    both = held.join(current.withColumnRenamed("added", "now"), on="blob_id", how="full")
    is_new, is_gone = F.col("document").isNull(), F.col("set_hash").isNull()
    return (
        both.withColumn("change", F.when(is_new, "new").when(is_gone, "gone"))
        .where("change IS NOT NULL")
        .select("blob_id", "document", F.coalesce("added", "now").alias("added"), "change")
    )


def _take_out(lake: Lake, gone: DataFrame) -> DataFrame:
    """Deletes the documents that lost a content; what is left of them is to come in again."""
    lost = gone.select("document").distinct()
    held = lake.read(DOCUMENTS).select("blob_id", "document", "added")
    out = lake.staged("out", held.join(lost, on="document", how="left_semi"))
    again = lake.staged("again", out.join(gone.select("blob_id"), on="blob_id", how="left_anti"))
    pairs = lake.read(PAIRS).select("blob_a", "blob_b", "document_a", "document_b")
    ends = [
        pairs.join(lost.withColumnRenamed("document", end), on=end, how="left_semi")
        for end in ("document_a", "document_b")
    ]
    rows = ends[0].unionByName(ends[1]).select("blob_a", "blob_b").distinct()
    lake.delete(DEFERRED_SETS, lake.staged("sets-out", _deferred(lake, lost)))
    dead = lost.join(again.select("document"), on="document", how="left_anti")
    dead = dead.join(lake.read(UNVERIFIED), on="document", how="left_semi")
    lake.delete(PAIRS, lake.staged("pairs-out", rows))
    lake.delete(UNVERIFIED, lake.staged("unverified-out", dead))
    lake.delete(DOCUMENTS, out.select("blob_id"))
    return again


def _deferred(lake: Lake, documents: DataFrame) -> DataFrame:
    """Those of the documents whose sets are held."""
    return lake.read(DEFERRED_SETS).select("document").join(documents, "document", "left_semi")


class _Blocked(NamedTuple):
    """Deferred documents with their block's label."""

    document: Ints
    block: Ints


_NONE = np.empty(0, np.int64)
NONE_DEFERRED = Deferred(_NONE, _NONE, np.empty((0, ID_WORDS), np.int64))


def _add(
    lake: Lake, new: DataFrame | None, num_new: int, splits: dict[str, int], config: NearDedupConfig
) -> Counts:
    """Takes in the contents `new` (None: all there are), and writes `documents` last."""
    counts = {
        "candidate_pairs": 0,
        "pairs_compared": 0,
        "pairs_verified": 0,
        "content_bytes_read": 0,
    }
    due, num_due, known = new, num_new, dict(splits)
    appends = None if new is None else appends_of(new)
    while num_due:  # again for contents whose hash turns out to be another set's
        apart = _meet(lake, due, appends, num_due, known, counts, config)
        known |= _own_keys(lake, apart)
        due = lake.local_rows([(blob_id,) for blob_id in apart], "blob_id string")
        num_due = len(apart)
    rows = signatures_of(lake, known, appends).select("blob_id", "document", "added")
    if new is not None:
        rows = rows.join(new, on="blob_id", how="left_semi")
    is_split = F.col("blob_id").isin(list(known)) if known else F.lit(False)
    rows = rows.withColumns({"is_split": is_split, "scheme": F.lit(config.scheme)})
    lake.append(DOCUMENTS, rows)
    return counts


def _own_keys(lake: Lake, apart: list[str]) -> dict[str, int]:
    """Documents that no set hash decides: of each text one, as files of a text have one outcome."""
    if not apart:
        return {}
    own = lake.read(BLOBS).where(F.col("blob_id").isin(apart))
    rows = own.select("blob_id", F.xxhash64("text_id").alias("document")).collect()
    return {row["blob_id"]: row["document"] for row in rows}


def _meet(
    lake: Lake,
    new: DataFrame | None,
    appends: Appends | None,
    num_new: int,
    splits: dict[str, int],
    counts: Counts,
    config: NearDedupConfig,
) -> list[str]:
    """Compares the new contents (of these appends) with each other and with what is held; adds to `counts`.

    Returns contents that have the hash of another set than their own.
    """
    signatures = signatures_of(lake, splits)
    if new is None:
        sketches = signatures = signatures.withColumn("is_new", F.lit(True))
    else:
        sketches = signatures_of(lake, splits, appends).join(new, on="blob_id", how="left_semi")
        fresh = new.select("blob_id", F.lit(True).alias("is_new"))
        signatures = signatures.join(fresh, on="blob_id", how="left").withColumn(
            "is_new", F.coalesce("is_new", F.lit(False))
        )
    held = _Blocked(_NONE, _NONE)
    if lake.exists(UNVERIFIED):
        held = _Blocked(*collect_columns(lake, lake.read(UNVERIFIED).select("document", "block")))
    # Much of the index may come along: its parts are to be as small as those of a first build
    num_all = num_new if new is None else lake.read(SIGNATURES).count()
    bits = candidates.part_bits(num_all, config)
    found = candidates.find_buckets(lake, sketches, num_new, held.document, bits, config)
    apart: list[str] = []
    deferred, kept = held, NONE_DEFERRED
    for number, some in enumerate(candidates.slices(lake, found, config.driver_pairs)):
        if number == 0:
            deferred = _blocked(held, some)
            kept = _without_sets(lake, signatures, deferred.document)
        left, right = _not_in_one_block(some, deferred)
        counts["candidate_pairs"] += len(left)
        if not len(left) and not len(some.mates) and not len(kept.document):
            continue
        passed = prune(lake, signatures, left, right, some.mates, config)
        counts["pairs_compared"] += len(passed.left)
        if not len(passed.document) and not len(kept.document):
            continue
        verified = verify(lake, passed, kept, config)
        apart += store_pairs(lake, verified, counts)
        if len(kept.document):
            _store_sets(lake, verified, signatures)
            kept = NONE_DEFERRED
    counts["documents_unverified"] = len(deferred.document)
    if deferred is not held:
        lake.overwrite(UNVERIFIED, local_columns(lake, "document long, block long", *deferred))
    lake.append(BAND_INDEX, candidates.index_rows(found))
    return apart


def _blocked(held: _Blocked, found: Candidates) -> _Blocked:
    """Blocks of deferred documents: those there were, joined by the buckets that overflow now."""
    if len(found.star) == 0 and len(found.deferred) == 0:
        return held
    left = np.concatenate((found.star, held.document, found.deferred))
    right = np.concatenate((found.member, held.block, found.deferred))
    documents, labels = components(left, right)
    wanted = np.unique(np.concatenate((found.star, found.member, found.deferred, held.document)))
    return _Blocked(wanted, labels[np.searchsorted(documents, wanted)])


def _without_sets(lake: Lake, signatures: DataFrame, documents: Ints) -> Deferred:
    """Those of the deferred documents that have no row in `deferred_sets` yet."""
    if lake.exists(DEFERRED_SETS) and len(documents):
        wanted = local_columns(lake, "document long", documents)
        (held,) = collect_columns(lake, _deferred(lake, F.broadcast(wanted)))
        documents = np.setdiff1d(documents, held)
    if not len(documents):
        return NONE_DEFERRED
    wanted = F.broadcast(local_columns(lake, "document long", documents))
    rows = signatures.join(wanted, on="document", how="left_semi")
    rows = rows.select("document", "num_shingles", F.col("is_new").cast("long"), "blob_id")
    document, size, is_new, blob = collect_columns(lake, rows)
    order = owner_first(document, is_new, blob)
    owners = order[np.append(True, np.diff(document[order]) != 0)]
    return Deferred(document[owners], size[owners], blob[owners])


def _store_sets(lake: Lake, verified: DataFrame, signatures: DataFrame) -> None:
    sets = verified.where("shingles IS NOT NULL").withColumnRenamed("blob_a", "blob_id")
    ids = F.broadcast(sets.select("blob_id"))
    rows = signatures.select("blob_id", "document", "num_shingles", "sketch")
    rows = rows.join(ids, on="blob_id", how="left_semi")
    rows = rows.join(sets.select("blob_id", "shingles"), on="blob_id")
    lake.append(DEFERRED_SETS, rows.select(*DEFERRED_SETS.columns))


def _not_in_one_block(found: Candidates, deferred: _Blocked) -> tuple[Ints, Ints]:
    """Candidate pairs but for those of two deferred documents of one block."""
    if len(deferred.document) == 0:
        return found.left, found.right
    known, block = deferred.document, deferred.block
    left, right = (rows_of(known, np.argsort(known), ends) for ends in (found.left, found.right))
    is_one = (left >= 0) & (right >= 0) & (block[left] == block[right])
    return found.left[~is_one], found.right[~is_one]


def store_pairs(lake: Lake, verified: DataFrame, counts: Counts) -> list[str]:
    """Appends the pairs that are not there yet, and adds up what was done in `counts`.

    Returns contents that are not like the one of their document. Cost: one shuffle of 24 bytes a
    pair.
    """
    pairs = verified.where("similarity IS NOT NULL").select(*PAIRS.columns)
    if lake.exists(PAIRS):
        held = _keyed(lake.read(PAIRS)).select("low", "high", "mate")
        fresh = _keyed(pairs).join(held, on=["low", "high", "mate"], how="left_anti")
        pairs = lake.staged("pairs", fresh.select(*PAIRS.columns))
        num_pairs = pairs.count()
    is_unlike = "similarity IS NULL AND blob_a IS NOT NULL AND blob_b IS NOT NULL"
    (done,) = verified.selectExpr(
        "count(similarity) AS num_pairs",
        "coalesce(sum(content_bytes), 0) AS content_bytes",
        f"collect_list(IF({is_unlike}, blob_b, NULL)) AS unlike",  # collisions of 64 bits: few
    ).collect()
    if not lake.exists(PAIRS):
        num_pairs = done["num_pairs"]
    if num_pairs:
        lake.append(PAIRS, pairs.sortWithinPartitions("document_a", "document_b"))
    counts["pairs_verified"] = counts.get("pairs_verified", 0) + num_pairs
    counts["content_bytes_read"] = counts.get("content_bytes_read", 0) + done["content_bytes"]
    return sorted(done["unlike"])


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
    writes=(DOCUMENTS, BAND_INDEX, PAIRS, UNVERIFIED, DEFERRED_SETS),
    config_type=NearDedupConfig,
    run=near_dedup,
)
