"""Is this file in the corpus, and why (not)?    facts, licenses, pairs -> decisions, duplicates

One row a file. `failed_rules` holds every rule that it fails, `reason` the first in the order of the
configuration, `evidence` what was found. A changed rule costs SQL over
ids, and the comparison of sets that no election has asked for yet. No content is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl import election
from etl.config import Config
from etl.copies import Copies
from etl.eligibility import described, judge
from etl.errors import ConfigError
from etl.near_dedup.config import Bounds, NearDedupConfig, config_of
from etl.rules import Rules
from etl.shares import is_below
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    DECISIONS,
    DEFERRED_SETS,
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

    Pairs that the election misses are verified and added to `pairs`. No content is read.
    """
    decided = _decided(lake, config, stores=True)
    lake.overwrite(DUPLICATES, election.duplicates_of(lake, decided))
    lake.overwrite(DECISIONS, election.decisions_of(lake, decided))
    return counts(decided)


def preview(lake: Lake, config: DecideConfig) -> Mapping[str, object]:
    """The counts that these rules would give; nothing is written."""
    return counts(_decided(lake, config, stores=False))


def counts(decided: DataFrame) -> Counts:
    """Files in, kept and dropped by reason: in = kept + the sum of dropped."""
    by_reason = election.counts_of(decided)
    kept = by_reason.pop(None, 0)
    dropped = {f"dropped_{reason}": count for reason, count in by_reason.items()}
    return {"in": kept + sum(dropped.values()), "kept": kept, **dict(sorted(dropped.items()))}


def _decided(lake: Lake, config: DecideConfig, stores: bool) -> DataFrame:
    """Rows of `decisions` and `duplicates`, packed and staged."""
    compared_by = _compared_by(lake, config)  # a wrong threshold is found before the work
    rule = config.rules.near_duplicate
    known = election.known(lake, rule.threshold) if compared_by else election.NOTHING
    parts = election.num_parts(lake.read(FILES).count())
    judged = _judged(lake, config, compared_by is not None)
    grouped = election.group(lake, judged, known.documents, parts)
    linked = election.NONE_LINKED
    if compared_by is not None and len(known.documents):
        nodes = election.nodes_of(grouped)
        linked = election.elect_documents(lake, known, nodes, rule.threshold, compared_by, stores)
    return election.outcomes(lake, grouped, linked, _copies(config), parts)


def _judged(lake: Lake, config: DecideConfig, has_documents: bool) -> DataFrame:
    """Every file with what the rules say of it, its document and its rank."""
    judged = judge(described(lake), config.rules)
    if has_documents:
        documents = lake.read(DOCUMENTS).select("blob_id", "document")
        judged = judged.join(documents, on="blob_id", how="left")
    else:
        judged = judged.withColumn("document", F.lit(None).cast("long"))
    return judged.withColumns({"split": _split(config.split), "rank": election.rank_of()}).select(
        "document", "rank", "failed", "evidence", "split", "repo_id", "path", "repo_name", "blob_id",
        "text_id",
    )  # fmt: skip


def _copies(config: DecideConfig) -> Copies:
    names = tuple(name for name, _ in config.rules.enabled())
    exact, near = (
        names.index(rule) if rule in names else -1 for rule in (EXACT_DUPLICATE, NEAR_DUPLICATE)
    )
    return Copies(names, exact, near)


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


def _split(config: SplitConfig) -> Column:
    """validation for a share of the networks, by a keyed hash: no file moves when others come."""
    network = F.coalesce("fork_of", "repo_id")
    digest = F.sha2(F.concat(F.lit(f"{config.key}:"), network), 256)
    is_validation = is_below(digest, config.validation_fraction)
    return F.when(is_validation, F.lit("validation")).otherwise(F.lit("train"))


STAGE = Stage(
    "decide",
    "is this file in the corpus, and why (not)?",
    reads=(
        REPOS,
        FILES,
        FACTS,
        NAME_FACTS,
        LICENSES,
        SIGNATURES,
        DOCUMENTS,
        PAIRS,
        UNVERIFIED,
        DEFERRED_SETS,
    ),
    writes=(DUPLICATES, DECISIONS, PAIRS, UNVERIFIED),
    config_type=DecideConfig,
    run=decide,
    preview=preview,
)
