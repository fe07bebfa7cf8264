"""How much more than a copy does it cost to know everything of a content?

    python -m bench.annotate [--folder DIR] [--sizes 200 2000] [--repeat 5]

Two ways over the same Delta table of real files, in one warm session, in turn: a copy of the content
to Delta (zstd level 1), and the whole annotate stage on a lake with empty fact tables: what is due, the
pass, five commits. Prints the medians, the ratio of wall seconds and of CPU-seconds at each size, the
marginal ratio (slope between the sizes), and the largest resident size that a Python worker reached.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.annotate import AnnotateConfig, annotate
from etl.ingest import SIZE_CLASSES
from etl.licenses import license_role
from etl.tables import BLOBS, FACT_TABLES, FILES
from jobs.lake import DeltaLake
from jobs.session import SessionConfig, open_session

MAX_FILE_BYTES = 10 << 20
ROWS = pa.schema(
    [
        ("blob_id", pa.string()), ("size_class", pa.int32()), ("text_id", pa.string()),
        ("encoding", pa.string()), ("size_bytes", pa.int64()), ("content", pa.string()),
        ("path", pa.string()), ("basename", pa.string()), ("license_role", pa.string()),
    ]
)  # fmt: skip


def real_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Distinct UTF-8 text files of a folder, in path order."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.stat().st_size > MAX_FILE_BYTES:
            continue
        raw = path.read_bytes()
        digest = hashlib.sha256(raw).digest()
        if b"\0" in raw or digest in seen:
            continue
        try:
            raw.decode()
        except UnicodeDecodeError:
            continue
        seen.add(digest)
        yield str(path.relative_to(folder)), raw


def big_files(num_files: int) -> Iterator[tuple[str, bytes]]:
    """Files of 9.9 MB, each another rotation of one generated source text."""
    lines = [f"def function_{i}(x, y):\n    return x * {i} + y\n" for i in range(230_000)]
    text = "".join(lines).encode()[: int(9.9e6)]
    for index in range(num_files):
        cut = index * 4801 % len(text)
        yield f"big/{index}.py", text[cut:] + text[:cut]


def write_lake(lake: DeltaLake, files: Iterator[tuple[str, bytes]], num_bytes: int) -> int:
    """A lake with `blobs` and `files` of at least num_bytes: files again under other ids if need be."""
    with tempfile.TemporaryDirectory() as folder:
        writer = pq.ParquetWriter(f"{folder}/rows.parquet", ROWS, compression="zstd")
        total, first, round_number, rows = 0, list(files), 0, []
        while total < num_bytes:
            for path, raw in first:
                if total >= num_bytes:
                    break
                text = raw.decode()
                blob_id = hashlib.sha256(raw + b"%d" % round_number).hexdigest()
                size_class = sum(len(raw) > bound for bound in SIZE_CLASSES)
                name = path.rsplit("/", 1)[-1]
                role = license_role(path)
                full = f"{round_number}/{path}"
                rows.append(
                    (blob_id, size_class, blob_id, "utf-8", len(raw), text, full, name, role)
                )
                total += len(raw)
                if len(rows) == 512:
                    writer.write_table(_table(rows))
                    rows = []
            round_number += 1
        if rows:
            writer.write_table(_table(rows))
        writer.close()
        found = lake.spark.read.parquet(f"{folder}/rows.parquet")
        contents = found.repartition(max(2, total >> 25)).sortWithinPartitions(*BLOBS.order)
        lake.append(BLOBS, contents.select(*BLOBS.columns))
        stored = found.select(
            "path", "basename", "blob_id", "text_id", "license_role", "size_bytes",
            F.lit("0" * 32).alias("repo_id"), F.lit("bench").alias("repo_name"),
            F.lit("stored").alias("status"),
        )  # fmt: skip
        missing = [name for name in FILES.columns if name not in stored.columns]
        for name in missing:
            stored = stored.withColumn(name, F.lit(None).cast(FILES.schema[name].dataType))
        lake.append(FILES, stored.coalesce(1))
    return total


def _table(rows: list[tuple[object, ...]]) -> pa.Table:
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=ROWS)


def copy_content(lake: DeltaLake) -> None:
    target = f"{lake.location}/copy"
    shutil.rmtree(target, ignore_errors=True)
    contents: DataFrame = lake.read(BLOBS).select("blob_id", "content")
    contents.write.format("delta").save(target)


def lake_without_facts(lake: DeltaLake) -> DeltaLake:
    """The same lake with fact tables that are empty, as before a first refresh."""
    for table, _ in FACT_TABLES:
        shutil.rmtree(f"{lake.location}/{table.name}", ignore_errors=True)
    fresh = DeltaLake(lake.spark, lake.location)
    for table, _ in FACT_TABLES:
        fresh.create(table)
    for table in (BLOBS, FILES, *(table for table, _ in FACT_TABLES)):
        fresh.version(table)  # a job logs the versions of its tables before it starts
    return fresh


def annotate_all(lake: DeltaLake) -> None:
    annotate(lake, AnnotateConfig())
    lake.clear_staging()


class WorkerMemory(threading.Thread):
    """Samples the resident size of the Python workers: the largest single one, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.done.wait(0.05):
            for process in me.children(recursive=True):
                try:
                    if "python" in process.name():
                        self.peak = max(self.peak, process.memory_info().rss)
                except psutil.Error:
                    continue


