"""Which files does policy admit?    files, facts, name_facts, licenses, repos -> eligibility

Every rule but dedup. The result has a row for every file, with all the rules that it fails.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.facts import annotators
from etl.rules import Rules
from etl.stage import Lake
from etl.tables import FACTS, FILES, LICENSES, NAME_FACTS, REPOS

LICENSE_RANK = {"permissive": 0, "none": 1, "weak_copyleft": 2, "strong_copyleft": 3, "other": 4}


def described(lake: Lake) -> DataFrame:
    """Every file with its repository's, its content's and its name's facts.

    Cost: four joins of rows of about 200 bytes by blob_id or repo_id; no content.
    """
    files = lake.read(FILES)
    repos = lake.read(REPOS).select("repo_id", "host", "is_fork", "fork_of", "stars")
    facts = lake.read(FACTS).where(F.col("version") == annotators.FACTS_VERSION).drop("version")
    names = lake.read(NAME_FACTS).where(F.col("version") == annotators.NAMES_VERSION)
    licenses = lake.read(LICENSES).select(
        "repo_id", "path", "license_expression", "license_category"
    )
    return (
        files.join(repos, on="repo_id", how="left")
        .join(licenses, on=["repo_id", "path"], how="left")
        .join(facts, on="blob_id", how="left")
        .join(names.drop("version"), on=["blob_id", "basename"], how="left")
    )


def judge(files: DataFrame, rules: Rules) -> DataFrame:
    """`files` with `failed`, whose bit i says that the i-th rule in their order fails, and evidence
    (rule -> what was found; null where none fails)."""
    named = rules.enabled()
    bits = [
        F.when(_fails(rule.failing()), 1 << i).otherwise(0) for i, (_, rule) in enumerate(named)
    ]
    failed = reduce(Column.bitwiseOR, bits, F.lit(0)).cast("long")
    found = [
        F.when(F.col("failed").bitwiseAND(1 << i) != 0, F.struct(F.lit(name), rule.found()))
        for i, (name, rule) in enumerate(named)
    ]
    entries = F.array_compact(F.array(*found).cast("array<struct<rule:string,found:string>>"))
    return files.withColumn("failed", failed).withColumn(
        "evidence", F.when(F.col("failed") != 0, F.map_from_entries(entries))
    )


def _fails(term: Column) -> Column:
    return F.coalesce(term, F.lit(False))
