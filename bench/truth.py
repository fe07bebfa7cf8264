"""Which files are near-duplicates, exactly?    texts -> shingle sets -> all pairs at a threshold

Shares nothing with `etl`: words by Python's own `re`, each distinct word a number in a dict, a shingle
a 64-bit hash of five numbers (two of 10^8 distinct shingles collide with a chance of 3 in 10,000), all
pairs by a prefix filter, which loses none: two sets of similarity t or more share one of their
first |x| - ceil(t |x|) + 1 members in any common order, here the rarest first.

Source of the filter: Bayardo, Ma and Srikant, "Scaling Up All Pairs Similarity Search", WWW 2007.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numba
import numpy as np
import numpy.typing as npt

WIDTH = 5
WORDS = re.compile(r"\w+")
EPSILON = 1e-9  # 0.7 of 10 shingles is 7

Sets = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]  # offsets (rows + 1), sorted members


def shingle_sets(texts: Iterable[str]) -> Sets:
    """The distinct shingles of each text, sorted; none under 5 words."""
    number_of: dict[str, int] = {}
    offsets, parts = [0], []
    for text in texts:
        numbers = np.array(
            [number_of.setdefault(word, len(number_of) + 1) for word in WORDS.findall(text)],
            np.uint64,
        )
        members = _shingles(numbers)
        parts.append(members)
        offsets.append(offsets[-1] + len(members))
    none = np.zeros(0, np.uint64)
    return np.array(offsets, np.int64), np.concatenate(parts) if parts else none


def _shingles(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    count = len(numbers) - WIDTH + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    value = np.zeros(count, np.uint64)
    for i in range(WIDTH):  # MurmurHash3's finaliser after each word
        value = (value ^ numbers[i : i + count]) * np.uint64(0xFF51AFD7ED558CCD)
        value ^= value >> np.uint64(33)
        value *= np.uint64(0xC4CEB9FE1A85EC53)
        value ^= value >> np.uint64(29)
        value += np.uint64(0x9E3779B97F4A7C15)
    return np.unique(value)


def similarity(sets: Sets, one: int, two: int) -> float:
    """Jaccard similarity of two rows; 0 where either has no shingle."""
    offsets, members = sets
    left = members[offsets[one] : offsets[one + 1]]
    right = members[offsets[two] : offsets[two + 1]]
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / (len(left) + len(right) - common) if common else 0.0


def all_pairs(
    sets: Sets, threshold: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Every pair of rows (n x 2, the lesser first) with its similarity, at the threshold or above.

    Sets that are equal are compared once and their pairs written out: all members of two groups of
    m and n equal sets are m x n pairs.
    """
    offsets, members = sets
    values, ranks = np.unique(members, return_inverse=True)
    frequency = np.bincount(ranks, minlength=len(values))
    place = np.empty(len(values), np.int64)
    place[np.argsort(frequency, kind="stable")] = np.arange(len(values))  # 0 is the rarest
    ordered = place[ranks]
    _sort_rows(offsets, ordered)
    groups = _equal_rows(offsets, ordered)
    first = np.array([rows[0] for rows in groups], np.int64)
    sizes = offsets[first + 1] - offsets[first]
    by_size = first[np.argsort(sizes, kind="stable")]
    by_size = by_size[np.sort(sizes) > 0]
    found, scores = _join(offsets, ordered, by_size, len(values), threshold - EPSILON)
    group_of = {rows[0]: rows for rows in groups}
    pairs, values_out = [], []
    for rows in groups:
        if offsets[rows[0]] < offsets[rows[0] + 1]:
            for i, one in enumerate(rows):
                pairs += [(one, two) for two in rows[i + 1 :]]
                values_out += [1.0] * (len(rows) - i - 1)
    for (one, two), score in zip(found.tolist(), scores.tolist(), strict=True):
        for left in group_of[one]:
            for right in group_of[two]:
                pairs.append((min(left, right), max(left, right)))
                values_out.append(score)
    order = sorted(range(len(pairs)), key=pairs.__getitem__)
    return (
        np.array([pairs[i] for i in order], np.int64).reshape(-1, 2),
        np.array([values_out[i] for i in order], np.float64),
    )


def _equal_rows(offsets: npt.NDArray[np.int64], ordered: npt.NDArray[np.int64]) -> list[list[int]]:
    found: dict[bytes, list[int]] = {}
    for row in range(len(offsets) - 1):
        found.setdefault(ordered[offsets[row] : offsets[row + 1]].tobytes(), []).append(row)
    return list(found.values())


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _sort_rows(offsets: npt.NDArray[np.int64], ordered: npt.NDArray[np.int64]) -> None:
    for row in range(len(offsets) - 1):
        ordered[offsets[row] : offsets[row + 1]].sort()


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _join(
    offsets: npt.NDArray[np.int64],
    ordered: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    num_values: int,
    threshold: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """`rows` from the smallest set to the largest; postings of prefixes are lists linked by arrays."""
    num_postings = 0
    for row in rows:
        size = offsets[row + 1] - offsets[row]
        num_postings += size - int(np.ceil(threshold * size)) + 1
    head = np.full(num_values, -1, np.int64)
    link = np.empty(num_postings, np.int64)
    owner = np.empty(num_postings, np.int64)
    next_posting = 0
    met = np.full(len(offsets), -1, np.int64)
    pairs, scores = [(np.int64(0), np.int64(0))][:0], [0.0][:0]
    for row in rows:
        start, end = offsets[row], offsets[row + 1]
        size = end - start
        prefix = size - int(np.ceil(threshold * size)) + 1
        for i in range(start, start + prefix):
            value = ordered[i]
            before = np.int64(-1)
            posting = head[value]
            while posting >= 0:
                other = owner[posting]
                other_size = offsets[other + 1] - offsets[other]
                if other_size < threshold * size:  # sizes only grow: the tail is too small for good
                    if before < 0:
                        head[value] = -1
                    else:
                        link[before] = -1
                    break
                if met[other] != row:
                    met[other] = row
                    score = _jaccard(
                        ordered, offsets[other], offsets[other + 1], start, end, threshold
                    )
                    if score >= threshold:
                        pairs.append((other, row))
                        scores.append(score)
                before = posting
                posting = link[posting]
            owner[next_posting] = row
            link[next_posting] = head[value]
            head[value] = next_posting
            next_posting += 1
    found = np.empty((len(pairs), 2), np.int64)
    for i in range(len(pairs)):
        found[i, 0], found[i, 1] = pairs[i]
    return found, np.array(scores, np.float64)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _jaccard(
    values: npt.NDArray[np.int64], a: int, a_end: int, b: int, b_end: int, threshold: float
) -> float:
    """0 as soon as the threshold cannot be reached."""
    sizes = (a_end - a) + (b_end - b)
    needed = threshold * sizes / (1 + threshold)
    common = 0
    while a < a_end and b < b_end:
        if common + min(a_end - a, b_end - b) < needed:
            return 0.0
        if values[a] == values[b]:
            common += 1
            a += 1
            b += 1
        elif values[a] < values[b]:
            a += 1
        else:
            b += 1
    return common / (sizes - common)
