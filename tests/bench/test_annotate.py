"""`make bench` over a few files: every way that it measures does its work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.annotate import WAYS, measure, write_lake
from etl.tables import BLOBS, FACTS
from jobs.lake import DeltaLake

pytestmark = pytest.mark.spark


def files() -> Iterator[tuple[str, bytes]]:
    yield "a/one.py", b"def one():\n    return 1\n"
    yield "a/LICENSE", b"Permission is hereby granted\n"
    yield "b/mail.py", b"# ann@stackmill-example.org\nkey = 'no key'\n"


def test_each_way_is_timed_over_all_contents(lake: DeltaLake) -> None:
    num_bytes = sum(len(raw) for _, raw in files())
    assert write_lake(lake, files, 2 * num_bytes) == 2 * num_bytes  # each file under two ids
    assert lake.read(BLOBS).count() == 6
    found = measure(lake, "tiny", 0, list(WAYS))
    assert set(found) == {f"{way}_{unit}" for way in WAYS for unit in ("s", "cpu_s")}
    assert min(found[f"{way}_s"] for way in WAYS) > 0
    spark = lake.spark
    ids = {row["blob_id"] for row in lake.read(BLOBS).collect()}
    for table in ("copy", "annotated"):
        rows = spark.read.format("delta").load(f"{lake.location}/{table}").collect()
        assert sorted(row["blob_id"] for row in rows) == sorted(ids), table
    facts = DeltaLake(spark, lake.location).read(FACTS).collect()
    assert sorted(row["blob_id"] for row in facts) == sorted(ids)
