"""Where e-mail addresses, IP addresses and keys stand in a text: string array -> spans a content.

Hyperscan reads the Arrow buffer of a whole batch in one call, without a copy and without regard to
where a row ends, and gives the ends of candidates. They are few; each is looked up in its row and
checked in a small window that does not leave the row (`etl.facts.pii_rules`). What crosses from one
row to the next therefore cannot pass, and what lies in a row is found as if it were scanned alone.

The value itself never leaves this module: a span is a kind and two offsets in UTF-8 bytes.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from etl.facts.kernels import Mask, Offsets, string_views
from etl.facts.pii_rules import DETECTORS

VERSION = 1

SPAN = pa.struct(
    [
        ("kind", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("detector", pa.string()),
        ("score", pa.float32()),
    ]
)
FIELDS = pa.list_(SPAN)

_HS_FLAG_CASELESS = 1


class Span(NamedTuple):
    """Bytes [start, end) of a content, found by DETECTORS[detector]."""

    start: int
    end: int
    detector: int


def scan(content: pa.Array, mask: Mask | None = None) -> pa.ListArray:
    """The spans of each content in order, not overlapping; null where null or not in `mask`."""
    offsets, data, due = string_views(content, mask)
    view = memoryview(data)  # type: ignore[arg-type]  # numpy's arrays have no __buffer__ in 3.11
    rows: list[list[Span]] = [[] for _ in range(len(due))]
    for first, last in _runs(due):
        _scan_rows(view, offsets, first, last, rows)
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    list_offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(lengths, out=list_offsets[1:])
    found = [span for spans in rows for span in spans]
    detectors = [DETECTORS[span.detector] for span in found]
    columns = (
        [detector.kind for detector in detectors],
        [span.start for span in found],
        [span.end for span in found],
        [detector.name for detector in detectors],
        [detector.score for detector in detectors],
    )
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SPAN, strict=True)]
    values = pa.StructArray.from_arrays(arrays, fields=list(SPAN))
    return pa.ListArray.from_arrays(
        pa.array(list_offsets), values, type=FIELDS, mask=pa.array(~due)
    )


def _runs(due: Mask) -> list[tuple[int, int]]:
    """Runs of rows that are due, as [first, last)."""
    edges = np.flatnonzero(np.diff(due, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _scan_rows(
    view: memoryview, offsets: Offsets, first: int, last: int, rows: list[list[Span]]
) -> None:
    """Fills rows[first:last]."""
    low = int(offsets[first])
    hits = _candidates(view[low : int(offsets[last])])
    if not hits:
        return
    ends = np.fromiter((low + end for _, end in hits), np.int64, len(hits))
    owners = np.searchsorted(offsets[first : last + 1], ends - 1, side="right") - 1 + first
    for (detector, _), end, row in zip(hits, ends.tolist(), owners.tolist(), strict=True):
        start = int(offsets[row])
        span = DETECTORS[detector].check(view, start, int(offsets[row + 1]), end)
        if span is not None:
            rows[row].append(Span(span[0] - start, span[1] - start, detector))
    for row in set(owners.tolist()):
        rows[row] = _disjoint(rows[row])


def _candidates(text: memoryview) -> list[tuple[int, int]]:
    """(detector, end of its hint) in `text`."""
    hits: list[tuple[int, int]] = []

    def note(detector: int, start: int, end: int, flags: int, context: object) -> None:
        hits.append((detector, end))

    if len(text):
        _database().scan(text, match_event_handler=note)
    return hits


@functools.cache
def _database() -> Any:
    """The compiled hints: once a process, in tens of milliseconds."""
    import hyperscan  # not at import: its library need not be there where nothing is scanned

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[detector.hint for detector in DETECTORS],
        ids=list(range(len(DETECTORS))),
        elements=len(DETECTORS),
        flags=[_HS_FLAG_CASELESS if detector.is_caseless else 0 for detector in DETECTORS],
    )
    return database


def _disjoint(spans: list[Span]) -> list[Span]:
    """In order of start; of overlapping ones the first, of two that start together the longer."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (span.start, -span.end, span.detector)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept
