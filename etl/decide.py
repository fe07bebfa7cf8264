"""Is this file in the corpus, and why (not)?    facts, licenses, pairs -> decisions, duplicates

One row a file. `failed_rules` holds every rule that it fails, `reason` the first in the order of the
configuration, `evidence` what was found. A changed rule costs SQL over
ids; content is read only for pairs of documents that no election has asked for yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.config import Config
from etl.election import duplicates, elect_near, elect_texts, of_files, outcomes
from etl.eligibility import described, judge
from etl.errors import ConfigError
from etl.near_dedup.config import Bounds, NearDedupConfig, config_of
from etl.rules import Rules
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    DECISIONS,
    DOCUMENTS,
    DUPLICATES,
    FACTS,
    FILES,
    LICENSES,
    NAME_FACTS,
    PAIRS,
    REPOS,
    SIGNATURES,
    UNVERIFIED,
)

EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"


class SplitConfig(Config):
    """Whole networks (a repository and its forks) go to one side."""

    validation_fraction: float = Field(
        default=0.005, ge=0, lt=1, description="share of repository networks"
    )
    key: str = Field(default="stackmill", description="of the hash: another key, another split")


class DecideConfig(Config):
    rules: Rules = Rules()
    split: SplitConfig = SplitConfig()
    bounds: Bounds = Bounds()


def decide(lake: Lake, config: DecideConfig) -> Counts:
    """Writes `decisions` and `duplicates`, whole: they are small and every row may have changed.

    Pairs that the election misses are verified and added to `pairs`: only then content is read.
    """
    decisions, elected = _decided(lake, config, stores=True)
    lake.overwrite(DUPLICATES, duplicates(elected))
    lake.overwrite(
        DECISIONS, decisions.repartition("repo_id").sortWithinPartitions("repo_id", "path")
    )
    return counts(lake.read(DECISIONS))


def preview(lake: Lake, config: DecideConfig) -> Mapping[str, object]:
    """The counts that these rules would give; nothing is written."""
    return counts(_decided(lake, config, stores=False)[0])


def counts(decisions: DataFrame) -> Counts:
    """Files in, kept and dropped by reason: in = kept + the sum of dropped."""
    by_reason = decisions.groupBy("kept", "reason").count().collect()
    kept = sum(row["count"] for row in by_reason if row["kept"])
    dropped = {f"dropped_{row['reason']}": row["count"] for row in by_reason if not row["kept"]}
    return {"in": kept + sum(dropped.values()), "kept": kept, **dict(sorted(dropped.items()))}


def _decided(lake: Lake, config: DecideConfig, stores: bool) -> tuple[DataFrame, DataFrame]:
    compared_by = _compared_by(lake, config)  # a wrong threshold is found before the work
    judged = lake.staged("judged", judge(described(lake), config.rules).select(*_JUDGED))
    texts = elect_texts(judged)
    if compared_by is None:
        elected = of_files(judged, outcomes(texts, None))
    else:
        texts = lake.staged("texts", texts)
        threshold = config.rules.near_duplicate.threshold
        near = elect_near(lake, texts, threshold, compared_by, stores)
        elected = lake.staged("elected", of_files(judged, outcomes(texts, near)))
    return conclude(judged, elected, config), elected


def _compared_by(lake: Lake, config: DecideConfig) -> NearDedupConfig | None:
    """What the lake's pairs were found by; None without the rule, or where there are no documents.

    Raises ConfigError for a threshold below the floor, and where near_dedup has not run.
    """
    rule = config.rules.near_duplicate
    if not rule.enabled:
        return None
    has_documents = lake.exists(DOCUMENTS)
    if lake.exists(SIGNATURES) and not has_documents:
        raise ConfigError(
            "decide.rules.near_duplicate: expected the table `documents`, found none: run "
            "`stackmill near_dedup` first, or set decide.rules.near_duplicate.enabled=false"
        )
    schemes = lake.read(DOCUMENTS).select("scheme").limit(1).collect() if has_documents else []
    if not schemes:
        return None
    found = config_of(schemes[0]["scheme"], config.bounds)
    if rule.threshold < found.floor:
        raise ConfigError(
            f"decide.rules.near_duplicate.threshold = {rule.threshold:g}: must be at least "
            f"{found.floor:g}, the floor that this lake's pairs were found by: set "
            f"near_dedup.floor={rule.threshold:g} or less and rebuild with `stackmill near_dedup`"
        )
    return found


_JUDGED = [
    "repo_id", "path", "repo_name", "blob_id", "text_id", "fork_of", "is_fork", "stars",
    "license_category", "failed_rules", "evidence", "is_eligible",
]  # fmt: skip


def conclude(judged: DataFrame, elected: DataFrame, config: DecideConfig) -> DataFrame:
    """DECISIONS from what the rules say of a file and what the election says of its text."""
    order = [name for name, _ in config.rules.enabled()]
    files = judged.join(elected.drop("blob_id", "kept_blob_id"), on=["repo_id", "path"], how="left")
    is_kept_one = (F.col("kept_repo_id") == F.col("repo_id")) & (
        F.col("kept_path") == F.col("path")
    )
    twin = F.concat("kept_repo_name", F.lit(" "), "kept_path")
    similarity = F.format_number("similarity", 4)
    for rule, is_copy, said in (
        (
            EXACT_DUPLICATE,
            F.col("is_same_text"),
            F.concat(F.lit("the same text is kept as "), twin),
        ),
        (
            NEAR_DUPLICATE,
            ~F.col("is_same_text"),
            F.concat(F.lit("similarity "), similarity, F.lit(" with the kept "), twin),
        ),
    ):
        if rule in order:
            is_dropped = F.coalesce(~is_kept_one & is_copy, F.lit(False))
            files = _with_rule(files, rule, is_dropped, said, order)
    kept = F.size("failed_rules") == 0
    return (
        files.withColumn("kept", kept)
        .withColumn("reason", F.when(~kept, F.element_at("failed_rules", 1)))
        .withColumn("split", F.when(kept, _split(config.split)))
        .select(*DECISIONS.columns)
    )


def _with_rule(
    files: DataFrame, rule: str, is_dropped: Column, said: Column, order: list[str]
) -> DataFrame:
    """`rule` takes its place among the failed rules."""
    before = order[: order.index(rule)]
    first = F.filter("failed_rules", lambda name: name.isin(*before))
    after = F.filter("failed_rules", lambda name: ~name.isin(*before))
    with_it = F.concat(first, F.array(F.lit(rule)), after)
    evidence = F.map_concat("evidence", F.create_map(F.lit(rule), said))
    return files.withColumn(
        "failed_rules", F.when(is_dropped, with_it).otherwise(F.col("failed_rules"))
    ).withColumn("evidence", F.when(is_dropped, evidence).otherwise(F.col("evidence")))


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
    reads=(REPOS, FILES, FACTS, NAME_FACTS, LICENSES, SIGNATURES, DOCUMENTS, PAIRS, UNVERIFIED),
    writes=(DUPLICATES, DECISIONS, PAIRS, UNVERIFIED),
    config_type=DecideConfig,
    run=decide,
    preview=preview,
)
