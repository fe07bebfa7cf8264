"""Arrow batches as they come from the JVM, which counts rows, made of a size that a kernel likes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

CONTENT_ROWS = (64, 6, 2)  # of each size class (tables.BLOBS) in a batch: at most 64 MB of content
TARGET_BYTES = 16 << 20


def gathered(
    batches: Iterable[pa.RecordBatch], target_bytes: int = TARGET_BYTES
) -> Iterator[pa.RecordBatch]:
    """The same rows in the same order, small batches put together until they hold `target_bytes`.

    Memory: what is put together exists twice for a moment, so at most target_bytes and a batch.
    """
    waiting: list[pa.RecordBatch] = []
    num_bytes = 0
    for batch in batches:
        waiting.append(batch)
        num_bytes += batch.nbytes
        if num_bytes >= target_bytes:
            yield _together(waiting)
            waiting, num_bytes = [], 0
    if waiting:
        yield _together(waiting)


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
