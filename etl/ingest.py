"""Which repositories, files and contents are there?    sources -> repos, files, blobs, source_errors

Units (repositories) are listed on the driver and read on executors, the biggest first. A unit whose
fingerprint is known is not read again. Content goes to a staging table once and from there to `blobs`,
new ones only; what decides which copy of a content is taken is a join on ids. The commit order is blobs,
source_errors, files, what no file names any more, repos: `repos` holds the fingerprints, so a killed run
reads again what it had not finished and ends in the same tables.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.config import Config
from etl.contents import next_append
from etl.facts.pii_names import person_hashes
from etl.licenses import license_role
from etl.sources import reader_for
from etl.sources.config import ROW_KINDS, Limits, SourceConfig
from etl.sources.paths import FILE_URI, basename_extension, path_flags
from etl.sources.records import (
    STORED,
    ErrorRecord,
    FileRecord,
    Record,
    RepoRecord,
    Unit,
)
from etl.sources.rows import column_names, one_row_a_file, read_batch, resolve_columns
from etl.stage import Counts, Lake, Stage
from etl.tables import BLOBS, FACT_TABLES, FILES, REPOS, SOURCE_ERRORS

logger = logging.getLogger(__name__)

READER_VERSION = 2  # part of every fingerprint: a new version reads everything again
TASK_BYTES = 24 << 20  # of listed size: small enough to balance, large enough to be worth a task
FLUSH_BYTES = 16 << 20  # of text in one Arrow batch that a reader hands over
FLUSH_ROWS = 4096
FIRST_ROW_TASK = 1 << 24  # tasks of row sources are numbered from here
READER_FAILED = "reader_failed"  # the reader itself raised: a cause that may pass
SIZE_CLASSES = (1 << 20, 10 << 20)  # upper bounds in bytes of text, see tables.BLOBS


class IngestConfig(Config):
    limits: Limits = Field(default=Limits(), description="what is too big, too many or too deep")
    sources: tuple[SourceConfig, ...] = ()


_FILE = T.StructType(
    [field for field in FILES.schema if field.name not in ("repo_id", "repo_name")]
    + [T.StructField("encoding", T.StringType())]
)
_REPO = T.StructType(
    [
        field
        for field in REPOS.schema
        if field.name not in ("source_kind", "source", "num_files", "num_bytes", "fingerprint")
    ]
)
READ = T.StructType(  # what readers hand over: one of repo, file and error is set in each row
    [
        T.StructField("source_kind", T.StringType()),
        T.StructField("source", T.StringType()),
        T.StructField("fingerprint", T.StringType()),
        T.StructField("repo_id", T.StringType()),
        T.StructField("repo_name", T.StringType()),
        T.StructField("task", T.IntegerType()),  # with row: where a content was found
        T.StructField("row", T.IntegerType()),
        T.StructField("repo", _REPO),
        T.StructField("file", _FILE),
        T.StructField(
            "error",
            T.StructType(
                [T.StructField(name, T.StringType()) for name in ("member", "kind", "message")]
            ),
        ),
        T.StructField("content", T.StringType()),
    ]
)


def ingest(lake: Lake, config: IngestConfig) -> Counts:
    """Reads what is new or changed in the sources into the bronze tables.

    Cost: new content is written twice (staging, blobs); ids are shuffled once. Repositories that
    a configured source no longer has are removed; those of other sources stay.
    Raises: ConfigError for a source that is missing or unreadable as a whole.
    """
    listing = list_sources(config.sources, config.limits, lake)
    order = {source.location: index for index, source in enumerate(config.sources)}
    held = lake.read(REPOS).where(F.col("source").isin(list(order)))
    # Bounded like the listing: one small row a repository of the configured sources
    before = held.select("repo_id", "fingerprint", "source").collect()
    known = {row["repo_id"]: row["fingerprint"] for row in before}

    due = [unit for unit in listing.units if known.get(unit.repo_id) != unit.fingerprint]
    rows_due = [rows for rows in listing.rows if rows.fingerprint not in set(known.values())]
    unchanged_rows = {rows.source.location for rows in listing.rows} - {
        rows.source.location for rows in rows_due
    }
    lake.progress(
        "ingest: %d repositories listed, %d of them to be read; %d of %d tables of rows to be read",
        len(listing.units),
        len(due),
        len(rows_due),
        len(listing.rows),
    )
    read = _read_all(lake, config, due, rows_due)
    unchanged = {unit.repo_id for unit in listing.units} - {unit.repo_id for unit in due}
    gone = {
        row["repo_id"]
        for row in before
        if row["repo_id"] not in unchanged and row["source"] not in unchanged_rows
    }
    return _commit(lake, _Plan(listing, order, gone, unchanged, unchanged_rows), read)


@dataclass(frozen=True)
class _Plan:
    """What a commit replaces and what it leaves."""

    listing: Listing
    order: dict[str, int]  # configured source -> its place
    gone: set[str]  # repositories to be removed or replaced by what was read
    unchanged: set[str]  # repositories that were not read again
    unchanged_rows: set[str]  # sources of rows that were not read again


@dataclass(frozen=True)
class RowSource:
    source: SourceConfig
    fingerprint: str
    files: frozenset[str]
    damaged: tuple[str, ...]  # files of it that are passed over


@dataclass(frozen=True)
class Listing:
    units: tuple[Unit, ...]
    rows: tuple[RowSource, ...]
    errors: tuple[ErrorRecord, ...]


def list_sources(sources: Iterable[SourceConfig], limits: Limits, lake: Lake) -> Listing:
    """What the sources hold, on the driver: about 500 bytes a repository, sorted, no content."""
    settings = json.dumps([READER_VERSION, limits.model_dump(mode="json")], sort_keys=True)
    units: dict[str, Unit] = {}
    rows: list[RowSource] = []
    errors: list[ErrorRecord] = []
    for source in sources:
        if source.kind in ROW_KINDS:
            files = lake.source_files(source.kind, source.location)
            if not files.listed:
                message = "expected rows, one a file, found none"
                errors.append(ErrorRecord(source.location, "", "empty_source", message))
            else:
                listed = [str(file) for file in files.listed]
                text = "\n".join([settings, source.model_dump_json(), *listed])
                fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
                names = frozenset(path for path, _, _ in files.listed)
                rows.append(RowSource(source, fingerprint, names, files.damaged))
            continue
        for found in reader_for(source.kind).list_units(source):
            if isinstance(found, ErrorRecord):
                errors.append(found)
            elif source.leaves_out(found.name):
                continue
            elif found.repo_id in units:
                other = units[found.repo_id]
                message = f"the same repository is read from {other.source}: {other.name}"
                errors.append(
                    ErrorRecord(found.source, found.name, "duplicate_repository", message)
                )
            elif is_sampled(found.repo_id, lake.sample):
                units[found.repo_id] = _with_settings(found, settings)
        lake.progress("ingest: listed %s %s", source.kind, source.path)
    return Listing(tuple(units.values()), tuple(rows), tuple(errors))


def is_sampled(repo_id: str, sample: float) -> bool:
    """Whether a repository lies in the sample: the first 8 hex digits of its id, as a share."""
    return int(repo_id[:8], 16) < int(sample * 2**32)


def _with_settings(unit: Unit, settings: str) -> Unit:
    digest = hashlib.sha256(f"{settings}\n{unit.fingerprint}".encode()).hexdigest()[:32]
    return Unit(**{**asdict(unit), "fingerprint": digest})


# --- reading, on executors


def _read_all(
    lake: Lake, config: IngestConfig, units: list[Unit], rows: list[RowSource]
) -> DataFrame:
    read = lake.local_rows((), READ)
    if units:
        tasks = _tasks(units)
        packed = lake.local_rows(
            ((task, json.dumps(asdict(unit))) for task, unit in tasks), "task int, unit string"
        )
        num_tasks = max(task for task, _ in tasks) + 1
        limits = config.limits.model_dump_json()
        lake.batch_rows(1)  # of units: the reader itself bounds what it hands over
        found = packed.repartitionByRange(num_tasks, "task").mapInArrow(
            lambda batches: _read_units(batches, limits), READ
        )
        read = read.unionByName(lake.staged("units", found))
    for number, source_rows in enumerate(rows):
        read = read.unionByName(_staged_rows(lake, config, source_rows, FIRST_ROW_TASK + number))
    return read


def _staged_rows(lake: Lake, config: IngestConfig, found: RowSource, task: int) -> DataFrame:
    """The rows of a source but for those of damaged files, and an error for each of these.

    A file whose damage shows only while it is read is left out in another reading.
    """
    source, damaged = found.source, list(found.damaged)
    while True:
        lake.batch_rows(64)
        try:
            rows = lake.staged("rows", _read_rows(lake, config, found, damaged, task))
            break
        except Exception as error:  # whatever a reader of Spark's throws: it names the file
            file = _file_named(str(error), found.files.difference(damaged))
            if file is None:
                raise
            damaged.append(file)
            lake.progress("ingest: %s cannot be read and is passed over", file)
    message = "expected a whole file, found one that cannot be read: it was passed over"
    errors = [
        (
            source.kind, source.location, found.fingerprint, None, None, task, -1 - number, None, None,
            (file.rpartition("/")[2], "corrupt_file", message), None,
        )
        for number, file in enumerate(damaged)
    ]  # fmt: skip
    return rows.unionByName(lake.local_rows(errors, READ)) if errors else rows


def _file_named(message: str, files: frozenset[str]) -> str | None:
    """The file of the source that the message of a failed reading names."""
    words = {re.sub(*FILE_URI, word.strip(".,;:'\"()[]")) for word in message.split()}
    return next(iter(sorted(words & files)), None)


def _read_rows(
    lake: Lake, config: IngestConfig, found: RowSource, damaged: list[str], task: int
) -> DataFrame:
    """The rows of a source that is a table. Raises ContractError if columns are missing."""
    source = found.source
    rows = lake.read_source(source.kind, source.location, damaged)
    columns = resolve_columns(column_names(rows.schema), source.columns, source.location)
    rows, columns = one_row_a_file(rows, columns), {name: name for name in columns}
    common = {
        "source_kind": source.kind,
        "source": source.location,
        "fingerprint": found.fingerprint,
    }
    reader = _RowReader(columns, common, source.host or source.location, config.limits, lake.sample)
    tasks = F.lit(task) + F.spark_partition_id()
    return rows.select(*columns.values(), tasks.alias("stackmill_task")).mapInArrow(reader, READ)


class _RowReader:
    """Arrow batches of a source to batches of READ; each repository once a task."""

    def __init__(
        self,
        columns: dict[str, str],
        common: dict[str, Any],
        host: str,
        limits: Limits,
        sample: float,
    ) -> None:
        self.columns, self.common, self.host = columns, common, host
        self.limits, self.sample = limits, sample

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        writer = _Writer()
        repos: set[RepoRecord] = set()
        for batch in batches:
            if len(batch):
                writer.begin(batch.column("stackmill_task")[0].as_py())
            for repo, record in read_batch(
                batch, self.columns, self.common["source"], self.host, self.limits.max_file_bytes
            ):
                if repo is None:
                    writer.add({**self.common, "repo_id": None, "repo_name": None}, record)
                    continue
                if not is_sampled(repo.repo_id, self.sample):
                    continue
                common = {**self.common, "repo_id": repo.repo_id, "repo_name": repo.repo_name}
                if repo not in repos:
                    repos.add(repo)
                    writer.add(common, repo)
                writer.add(common, record)
                yield from writer.full()
        yield from writer.rest()


def _tasks(units: list[Unit]) -> list[tuple[int, Unit]]:
    """Units in tasks of about TASK_BYTES, the biggest first; the same for any order of units."""
    ordered = sorted(units, key=lambda unit: (-unit.size_bytes, unit.repo_id))
    tasks: list[tuple[int, Unit]] = []
    task, filled = 0, 0
    for unit in ordered:
        if filled and filled + unit.size_bytes > TASK_BYTES:
            task, filled = task + 1, 0
        tasks.append((task, unit))
        filled += unit.size_bytes + 4096
    return tasks


def _read_units(batches: Iterable[pa.RecordBatch], limits_json: str) -> Iterator[pa.RecordBatch]:
    limits = Limits.model_validate_json(limits_json)
    writer = _Writer()
    for batch in batches:
        for task, packed in zip(batch["task"], batch["unit"], strict=True):
            unit = Unit(**json.loads(packed.as_py()))
            writer.begin(task.as_py())
            common = {
                "source_kind": unit.kind,
                "source": unit.source,
                "fingerprint": unit.fingerprint,
                "repo_id": unit.repo_id,
                "repo_name": unit.name,
            }
            try:
                for record in reader_for(unit.kind).read_unit(unit, limits):
                    writer.add(common, record)
                    yield from writer.full()
            except Exception as error:  # noqa: BLE001  one bad unit never stops a job
                # Read again next time: the cause may pass. The message of an arbitrary exception
                # could hold content, its class name cannot.
                message = f"the reader failed with {type(error).__name__}"
                error_row = ErrorRecord(unit.source, unit.name, READER_FAILED, message)
                writer.add(common, error_row)
    yield from writer.rest()


class _Writer:
    """Records to Arrow batches of at most FLUSH_ROWS rows and about FLUSH_BYTES of text."""

    def __init__(self) -> None:
        from pyspark.sql.pandas.types import to_arrow_schema

        self.schema = to_arrow_schema(READ)
        self.rows: list[dict[str, Any]] = []
        self.num_bytes = 0
        self.task = 0
        self.row = 0

    def begin(self, task: int) -> None:
        if task != self.task:
            self.task, self.row = task, 0

    def add(self, common: dict[str, Any], record: Record) -> None:
        row = {**common, "task": self.task, "row": self.row}
        self.row += 1
        if isinstance(record, RepoRecord):
            row["repo_name"] = record.repo_name
            row["repo"] = repo_columns(record)
        elif isinstance(record, FileRecord):
            row["file"] = file_columns(record)
            row["content"] = record.text
            self.num_bytes += len(record.text or b"")
        else:
            row["error"] = {
                "member": record.member,
                "kind": record.kind,
                "message": record.message,
            }
        self.rows.append(row)

    def full(self) -> Iterator[pa.RecordBatch]:
        if self.num_bytes >= FLUSH_BYTES or len(self.rows) >= FLUSH_ROWS:
            yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        if self.rows:
            yield pa.RecordBatch.from_pylist(self.rows, schema=self.schema)
            self.rows, self.num_bytes = [], 0


def repo_columns(record: RepoRecord) -> dict[str, Any]:
    columns = {name: getattr(record, name) for name in _REPO.names if name != "people"}
    hashes = {
        value for person in record.people for value in person_hashes(person.name, person.email)
    }
    return {**columns, "people": sorted(hashes)}


def file_columns(record: FileRecord) -> dict[str, Any]:
    """The columns of `files` that follow from a file and its path alone."""
    basename, extension = basename_extension(record.path)
    flags = path_flags(record.path)
    return {
        "path": record.path,
        "basename": basename,
        "extension": extension,
        "status": record.status,
        "blob_id": record.blob_id,
        "text_id": record.text_id,
        "size_bytes": record.size_bytes,
        "is_path_escaped": record.is_path_escaped,
        "is_vendored": flags.is_vendored,
        "is_test": flags.is_test,
        "is_documentation": flags.is_documentation,
        "license_role": license_role(record.path) if record.status == STORED else None,
        "hash_basis": record.hash_basis,
        "source_blob_id": record.source_blob_id,
        "source_encoding": record.source_encoding,
        "encoding": record.encoding,
        "size_class": None if record.text is None else size_class(len(record.text)),
    }


def size_class(num_bytes: int) -> int:
    """As in `tables.BLOBS`, of a text's UTF-8 bytes."""
    return sum(num_bytes > bound for bound in SIZE_CLASSES)


