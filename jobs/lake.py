"""Where the tables lie and how they are read and written: Delta, one commit a write.

A lake is a folder (LAKE/TABLE) or a schema of a catalog (CATALOG.SCHEMA.TABLE). With a sample, the
tables written lie under LAKE/samples/SHARE; a table that is not there yet is read from the lake
itself, limited to the sampled repositories.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.errors import ConfigError, ContractError
from etl.shares import is_below
from etl.sources.paths import FILE_URI
from etl.stage import SourceFiles
from etl.tables import FILES, SCHEMA_VERSION, Table

logger = logging.getLogger(__name__)

SCHEMA_PROPERTY = "stackmill.schemaVersion"
PAGE_PROPERTY = "parquet.page.row.count.limit"  # Delta hands it to Parquet's writer

COMPLETE = ".complete"  # written last into the folder of an export

MISSING = {  # error classes of a table that is not there
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_PATH_NOT_EXIST",
    "TABLE_OR_VIEW_NOT_FOUND",
    "PATH_NOT_FOUND",
    "SCHEMA_NOT_FOUND",
}
NO_VERSION = 2**63 - 1  # of no table

NO_FILES = "UNABLE_TO_INFER_SCHEMA"  # of a folder that holds no data files


class DeltaLake:
    """See `etl.stage.Lake`."""

    def __init__(
        self, spark: SparkSession, location: str, sample: float = 1.0, staging: str | None = None
    ) -> None:
        self.spark = spark
        self.is_catalog = is_catalog(location)
        self.location = location if self.is_catalog else absolute(location)
        self.sample = sample
        self.staging = staging
        self._checked: set[str] = set()  # identifiers whose schema is known to be understood
        self._known: dict[str, tuple[str, int] | None] = {}  # table -> (identifier, version)

    # --- names

    @property
    def home(self) -> str:
        """Folder that this run writes to."""
        return self.location if self.sample >= 1 else f"{self.location}/samples/{self.sample:g}"

    def identifier(self, table: Table, home: str | None = None) -> str:
        if self.is_catalog:
            suffix = (
                "" if self.sample >= 1 or home else f"_sample_{self.sample:g}".replace(".", "_")
            )
            return f"{self.location}.{table.name}{suffix}"
        return f"delta.`{home or self.home}/{table.name}`"

    # --- reading

    def read(self, table: Table) -> DataFrame:
        found = self._find(table, self.identifier(table))
        if found is None and self.sample < 1:
            return self._sampled(table)
        return self._no_rows(table) if found is None else self._rows(table, found)

    def read_source(self, kind: str, path: str, without: Iterable[str] = ()) -> DataFrame:
        """Without columns where no file is. Raises ConfigError for a path where nothing is."""
        rows = self._source(kind, path)
        if kind == "parquet" and rows.columns:  # by the schema of a whole file; the rest strictly
            rows = self.spark.read.schema(rows.schema).parquet(path)
        left_out = list(without)
        file = F.regexp_replace("_metadata.file_path", *FILE_URI)
        return rows.where(~file.isin(left_out)) if left_out else rows

    def source_files(self, kind: str, path: str) -> SourceFiles:
        """A Parquet file is damaged if its footer cannot be read: it gives no row, and alone an error.

        Cost: one job over names and footers. Raises ConfigError as `read_source`, and where all are
        damaged.
        """
        rows = self._source(kind, path)
        if not rows.columns:
            if kind == "parquet" and self._has_parquet(path):
                raise ConfigError(
                    f"ingest.sources: parquet: expected Parquet files at {path}, found none that can be "
                    "read: fetch them again"
                )
            return SourceFiles((), ())
        found = rows.select(
            F.regexp_replace("_metadata.file_path", *FILE_URI),
            "_metadata.file_size",
            "_metadata.file_modification_time",
        )
        listed = sorted((row[0], row[1], str(row[2])) for row in found.distinct().toLocalIterator())
        damaged: list[str] = []
        if kind == "parquet":
            named = {re.sub(*FILE_URI, file) for file in rows.inputFiles()}
            silent = named - {file for file, _, _ in listed}
            damaged = [file for file in sorted(silent) if not self._is_whole(file)]
        return SourceFiles(tuple(listed), tuple(damaged))

    def _source(self, kind: str, path: str) -> DataFrame:
        reader = self.spark.read
        try:
            if kind == "jsonl":
                return reader.json(path)
            if kind == "parquet":
                return reader.option("ignoreCorruptFiles", "true").parquet(path)
            return reader.format(kind).load(path)
        except AnalysisException as error:
            if _condition(error) == NO_FILES:
                return self.spark.createDataFrame([], T.StructType([]))
            if _condition(error) not in MISSING:
                raise
            raise ConfigError(
                f"ingest.sources: {kind}: expected data at {path}, found nothing: check the path"
            ) from None

    def _has_parquet(self, path: str) -> bool:
        files = self.spark.read.format("binaryFile").option("pathGlobFilter", "*.parquet")
        return bool(files.load(path).select("path").limit(1).collect())

    def _is_whole(self, file: str) -> bool:
        try:
            return bool(self.spark.read.parquet(unquote(file)).columns)
        except Exception:  # noqa: BLE001  Spark gives many kinds for a footer that is none
            return False

    def folder(self, name: str) -> str:
        """LAKE/name, or for a sample of its own. Raises ConfigError for a catalog, which has no folder."""
        if self.is_catalog:
            raise ConfigError(
                f"{name}: expected a lake that is a folder, found the catalog {self.location}: set --lake"
            )
        return f"{self.home}/{name}"

    def exists(self, table: Table) -> bool:
        return self.version(table) is not None or (
            self.sample < 1 and self._find(table, self.identifier(table, self.location)) is not None
        )

    def version(self, table: Table) -> int | None:
        """Its current Delta version; None if it does not exist."""
        found = self._find(table, self.identifier(table))
        return None if found is None else found[1]

    def _no_rows(self, table: Table) -> DataFrame:
        """A plan that the optimiser sees to be empty."""
        return self.spark.createDataFrame([], table.schema).where(F.lit(False))

    def _rows(self, table: Table, found: tuple[str, int]) -> DataFrame:
        rows = self.spark.sql(_at_version(*found))
        missing = [name for name in table.columns if name not in rows.columns]
        for name in missing:  # written by an older version: the column did not exist yet
            rows = rows.withColumn(name, F.lit(None).cast(table.schema[name].dataType))
        return rows.select(*table.columns)

    def _sampled(self, table: Table) -> DataFrame:
        found = self._find(table, self.identifier(table, home=self.location))
        if found is None:
            return self._no_rows(table)
        rows = self._rows(table, found)
        if "repo_id" in table.columns:
            return rows.where(in_sample("repo_id", self.sample))
        if "blob_id" in table.columns:
            kept = self.read(FILES).select("blob_id").distinct()
            return rows.join(kept, on="blob_id", how="left_semi")
        return rows

    def _find(self, table: Table, identifier: str) -> tuple[str, int] | None:
        """Identifier and version of an existing table whose schema this version understands."""
        if identifier not in self._known:
            self._known[identifier] = self._look_up(table, identifier)
        return self._known[identifier]

    def _look_up(self, table: Table, identifier: str) -> tuple[str, int] | None:
        if identifier not in self._checked and not self._check(table, identifier):
            return None
        return identifier, self._last_version(identifier)

    def _last_version(self, identifier: str) -> int:
        """Delta names it when asked for one that cannot be: a history would be two Spark jobs."""
        try:
            _ = self.spark.sql(_at_version(identifier, NO_VERSION)).schema
        except AnalysisException as error:
            found = re.search(r"Available versions: \[\d+, (\d+)\]", str(error))
            if found:
                return int(found[1])
        last = self.spark.sql(f"DESCRIBE HISTORY {identifier} LIMIT 1").select("version").first()
        return int(last["version"]) if last is not None else 0

    def _check(self, table: Table, identifier: str) -> bool:
        """Whether the table exists. Raises ContractError for one that is not to be understood."""
        try:
            rows = self.spark.sql(f"SHOW TBLPROPERTIES {identifier}").collect()
        except AnalysisException as error:
            if _condition(error) in MISSING:
                return False
            raise
        written_by = int({row["key"]: row["value"] for row in rows}.get(SCHEMA_PROPERTY, "0"))
        if written_by > SCHEMA_VERSION:
            raise ContractError(
                f"{identifier}: expected a table of schema version {SCHEMA_VERSION} or older, found "
                f"{written_by}: it was written by a newer Stackmill; upgrade this installation"
            )
        _check_columns(table, identifier, self.spark.table(identifier).schema)
        self._checked.add(identifier)
        return True

    # --- writing

    def append(self, table: Table, rows: DataFrame) -> None:
        self._take_from_lake(table)
        self._write(table, rows, "append", {})

    def append_all(self, rows: Mapping[Table, DataFrame]) -> None:
        """A small commit is mostly waiting: they run at the same time."""
        with ThreadPoolExecutor(max_workers=len(rows)) as pool:
            for done in [pool.submit(self.append, table, new) for table, new in rows.items()]:
                done.result()

    def overwrite(self, table: Table, rows: DataFrame) -> None:
        self._write(table, rows, "overwrite", {})

    def replace_repos(self, table: Table, rows: DataFrame, repo_ids: Iterable[str]) -> None:
        repo_ids = sorted(set(repo_ids))
        buckets = sorted({repo_id[:2] for repo_id in repo_ids})
        if not buckets:
            return
        self._take_from_lake(table)
        if self.version(table) is None:
            self.overwrite(table, rows)
            return
        others = self.read(table).where(_in_buckets(buckets))
        touched = self.local_rows(((repo_id,) for repo_id in repo_ids), "repo_id string")
        rows = others.join(F.broadcast(touched), on="repo_id", how="left_anti").unionByName(
            rows.select(*table.columns)
        )
        self._write(table, rows, "overwrite", {"replaceWhere": _in_buckets(buckets)})

    def delete(self, table: Table, keys: DataFrame) -> None:
        if keys.isEmpty():
            return
        self._take_from_lake(table)
        found = self._find(table, self.identifier(table))
        if found is None:
            return
        view = f"stackmill_{uuid.uuid4().hex}"
        keys.createOrReplaceTempView(view)
        matches = " AND ".join(f"t.`{name}` = k.`{name}`" for name in keys.columns)
        self.spark.sql(
            f"MERGE INTO {found[0]} t USING {view} k ON {matches} WHEN MATCHED THEN DELETE"
        )
        self.spark.catalog.dropTempView(view)
        self._written(table)

    def _take_from_lake(self, table: Table) -> None:
        """Before a sample's table is changed in part it gets the lake's rows of the sample."""
        if self.sample < 1 and self.version(table) is None and self.exists(table):
            self.overwrite(table, self.read(table))

    def _write(self, table: Table, rows: DataFrame, mode: str, options: dict[str, str]) -> None:
        identifier = self.identifier(table)
        rows = rows.select(*table.columns)
        _check_columns(table, "rows to be written", rows.schema)
        if self._find(table, identifier) is None:
            self._create(table, identifier, rows)
            self._checked.add(identifier)
        elif self.is_catalog:
            self._writer(rows, mode, options).saveAsTable(identifier)
        else:
            self._writer(rows, mode, options).save(f"{self.home}/{table.name}")
        self._written(table)

    def _writer(self, rows: DataFrame, mode: str, options: dict[str, str]) -> DataFrameWriter:
        """A table written by an older version gains the columns that it lacks."""
        writer = rows.write.format("delta").mode(mode).option("mergeSchema", "true")
        return writer.options(**options)

    def _written(self, table: Table) -> None:
        self._known.pop(self.identifier(table), None)

    def _create(self, table: Table, identifier: str, rows: DataFrame) -> None:
        """The table with its first rows, as its contract says: one commit."""
        described = rows.select(
            *(
                F.col(field.name).alias(field.name, metadata=field.metadata)
                for field in table.schema
            )
        )
        kept_by_delta = {
            "delta.dataSkippingStatsColumns": ",".join(table.statistics),
            "delta.enableDeletionVectors": "false",
        }
        own = {
            SCHEMA_PROPERTY: str(SCHEMA_VERSION),
            "stackmill.targetFileBytes": str(table.file_bytes),
            PAGE_PROPERTY: str(table.page_rows),
        }
        writer = described.writeTo(identifier).using("delta")
        for name, value in (kept_by_delta | own).items():
            writer = writer.tableProperty(name, value)
        if table.partitions:
            first, *others = (F.col(name) for name in table.partitions)
            writer = writer.partitionedBy(first, *others)
        try:
            writer.create()
        except AnalysisException as error:
            if self.is_catalog or _condition(error) != "TABLE_OR_VIEW_ALREADY_EXISTS":
                raise
            # Files of a first write that was killed lie there, but no table
            again = self._writer(described, "append", kept_by_delta).partitionBy(*table.partitions)
            again.save(f"{self.home}/{table.name}")
            settings = ", ".join(
                f"{_quoted(name)} = {_quoted(value)}" for name, value in own.items()
            )
            self.spark.sql(f"ALTER TABLE {identifier} SET TBLPROPERTIES ({settings})")

    # --- what is neither

    def local_rows(self, rows: Iterable[tuple[Any, ...]], schema: str | T.StructType) -> DataFrame:
        return self.spark.createDataFrame(list(rows), schema)

    def staged(self, name: str, rows: DataFrame) -> DataFrame:
        path = f"{self.staging_home}/{name}-{uuid.uuid4().hex}"
        rows.write.parquet(path)
        return self.spark.read.schema(rows.schema).parquet(path)

    @property
    def staging_home(self) -> str:
        if self.staging is None and self.is_catalog:
            raise ConfigError(
                f"staging: expected a folder, found none: the lake {self.location} is a catalog's "
                "schema, so set `staging` to a folder or volume that the cluster can write"
            )
        return self.staging or f"{self.home}/_staging"

    def clear_staging(self) -> None:
        """Removes what was staged, by this run and by one that was killed: one writer at a time."""
        files = self._files(self.staging_home)
        if files is None:
            logger.warning("%s: not cleared: Spark Connect has no file system", self.staging_home)
        else:
            files[0].delete(files[1], True)

    def batch_rows(self, num_rows: int) -> None:
        self.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", str(num_rows))

    def export(self, rows: DataFrame, path: str) -> None:
        """Without Spark's own marker: `datasets` would take it for a data file."""
        path = absolute(path)
        writer = rows.write.mode("overwrite")
        writer.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").parquet(path)
        files = self._files(f"{path}/{COMPLETE}")
        if files is not None:
            files[0].create(files[1], True).close()

    def is_complete(self, path: str) -> bool:
        """Over Spark Connect nothing can be seen: export again."""
        files = self._files(f"{absolute(path)}/{COMPLETE}")
        return files is not None and bool(files[0].exists(files[1]))

    def _files(self, path: str) -> tuple[Any, Any] | None:
        """Hadoop's file system of a path, and the path; None over Spark Connect."""
        jvm = getattr(self.spark, "_jvm", None)
        if jvm is None:
            return None
        hadoop_path = jvm.org.apache.hadoop.fs.Path(path)
        return hadoop_path.getFileSystem(self.spark._jsc.hadoopConfiguration()), hadoop_path

    def progress(self, message: str, *args: object) -> None:
        logger.info(message, *args)


