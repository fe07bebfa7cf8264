"""Steps of the flow over a bench lake, in one process: what `bench.dedup` measures as ours.

    python -m bench.ours LAKE CORPUS STEP...

A step is the name of a stage, or

    signatures    the signatures alone, as a pass of their own over `blobs`: an upper bound of their cost
    export        `duplicates` as Parquet beside the lake; the bench takes its cost off
    session       nothing: the session and an empty table write, what every run pays once

Every policy rule is off but the ones about copies: what is kept is the election's choice alone. Each
step's start is printed as a line `# STEP MILLISECONDS`, by which the sampler splits the cost.
STACKMILL_BENCH_SPARK holds further Spark settings as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.corpus import COLUMNS
from etl.annotate import annotate_contents
from etl.batches import CONTENT_ROWS
from etl.contents import next_append
from etl.facts.annotators import SIGNATURES_BIT, SIGNATURES_VERSION
from etl.flow import FLOW
from etl.rules import Rules
from etl.sources.config import SourceConfig
from etl.tables import BLOBS, DUPLICATES, SIGNATURES
from jobs import conf
from jobs.lake import DeltaLake
from jobs.runner import Arguments, Refresh, start_logging
from jobs.session import open_session

STAGES = {stage.name: stage for stage in FLOW}
COPIES = ("exact_duplicate", "near_duplicate")  # rules that stay on


def signatures(lake: DeltaLake) -> None:
    """`signatures` of every content, by the annotate stage's own kernel and batches."""
    parts = []
    present = {
        row["size_class"] for row in lake.read(BLOBS).select("size_class").distinct().collect()
    }
    for size_class in sorted(present):
        lake.batch_rows(CONTENT_ROWS[size_class])  # as it is when a job starts: one job a class
        contents = (
            lake.read(BLOBS)
            .where(F.col("size_class") == size_class)
            .select(
                "blob_id",
                "content",
                F.array().cast("array<string>").alias("basenames"),
                F.array().cast("array<string>").alias("roles"),
                F.lit(SIGNATURES_BIT).alias("due"),
            )
        )
        found = annotate_contents(contents).select("blob_id", "signature")
        parts.append(lake.staged("signed", found))
    found = reduce(DataFrame.unionByName, parts)
    version = F.lit(SIGNATURES_VERSION).alias("version")
    added = next_append(lake, SIGNATURES)
    lake.append(SIGNATURES, found.select("blob_id", version, "signature.*", added))
    lake.clear_staging()


def configuration(lake: str, corpus: str) -> conf.PipelineConfig:
    found = conf.load(None, [], lake)
    spark = json.loads(os.environ.get("STACKMILL_BENCH_SPARK", "{}"))
    off = {
        name: getattr(found.decide.rules, name).model_copy(update={"enabled": name in COPIES})
        for name in type(found.decide.rules).model_fields
    }
    source = SourceConfig(kind="parquet", path=corpus, host="bench", columns=COLUMNS)
    rules = found.decide.rules.model_copy(update=off)
    assert isinstance(rules, Rules)
    return found.model_copy(
        update={
            "decide": found.decide.model_copy(update={"rules": rules}),
            "ingest": found.ingest.model_copy(update={"sources": [source]}),
            "session": found.session.model_copy(update={"spark": found.session.spark | spark}),
        }
    )


def main(lake_folder: str, corpus: str, *steps: str) -> None:
    start_logging()
    step("session")
    config = configuration(lake_folder, corpus)
    spark = open_session("bench", config.session)
    lake = DeltaLake(spark, lake_folder)
    refresh = Refresh(Arguments(config, dry_run=False, sample=1.0, force=False), lake)
    warm = DeltaLake(spark, f"{lake_folder}-warm")  # the session's first Delta write costs the most
    warm.overwrite(BLOBS, warm.local_rows([], BLOBS.schema))
    for name in steps:
        step(name)
        if name == "signatures":
            signatures(lake)
        elif name == "export":
            lake.export(lake.read(DUPLICATES), f"{lake_folder}-duplicates")
        elif name != "session":
            refresh.run(STAGES[name])
    step("end")
    logging.getLogger(__name__).info("done")


def step(name: str) -> None:
    sys.stdout.write(f"# {name} {time.time() * 1000:.0f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