# --- committing


def _commit(lake: Lake, plan: _Plan, read: DataFrame) -> Counts:
    rows = _claimed(lake, read.drop("content"), plan)
    files = _one_file_a_path(rows.where("is_mine AND file IS NOT NULL"))
    files = lake.staged("files-read", files)
    kept_files = files.where("is_least")

    new_blobs = lake.staged("blob-places", _new_blobs(lake, kept_files))
    num_blobs = new_blobs.count()
    if num_blobs:
        new_blobs = new_blobs.withColumn("added", next_append(lake, BLOBS))
        lake.append(BLOBS, _contents(read, new_blobs))
    _replace_errors(lake, _errors(lake, plan.listing, rows, files.where("NOT is_least")), plan)
    repos = _repos(rows.where("is_mine"), kept_files)
    with_repo = rows.where("is_mine AND repo IS NOT NULL").select("repo_id").distinct()
    repo_ids = {row["repo_id"] for row in with_repo.collect()}  # bounded like the listing
    touched = repo_ids | plan.gone
    if touched:
        lake.replace_repos(FILES, kept_files.select(*FILES.columns), touched)
        if plan.gone:
            _sweep(lake)
        lake.replace_repos(REPOS, repos, touched)
    totals = lake.read(FILES).groupBy("status").count().collect()
    return {
        "repos_listed": len(plan.listing.units),
        "repos_read": len(repo_ids),
        "repos_removed": len(plan.gone - repo_ids),
        "blobs_new": num_blobs,
        "source_errors": lake.read(SOURCE_ERRORS).count(),
        **{f"files_{row['status']}": int(row["count"]) for row in totals},
    }


