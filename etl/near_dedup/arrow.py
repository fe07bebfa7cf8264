"""Arrow batches between Spark and the kernels: packed rows in and out, rows of blocks together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl.near_dedup.bands import Ints, Words, packed, unpacked

PACK_ROWS = 1 << 18  # rows in one packed binary: 2 MB a column


def parts_of(batches: Iterable[pa.RecordBatch], column: str) -> Iterator[tuple[int, pa.Table]]:
    """Consecutive rows of one value of `column`, however the batches are cut."""
    held: list[pa.RecordBatch] = []
    current: int | None = None
    for batch in batches:
        values = np.asarray(batch.column(column))
        cuts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
        for start, end in itertools.pairwise(cuts):
            if start == end:
                continue
            if held and values[start] != current:
                yield int(current or 0), pa.Table.from_batches(held)
                held = []
            current = int(values[start])
            held.append(batch.slice(start, end - start))
    if held:
        yield int(current or 0), pa.Table.from_batches(held)


def whole_blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of whole blocks: rows of one block are never in two of them."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if len(batch) == 0:
            continue
        blocks = np.asarray(batch.column("block"))
        start = int(np.searchsorted(blocks, blocks[-1]))  # of the last block, which may go on
        if start or (held and held[-1].column("block")[-1].as_py() != blocks[0]):
            ready = [*held, batch.slice(0, start)] if start else held
            yield pa.Table.from_batches(ready)
            held = []
        held.append(batch.slice(start))
    if held:
        yield pa.Table.from_batches(held)


def joined(column: pa.ChunkedArray, num_columns: int = 2) -> tuple[Ints, ...]:
    """The packed rows of a binary column, one after the other."""
    return joined_bytes([value.as_buffer() for value in pc.drop_null(column)], num_columns)


def joined_bytes(
    values: Sequence[bytes | bytearray | pa.Buffer], num_columns: int = 2
) -> tuple[Ints, ...]:
    """The packed rows of some binaries, one after the other."""
    found = [unpacked(value, num_columns) for value in values]
    if not found:
        return tuple(np.empty(0, np.int64) for _ in range(num_columns))
    return tuple(np.concatenate([rows[i] for rows in found]) for i in range(num_columns))


def chunks(*columns: npt.NDArray[np.generic]) -> Iterator[bytes]:
    """Packed binaries of at most PACK_ROWS rows."""
    for start in range(0, len(columns[0]), PACK_ROWS):
        yield packed(*(column[start : start + PACK_ROWS] for column in columns))


def words_of(payload: pa.Array) -> tuple[Words, Ints]:
    """(values, bounds[n + 1]) of a binary array of 8-byte words."""
    payload = payload.combine_chunks() if isinstance(payload, pa.ChunkedArray) else payload
    if len(payload) == 0:
        return np.empty(0, np.uint64), np.zeros(1, np.int64)
    _, offsets, data = payload.buffers()
    bounds = np.frombuffer(offsets, np.int32)[payload.offset : payload.offset + len(payload) + 1]
    values = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].view(np.uint64)
    return values, (bounds.astype(np.int64) - bounds[0]) // 8