def cpu_seconds() -> float:
    """CPU of this process, the JVM and the Python workers so far; workers live as long as the session."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def timed(action: Callable[[DeltaLake], None], lake: DeltaLake) -> tuple[float, float]:
    """Wall seconds and CPU-seconds."""
    started, used = time.monotonic(), cpu_seconds()
    action(lake)
    return time.monotonic() - started, cpu_seconds() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", default=f"{sys.prefix}/lib")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2000], help="MB")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--big-files", type=int, default=0, help="instead: files of 9.9 MB")
    parser.add_argument("--json", help="also write the figures to this file")
    args = parser.parse_args()

    spark = open_session("bench", SessionConfig(master=f"local[{os.cpu_count()}]"))
    figures = []
    for size in [round(args.big_files * 9.9)] if args.big_files else args.sizes:
        with tempfile.TemporaryDirectory(dir="build") as folder:
            lake = DeltaLake(spark, f"{folder}/lake")
            files = big_files(args.big_files) if args.big_files else real_files(Path(args.folder))
            total = write_lake(lake, files, size * 1_000_000)
            copies, passes = [], []
            memory = WorkerMemory()
            memory.start()
            for turn in range(args.repeat + 1):  # the first warms up
                fresh = lake_without_facts(lake)
                copy, whole = timed(copy_content, lake), timed(annotate_all, fresh)
                print(
                    f"  {size} MB, turn {turn}: copy {copy[0]:.2f} s ({copy[1]:.1f} CPU), "
                    f"annotate {whole[0]:.2f} s ({whole[1]:.1f} CPU)"
                )
                if turn or args.repeat == 0:
                    copies.append(copy)
                    passes.append(whole)
            memory.done.set()
            figures.append(
                {
                    "mb": total / 1e6,
                    "copy_s": statistics.median(wall for wall, _ in copies),
                    "annotate_s": statistics.median(wall for wall, _ in passes),
                    "copy_cpu_s": statistics.median(cpu for _, cpu in copies),
                    "annotate_cpu_s": statistics.median(cpu for _, cpu in passes),
                    "worker_mb": memory.peak / 1e6,
                }
            )
    print("\n     MB    copy s  annotate s   ratio   ratio of CPU   MB/s   largest worker MB")
    for row in figures:
        print(
            f"{row['mb']:7.0f} {row['copy_s']:9.2f} {row['annotate_s']:11.2f} "
            f"{row['annotate_s'] / row['copy_s']:7.2f} "
            f"{row['annotate_cpu_s'] / row['copy_cpu_s']:14.2f} "
            f"{row['mb'] / row['annotate_s']:6.1f} {row['worker_mb']:11.0f}"
        )
    if len(figures) > 1:
        low, high = figures[0], figures[-1]
        for unit in ("s", "cpu_s"):
            passed = high[f"annotate_{unit}"] - low[f"annotate_{unit}"]
            slope = passed / (high[f"copy_{unit}"] - low[f"copy_{unit}"])
            print(f"marginal ratio, {unit.replace('_', ' ')}: {slope:.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
