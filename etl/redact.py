"""What does a text look like without its secrets?    content, spans -> redacted content

Spans are byte offsets into the UTF-8 text. Overlapping and touching spans of one kind become one
replacement; of overlapping kinds the one that begins first names it. The text outside the spans is
copied byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int32 = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

REPLACEMENTS: Mapping[str, str] = {  # kind of a span -> what stands in its place
    "email": "<EMAIL>",
    "ip_address": "<IP_ADDRESS>",
    "key": "<KEY>",
    "name": "<NAME>",
    "password": "<PASSWORD>",
    "username": "<USERNAME>",
}


def redact(
    content: pa.Array, spans: pa.ListArray, replacements: Mapping[str, str] = REPLACEMENTS
) -> tuple[pa.Array, pa.Array]:
    """Texts with each span replaced, and the number of replacements in each (int32).

    content: string array of n texts without nulls; spans: n lists of structs with kind, start and
    end. Spans of kinds that `replacements` does not name stay as they are. No row is dropped.
    """
    num_rows = len(content)
    offsets = np.frombuffer(content.buffers()[1], np.int32)[content.offset :][: num_rows + 1]
    data = np.frombuffer(content.buffers()[2] or b"", np.uint8)
    rows, starts, ends, kinds = _flat(spans, list(replacements))
    if not len(rows):
        return content, pa.array(np.zeros(num_rows, np.int32))

    texts = [replacement.encode() for replacement in replacements.values()]
    text_offsets = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    text_data = np.frombuffer(b"".join(texts), np.uint8)
    starts, ends, kinds, firsts, counts = _merge(rows, starts, ends, kinds, offsets)
    sizes = _sizes(offsets, firsts, starts, ends, kinds, text_offsets)
    new_offsets = np.zeros(num_rows + 1, np.int32)
    np.cumsum(sizes, out=new_offsets[1:])
    new_data = np.empty(int(new_offsets[-1]), np.uint8)
    _copy(
        offsets, data, firsts, starts, ends, kinds, text_offsets, text_data, new_offsets, new_data
    )
    buffers = [None, pa.py_buffer(new_offsets), pa.py_buffer(new_data)]
    return pa.Array.from_buffers(pa.string(), num_rows, buffers), pa.array(counts)


def _flat(spans: pa.ListArray, kinds: list[str]) -> tuple[Any, Any, Any, Any]:
    """Row, start, end and index of kind of each span that is to be replaced, by row and start."""
    table = pa.table(
        {
            "row": spans.value_parent_indices().cast(pa.int32()),
            "start": spans.flatten().field("start").cast(pa.int32()),
            "end": spans.flatten().field("end").cast(pa.int32()),
            "kind": pa.compute.index_in(spans.flatten().field("kind"), value_set=pa.array(kinds)),
        }
    )
    table = table.drop_null().sort_by([("row", "ascending"), ("start", "ascending")])
    return tuple(table.column(name).to_numpy() for name in ("row", "start", "end", "kind"))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _merge(
    rows: Int32, starts: Int32, ends: Int32, kinds: Int32, offsets: Int32
) -> tuple[Int32, Int32, Int32, Int32, Int32]:
    """Disjoint spans; firsts[i] is row i's first of them. Ends beyond a text are cut to it."""
    num_rows = len(offsets) - 1
    merged_starts, merged_ends = np.empty_like(starts), np.empty_like(ends)
    merged_kinds = np.empty_like(kinds)
    counts = np.zeros(num_rows, np.int32)
    firsts = np.zeros(num_rows + 1, np.int32)
    num_merged = 0
    last_row = -1
    for index in range(len(rows)):
        row = rows[index]
        length = offsets[row + 1] - offsets[row]
        start, end = max(0, starts[index]), min(ends[index], length)
        if start >= end:
            continue
        overlaps = row == last_row and start < merged_ends[num_merged - 1]
        touches = (
            row == last_row
            and start == merged_ends[num_merged - 1]
            and kinds[index] == merged_kinds[num_merged - 1]
        )
        if overlaps or touches:
            merged_ends[num_merged - 1] = max(merged_ends[num_merged - 1], end)
            continue
        merged_starts[num_merged], merged_ends[num_merged] = start, end
        merged_kinds[num_merged] = kinds[index]
        counts[row] += 1
        num_merged += 1
        last_row = row
    for row in range(num_rows):
        firsts[row + 1] = firsts[row] + counts[row]
    return (
        merged_starts[:num_merged],
        merged_ends[:num_merged],
        merged_kinds[:num_merged],
        firsts,
        counts,
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sizes(
    offsets: Int32, firsts: Int32, starts: Int32, ends: Int32, kinds: Int32, text_offsets: Int32
) -> Int32:
    """Bytes of each redacted text."""
    num_rows = len(offsets) - 1
    sizes = np.empty(num_rows, np.int32)
    for row in range(num_rows):
        size = offsets[row + 1] - offsets[row]
        for span in range(firsts[row], firsts[row + 1]):
            kind = kinds[span]
            size += text_offsets[kind + 1] - text_offsets[kind] - (ends[span] - starts[span])
        sizes[row] = size
    return sizes


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _copy(
    offsets: Int32,
    data: Bytes,
    firsts: Int32,
    starts: Int32,
    ends: Int32,
    kinds: Int32,
    text_offsets: Int32,
    text_data: Bytes,
    new_offsets: Int32,
    new_data: Bytes,
) -> None:
    for row in range(len(offsets) - 1):
        source, target = offsets[row], new_offsets[row]
        for span in range(firsts[row], firsts[row + 1]):
            length = offsets[row] + starts[span] - source
            new_data[target : target + length] = data[source : source + length]
            target += length
            first, last = text_offsets[kinds[span]], text_offsets[kinds[span] + 1]
            new_data[target : target + last - first] = text_data[first:last]
            target += last - first
            source = offsets[row] + ends[span]
        length = offsets[row + 1] - source
        new_data[target : target + length] = data[source : source + length]
