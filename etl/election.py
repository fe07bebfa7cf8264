"""Which of many copies is kept?    judged files, documents, pairs -> kept file of each, duplicates

Eligible files come first, so a file that a rule drops never takes its copies with it. The order is
total: row order and partitioning cannot change what is kept.

Of equal texts the first file stands for all. Of documents (sets of shingles) the first text stands
for all, and among documents one is kept unless it is as similar as the threshold to a kept one
before it: see `etl.near_dedup.elect`. The kept file of a text is so the one that stands for the
document that its own is, or was dropped for.
"""

from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.eligibility import LICENSE_RANK
from etl.near_dedup.bands import Ints
from etl.near_dedup.candidates import signatures_of
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.demand import Unverified, compare_demanded
from etl.near_dedup.elect import Edges, Elected, elect
from etl.near_dedup.stage import store_pairs
from etl.near_dedup.transfer import collect_columns, local_columns
from etl.stage import Lake
from etl.tables import DOCUMENTS, DUPLICATES, PAIRS, UNVERIFIED

EXACT, NEAR = "exact_text", "shingle_jaccard"
RULE_VERSION = 2

UNVERIFIED_ROWS = "document long, block long"

RANK = (
    "NOT is_eligible",
    "license_rank",
    "coalesce(is_fork, false)",
    "-star_class",
    "path_depth",
)
_RANKS = [f"rank_{index}" for index in range(len(RANK))]


def elect_texts(judged: DataFrame) -> DataFrame:
    """text_id, kept (the first file in rank order), num_copies, least_blob_id of every stored text.

    Stars count by floor(log4(1 + stars)): a refresh flips what is kept only where a repository
    has grown by a class. Cost: one shuffle of ids by text_id, about 200 bytes a file.
    """
    ranks = F.create_map(*(F.lit(part) for pair in LICENSE_RANK.items() for part in pair))
    category = F.coalesce("license_category", F.lit("none"))
    placed = (
        judged.where("text_id IS NOT NULL")
        .withColumn("license_rank", F.element_at(ranks, category))
        .withColumn("star_class", F.expr("floor(ln(1 + coalesce(stars, 0)) / ln(4) + 1e-9)"))
        .withColumn("path_depth", F.expr("length(path) - length(replace(path, '/', ''))"))
    )
    place = F.struct(
        *(F.expr(term).alias(rank) for rank, term in zip(_RANKS, RANK, strict=True)),
        "text_id", "repo_id", "path", "blob_id", "repo_name",
    )  # fmt: skip
    return placed.groupBy("text_id").agg(
        F.min(place).alias("kept"),
        F.count("*").alias("num_copies"),
        F.min("blob_id").alias("least_blob_id"),
    )


def outcomes(texts: DataFrame, near: DataFrame | None) -> DataFrame:
    """Of each text: `kept`, the file in its place; similarity; cluster_id; is_clustered; num_copies.

    `near`: what `elect_near` gives; without it only equal texts are copies.
    """
    if near is None:
        return texts.select(
            "text_id", "kept", "num_copies",
            F.lit(1.0).alias("similarity"),
            F.col("least_blob_id").alias("cluster_id"),
            (F.col("num_copies") > 1).alias("is_clustered"),
        )  # fmt: skip
    of_text = texts.withColumnRenamed("kept", "own").join(near, on="text_id", how="left")
    return of_text.select(
        "text_id",
        F.coalesce("twin", "own").alias("kept"),
        "num_copies",
        F.coalesce("similarity", F.lit(1.0)).alias("similarity"),
        F.coalesce("cluster_id", "least_blob_id").alias("cluster_id"),
        (F.col("twin").isNotNull() | (F.col("num_copies") > 1)).alias("is_clustered"),
    )


def of_files(judged: DataFrame, outcome: DataFrame) -> DataFrame:
    """Every stored file with kept_repo_id, kept_path, ... of what is kept in its place."""
    kept = [
        F.col(f"kept.{name}").alias(f"kept_{name}")
        for name in ("repo_id", "path", "blob_id", "repo_name")
    ]
    is_same = F.col("kept.text_id") == F.col("text_id")
    # Each stored file has a text_id, so the inner join loses no row.
    return judged.select("repo_id", "path", "blob_id", "text_id").join(
        outcome, on="text_id", how="inner"
    ).select(
        "repo_id", "path", "blob_id", "num_copies", "similarity", "cluster_id", "is_clustered",
        is_same.alias("is_same_text"), *kept,
    )  # fmt: skip


def duplicates(elected: DataFrame) -> DataFrame:
    """A row for every content that stands in two or more files, alone or with others like it."""
    rule = F.when(F.col("is_same_text"), EXACT).otherwise(NEAR)
    return (
        elected.where("is_clustered")
        .withColumn("rule", rule)
        .select("blob_id", "cluster_id", "kept_blob_id", "similarity", "rule")
        .distinct()  # files of one content have one outcome
        .withColumn("version", F.lit(RULE_VERSION))
        .select(*DUPLICATES.columns)
    )


# --- documents