def _claimed(lake: Lake, read: DataFrame, plan: _Plan) -> DataFrame:
    """What was read, with whether it `is_mine`, and else the repository's `owner`.

    A repository that two sources hold belongs to the first of them in the configuration. Of units
    (no rows) the listing has told that already.
    """
    if not plan.listing.rows:
        return read.withColumns({"owner": F.lit(None).cast("string"), "is_mine": F.lit(True)})
    places = F.broadcast(lake.local_rows(plan.order.items(), "source string, place int"))
    claims = read.where("repo IS NOT NULL").select("repo_id", "source")
    if lake.exists(REPOS):
        gone = F.broadcast(
            lake.local_rows(((repo,) for repo in sorted(plan.gone)), "repo_id string")
        )
        held = lake.read(REPOS).join(gone, on="repo_id", how="left_anti")
        claims = claims.unionByName(held.select("repo_id", "source"))
    owners = (
        claims.join(places, on="source", how="inner")
        .groupBy("repo_id")
        .agg(
            F.min(F.struct("place", "source"))["source"].alias("owner"),
            F.count_distinct("source").alias("claims"),
        )
        .where("claims > 1")
        .select("repo_id", "owner")
    )
    owners = lake.staged("owners", owners)
    is_mine = F.coalesce(F.col("source") == F.col("owner"), F.lit(True))
    joined = read.join(F.broadcast(owners), on="repo_id", how="left")
    return joined.withColumn("is_mine", is_mine)


