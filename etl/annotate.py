"""What is true of each content?    blobs, files -> facts, name_facts, signatures, pii_spans, license_facts

All annotators that are due run over the new contents in one pass: content crosses from the JVM to
Python once, as Arrow batches of at most 64 MB. What each content still lacks (`due`, ids and names
only) is broadcast to the content, which is never shuffled; ranges of blob_id bound the broadcast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import pairwise

import pyarrow as pa
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.batches import gathered
from etl.config import Config
from etl.contents import class_sizes, contents_of_class, contents_with, next_append
from etl.facts import annotators
from etl.licenses import LICENSE_VERSION
from etl.sources.records import STORED
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    BLOBS,
    FACTS,
    FILES,
    LICENSE_FACTS,
    NAME_FACTS,
    PII_SPANS,
    SIGNATURES,
    Table,
)

FILE_ROWS = 100_000  # contents in one data file of each table of facts: some 110 MB of signatures
RANGE_ROWS = 4_000_000  # contents in one range of blob_id: some 500 MB of ids and names

# Groups of annotators by content alone: the bit in `due`, the column of the pass, the table.
BLOB_GROUPS = (
    (annotators.FACTS_BIT, "facts", FACTS, annotators.FACTS_VERSION),
    (annotators.SIGNATURES_BIT, "signature", SIGNATURES, annotators.SIGNATURES_VERSION),
    (annotators.PII_BIT, "pii", PII_SPANS, annotators.PII_VERSION),
)


OF_ROW = ("blob_id", "version", "added")  # columns of a table of facts that no annotator gives


def _columns_of(table: Table) -> T.StructType:
    return T.StructType([f for f in table.schema if f.name not in OF_ROW])


ANNOTATED = T.StructType(
    [
        T.StructField("blob_id", T.StringType()),
        *(T.StructField(name, _columns_of(table)) for _, name, table, _ in BLOB_GROUPS),
        T.StructField("names", T.ArrayType(_columns_of(NAME_FACTS))),
        T.StructField("licenses", T.ArrayType(_columns_of(LICENSE_FACTS))),
    ]
)


class AnnotateConfig(Config):
    """Annotators have no settings: a threshold belongs to a decision, not to a fact."""

    range_rows: int = Field(
        default=RANGE_ROWS, ge=1, description="contents annotated between two commits"
    )


def annotate(lake: Lake, config: AnnotateConfig) -> Counts:
    """Facts of every stored content and of every name it stands under, new ones only.

    Cost: one read of the new content; ids and names are shuffled once. Each range ends in one
    commit a table, so a killed run goes on with the next range.
    """
    due = lake.staged("due", due_contents(lake))
    sizes = class_sizes(due)
    num_due = sum(sizes.values())
    for low, high in _ranges(-(-num_due // config.range_rows)):
        in_range = _between(low, high)
        due_here = due.where(in_range)
        contents = contents_with(lake, due_here).where(in_range)
        annotated = [
            lake.staged(
                "annotated",
                annotate_contents(contents_of_class(lake, contents, F.broadcast(due_here), number)),
            )
            for number in sorted(sizes)
        ]
        rows = reduce(DataFrame.unionByName, annotated)
        _commit(lake, rows.coalesce(-(-num_due // FILE_ROWS)))
        lake.progress(
            "annotate: contents %s to %s of %d are done", low or "0", high or "f", num_due
        )
    return {"contents_annotated": num_due}


def due_contents(lake: Lake) -> DataFrame:
    """Contents that lack a fact: blob_id, size_class, basenames, roles and the bits of what is due.

    Cost: one shuffle of ids and names by blob_id, two rows a file and one a fact; no content. Names are
    gathered of what is due alone: sets cost ten times as much as numbers.
    """
    stored = lake.read(FILES).where(f"status = '{STORED}'")
    parts = [
        _part(stored, "NULL", size_class="size_class"),
        _part(stored, _NAME, size_class="size_class"),
        _part(stored.where("license_role IS NOT NULL"), _ROLE, size_class="size_class"),
    ]
    for bit, _, table, version in BLOB_GROUPS:
        parts.append(_part(lake.read(table).where(f"version = {version}"), "NULL", done=bit))
    for table, item, version in (
        (NAME_FACTS, _NAME, annotators.NAMES_VERSION),
        (LICENSE_FACTS, _ROLE, LICENSE_VERSION),
    ):
        parts.append(_part(lake.read(table).where(f"version = {version}"), item, done=1))
    every = reduce(lambda bits, group: bits | group[0], BLOB_GROUPS, 0)
    lacking = (
        reduce(DataFrame.union, parts)
        .repartition("blob_id")
        .groupBy("blob_id", "item")
        .agg(F.expr("max(size_class) AS size_class"), F.expr("coalesce(bit_or(done), 0) AS done"))
        .where(f"size_class IS NOT NULL AND IF(item IS NULL, done != {every}, done = 0)")
    )
    return lacking.groupBy("blob_id").agg(
        F.expr("max(size_class) AS size_class"),
        F.expr("collect_list(IF(item LIKE 'n%', substr(item, 2), NULL)) AS basenames"),
        F.expr("collect_list(IF(item LIKE 'r%', substr(item, 2), NULL)) AS roles"),
        F.expr(
            f"bit_or(CASE WHEN item IS NULL THEN {every} & ~done "
            f"WHEN item LIKE 'n%' THEN {annotators.NAMES_BIT} ELSE 0 END) AS due"
        ),
    )


# Items beside the content itself, whose item is null
_NAME = "concat('n', basename)"
_ROLE = "concat('r', license_role)"


def _part(rows: DataFrame, item: str, size_class: str = "NULL", done: object = "NULL") -> DataFrame:
    """blob_id, item; size_class where a file wants it; done: bits of what there is of it."""
    return rows.selectExpr(
        "blob_id",
        f"CAST({item} AS STRING) AS item",
        f"CAST({size_class} AS INT) AS size_class",
        f"CAST({done} AS INT) AS done",
    )


def _ranges(num_ranges: int) -> Iterator[tuple[str, str]]:
    """Bounds of blob_id: lower (inclusive, "" for none) and upper (exclusive, "" for none)."""
    inner = (f"{index * 65536 // num_ranges:04x}" for index in range(1, num_ranges))
    if num_ranges:
        yield from pairwise(["", *inner, ""])


def _between(low: str, high: str) -> Column:
    is_above = F.col("blob_id") >= low
    return is_above & (F.col("blob_id") < high) if high else is_above


def annotate_contents(contents: DataFrame) -> DataFrame:
    """blob_id, content, basenames, roles, due -> one row of `ANNOTATED` each; a narrow pass."""
    return contents.mapInArrow(annotate_batches, ANNOTATED)


def annotate_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What the pass does in a worker: blob_id, content, basenames, roles, due -> `ANNOTATED`."""
    from etl.facts.annotators import annotate_batch  # loads compiled kernels: in the worker only
    from etl.licenses import license_candidates

    for batch in gathered(batches):
        facts = annotate_batch(batch)
        licenses = license_candidates(batch.column("content"), batch.column("roles"))
        yield facts.append_column("licenses", licenses)


def _commit(lake: Lake, annotated: DataFrame) -> None:
    rows: dict[Table, DataFrame] = {}
    for _, name, table, version in BLOB_GROUPS:
        found = annotated.where(F.col(name).isNotNull())
        rows[table] = found.select("blob_id", F.lit(version).alias("version"), f"{name}.*")
    rows[SIGNATURES] = rows[SIGNATURES].withColumn("added", next_append(lake, SIGNATURES))
    for name, table, version in (
        ("names", NAME_FACTS, annotators.NAMES_VERSION),
        ("licenses", LICENSE_FACTS, LICENSE_VERSION),
    ):
        found = annotated.select("blob_id", F.explode(name).alias("fact"))
        rows[table] = found.select("blob_id", F.lit(version).alias("version"), "fact.*")
    lake.append_all({table: found.select(*table.columns) for table, found in rows.items()})


STAGE = Stage(
    "annotate",
    "what is true of each content?",
    reads=(FILES, BLOBS),
    writes=(FACTS, NAME_FACTS, SIGNATURES, PII_SPANS, LICENSE_FACTS),
    config_type=AnnotateConfig,
    run=annotate,
)
