"""A lake whose tables are rows in memory: the decisions without the cost of a commit each.

`jobs.lake.DeltaLake` is tested on its own; what only reads and overwrites tables does not need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from etl.tables import Table


class MemoryLake:
    """The part of `etl.stage.Lake` that a stage of SQL over small tables needs."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.sample = 1.0
        self.tables: dict[str, list[Any]] = {}

    def read(self, table: Table) -> DataFrame:
        return self.spark.createDataFrame(self.tables.get(table.name, []), table.schema)

    def exists(self, table: Table) -> bool:
        return table.name in self.tables

    def local_rows(self, rows: Iterable[tuple[Any, ...]], schema: str | T.StructType) -> DataFrame:
        return self.spark.createDataFrame(list(rows), schema)

    def staged(self, name: str, rows: DataFrame) -> DataFrame:
        return self.spark.createDataFrame(rows.collect(), rows.schema)

    def overwrite(self, table: Table, rows: DataFrame) -> None:
        found = rows.select(*table.columns)
        types = [(field.name, field.dataType.simpleString()) for field in found.schema]
        assert types == [(field.name, field.dataType.simpleString()) for field in table.schema]
        self.tables[table.name] = found.collect()

    def replace_repos(self, table: Table, rows: DataFrame, repo_ids: Iterable[str]) -> None:
        gone = set(repo_ids)
        place = table.columns.index("repo_id")
        new = [tuple(row) for row in rows.select(*table.columns).collect()]
        kept = [row for row in self.tables.get(table.name, []) if row[place] not in gone]
        self.put(table, kept + new)

    def batch_rows(self, num_rows: int) -> None:
        pass

    def progress(self, message: str, *args: object) -> None:
        pass