def _condition(error: AnalysisException) -> str:
    """Its name, whatever PySpark calls it: error class, from 4.0 on condition."""
    named = getattr(error, "getCondition", error.getErrorClass)
    return named() or ""


def _at_version(identifier: str, version: int) -> str:
    return f"SELECT * FROM {identifier} VERSION AS OF {version}"


def is_catalog(location: str) -> bool:
    """CATALOG.SCHEMA: no slash and one dot inside."""
    return "/" not in location and location.strip(".").count(".") == 1


def absolute(location: str) -> str:
    """A local folder's absolute path; a URI as it is."""
    location = location.rstrip("/") or "/"
    return location if ":" in location.split("/")[0] else str(Path(location).absolute())


def in_sample(repo_id: str, sample: float) -> Column:
    """`etl.ingest.is_sampled`, as a column."""
    return is_below(repo_id, sample)


def _in_buckets(buckets: list[str]) -> str:
    """SQL: repo_id begins with one of these two hex digits, as ranges that statistics can skip by."""
    numbers = [int(bucket, 16) for bucket in buckets]
    terms, start = [], 0
    for index, number in enumerate(numbers):
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            upper = "" if number == 255 else f" AND repo_id < '{number + 1:02x}'"
            terms.append(f"(repo_id >= '{numbers[start]:02x}'{upper})")
            start = index + 1
    return " OR ".join(terms)


def _check_columns(table: Table, where: str, found: T.StructType) -> None:
    types = {field.name: field.dataType.simpleString() for field in found}
    wrong = [
        f"{field.name} {field.dataType.simpleString()} (found {types[field.name]})"
        for field in table.schema
        if types.get(field.name, field.dataType.simpleString()) != field.dataType.simpleString()
    ]
    missing = [name for name in table.key if name not in types]
    if wrong or missing:
        raise ContractError(
            f"{where}: not the table `{table.name}`: expected columns {', '.join(wrong + missing)}: "
            "was it written by something else? Move it away or point `lake` elsewhere"
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
