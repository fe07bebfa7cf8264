"""Whom does a repository name as its people?    repos, files, pii_spans -> a list of hashes a repository

Its host, git history and manifests name them (`repos.people`), and so do its files: AUTHORS,
CODEOWNERS, a mailmap, license headers, authors' tags (`pii_spans.people`). What they name is looked for
in all of its files when they are assembled.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.stage import Lake
from etl.tables import FILES, PII_SPANS, REPOS

MAX_HASHES = 1024  # of a repository: some 300 people; those that most of its files name come first


def gazetteers(lake: Lake, version: int) -> DataFrame:
    """repo_id, people (sorted hashes) and people_digest of each repository that names anybody.

    Cost: joins and groups ids and hashes of the files that name people; no content is read.
    """
    spans = lake.read(PII_SPANS).where((F.col("version") == version) & (F.size("people") > 0))
    files = lake.read(FILES).where("blob_id IS NOT NULL").select("repo_id", "blob_id")
    of_files = files.join(spans.select("blob_id", "people"), on="blob_id", how="inner").select(
        "repo_id", F.explode("people").alias("hash")
    )
    of_repos = lake.read(REPOS).select("repo_id", F.explode("people").alias("hash"))
    counted = of_files.unionByName(of_repos).groupBy("repo_id", "hash").count()
    by_count = F.collect_list(F.struct((-F.col("count")).alias("rarity"), "hash"))
    most = F.slice(F.array_sort(by_count), 1, MAX_HASHES)
    people = counted.groupBy("repo_id").agg(F.array_sort(most["hash"]).alias("people"))
    return people.withColumn("people_digest", F.sha2(F.to_json("people"), 256))
