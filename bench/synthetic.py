"""A lake of made-up ids and sketches, to see how the cost of a refresh grows with the corpus.

    python -m bench.synthetic LAKE FIRST LAST     # adds documents FIRST to LAST - 1
    python -m bench.synthetic LAKE stars LAST     # other star counts for every tenth repository

Sketches are random, so no two documents are candidates: what is measured is what a document costs
that is like no other, which is reading the ids, the sketches, the index and the tables of the election.
500 documents a repository, one file each; `blobs` has no content.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.contents import next_append
from etl.facts.annotators import SIGNATURES_VERSION
from etl.facts.minhash import POSITIONS
from etl.tables import BLOBS, FILES, REPOS, SIGNATURES, Table
from jobs.lake import DeltaLake
from jobs.session import SessionConfig, open_session

A_REPO = 500
SHINGLES = 500
SKETCH = T.StructType([T.StructField("id", T.LongType()), T.StructField("sketch", T.BinaryType())])


def _sketches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ids = np.asarray(batch.column("id"))
        rows = [
            np.random.default_rng(int(row)).integers(0, 1 << 32, POSITIONS, np.uint32)
            for row in ids
        ]
        data = pa.array([row.tobytes() for row in rows], pa.binary())
        yield pa.RecordBatch.from_arrays([batch.column("id"), data], names=SKETCH.names)


def add(lake: DeltaLake, first: int, last: int) -> None:
    ids = lake.spark.range(first, last, numPartitions=max(2, (last - first) // 50_000))
    blob_id = F.sha2(F.concat(F.lit("synthetic "), F.col("id").cast("string")), 256)
    repo_id = F.md5(F.floor(F.col("id") / A_REPO).cast("string"))
    lake.batch_rows(10_000)
    sketches = ids.mapInArrow(_sketches, SKETCH).select(
        blob_id.alias("blob_id"),
        F.lit(SIGNATURES_VERSION).alias("version"),
        F.lit(SHINGLES + 4).cast("long").alias("num_tokens"),
        F.lit(SHINGLES).cast("long").alias("num_shingles"),
        F.xxhash64("id").alias("set_hash"),
        "sketch",
        next_append(lake, SIGNATURES),
    )
    files = ids.select(
        repo_id.alias("repo_id"),
        F.concat(F.lit("src/"), F.col("id").cast("string"), F.lit(".py")).alias("path"),
        F.lit("stored").alias("status"),
        blob_id.alias("blob_id"),
        blob_id.alias("text_id"),
    )
    blobs = ids.select(
        blob_id.alias("blob_id"), F.lit(0).alias("size_class"), blob_id.alias("text_id")
    )
    lake.append(SIGNATURES, sketches)
    lake.append(FILES, _whole(FILES, files))
    lake.append(BLOBS, _whole(BLOBS, blobs))
    known = lake.read(REPOS).select("repo_id")
    repos = files.select("repo_id").distinct().join(known, on="repo_id", how="left_anti")
    lake.append(REPOS, _whole(REPOS, repos.withColumn("stars", _stars(0))))


def other_stars(lake: DeltaLake, last: int) -> None:
    repos = lake.spark.range(0, -(-last // A_REPO)).select(
        F.md5(F.col("id").cast("string")).alias("repo_id"),
        F.when(F.col("id") % 10 == 0, F.lit(100_000)).otherwise(F.lit(0)).alias("more"),
    )
    found = repos.withColumn("stars", _stars(0) + F.col("more")).drop("more")
    lake.overwrite(REPOS, _whole(REPOS, found))


def _stars(least: int) -> F.Column:  # type: ignore[name-defined]
    return F.pmod(F.xxhash64("repo_id"), F.lit(1000)) + least


def _whole(table: Table, rows: DataFrame) -> DataFrame:
    for name in table.columns:
        if name not in rows.columns:
            rows = rows.withColumn(name, F.lit(None).cast(table.schema[name].dataType))
    return rows.select(
        *(F.col(name).cast(table.schema[name].dataType).alias(name) for name in table.columns)
    )


def main(folder: str, first: str, last: str) -> None:
    spark = open_session("bench", SessionConfig())
    lake = DeltaLake(spark, folder)
    if first == "stars":
        other_stars(lake, int(last))
    else:
        add(lake, int(first), int(last))


if __name__ == "__main__":
    main(*sys.argv[1:])
