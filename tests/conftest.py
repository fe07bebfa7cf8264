"""One Spark session for all tests: two cores, ANSI mode, Delta from the project's jars."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.lake import DeltaLake


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from jobs.session import SessionConfig, open_session

    scratch = tmp_path_factory.mktemp("spark")
    os.environ["SPARK_LOCAL_DIRS"] = str(scratch)
    config = SessionConfig(
        master="local[2]",
        spark={
            "spark.sql.shuffle.partitions": "2",
            "spark.default.parallelism": "2",
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.driver.memory": "2g",
            "spark.databricks.delta.snapshotPartitions": "1",
        },
    )
    session = open_session("tests", config)
    assert session.conf.get("spark.sql.ansi.enabled") == "true"
    yield session
    session.stop()


@pytest.fixture()
def lake(spark: SparkSession, tmp_path: Path) -> DeltaLake:
    from jobs.lake import DeltaLake

    return DeltaLake(spark, str(tmp_path / "lake"))