def _one_file_a_path(read: DataFrame) -> DataFrame:
    """Files with `is_least`: of one (repo_id, path) the least blob_id; the others become errors."""
    fields = [name for name in FILES.columns if name not in ("repo_id", "repo_name")]
    files = read.select(
        "repo_id", "repo_name", "source", "task", "row", "file.encoding",
        *(f"file.{name}" for name in fields),
    )  # fmt: skip
    least = files.groupBy("repo_id", "path").agg(
        F.min(F.struct("status", "blob_id", "task", "row")).alias("least")
    )
    is_least = (F.col("task") == F.col("least.task")) & (F.col("row") == F.col("least.row"))
    marked = files.join(least, on=["repo_id", "path"], how="inner")
    return marked.withColumn("is_least", is_least).drop("least")


def _repos(read: DataFrame, files: DataFrame) -> DataFrame:
    """One row a repository; where rows of a source disagree, the latest revision, then the least.

    A repository whose reader failed has no fingerprint: it is read again next time.
    """
    newest = F.max(F.struct("repo.revision_date", F.to_json("repo"), "repo"))
    failed = F.max(F.coalesce(F.col("error.kind") == READER_FAILED, F.lit(False)))
    described = read.groupBy("repo_id").agg(
        newest.alias("newest"),
        failed.alias("failed"),
        F.min("source_kind").alias("source_kind"),
        F.min("source").alias("source"),
        F.min("fingerprint").alias("fingerprint"),
    )
    sizes = files.groupBy("repo_id").agg(
        F.count("*").alias("num_files"), F.sum("size_bytes").alias("num_bytes")
    )
    fields = [name for name in _REPO.names if name != "repo_id"]
    return (
        described.where("newest.repo IS NOT NULL")
        .join(sizes, on="repo_id", how="left")
        .select(
            "repo_id",
            "source_kind",
            "source",
            *(F.col(f"newest.repo.{name}").alias(name) for name in fields),
            F.expr("CASE WHEN NOT failed THEN fingerprint END").alias("fingerprint"),
            F.coalesce("num_files", F.lit(0).cast("long")).alias("num_files"),
            F.coalesce("num_bytes", F.lit(0).cast("long")).alias("num_bytes"),
        )
        .select(*REPOS.columns)
    )


