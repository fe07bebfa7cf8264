"""Which file of a set of equal texts is kept?    eligibility -> kept origin of each text, duplicates

Eligible files come first, so a file that a rule drops never takes its copies with it. The order is
total (it ends in repo_id and path), so row order and partitioning cannot change it.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.eligibility import LICENSE_RANK
from etl.tables import DUPLICATES

RULE = "exact_text"
RULE_VERSION = 1

RANK = (
    "NOT is_eligible",
    "license_rank",
    "coalesce(is_fork, false)",
    "-star_class",
    "path_depth",
)


def elect(judged: DataFrame) -> DataFrame:
    """Every stored file with kept_repo_id, kept_path, kept_blob_id and num_copies of its text.

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
        *(F.expr(term).alias(f"rank_{index}") for index, term in enumerate(RANK)),
        "repo_id",
        "path",
        "blob_id",
    )
    kept = placed.groupBy("text_id").agg(
        F.min(place).alias("kept"),
        F.count("*").alias("num_copies"),
        F.min("blob_id").alias("cluster_id"),
    )
    # Each stored file has a text_id, so the inner join loses no row.
    return placed.join(kept, on="text_id", how="inner").select(
        "repo_id",
        "path",
        "blob_id",
        "cluster_id",
        "num_copies",
        F.col("kept.repo_id").alias("kept_repo_id"),
        F.col("kept.path").alias("kept_path"),
        F.col("kept.blob_id").alias("kept_blob_id"),
    )


def duplicates(elected: DataFrame) -> DataFrame:
    """A row for every content that stands in two or more files, alone or with others of its text."""
    return (
        elected.where("num_copies > 1")
        .groupBy("blob_id", "cluster_id", "kept_blob_id")
        .agg(F.lit(1.0).alias("similarity"))
        .withColumn("rule", F.lit(RULE))
        .withColumn("version", F.lit(RULE_VERSION))
        .select(*DUPLICATES.columns)
    )
