"""Which appends of a table hold these contents?    ids -> the part of `blobs` or `signatures` they are in

A refresh appends what is new: it lies in data files of its own, whose log says so. What needs only that reads
nothing else: 1 % of new content costs 1 % of a pass, and a scan of ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.batches import CONTENT_ROWS
from etl.stage import Lake
from etl.tables import BLOBS, Table

MAX_APPENDS = 256  # that are told apart


def next_append(lake: Lake, table: Table) -> Column:
    """`added` of rows that are appended now."""
    version = lake.version(table)
    return F.lit(0 if version is None else version + 1).cast("long").alias("added")


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
    return of_appends(blobs, appends_of(held))


def appends_of(rows: DataFrame) -> list[int | None]:
    """The distinct values of `added`. Null: from an older version."""
    return [row["added"] for row in rows.select("added").distinct().collect()]


def of_appends(rows: DataFrame, appends: Iterable[int | None]) -> DataFrame:
    """Rows of these appends; all, where they are too many to be told apart."""
    # By one each: of a list Delta compares the least and the greatest
    terms = [F.col("added").eqNullSafe(F.lit(one)) for one in appends]
    if len(terms) > MAX_APPENDS:
        return rows
    return rows.where(reduce(lambda left, right: left | right, terms, F.lit(False)))


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
