"""How similar are two documents, exactly?    contents -> shingle sets -> Jaccard similarities

A shingle set is the sorted distinct 64-bit hashes of a text's 5-word shingles, the ones its signature
is drawn from. Two sets are compared by one merge, left as soon as the floor is out of reach.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl.facts.kernels import Bytes, Mask, Offsets, character_classes, kernel, string_views
from etl.facts.minhash import (
    LEAST_BITS,
    NUM_EDGES,
    POSITIONS,
    insert_shingles,
    mix,
    table_for,
)
from etl.near_dedup.bands import Ints, Sketches, Words


def shingle_sets(content: pa.Array) -> tuple[Words, Ints]:
    """(values, offsets[n + 1]): the sorted distinct shingle hashes of each content.

    Memory: 8 bytes a shingle, about as much as the text.
    """
    offsets, data, due = string_views(content)
    return _sets(offsets, data, due, character_classes())


@kernel
def _sets(offsets: Offsets, data: Bytes, due: Mask, classes: Bytes) -> tuple[Words, Ints]:
    table = np.zeros(1 << LEAST_BITS, np.uint64)
    winners = np.zeros(POSITIONS, np.uint64)
    edges = np.empty(NUM_EDGES, np.int64)
    bounds = np.zeros(len(due) + 1, np.int64)
    values = np.empty(1024, np.uint64)
    for row in range(len(due)):
        bounds[row + 1] = bounds[row]
        if not due[row]:
            continue
        start = int(offsets[row])
        end = int(offsets[row + 1])
        table, bits = table_for(table, end - start)
        _, count, _, table, bits = insert_shingles(
            data, start, end, classes, edges, table, bits, winners
        )
        first = bounds[row]
        if first + count >= len(values):
            larger = np.empty(max(2 * len(values), first + count + 1), np.uint64)
            larger[:first] = values[:first]
            values = larger
        _sort_into(table[: 1 << bits], values[first:])
        bounds[row + 1] = first + count
        table[: 1 << bits] = np.uint64(0)
    return values[: bounds[-1]], bounds


@kernel
def _sort_into(table: Words, out: Words) -> None:
    """The table's values, sorted: they stand in it nearly so. `out` has room for one more."""
    count = 0
    for value in table:
        out[count] = value
        count += value != np.uint64(0)
    for i in range(1, count):
        value = out[i]
        j = i
        while j > 0 and out[j - 1] > value:
            out[j] = out[j - 1]
            j -= 1
        out[j] = value


@kernel
def taken(values: Words, offsets: Ints, rows: Ints) -> Words:
    """The sets of these rows, one after the other."""
    total = 0
    for row in rows:
        total += offsets[row + 1] - offsets[row]
    found = np.empty(total, np.uint64)
    place = 0
    for row in rows:
        size = offsets[row + 1] - offsets[row]
        found[place : place + size] = values[offsets[row] : offsets[row + 1]]
        place += size
    return found


@kernel
def digests(values: Words, offsets: Ints, rows: Ints, due: Mask) -> Ints:
    """128 bits of hash of the sets of these rows; 0 where not due."""
    found = np.zeros((len(rows), 2), np.int64)
    for i in range(len(rows)):
        if not due[i]:
            continue
        one, two = np.uint64(1), np.uint64(2)
        for value in values[offsets[rows[i]] : offsets[rows[i] + 1]]:
            one = mix(one ^ value)
            two = mix(two + value) * np.uint64(0x9E3779B97F4A7C15)
        found[i, 0] = np.int64(one)
        found[i, 1] = np.int64(two)
    return found


@kernel
def num_common(left: Words, right: Words, least: int) -> int:
    """Size of the intersection of two sorted sets; -1 as soon as it cannot reach `least`."""
    i = j = common = 0
    spare_left = len(left) - least
    spare_right = len(right) - least
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            common += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
            if i - common > spare_left:
                return -1
        else:
            j += 1
            if j - common > spare_right:
                return -1
    return common if common >= least else -1


@kernel
def least_common(left: int, right: int, floor: float) -> int:
    """The least intersection of sets of these sizes whose Jaccard similarity reaches the floor."""
    least = math.ceil(floor * (left + right) / (1.0 + floor) - 1e-9)
    while least > 0 and similarity(left, right, least - 1) >= floor:
        least -= 1
    while similarity(left, right, least) < floor:
        least += 1
    return least


@kernel
def similarity(left: int, right: int, common: int) -> float:
    """Jaccard: one rounded division of two exact integers, the same everywhere."""
    return common / (left + right - common)


@kernel
def can_reach(left: int, right: int, floor: float) -> bool:
    """Whether sets of these sizes may be as similar as the floor."""
    return similarity(left, right, min(left, right)) >= floor


@kernel
def jaccard(left: Words, right: Words, floor: float) -> float:
    """Exact similarity of two sorted sets; -1 below the floor."""
    if not can_reach(len(left), len(right), floor):
        return -1.0
    common = num_common(left, right, least_common(len(left), len(right), floor))
    return similarity(len(left), len(right), common) if common >= 0 else -1.0


@kernel
def agreement(sketches: Sketches, left: int, right: int) -> int:
    """Positions at which two sketches agree."""
    count = 0
    for position in range(sketches.shape[1]):
        count += sketches[left, position] == sketches[right, position]
    return count


@kernel
def shares_band(sketches: Sketches, left: int, right: int, bands: int, rows: int) -> bool:
    for band in range(bands):
        is_equal = True
        for position in range(band * rows, (band + 1) * rows):
            if sketches[left, position] != sketches[right, position]:
                is_equal = False
                break
        if is_equal:
            return True
    return False


@kernel
def agreements(sketches: Sketches, left: Ints, right: Ints) -> Ints:
    """Of each pair of rows; -1 where a row is -1: not at hand."""
    found = np.empty(len(left), np.int64)
    for i in range(len(left)):
        found[i] = -1
        if left[i] >= 0 and right[i] >= 0:
            found[i] = agreement(sketches, left[i], right[i])
    return found


@kernel
def similarities(
    values: Words, offsets: Ints, left: Ints, right: Ints, floor: float
) -> npt.NDArray[np.float64]:
    """Exact Jaccard of each pair of rows of sets; -1 below the floor or where a row is -1."""
    found = np.full(len(left), -1.0, np.float64)
    for i in range(len(left)):
        if left[i] < 0 or right[i] < 0:
            continue
        one = values[offsets[left[i]] : offsets[left[i] + 1]]
        two = values[offsets[right[i]] : offsets[right[i] + 1]]
        found[i] = jaccard(one, two, floor)
    return found