_OF_PLACE = ("text_id", "encoding", "size_bytes", "size_class")


def _new_blobs(lake: Lake, files: DataFrame) -> DataFrame:
    """Where each content that is not in `blobs` was found first: ids only."""
    places = (
        files.where(F.col("status") == STORED)
        .groupBy("blob_id")
        .agg(F.min(F.struct("task", "row", *_OF_PLACE)).alias("place"))
    )
    new = places.join(lake.read(BLOBS).select("blob_id"), on="blob_id", how="left_anti")
    return new.select("blob_id", "place.*")


def _contents(read: DataFrame, places: DataFrame) -> DataFrame:
    """Rows of `blobs`. Content moves only if `places` is too large to be broadcast."""
    return (
        read.where("content IS NOT NULL")
        .select("task", "row", "content")
        .join(places, on=["task", "row"], how="inner")
        .select(*BLOBS.columns)
        .sortWithinPartitions(*BLOBS.order)
    )


def _errors(lake: Lake, listing: Listing, rows: DataFrame, extra: DataFrame) -> DataFrame:
    """All that could not be read, in the columns of `source_errors`."""
    listed = lake.local_rows(
        ((error.source, error.member, None, error.kind, error.message) for error in listing.errors),
        "source string, member string, repo_id string, kind string, message string",
    )
    read = rows.where("is_mine AND error IS NOT NULL").select(
        "source", "error.member", "repo_id", "error.kind", "error.message"
    )
    others = rows.where("NOT is_mine AND repo IS NOT NULL").select(
        "source",
        F.col("repo_name").alias("member"),
        F.lit(None).cast("string").alias("repo_id"),
        F.lit("duplicate_repository").alias("kind"),
        F.concat(F.lit("the same repository is read from "), "owner").alias("message"),
    )
    doubles = extra.select(
        "source",
        F.concat_ws("/", "repo_name", "path").alias("member"),
        "repo_id",
        F.lit("duplicate_path").alias("kind"),
        F.lit("another file of the repository has this path and was taken").alias("message"),
    )
    found = listed.unionByName(read).unionByName(others).unionByName(doubles)
    times = F.concat("message", F.lit(" ("), "times", F.lit(" times)"))
    once = found.groupBy("source", "member", "kind").agg(
        F.min("repo_id").alias("repo_id"),
        F.min("message").alias("message"),
        F.count("*").alias("times"),
    )
    return once.withColumn("message", F.when(F.col("times") > 1, times).otherwise(F.col("message")))


