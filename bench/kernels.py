"""MB/s of one core of every annotator over real files: `python bench/kernels.py [FOLDER] [--mb N]`.

Without FOLDER: the text files of the environment's own site-packages. Batches of up to 64 MB, the
median of three runs, CPU time of the process. The first line is what a fresh process pays once.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from etl.facts import annotators

BATCH_BYTES = 64 << 20
MAX_FILE_BYTES = 10 << 20


def texts(folder: Path, limit: int) -> Iterator[tuple[str, str]]:
    """(basename, text) of UTF-8 files without NUL, in order of path, `limit` bytes in all."""
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(directory, name)
            if path.is_symlink() or path.stat().st_size > MAX_FILE_BYTES:
                continue
            raw = path.read_bytes()
            if b"\0" in raw:
                continue
            try:
                yield name, raw.decode()
            except UnicodeDecodeError:
                continue
            limit -= len(raw)
            if limit <= 0:
                return


def batches(folder: Path, limit: int) -> Iterator[pa.RecordBatch]:
    rows: list[tuple[str, str]] = []
    size = 0
    for row in texts(folder, limit):
        if rows and size + len(row[1]) > BATCH_BYTES:
            yield to_batch(rows)
            rows, size = [], 0
        rows.append(row)
        size += len(row[1])
    if rows:
        yield to_batch(rows)


def to_batch(rows: list[tuple[str, str]]) -> pa.RecordBatch:
    columns = [
        pa.array([str(i) for i in range(len(rows))]),
        pa.array([text for _, text in rows]),
        pa.array([[name] for name, _ in rows]),
        pa.array(np.full(len(rows), sum(group.bit for group in annotators.GROUPS), np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=annotators.INPUT)


def cpu_seconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=sysconfig.get_path("purelib"))
    parser.add_argument("--mb", type=int, default=100, help="read at most this much")
    arguments = parser.parse_args()
    data = list(batches(arguments.folder, arguments.mb * 1_000_000))
    size = sum(batch.column("content").nbytes for batch in data)
    files = sum(len(batch) for batch in data)
    start = time.perf_counter()
    annotators.annotate_batch(data[0][:20])
    print(f"first batch of the process: {time.perf_counter() - start:.2f} s")
    print(f"{files:,} files, {size / 1e6:,.0f} MB, {len(data)} batches\n")
    print(f"{'annotators':<12}{'MB/s':>8}{'files/s':>10}")
    for group in annotators.GROUPS:
        due = [
            annotators.Batch(batch["content"], batch["basenames"], np.ones(len(batch), np.bool_))
            for batch in data
        ]
        seconds = cpu_seconds(lambda due=due, group=group: [group.annotate(b) for b in due])
        print(f"{group.column:<12}{size / 1e6 / seconds:>8,.0f}{files / seconds:>10,.0f}")
    seconds = cpu_seconds(lambda: [annotators.annotate_batch(batch) for batch in data])
    print(f"{'all':<12}{size / 1e6 / seconds:>8,.0f}{files / seconds:>10,.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory with the files themselves: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