def elect_near(
    lake: Lake, texts: DataFrame, threshold: float, config: NearDedupConfig, stores: bool
) -> DataFrame:
    """text_id, twin (the file kept), similarity, cluster_id of texts that are not alone.

    Pairs that are missing are verified and, if `stores`, kept in `pairs`. Cost: ids and ranks of
    all texts are shuffled by document, about 250 bytes each; of the pairs, 24 bytes each, the
    driver holds `driver_pairs` at most; content is read for missing pairs alone.
    """
    held = lake.read(DOCUMENTS).select(F.col("blob_id").alias("held_blob_id"), "document")
    of_text = texts.join(held, on=F.col("kept.blob_id") == F.col("held_blob_id"), how="inner")
    of_text = lake.staged("text-documents", of_text.drop("held_blob_id"))
    documents = lake.staged(
        "document-ranks",
        of_text.groupBy("document").agg(
            F.min("kept").alias("best"),
            F.min("least_blob_id").alias("least_blob_id"),
            F.count("*").alias("num_texts"),
        ),
    )
    elected = _elected(lake, documents, threshold, config, stores)
    near = _linked(lake, elected)
    clusters = (
        near.join(documents.select("document", "least_blob_id"), on="document", how="inner")
        .groupBy("cluster")
        .agg(F.min("least_blob_id").alias("cluster_id"))
    )
    twins = documents.select(F.col("document").alias("kept_document"), F.col("best").alias("twin"))
    linked = (
        near.join(twins, on="kept_document", how="inner")
        .join(clusters, on="cluster", how="inner")
        .select("document", "twin", "similarity", "cluster_id")
    )
    alike = documents.where("num_texts > 1").select(
        "document", F.col("best").alias("own"), F.col("least_blob_id").alias("own_least")
    )
    found = linked.join(alike, on="document", how="full").select(
        "document",
        F.coalesce("twin", "own").alias("twin"),
        F.coalesce("similarity", F.lit(1.0)).alias("similarity"),
        F.coalesce("cluster_id", "own_least").alias("cluster_id"),
    )
    return (
        of_text.select("text_id", "document")
        .join(found, on="document", how="inner")
        .drop("document")
    )


def _elected(
    lake: Lake, documents: DataFrame, threshold: float, config: NearDedupConfig, stores: bool
) -> Elected:
    """Rounds of election and verification until no kept document is unverified."""
    edges = _edges(lake.read(PAIRS), threshold)
    unverified = lake.read(UNVERIFIED).select("document", "block")
    involved = (
        edges.select(F.col("document_a").alias("document"))
        .union(edges.select("document_b"))
        .union(unverified.select("document"))
        .distinct()
    )
    ranked = documents.join(involved, on="document", how="inner").sort("best")
    (nodes,) = collect_columns(lake, ranked.select("document"))
    known = _collected_edges(lake, edges)
    waiting, blocks = collect_columns(lake, unverified)
    waits = np.isin(waiting, nodes)
    waiting, blocks = waiting[waits], blocks[waits]
    while True:
        elected = elect(nodes, known)
        kept = np.sort(elected.documents[elected.is_kept])
        is_demanded = np.isin(waiting, kept)
        if not is_demanded.any():
            return elected
        lake.progress(
            "decide: %d unverified documents would be kept: they are compared",
            int(is_demanded.sum()),
        )
        owners, missing = _unverified(lake, documents, nodes, waiting, blocks)
        found = compare_demanded(lake, missing, is_demanded, owners, threshold, config)
        complete = collect_columns(lake, found.where("blob_b IS NULL").select("document_a"))[0]
        pairs = found.where("blob_b IS NOT NULL")
        more = _collected_edges(lake, _edges(pairs, threshold))
        known = Edges(*(np.concatenate(columns) for columns in zip(known, more, strict=True)))
        left = ~np.isin(waiting, complete)
        waiting, blocks = waiting[left], blocks[left]
        if stores:
            store_pairs(lake, pairs)
            rows = local_columns(lake, UNVERIFIED_ROWS, waiting, blocks)
            lake.overwrite(UNVERIFIED, rows)


def _edges(pairs: DataFrame, threshold: float) -> DataFrame:
    is_edge = (F.col("document_a") != F.col("document_b")) & (F.col("similarity") >= threshold)
    return pairs.where(is_edge).select("document_a", "document_b", "similarity")


def _collected_edges(lake: Lake, edges: DataFrame) -> Edges:
    left, right, similarity = collect_columns(lake, edges)
    return Edges(left, right, similarity.view(np.float64))


def _unverified(
    lake: Lake, documents: DataFrame, nodes: Ints, waiting: Ints, blocks: Ints
) -> tuple[DataFrame, Unverified]:
    """(document -> blob, and what the comparison needs to know of the waiting documents)."""
    rows = local_columns(lake, "document long", waiting)
    owners = documents.join(rows, on="document", how="left_semi").select(
        "document", F.col("best.blob_id").alias("blob_id")
    )
    owners = lake.staged("waiting", owners)
    sizes = (
        signatures_of(lake)
        .select("blob_id", "num_shingles")
        .join(owners, on="blob_id", how="inner")
    )
    document, size = collect_columns(lake, sizes.select("document", "num_shingles"))
    order = np.argsort(document)
    by_node = np.argsort(nodes)
    return owners, Unverified(
        waiting,
        blocks,
        size[order][np.searchsorted(document[order], waiting)],
        by_node[np.searchsorted(nodes[by_node], waiting)],
    )


def _linked(lake: Lake, elected: Elected) -> DataFrame:
    """document, kept_document, similarity, cluster of the documents that pairs link."""
    sizes = np.bincount(elected.cluster, minlength=len(elected.documents))
    rows = np.flatnonzero(sizes[elected.cluster] > 1)
    return local_columns(
        lake,
        "document long, kept_document long, similarity double, cluster long",
        elected.documents[rows],
        elected.documents[elected.twin[rows]],
        elected.similarity[rows],
        elected.cluster[rows],
    )
