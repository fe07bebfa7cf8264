"""Which appends of `blobs` hold these contents?    ids -> the part of `blobs` they are in

A refresh appends what is new: it lies in data files of its own, whose log says so. What needs only that reads
nothing else: 1 % of new content costs 1 % of a pass, and a scan of ids.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.batches import CONTENT_ROWS
from etl.stage import Lake
from etl.tables import BLOBS

MAX_APPENDS = 256  # that are told apart


def next_append(lake: Lake) -> int:
    """`blobs.added` of rows that are appended now."""
    version = lake.version(BLOBS)
    return 0 if version is None else version + 1


def contents_with(lake: Lake, ids: DataFrame) -> DataFrame:
    """`blobs` without the appends that hold none of `ids` (blob_id).

    Cost: where there was more than one append, a scan of ids, 70 bytes a content; `ids` are broadcast.
    """
    blobs = lake.read(BLOBS)
    if not lake.version(BLOBS):
        return blobs
    held = blobs.select("blob_id", "added").join(
        F.broadcast(ids.select("blob_id")), on="blob_id", how="left_semi"
    )
    appends = [row["added"] for row in held.select("added").distinct().collect()]
    if len(appends) > MAX_APPENDS:
        return blobs
    # By one each: of a list Delta compares the least and the greatest. Null: from an older version
    terms = [F.col("added").eqNullSafe(one) for one in appends]
    return blobs.where(reduce(lambda left, right: left | right, terms, F.lit(False)))


def class_sizes(rows: DataFrame) -> dict[int, int]:
    """How many rows there are of each size class."""
    counts = rows.groupBy("size_class").count().collect()
    return {row["size_class"]: row["count"] for row in counts}


def contents_of_class(
    lake: Lake, contents: DataFrame, wanted: DataFrame, size_class: int
) -> DataFrame:
    """`wanted` (blob_id, size_class, ...) of one size class with content; Arrow batches are set to its size."""
    lake.batch_rows(CONTENT_ROWS[size_class])
    is_of_class = F.col("size_class") == size_class
    texts = contents.where(is_of_class).select("blob_id", "content")
    return texts.join(wanted.where(is_of_class).drop("size_class"), on="blob_id", how="inner")
