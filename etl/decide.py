"""Is this file in the corpus, and why (not)?    facts, licenses -> decisions, duplicates

One row a file. `failed_rules` holds every rule that it fails, `reason` the first in the order of the
configuration, `evidence` what was found. Content is not read; a changed rule costs SQL over ids.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.config import Config
from etl.election import duplicates, elect
from etl.eligibility import described, judge
from etl.rules import Rules
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    DECISIONS,
    DUPLICATES,
    FACTS,
    FILES,
    LICENSES,
    NAME_FACTS,
    REPOS,
)

DUPLICATE = "exact_duplicate"


class SplitConfig(Config):
    """Whole networks (a repository and its forks) go to one side."""

    validation_fraction: float = Field(
        default=0.005, ge=0, lt=1, description="share of repository networks"
    )
    key: str = Field(default="stackmill", description="of the hash: another key, another split")


class DecideConfig(Config):
    rules: Rules = Rules()
    split: SplitConfig = SplitConfig()


def decide(lake: Lake, config: DecideConfig) -> Counts:
    """Writes `decisions` and `duplicates`, whole: they are small and every row may have changed."""
    decisions, elected = _decided(lake, config)
    lake.overwrite(DUPLICATES, duplicates(elected))
    lake.overwrite(
        DECISIONS, decisions.repartition("repo_id").sortWithinPartitions("repo_id", "path")
    )
    return counts(lake.read(DECISIONS))


def preview(lake: Lake, config: DecideConfig) -> Mapping[str, object]:
    """The counts that these rules would give; nothing is written."""
    return counts(_decided(lake, config)[0])


def counts(decisions: DataFrame) -> Counts:
    """Files in, kept and dropped by reason: in = kept + the sum of dropped."""
    by_reason = decisions.groupBy("kept", "reason").count().collect()
    kept = sum(row["count"] for row in by_reason if row["kept"])
    dropped = {f"dropped_{row['reason']}": row["count"] for row in by_reason if not row["kept"]}
    return {"in": kept + sum(dropped.values()), "kept": kept, **dict(sorted(dropped.items()))}


def _decided(lake: Lake, config: DecideConfig) -> tuple[DataFrame, DataFrame]:
    judged = lake.staged("judged", judge(described(lake), config.rules).select(*_JUDGED))
    elected = elect(judged)
    return conclude(judged, elected, config), elected


_JUDGED = [
    "repo_id", "path", "repo_name", "blob_id", "text_id", "fork_of", "is_fork", "stars",
    "license_category", "failed_rules", "evidence", "is_eligible",
]  # fmt: skip


def conclude(judged: DataFrame, elected: DataFrame, config: DecideConfig) -> DataFrame:
    """DECISIONS from what the rules say of a file and what the election says of its text."""
    order = [name for name, _ in config.rules.enabled()]
    files = judged.join(elected.drop("blob_id"), on=["repo_id", "path"], how="left")
    is_kept_one = (F.col("kept_repo_id") == F.col("repo_id")) & (
        F.col("kept_path") == F.col("path")
    )
    if DUPLICATE in order:
        is_duplicate = F.coalesce(~is_kept_one, F.lit(False))
        files = _with_duplicate(files, is_duplicate, order)
    kept = F.size("failed_rules") == 0
    return (
        files.withColumn("kept", kept)
        .withColumn("reason", F.when(~kept, F.element_at("failed_rules", 1)))
        .withColumn("split", F.when(kept, _split(config.split)))
        .select(*DECISIONS.columns)
    )


def _with_duplicate(files: DataFrame, is_duplicate: Column, order: list[str]) -> DataFrame:
    """`exact_duplicate` takes its place among the failed rules."""
    before = order[: order.index(DUPLICATE)]
    first = F.filter("failed_rules", lambda rule: rule.isin(*before))
    after = F.filter("failed_rules", lambda rule: ~rule.isin(*before))
    with_it = F.concat(first, F.array(F.lit(DUPLICATE)), after)
    twin = F.concat(F.lit("the same text is kept as "), "kept_repo_id", F.lit(" "), "kept_path")
    evidence = F.map_concat("evidence", F.create_map(F.lit(DUPLICATE), twin))
    return files.withColumn(
        "failed_rules", F.when(is_duplicate, with_it).otherwise(F.col("failed_rules"))
    ).withColumn("evidence", F.when(is_duplicate, evidence).otherwise(F.col("evidence")))


def _split(config: SplitConfig) -> Column:
    """validation for a share of the networks, by a keyed hash: no file moves when others come."""
    network = F.coalesce("fork_of", "repo_id")
    digest = F.sha2(F.concat(F.lit(f"{config.key}:"), network), 256)
    share = F.conv(F.substring(digest, 1, 8), 16, 10).cast("long")
    is_validation = share < int(config.validation_fraction * 2**32)
    return F.when(is_validation, F.lit("validation")).otherwise(F.lit("train"))


STAGE = Stage(
    "decide",
    "is this file in the corpus, and why (not)?",
    reads=(REPOS, FILES, FACTS, NAME_FACTS, LICENSES),
    writes=(DUPLICATES, DECISIONS),
    config_type=DecideConfig,
    run=decide,
    preview=preview,
)
