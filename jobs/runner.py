"""Runs a stage: configuration, session, skip, start and end lines, the run's record, exit code.

with open_refresh(args) as refresh:
    refresh.run(STAGE)
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import logging
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

from etl.config import Config, digest, dump
from etl.context_pii import stage as context_pii
from etl.errors import StackmillError
from etl.stage import Counts, Stage
from etl.tables import RUNS, TABLES
from jobs import conf
from jobs.session import open_session
from jobs.tracking import open_store, tracked

if TYPE_CHECKING:
    from jobs.lake import DeltaLake

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arguments:
    config: conf.PipelineConfig
    dry_run: bool
    sample: float
    force: bool


@dataclass
class JobRun:
    """What a job did: its record in `runs` and its metrics."""

    job: str
    status: str
    elapsed_s: float
    counts: Counts = field(default_factory=dict)


def parser(job: str, description: str) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog=f"stackmill {job}", description=description, allow_abbrev=False
    )
    found.add_argument("--conf", metavar="FILE", help="YAML configuration")
    found.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        dest="settings",
        help="override one key; may be repeated",
    )
    found.add_argument("--lake", metavar="DIR", help="folder, URI or CATALOG.SCHEMA of the tables")
    found.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="KIND:PATH",
        dest="sources",
        help="tree, site-packages, git, archives, parquet, jsonl or delta; may be repeated",
    )
    found.add_argument(
        "--sample",
        type=_share,
        default=1.0,
        metavar="SHARE",
        help="only this share of the repositories, by hash of repo_id; written to LAKE/samples",
    )
    found.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration; write nothing"
    )
    found.add_argument(
        "--force", action="store_true", help="run even where nothing has changed since last time"
    )
    return found


def parse(job: str, description: str, argv: Sequence[str] | None) -> Arguments:
    """Exits with 2 and a line that says what is wrong and where."""
    given = parser(job, description).parse_args(argv)
    config = conf.load(given.conf, given.settings, given.lake, given.sources)
    return Arguments(config, given.dry_run, given.sample, given.force)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and up to 1, found {text}")
    return share


class Refresh:
    """One session over one lake, in which one or more stages run."""

    def __init__(self, args: Arguments, lake: DeltaLake) -> None:
        self.args = args
        self.lake = lake
        self.refresh_id = uuid.uuid4().hex
        self.runs: list[JobRun] = []
        self.artifacts: dict[str, str] = {}  # path -> folder in the MLflow run
        self.code_hash = code_hash()
        self._last: dict[str, Any] | None = None
        self._written: set[str] = set()

    def run(self, stage: Stage) -> JobRun:
        """Runs the stage unless nothing that it depends on has changed since it last ended."""
        section: Config = getattr(self.args.config, stage.name)
        started = time.monotonic()
        if not self.args.force and self._is_up_to_date(stage, section):
            run = JobRun(stage.name, "skipped", time.monotonic() - started)
            logger.info("%s: nothing has changed since it last ran", stage.name)
            self.runs.append(run)
            return run
        read = {table.name: self.lake.version(table) for table in stage.reads}
        before = {table.name: self.lake.version(table) for table in stage.writes}
        started_at = dt.datetime.now(dt.UTC)
        logger.info(
            "%s: starts; reads %s; configuration %s",
            stage.name,
            ", ".join(f"{name} v{version}" for name, version in read.items()) or "sources",
            digest(section)[:12],
        )
        try:
            counts = stage.run(self.lake, section)
        finally:
            self.lake.clear_staging()
        run = JobRun(stage.name, "done", time.monotonic() - started, counts)
        written = {table.name: self.lake.version(table) for table in stage.writes}
        self._written |= {name for name, version in written.items() if version != before[name]}
        self._record(run, started_at, section, read, written)
        logger.info(
            "%s: done in %.1f s; %s",
            stage.name,
            run.elapsed_s,
            ", ".join(f"{name} {count}" for name, count in counts.items()),
        )
        self.runs.append(run)
        return run

    def has_changed(self) -> bool:
        """Whether any table is not as it was when this refresh began."""
        return bool(self._written)

    def table_versions(self) -> dict[str, int]:
        """Every table that exists, with its version."""
        versions = {table.name: self.lake.version(table) for table in TABLES}
        return {name: version for name, version in versions.items() if version is not None}

    def _is_up_to_date(self, stage: Stage, section: Config) -> bool:
        if stage.reads_sources:
            return False
        last = self._last_runs().get(stage.name)
        if last is None:
            return False
        # What a stage reads and writes (decide adds to `pairs`) is as it left it, unless others wrote
        before = {**last["tables_read"], **last["tables_written"]}
        only_written = set(stage.writes) - set(stage.reads)
        return bool(
            last["config_hash"] == digest(section)
            and last["code_hash"] == self.code_hash
            and all(before.get(t.name) == self.lake.version(t) for t in stage.reads)
            and all(self._last_written(t.name) == self.lake.version(t) for t in only_written)
        )

    def _last_written(self, table: str) -> int | None:
        """The version that the last job to write this table left."""
        versions = [last["tables_written"].get(table) for last in self._last_runs().values()]
        return max((version for version in versions if version is not None), default=None)

    def _last_runs(self) -> dict[str, Any]:
        """The last completed run of each job: as many rows as there are jobs."""
        if self._last is None:
            from pyspark.sql import functions as F

            done = self.lake.read(RUNS).where(F.col("status") == "done")
            last = done.groupBy("job").agg(
                F.max_by(
                    F.struct("config_hash", "code_hash", "tables_read", "tables_written"),
                    "started_at",
                ).alias("last")
            )
            self._last = {row["job"]: row["last"].asDict() for row in last.collect()}
        return self._last

    def _record(
        self,
        run: JobRun,
        started_at: dt.datetime,
        section: Config,
        read: dict[str, int | None],
        written: dict[str, int | None],
    ) -> None:
        row = (
            uuid.uuid4().hex,
            self.refresh_id,
            run.job,
            run.status,
            started_at,
            run.elapsed_s,
            digest(section),
            json.dumps(dump(section)),
            self.code_hash,
            read,
            written,
            run.counts,
            run.counts.get("content_bytes_read"),
        )
        self.lake.append(RUNS, self.lake.local_rows([row], RUNS.schema))


@contextmanager
def tracked_refresh(job: str, args: Arguments) -> Iterator[Refresh]:
    """A refresh that MLflow knows of. Raises StackmillError where MLflow's store cannot be reached,
    before any work is done."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        store = pool.submit(open_store, args.config)  # takes as long as Spark takes to start
        with open_refresh(job, args) as refresh, tracked(refresh, job, store.result()):
            yield refresh


