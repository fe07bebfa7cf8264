"""Which content stood at a path, in which versions of the corpus?    corpus -> corpus_history

Ids alone, so that it can be kept for good: it answers for versions whose rows VACUUM has removed. No row is
ever taken away; one that has ended gets `valid_to`.
"""

from __future__ import annotations

from pyspark.sql import functions as F

from etl.stage import Lake
from etl.tables import CORPUS, CORPUS_HISTORY

CONTENT = ("repo_id", "path", "blob_id", "text_id")


def record_history(lake: Lake) -> int:
    """Brings `corpus_history` to the corpus' current version; the number of repositories that changed.

    To be called before and after each write of `corpus`: so a run that was killed between its write and
    its record loses no version. A sample has no history. Cost: a join of the ids of every kept file, none
    where the version is recorded.
    """
    version = lake.version(CORPUS)
    if lake.sample < 1 or version is None or version <= _recorded(lake):
        return 0
    history = lake.read(CORPUS_HISTORY)
    held = history.where("valid_to IS NULL").select(*CONTENT, "valid_from")
    corpus = lake.read(CORPUS).select(*CONTENT, F.lit(True).alias("is_there"))
    differs = held.join(corpus, on=list(CONTENT), how="full").where(
        "valid_from IS NULL OR is_there IS NULL"
    )
    changed = lake.staged("history", differs)
    touched = changed.select("repo_id").distinct()
    repo_ids = [row["repo_id"] for row in touched.toLocalIterator()]
    if not repo_ids:
        return 0
    ended = changed.where("is_there IS NULL").select(
        "repo_id", "path", "valid_from", F.lit(version).cast("long").alias("ended_at")
    )
    past = history.join(F.broadcast(touched), on="repo_id", how="left_semi")
    past = past.join(ended, on=["repo_id", "path", "valid_from"], how="left")
    past = past.withColumn("valid_to", F.coalesce("valid_to", "ended_at"))
    begun = changed.where("valid_from IS NULL").withColumns(
        {"valid_from": F.lit(version).cast("long"), "valid_to": F.lit(None).cast("long")}
    )
    columns = CORPUS_HISTORY.columns
    rows = past.select(*columns).unionByName(begun.select(*columns))
    lake.replace_repos(CORPUS_HISTORY, rows, repo_ids)
    return len(repo_ids)


def _recorded(lake: Lake) -> int:
    """The last version of `corpus` that changed it; -1 where none is recorded."""
    last = F.max(F.greatest("valid_from", "valid_to")).alias("last")
    row = lake.read(CORPUS_HISTORY).agg(last).first()
    return -1 if row is None or row["last"] is None else int(row["last"])
