"""Packed rows: fixed numbers of 8-byte words, some thousand rows in one binary.

A binary holds one group of columns after the other, each as rows of its width. So numbers cross
from Python to the JVM and back as a few large values, and kernels read them where they lie.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from etl.near_dedup.bands import Ints

PACK_BYTES = 1 << 20  # of one packed binary: some 64 of them make an Arrow batch
ID_WORDS = 4  # of a blob_id: 32 bytes

PACKED = "part int, kind int, packed binary"


def packed(*columns: npt.NDArray[Any]) -> bytes:
    """Columns of 8-byte words, and of rows of them, one after the other."""
    return b"".join(np.ascontiguousarray(column).data for column in columns)


def chunks(*columns: npt.NDArray[Any], num_bytes: int = PACK_BYTES) -> Iterator[bytes]:
    """Packed binaries of at most so many bytes, or one row."""
    width = sum(8 * (column.shape[1] if column.ndim == 2 else 1) for column in columns)
    step = max(1, num_bytes // width)
    for start in range(0, len(columns[0]), step):
        yield packed(*(column[start : start + step] for column in columns))


def unpacked(values: Iterable[Any], widths: Sequence[int]) -> tuple[npt.NDArray[np.int64], ...]:
    """The columns of all binaries (bytes or buffers), put together; those of width 1 have one axis."""
    found: list[list[Ints]] = [[np.empty((0, width), np.int64)] for width in widths]
    for value in values:
        words = np.frombuffer(value, np.int64)
        num_rows, place = len(words) // sum(widths), 0
        for column, width in zip(found, widths, strict=True):
            column.append(words[place : place + num_rows * width].reshape(num_rows, width))
            place += num_rows * width
    columns = (np.concatenate(column) for column in found)
    return tuple(
        column[:, 0] if width == 1 else column
        for column, width in zip(columns, widths, strict=True)
    )


def packed_sets(values: npt.NDArray[Any], *heads: npt.NDArray[Any]) -> bytes:
    """Rows with sets of their own length: how many, their heads, then the values of all."""
    return packed(np.array([len(heads[0])]), *heads, values)


def unpacked_sets(
    buffers: Iterable[Any], widths: Sequence[int]
) -> tuple[tuple[npt.NDArray[np.int64], ...], npt.NDArray[np.uint64]]:
    """(the heads of all binaries; their values), put together."""
    heads = [unpacked([], widths)]
    values = [np.empty(0, np.uint64)]
    for buffer in buffers:
        words = np.frombuffer(buffer, np.int64)
        end = 1 + int(words[0]) * sum(widths)
        heads.append(unpacked([words[1:end]], widths))
        values.append(words[end:].view(np.uint64))
    return tuple(map(np.concatenate, zip(*heads, strict=True))), np.concatenate(values)


def buffers_of(column: pa.ChunkedArray | pa.Array) -> list[pa.Buffer]:
    """The values of a binary column as they lie; null ones are left out."""
    return [value.as_buffer() for value in pc.drop_null(column)]


def packed_batch(rows: Iterable[tuple[int, int, bytes]]) -> pa.RecordBatch:
    """`PACKED`."""
    found = list(rows)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([part for part, _, _ in found], pa.int32()),
            pa.array([kind for _, kind, _ in found], pa.int32()),
            pa.array([data for _, _, data in found], pa.binary()),
        ],
        names=["part", "kind", "packed"],
    )


def of_kind(rows: pa.Table, kind: int) -> list[pa.Buffer]:
    """The packed binaries of one kind."""
    return buffers_of(rows.filter(pc.equal(rows.column("kind"), kind)).column("packed"))


def by_part(parts: Ints) -> Iterator[tuple[int, Ints]]:
    """(part, its rows), in the order of the parts."""
    order = np.argsort(parts, kind="stable")
    cuts = np.flatnonzero(np.diff(parts[order])) + 1
    for rows in np.split(order, cuts):
        if len(rows):
            yield int(parts[rows[0]]), rows


def parts_of(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Consecutive rows of one part, however the batches are cut."""
    held: list[pa.RecordBatch] = []
    current: int | None = None
    for batch in batches:
        values = np.asarray(batch.column("part"))
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


def numbers(column: pa.Array) -> Ints:
    """int64 of a numeric column without nulls; a double by its bits."""
    values = np.asarray(column)
    return values.view(np.int64) if values.dtype == np.float64 else values.astype(np.int64)


def words_of_ids(column: pa.Array) -> Ints:
    """int64[n, 4] of binaries of 32 bytes each, without nulls."""
    if len(column) == 0:
        return np.empty((0, ID_WORDS), np.int64)
    _, offsets, data = column.buffers()
    start = int(np.frombuffer(offsets, np.int32)[column.offset])
    words = np.frombuffer(data, np.uint8, len(column) * 8 * ID_WORDS, start)
    return np.frombuffer(words.tobytes(), np.int64).reshape(len(column), ID_WORDS)


def ids_of_words(words: Ints) -> pa.Array:
    """The blob_ids, as lower-case hex."""
    text = np.ascontiguousarray(words).tobytes().hex().encode()
    size = 16 * ID_WORDS
    offsets = np.arange(0, size * len(words) + 1, size, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string(), len(words), buffers)


def in_order(words: Ints) -> Ints:
    """The order of the ids' hex."""
    keys = np.ascontiguousarray(words).view(">u8").reshape(-1, ID_WORDS)
    order: Ints = np.lexsort(tuple(keys[:, i] for i in reversed(range(ID_WORDS))))
    return order