@contextmanager
def open_refresh(job: str, args: Arguments) -> Iterator[Refresh]:
    from jobs.lake import DeltaLake

    runs_context = job in ("refresh", context_pii.STAGE.name)
    with_spark_nlp = runs_context and args.config.context_pii.backend in ("auto", "spark-nlp")
    session = open_session(job, args.config.session, with_spark_nlp)
    lake = DeltaLake(session, args.config.lake, args.sample, args.config.staging)
    yield Refresh(args, lake)


def code_hash() -> str:
    """SHA-256 of the source of `etl`: what a stage would do depends on it."""
    found = hashlib.sha256()

    def walk(folder: Any, prefix: str) -> None:
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.is_dir() and entry.name != "__pycache__":
                walk(entry, f"{prefix}{entry.name}/")
            elif entry.is_file() and not entry.name.endswith((".pyc", ".nbi", ".nbc")):
                found.update(f"{prefix}{entry.name}\0".encode())
                found.update(hashlib.sha256(entry.read_bytes()).digest())

    walk(resources.files("etl"), "")
    return found.hexdigest()


def dry_run(args: Arguments, stage: Stage | None) -> None:
    """Prints the resolved configuration, and what the stage would decide where it can say so."""
    section = getattr(args.config, stage.name) if stage else args.config
    shown: dict[str, object] = {"lake": args.config.lake}
    shown[stage.name if stage else "pipeline"] = dump(section)
    if stage is not None and stage.preview is not None:
        with open_refresh(stage.name, args) as refresh:
            try:
                shown["counts"] = dict(stage.preview(refresh.lake, section))
            finally:
                refresh.lake.clear_staging()
    json.dump(shown, sys.stdout, indent=2)
    sys.stdout.write("\n")


def exit_code(error: BaseException) -> int:
    """Writes what went wrong to stderr, in one line where the cause is known."""
    if isinstance(error, StackmillError):
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    text = str(error)
    if "No space left on device" in text or getattr(error, "errno", None) == 28:
        sys.stderr.write(
            "stackmill: the disk is full: expected room for the tables and their staging, found "
            "none. The tables are as they were after their last commit: free space and run the "
            "same command again\n"
        )
        return 1
    logger.debug("failed", exc_info=error)
    sys.stderr.write(f"stackmill: {type(error).__name__}: {_first_line(text)}\n")
    return 1


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:500]


def main_of(stage: Stage, argv: Sequence[str] | None) -> int:
    """The main function of a job: 0 done, 2 configuration or usage, 3 contract, 1 anything else."""
    start_logging()
    try:
        args = parse(stage.name, stage.decides, argv)
        if args.dry_run:
            dry_run(args, stage)
            return 0
        with tracked_refresh(stage.name, args) as refresh:
            refresh.run(stage)
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


def start_logging() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    for noisy in ("py4j", "mlflow", "alembic", "numba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
