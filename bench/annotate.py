"""How much more than a copy does it cost to know everything of a content?

    python -m bench.annotate [--folder DIR] [--sizes 200 2000] [--repeat 5]

Four ways over the same Delta table of real files, in one warm session, in turn:

    copy    the content to another Delta table (zstd level 1)
    lean    the content through every annotator, all facts of it to one Delta table; of the scan's
            rules only those for e-mail, IP addresses, private keys, JWT and nine providers' keys
    pass    the same with all rules: names, passwords and some 190 key formats too
    stage   the whole job on a lake with empty fact tables: what is due, the pass, five commits

Prints the medians, the ratios to the copy of wall seconds and of CPU-seconds at each size, the marginal
ratios (slope between the sizes), and the largest resident size that a Python worker reached.
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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.annotate import (
    ANNOTATED,
    AnnotateConfig,
    annotate,
    annotate_batches,
    due_contents,
)
from etl.contents import contents_of_class, next_append
from etl.ingest import size_class
from etl.licenses import license_role
from etl.tables import BLOBS, FACT_TABLES, FILES
from jobs.lake import DeltaLake
from jobs.session import SessionConfig, open_session

MAX_FILE_BYTES = 10 << 20
GROUP_BYTES = 64 << 20  # of content in a row group of what the lake is made from
WAYS = ("copy", "lean", "pass", "stage")
LEAN_RULES = ("email", "ipv4", "ipv6", "private_key", "jwt")
LEAN_PROVIDERS = (
    "aws_",
    "github_",
    "gitlab_",
    "google_",
    "npm_",
    "openai_",
    "pypi_",
    "slack_",
    "stripe_",
)
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


def write_lake(
    lake: DeltaLake, files: Callable[[], Iterator[tuple[str, bytes]]], num_bytes: int
) -> int:
    """A lake with `blobs` and `files` of at least num_bytes: files again under other ids if need be."""
    with tempfile.TemporaryDirectory() as folder:
        writer = pq.ParquetWriter(f"{folder}/rows.parquet", ROWS, compression="zstd")
        total, written, round_number, rows = 0, 0, 0, []
        while total < num_bytes:
            for path, raw in files():
                if total >= num_bytes:
                    break
                text = raw.decode()
                blob_id = hashlib.sha256(raw + b"%d" % round_number).hexdigest()
                name = path.rsplit("/", 1)[-1]
                role = license_role(path)
                full = f"{round_number}/{path}"
                rows.append(
                    (
                        blob_id,
                        size_class(len(raw)),
                        blob_id,
                        "utf-8",
                        len(raw),
                        text,
                        full,
                        name,
                        role,
                    )
                )
                total += len(raw)
                if len(rows) == 512 or total - written > GROUP_BYTES:
                    writer.write_table(_table(rows))
                    rows, written = [], total
            round_number += 1
        if rows:
            writer.write_table(_table(rows))
        writer.close()
        found = lake.spark.read.parquet(f"{folder}/rows.parquet")
        contents = found.repartition(max(2, total >> 25)).sortWithinPartitions(*BLOBS.order)
        lake.append(BLOBS, contents.withColumn("added", next_append(lake, BLOBS)))
        stored = found.select(
            "path", "basename", "blob_id", "text_id", "license_role", "size_bytes",
            F.lit("0" * 32).alias("repo_id"), F.lit("bench").alias("repo_name"),
            F.lit("stored").alias("status"), "size_class",
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
    """The same lake without tables of facts, as before a first refresh."""
    for table, _ in FACT_TABLES:
        shutil.rmtree(f"{lake.location}/{table.name}", ignore_errors=True)
    fresh = DeltaLake(lake.spark, lake.location)
    for table in (BLOBS, FILES, *(table for table, _ in FACT_TABLES)):
        fresh.version(table)  # a job logs the versions of its tables before it starts
    return fresh


def annotate_lean(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """`annotate_batches` with LEAN_RULES and the rules of LEAN_PROVIDERS alone."""
    from etl.facts import annotators, pii

    hints = tuple(
        hint
        for hint in pii.HINTS
        if hint.name in LEAN_RULES or hint.name.startswith(LEAN_PROVIDERS)
    )

    def scan(batch: annotators.Batch) -> pa.Array:
        return pii.scan(batch.content, batch.due, hints)

    groups = tuple(
        replace(group, annotate=scan) if group.column == "pii" else group
        for group in annotators.GROUPS
    )
    with mock.patch.object(annotators, "GROUPS", groups):
        yield from annotate_batches(batches)


def pass_alone(
    lake: DeltaLake,
    due: DataFrame,
    classes: list[int],
    function: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]] = annotate_batches,
) -> None:
    """What is due is known before: the content is read, annotated and written, no more."""
    target = f"{lake.location}/annotated"
    shutil.rmtree(target, ignore_errors=True)
    for number in classes:
        contents = contents_of_class(lake, lake.read(BLOBS), F.broadcast(due), number)
        rows = contents.mapInArrow(function, ANNOTATED)
        rows.write.format("delta").mode("append").save(target)


def stage(lake: DeltaLake) -> None:
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


def timed(action: Callable[[], None]) -> tuple[float, float]:
    """Wall seconds and CPU-seconds."""
    started, used = time.monotonic(), cpu_seconds()
    action()
    return time.monotonic() - started, cpu_seconds() - used


def measure(lake: DeltaLake, label: str, repeat: int, ways: list[str]) -> dict[str, float]:
    """Medians of `repeat` turns after one that warms up: seconds and CPU-seconds of each of `ways`."""
    due = due_contents(lake_without_facts(lake))
    due.write.parquet(f"{lake.location}-due")
    due = lake.spark.read.parquet(f"{lake.location}-due")
    classes = sorted(row["size_class"] for row in due.select("size_class").distinct().collect())
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(repeat + 1):
        fresh = lake_without_facts(lake)
        actions: dict[str, Callable[[], None]] = {
            "copy": lambda: copy_content(lake),
            "lean": lambda: pass_alone(lake, due, classes, annotate_lean),
            "pass": lambda: pass_alone(lake, due, classes),
            "stage": lambda fresh=fresh: stage(fresh),  # type: ignore[misc]
        }
        turns = {way: timed(actions[way]) for way in ways}
        said = ", ".join(f"{way} {s:.2f} s ({cpu:.1f} CPU)" for way, (s, cpu) in turns.items())
        print(f"  {label}, turn {turn}: {said}", flush=True)
        if turn or repeat == 0:
            for way in ways:
                taken[way].append(turns[way])
    return {
        f"{way}_{unit}": statistics.median(pair[index] for pair in taken[way])
        for way in ways
        for index, unit in enumerate(("s", "cpu_s"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", default=f"{sys.prefix}/lib")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2000], help="MB")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS[1:], default=WAYS[1:])
    parser.add_argument("--big-files", type=int, default=0, help="instead: files of 9.9 MB")
    parser.add_argument("--json", help="also write the figures to this file")
    args = parser.parse_args()

    spark = open_session("bench", SessionConfig(master=f"local[{os.cpu_count()}]"))
    figures = []
    real = partial(real_files, Path(args.folder))
    for size in [round(args.big_files * 9.9)] if args.big_files else args.sizes:
        with tempfile.TemporaryDirectory(dir="build") as folder:
            lake = DeltaLake(spark, f"{folder}/lake")
            files = partial(big_files, args.big_files) if args.big_files else real
            total = write_lake(lake, files, size * 1_000_000)
            memory = WorkerMemory()
            memory.start()
            found = measure(lake, f"{size} MB", args.repeat, ["copy", *args.ways])
            memory.done.set()
            figures.append({"mb": total / 1e6, **found, "worker_mb": memory.peak / 1e6})
    print("\n     MB    copy s", end="")
    for way in args.ways:
        print(f"{way + ' s':>10}   ratio  of CPU", end="")
    print("  largest worker MB")
    for row in figures:
        print(f"{row['mb']:7.0f}{row['copy_s']:10.2f}", end="")
        for way in args.ways:
            wall, cpu = (row[f"{way}_{unit}"] / row[f"copy_{unit}"] for unit in ("s", "cpu_s"))
            print(f"{row[f'{way}_s']:10.2f}{wall:8.2f}{cpu:8.2f}", end="")
        print(f"{row['worker_mb']:19.0f}")
    if len(figures) > 1:
        low, high = figures[0], figures[-1]
        for way in args.ways:
            slopes = [
                (high[f"{way}_{unit}"] - low[f"{way}_{unit}"])
                / (high[f"copy_{unit}"] - low[f"copy_{unit}"])
                for unit in ("s", "cpu_s")
            ]
            print(
                f"marginal ratio of the {way}: {slopes[0]:.2f} of seconds, {slopes[1]:.2f} of CPU"
            )
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
