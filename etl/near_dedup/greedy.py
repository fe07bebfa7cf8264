"""Who among many alike is kept, and who is like the kept?    shingle sets in rank order -> pivots, pairs

Documents come in rank order. Of the demanded ones, one is a pivot unless an earlier pivot is as
similar as the threshold. Every document is then compared with every pivot: what reaches the floor
is a pair. No two documents are compared that are both no pivots, so 100,000 near-identical ones
make 100,000 comparisons.

A document is looked up in an inverted index of the pivots: over the rarest shingles of each (prefix
filter; rarity is counted among the documents at hand), keyed by the class of its size too, with a
bound on what can still be common (position filter). The filters are exact: no pair is lost.
Source: Xiao et al., "Efficient Similarity Joins for Near Duplicate Detection", WWW 2008 (PPJoin).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from etl.facts.kernels import Mask, kernel
from etl.facts.minhash import mix
from etl.near_dedup.bands import Ints, Sketches, Words
from etl.near_dedup.similarity import (
    agreement,
    can_reach,
    jaccard,
    least_common,
    shares_band,
)

_FEW = 32  # pivots up to which each is tried without the index
_COUNTS_BITS = 20
_CLASS_RATIO = 1.1
_NO_SLOT = -1

Floats = npt.NDArray[np.float64]


class Compared(NamedTuple):
    """Pairs of rows (`pivot`, `other`) with their similarity, and which rows are pivots."""

    pivot: Ints
    other: Ints
    similarity: Floats
    is_pivot: Mask


def compare(
    values: Words,
    offsets: Ints,
    sketches: Sketches,
    is_demanded: Mask,
    is_pivot: Mask,
    floor: float,
    threshold: float,
    scheme: tuple[int, int, int],
) -> Compared:
    """`scheme` is bands, rows, min_agreement. Rows of `is_pivot` are pivots beforehand.

    Cost: two look-ups a document; memory: a third of the shingles for the prefixes, and the index.
    """
    pivots = is_pivot.copy()
    pivot, other, found = _compare(
        values, offsets, sketches, is_demanded, pivots, floor, threshold, *scheme
    )
    return Compared(pivot, other, found, pivots)


@kernel
def size_class(size: int) -> int:
    return int(math.log(size) / math.log(_CLASS_RATIO))


@kernel
def _compare(
    values: Words,
    offsets: Ints,
    sketches: Sketches,
    is_demanded: Mask,
    is_pivot: Mask,
    floor: float,
    threshold: float,
    bands: int,
    rows: int,
    min_agreement: int,
) -> tuple[Ints, Ints, Floats]:
    count = len(offsets) - 1
    prefixes, starts = _prefixes(values, offsets, floor)
    slots = np.full(1024, _NO_SLOT, np.int64)  # key -> last posting
    keys = np.zeros(1024, np.uint64)
    postings = np.empty((1024, 3), np.int64)  # row, position, the posting before it
    sizes = np.zeros(2, np.int64)  # slots in use, postings
    pivots = np.empty(count, np.int64)
    num_pivots = 0
    hits = np.zeros(count, np.int64)
    touched = np.empty(count, np.int64)
    near = np.empty(count, np.int64)
    nearness = np.empty(count, np.float64)
    for row in range(count):
        if is_pivot[row]:
            pivots[num_pivots] = row
            num_pivots += 1
            slots, keys, postings = _add(
                row, prefixes, starts, offsets, slots, keys, postings, sizes
            )
    for row in range(count):
        if not is_demanded[row] or is_pivot[row]:
            continue
        if num_pivots:
            last = pivots[num_pivots - 1]
            if (
                _compared(values, offsets, sketches, last, row, floor, bands, rows, min_agreement)
                >= threshold
            ):
                continue
        num_near = _look_up(
            row, values, offsets, sketches, prefixes, starts, slots, keys, postings, pivots,
            num_pivots, hits, touched, near, nearness, floor, threshold, bands, rows, min_agreement,
        )  # fmt: skip
        is_near = False
        for i in range(num_near):
            is_near |= nearness[i] >= threshold
        if not is_near:
            is_pivot[row] = True
            pivots[num_pivots] = row
            num_pivots += 1
            slots, keys, postings = _add(
                row, prefixes, starts, offsets, slots, keys, postings, sizes
            )
    return _all_pairs(
        values, offsets, sketches, prefixes, starts, slots, keys, postings, pivots, num_pivots,
        is_pivot, hits, touched, near, nearness, floor, bands, rows, min_agreement,
    )  # fmt: skip


@kernel
def _all_pairs(
    values: Words,
    offsets: Ints,
    sketches: Sketches,
    prefixes: Words,
    starts: Ints,
    slots: Ints,
    keys: Words,
    postings: Ints,
    pivots: Ints,
    num_pivots: int,
    is_pivot: Mask,
    hits: Ints,
    touched: Ints,
    near: Ints,
    nearness: Floats,
    floor: float,
    bands: int,
    rows: int,
    min_agreement: int,
) -> tuple[Ints, Ints, Floats]:
    """Every pair of a pivot and another document at or above the floor, once."""
    pivot = np.empty(1024, np.int64)
    other = np.empty(1024, np.int64)
    found = np.empty(1024, np.float64)
    count = 0
    for row in range(len(offsets) - 1):
        num_near = _look_up(
            row, values, offsets, sketches, prefixes, starts, slots, keys, postings, pivots,
            num_pivots, hits, touched, near, nearness, floor, 2.0, bands, rows, min_agreement,
        )  # fmt: skip
        for i in range(num_near):
            if near[i] == row or (is_pivot[row] and near[i] > row):
                continue
            if count == len(pivot):
                pivot = np.concatenate((pivot, np.empty(count, np.int64)))
                other = np.concatenate((other, np.empty(count, np.int64)))
                found = np.concatenate((found, np.empty(count, np.float64)))
            pivot[count] = near[i]
            other[count] = row
            found[count] = nearness[i]
            count += 1
    return pivot[:count], other[:count], found[:count]


@kernel
def _prefixes(values: Words, offsets: Ints, floor: float) -> tuple[Words, Ints]:
    """Of each set its rarest shingles, the rarest first: one of them is in each similar set."""
    mask = np.uint64((1 << _COUNTS_BITS) - 1)
    counts = np.zeros(1 << _COUNTS_BITS, np.uint32)
    for value in values:
        counts[np.int64(value & mask)] += np.uint32(1)
    starts = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        size = offsets[row + 1] - offsets[row]
        starts[row + 1] = starts[row] + (size - math.ceil(floor * size - 1e-9) + 1 if size else 0)
    prefixes = np.empty(starts[-1], np.uint64)
    for row in range(len(offsets) - 1):
        own = values[offsets[row] : offsets[row + 1]]
        places = np.empty(len(own), np.uint64)
        for i in range(len(own)):
            often = np.uint64(min(counts[np.int64(own[i] & mask)], np.uint32(65535)))
            places[i] = (often << np.uint64(48)) | (own[i] >> np.uint64(16))
        # Stable, and `own` is sorted: a total order, the same for all sets
        order = np.argsort(places, kind="mergesort")
        for i in range(starts[row + 1] - starts[row]):
            prefixes[starts[row] + i] = own[order[i]]
    return prefixes, starts


@kernel
def _slot(slots: Ints, keys: Words, key: np.uint64) -> int:
    mask = len(slots) - 1
    slot = np.int64(key) & mask
    while slots[slot] != _NO_SLOT and keys[slot] != key:
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def _key(shingle: np.uint64, klass: int) -> np.uint64:
    return mix(shingle + np.uint64(klass))


@kernel
def _add(
    row: int,
    prefixes: Words,
    starts: Ints,
    offsets: Ints,
    slots: Ints,
    keys: Words,
    postings: Ints,
    sizes: Ints,
) -> tuple[Ints, Words, Ints]:
    """The index with one more pivot; its arrays are made anew where they are full."""
    size = offsets[row + 1] - offsets[row]
    klass = size_class(size)
    for position in range(starts[row + 1] - starts[row]):
        if 2 * sizes[0] >= len(slots):
            old_slots, old_keys = slots, keys
            slots = np.full(2 * len(old_slots), _NO_SLOT, np.int64)
            keys = np.zeros(2 * len(old_slots), np.uint64)
            for i in range(len(old_slots)):
                if old_slots[i] != _NO_SLOT:
                    slot = _slot(slots, keys, old_keys[i])
                    slots[slot] = old_slots[i]
                    keys[slot] = old_keys[i]
        if sizes[1] == len(postings):
            larger = np.empty((2 * len(postings), 3), np.int64)
            larger[: len(postings)] = postings
            postings = larger
        key = _key(prefixes[starts[row] + position], klass)
        slot = _slot(slots, keys, key)
        if slots[slot] == _NO_SLOT:
            sizes[0] += 1
            keys[slot] = key
        postings[sizes[1], 0] = row
        postings[sizes[1], 1] = position
        postings[sizes[1], 2] = slots[slot]
        slots[slot] = sizes[1]
        sizes[1] += 1
    return slots, keys, postings


@kernel
def _compared(
    values: Words,
    offsets: Ints,
    sketches: Sketches,
    left: int,
    right: int,
    floor: float,
    bands: int,
    rows: int,
    min_agreement: int,
) -> float:
    """Jaccard of a pair that shares a band, passes the sketch bound and reaches the floor; else -1."""
    one = values[offsets[left] : offsets[left + 1]]
    two = values[offsets[right] : offsets[right + 1]]
    if not can_reach(len(one), len(two), floor):
        return -1.0
    if agreement(sketches, left, right) < min_agreement:
        return -1.0
    if not shares_band(sketches, left, right, bands, rows):
        return -1.0
    return jaccard(one, two, floor)


@kernel
def _look_up(
    row: int,
    values: Words,
    offsets: Ints,
    sketches: Sketches,
    prefixes: Words,
    starts: Ints,
    slots: Ints,
    keys: Words,
    postings: Ints,
    pivots: Ints,
    num_pivots: int,
    hits: Ints,
    touched: Ints,
    near: Ints,
    nearness: Floats,
    floor: float,
    enough: float,
    bands: int,
    rows: int,
    min_agreement: int,
) -> int:
    """Puts the pivots at or above the floor into `near`, and returns how many; ends at `enough`."""
    num_touched = 0
    if num_pivots <= _FEW:
        touched[:num_pivots] = pivots[:num_pivots]
        num_touched = num_pivots
    else:
        num_touched = _touch(
            row, offsets, prefixes, starts, slots, keys, postings, hits, touched, floor
        )
    num_near = 0
    for i in range(num_touched):
        hits[touched[i]] = 0
    for i in range(num_touched):
        if touched[i] == row:
            continue
        found = _compared(
            values, offsets, sketches, touched[i], row, floor, bands, rows, min_agreement
        )
        if found >= floor:
            near[num_near] = touched[i]
            nearness[num_near] = found
            num_near += 1
            if found >= enough:
                break
    return num_near


@kernel
def _touch(
    row: int,
    offsets: Ints,
    prefixes: Words,
    starts: Ints,
    slots: Ints,
    keys: Words,
    postings: Ints,
    hits: Ints,
    touched: Ints,
    floor: float,
) -> int:
    """Pivots that may reach the floor, by prefix, size and position, into `touched`."""
    size = offsets[row + 1] - offsets[row]
    smallest = max(1, math.ceil(floor * size - 1e-9))
    largest = math.floor(size / floor + 1e-9)
    num_touched = 0
    for klass in range(size_class(smallest), size_class(largest) + 1):
        lowest = max(smallest, math.floor(math.pow(_CLASS_RATIO, klass)))
        if lowest > largest:
            break
        length = min(size - least_common(size, lowest, floor) + 1, starts[row + 1] - starts[row])
        for position in range(length):
            posting = slots[_slot(slots, keys, _key(prefixes[starts[row] + position], klass))]
            while posting != _NO_SLOT:
                other, place = postings[posting, 0], postings[posting, 1]
                posting = postings[posting, 2]
                if hits[other] < 0:
                    continue
                other_size = offsets[other + 1] - offsets[other]
                rest = min(size - position, other_size - place)
                if hits[other] == 0:
                    touched[num_touched] = other
                    num_touched += 1
                if hits[other] + rest < least_common(size, other_size, floor):
                    hits[other] = -1
                else:
                    hits[other] += 1
    kept = 0
    for i in range(num_touched):
        other = touched[i]
        if hits[other] > 0:
            touched[kept] = other
            kept += 1
        hits[other] = 0
    return kept
