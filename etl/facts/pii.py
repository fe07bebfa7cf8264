"""Where addresses, keys, passwords and names stand in a text: string array -> spans a content.

Hyperscan reads the Arrow buffer of a whole batch in one call, without a copy and without regard to
where a row ends, and gives the ends of candidates (`etl.facts.pii_rules` has the hints). Each is
looked up in its row and confirmed in a window that does not leave the row: addresses by compiled
kernels, as a list has thousands of them; what is rare in Python. What crosses from one row to the
next therefore cannot pass, and what lies in a row is found as if it were scanned alone.

Of spans that overlap one is left; the detector that stands first in RULES names it.
The value itself never leaves this module: a span is a kind and two offsets in UTF-8 bytes, a
declared person 64-bit hashes.
"""

from __future__ import annotations

import array
import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts import pii_addresses, pii_names, pii_plausible, pii_users
from etl.facts.kernels import Mask, Offsets, kernel, string_views
from etl.facts.pii_rules import HINTS, RULES, Hint, Match, rule_number
from etl.patterns import CASELESS, SOM_LEFTMOST, compile_all

VERSION = 9

SPAN = pa.struct(
    [
        ("kind", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("detector", pa.string()),
        ("score", pa.float32()),
    ]
)
FIELDS = pa.struct([("spans", pa.list_(SPAN)), ("people", pa.list_(pa.int64()))])

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_KERNEL_KINDS = (pii_addresses.EMAIL, pii_addresses.IPV4, pii_addresses.IPV6)


class Spans(NamedTuple):
    """Spans of a batch: row, first byte and end in the batch's buffer, index in RULES, score."""

    rows: Int64
    starts: Int64
    ends: Int64
    rules: Int32
    scores: npt.NDArray[np.float32]


def scan(
    content: pa.Array, mask: Mask | None = None, hints: tuple[Hint, ...] = HINTS
) -> pa.StructArray:
    """FIELDS of each content: spans in order, not overlapping; null where null or not in `mask`.

    `people` are hashes of the persons that the content declares (`etl.facts.pii_names`), sorted.
    `hints` may be fewer than HINTS, but begin with its three of addresses.
    """
    offsets, data, due = string_views(content, mask)
    view = memoryview(data)  # type: ignore[arg-type]  # numpy's arrays have no __buffer__ in 3.11
    parts: list[Spans] = []
    people: dict[int, list[int]] = {}
    for first, last in _runs(due):
        parts += _scan_rows(hints, view, data, offsets, first, last, people)
    found = _disjoint(_joined(parts))
    return _arrays(found, offsets, due, people)


def _runs(due: Mask) -> list[tuple[int, int]]:
    """Runs of rows that are due, as [first, last)."""
    edges = np.flatnonzero(np.diff(due, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _scan_rows(
    hints: tuple[Hint, ...],
    view: memoryview,
    data: npt.NDArray[np.uint8],
    offsets: Offsets,
    first: int,
    last: int,
    people: dict[int, list[int]],
) -> list[Spans]:
    """Spans of the rows [first, last); fills their `people`."""
    low = int(offsets[first])
    numbers, starts, ends = _candidates(hints, view[low : int(offsets[last])])
    if not len(numbers):
        return []
    starts, ends = starts + low, ends + low
    owners = np.searchsorted(offsets[first : last + 1], ends - 1, side="right") - 1 + first
    is_hot = numbers < len(_KERNEL_KINDS)
    hot = np.flatnonzero(is_hot)
    kinds = numbers[hot].astype(np.int8)
    begins, stops = pii_addresses.confirm(offsets, data, owners[hot], kinds, ends[hot])
    valid = begins >= 0
    rules = np.array([rule_number(HINTS[kind].name) for kind in _KERNEL_KINDS], np.int32)
    scores = np.array([HINTS[kind].score for kind in _KERNEL_KINDS], np.float32)
    addresses = Spans(
        owners[hot][valid], begins[valid], stops[valid], rules[kinds[valid]], scores[kinds[valid]]
    )
    is_cold = ~is_hot
    by_name = {hint.name: number for number, hint in enumerate(hints)}
    is_quoted, is_bare = (numbers == by_name.get(name, -1) for name in ("quoted", "bare"))
    values = np.flatnonzero(is_quoted | is_bare)
    is_cold[values] = pii_plausible.plausible(
        offsets, data, owners[values], is_quoted[values], ends[values]
    )
    cold = np.flatnonzero(is_cold)
    others = _confirm(
        hints, view, offsets, numbers[cold], starts[cold], ends[cold], owners[cold], people
    )
    return [addresses, others]


def _candidates(hints: tuple[Hint, ...], text: memoryview) -> tuple[Int32, Int64, Int64]:
    """(index in `hints`, start where the hint asks for it, end) of each match in `text`."""
    numbers, starts, ends = array.array("i"), array.array("q"), array.array("q")

    def note(number: int, start: int, end: int, flags: int, context: object) -> None:
        numbers.append(number)
        starts.append(start)
        ends.append(end)

    if len(text):
        _database(hints).scan(text, match_event_handler=note)
    return (
        np.frombuffer(numbers, np.int32) if numbers else np.zeros(0, np.int32),
        np.frombuffer(starts, np.int64) if numbers else np.zeros(0, np.int64),
        np.frombuffer(ends, np.int64) if numbers else np.zeros(0, np.int64),
    )


@functools.cache
def _database(hints: tuple[Hint, ...]) -> Any:
    """The compiled `hints`: once a process, in some 0.3 s."""
    return compile_all(
        [hint.expression for hint in hints],
        range(len(hints)),
        [CASELESS * hint.is_caseless | SOM_LEFTMOST * hint.needs_start for hint in hints],
    )


def _confirm(
    hints: tuple[Hint, ...],
    view: memoryview,
    offsets: Offsets,
    numbers: Int32,
    starts: Int64,
    ends: Int64,
    owners: Int64,
    people: dict[int, list[int]],
) -> Spans:
    """The rare kinds. A match inside what the same hint has just found is passed over."""
    found: list[tuple[int, Match]] = []
    names: dict[int, set[bytes]] = {}
    users: dict[int, set[bytes]] = {}
    done: dict[str, int] = {}
    columns = (numbers.tolist(), starts.tolist(), ends.tolist(), owners.tolist())
    for number, start, end, row in zip(*columns, strict=True):
        hint = hints[number]
        if hint.needs_start:
            if start < done.get(hint.group, -1):
                continue
            end = start
        low, high = int(offsets[row]), int(offsets[row + 1])
        if end < low:
            continue
        if hint.is_owner:
            users.setdefault(row, set()).update(pii_users.owners(view, low, high, end))
            continue
        for match in hint.check(view, low, high, end):
            found.append((row, match))
            done[hint.group] = match.end
            if match.is_declared:
                names.setdefault(row, set()).add(bytes(view[match.start : match.end]))
            if match.user:
                users.setdefault(row, set()).add(match.user)
    for row in names.keys() | users.keys():
        people[row] = pii_names.declared(names.get(row, ()), users.get(row, ()))
    return Spans(
        np.array([row for row, _ in found], np.int64),
        np.array([match.start for _, match in found], np.int64),
        np.array([match.end for _, match in found], np.int64),
        np.array([rule_number(match.rule) for _, match in found], np.int32),
        np.array([match.score for _, match in found], np.float32),
    )


def _joined(parts: list[Spans]) -> Spans:
    if not parts:
        none = np.zeros(0, np.int64)
        return Spans(none, none, none, none.astype(np.int32), none.astype(np.float32))
    return Spans(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _disjoint(spans: Spans) -> Spans:
    """By row and start. Of a span inside another the lesser rule of the two stays, as it is; two that
    overlap in part become one that covers both, named by the lesser rule."""
    order = np.lexsort((spans.rules, -spans.ends, spans.starts, spans.rows))
    rows, starts, ends, rules, scores = (column[order] for column in spans)
    kept = _merge(rows, starts, ends, rules, scores)
    return Spans(rows[kept], starts[kept], ends[kept], rules[kept], scores[kept])


@kernel
def _merge(
    rows: Int64, starts: Int64, ends: Int64, rules: Int32, scores: npt.NDArray[np.float32]
) -> Mask:
    """Which spans stay; of those that cover others `ends`, `rules` and `scores` are changed."""
    kept = np.zeros(len(rows), np.bool_)
    last = -1
    for i in range(len(rows)):
        if last >= 0 and rows[i] == rows[last] and starts[i] < ends[last]:
            is_inside = ends[i] <= ends[last]
            if is_inside and rules[i] < rules[last]:
                kept[last], kept[i] = False, True
                last = i
            elif not is_inside:
                ends[last] = ends[i]
                if rules[i] < rules[last]:
                    rules[last], scores[last] = rules[i], scores[i]
            continue
        kept[i] = True
        last = i
    return kept


def _arrays(
    spans: Spans, offsets: Offsets, due: Mask, people: dict[int, list[int]]
) -> pa.StructArray:
    num_rows = len(due)
    list_offsets = np.zeros(num_rows + 1, np.int32)
    np.cumsum(np.bincount(spans.rows, minlength=num_rows), out=list_offsets[1:])
    kinds = pa.array([rule.kind for rule in RULES])
    names = pa.array([rule.name for rule in RULES])
    numbers = pa.array(spans.rules)
    base = offsets[spans.rows] if len(spans.rows) else np.zeros(0, np.int32)
    arrays = [
        kinds.take(numbers),
        pa.array((spans.starts - base).astype(np.int32)),
        pa.array((spans.ends - base).astype(np.int32)),
        names.take(numbers),
        pa.array(spans.scores),
    ]
    values = pa.StructArray.from_arrays(arrays, fields=list(SPAN))
    lists = pa.ListArray.from_arrays(pa.array(list_offsets), values, type=pa.list_(SPAN))
    declared = pa.array([people.get(row, []) for row in range(num_rows)], pa.list_(pa.int64()))
    return pa.StructArray.from_arrays(
        [lists, declared], fields=list(FIELDS), mask=pa.array(~due, pa.bool_())
    )
