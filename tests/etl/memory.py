"""A lake whose tables are rows in memory: the decisions without the cost of a commit each.

`jobs.lake.DeltaLake` is tested on its own; what only reads and overwrites tables does not need it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from etl.tables import Table


class MemoryLake:
    """The part of `etl.stage.Lake` that a stage of SQL over small tables needs."""

    def __init__(self, spark: SparkSession, root: Path | None = None) -> None:
        self.spark = spark
        self.root = root
        self.sample = 1.0
        self.tables: dict[str, list[Any]] = {}
        self.versions: dict[str, int] = {}  # table -> number of its writes

    def read(self, table: Table) -> DataFrame:
        return self.spark.createDataFrame(self.tables.get(table.name, []), table.schema)

    def folder(self, name: str) -> str:
        assert self.root is not None
        return str(self.root / name)

    def exists(self, table: Table) -> bool:
        return table.name in self.tables

    def local_rows(self, rows: Iterable[tuple[Any, ...]], schema: str | T.StructType) -> DataFrame:
        return self.spark.createDataFrame(list(rows), schema)

    def staged(self, name: str, rows: DataFrame) -> DataFrame:
        return self.spark.createDataFrame(rows.collect(), rows.schema)

    def version(self, table: Table) -> int | None:
        return self.versions.get(table.name)

    def overwrite(self, table: Table, rows: DataFrame) -> None:
        self._put(table, self._rows(table, rows))

    def append(self, table: Table, rows: DataFrame) -> None:
        self._put(table, self.tables.get(table.name, []) + self._rows(table, rows))

    def replace_repos(self, table: Table, rows: DataFrame, repo_ids: Iterable[str]) -> None:
        gone = set(repo_ids)
        kept = [row for row in self.tables.get(table.name, []) if row["repo_id"] not in gone]
        self._put(table, kept + self._rows(table, rows))

    def delete(self, table: Table, keys: DataFrame) -> None:
        gone = {tuple(row) for row in keys.collect()}
        rows = self.tables.get(table.name, [])
        kept = [row for row in rows if tuple(row[name] for name in keys.columns) not in gone]
        if len(kept) < len(rows):
            self._put(table, kept)

    def _rows(self, table: Table, rows: DataFrame) -> list[Any]:
        found = rows.select(*table.columns)
        types = [(field.name, field.dataType.simpleString()) for field in found.schema]
        assert types == [(field.name, field.dataType.simpleString()) for field in table.schema]
        return found.collect()

    def _put(self, table: Table, rows: list[Any]) -> None:
        self.tables[table.name] = rows
        self.versions[table.name] = self.versions.get(table.name, -1) + 1

    def clear_staging(self) -> None:
        pass

    def batch_rows(self, num_rows: int) -> None:
        pass

    def progress(self, message: str, *args: object) -> None:
        pass