def _replace_errors(lake: Lake, errors: DataFrame, plan: _Plan) -> None:
    """Errors of what was listed or read now take the place of those of last time."""
    before = lake.read(SOURCE_ERRORS)
    unread = lake.local_rows(((repo,) for repo in sorted(plan.unchanged)), "repo_id string")
    is_other = ~F.col("source").isin([*plan.order])
    is_unread_rows = F.col("source").isin([*plan.unchanged_rows])
    stays = before.where(is_other | is_unread_rows).unionByName(
        before.where(~(is_other | is_unread_rows)).join(
            F.broadcast(unread), on="repo_id", how="left_semi"
        ).select(*SOURCE_ERRORS.columns)
    )  # fmt: skip
    after = stays.unionByName(errors.select(*SOURCE_ERRORS.columns))
    sides = before.withColumn("side", F.lit(-1)).unionByName(after.withColumn("side", F.lit(1)))
    balance = sides.groupBy(*SOURCE_ERRORS.columns).agg(F.sum("side").alias("balance"))
    if not balance.where("balance <> 0").isEmpty():
        lake.overwrite(SOURCE_ERRORS, after)


def _sweep(lake: Lake) -> None:
    """Contents and facts that no file names any more are deleted: a refresh equals a rebuild."""
    stored = lake.read(FILES).where(F.col("status") == STORED)
    for table, keys in ((BLOBS, ("blob_id",)), *FACT_TABLES):
        if lake.exists(table):
            held = lake.read(table).select(*keys).distinct()
            orphans = held.join(stored.select(*keys), on=list(keys), how="left_anti")
            lake.delete(table, lake.staged("orphans", orphans))


STAGE = Stage(
    "ingest",
    "which repositories, files and contents are there?",
    reads=(),
    writes=(REPOS, FILES, BLOBS, SOURCE_ERRORS),
    config_type=IngestConfig,
    run=ingest,
    reads_sources=True,
)
