"""Which texts of a few are like some of many?    shingle sets -> pairs at or above a floor, exactly

The few are indexed by their rarest shingles: a set of n shingles shares at least ceil(floor n) with any set as
similar as the floor, so that one of any n - ceil(floor n) + 1 of them is shared. What shares none of these is
left; the others are compared exactly. Rare is rare among the few.

Source: Bayardo, Ma and Srikant, "Scaling Up All Pairs Similarity Search", WWW 2007 (prefix filter).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from etl.facts.kernels import kernel
from etl.near_dedup.bands import Ints, Words
from etl.near_dedup.similarity import jaccard

Bits = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


class Index(NamedTuple):
    """`keys` ascending: the shingles looked for; `owners` whose each is; `bits` one for each key's low bits;
    `values` and `offsets` the sets themselves."""

    keys: Words
    owners: Ints
    bits: Bits
    values: Words
    offsets: Ints

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **self._asdict())

    @classmethod
    def load(cls, path: Path) -> Index:
        with np.load(path) as found:
            return cls(**{name: found[name] for name in cls._fields})


def index_of(values: Words, offsets: Ints, floor: float) -> Index:
    """The index of sorted sets, [offsets[i], offsets[i + 1]) each."""
    sizes = np.diff(offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    _, number, count = np.unique(values, return_inverse=True, return_counts=True)
    order = np.lexsort((values, count[number], owner))  # each set's rarest first; ties by value
    place = np.arange(len(values)) - np.repeat(offsets[:-1], sizes)
    needed = sizes - np.ceil(floor * sizes - 1e-9).astype(np.int64) + 1
    kept = order[place < np.repeat(needed, sizes)]
    kept = kept[np.argsort(values[kept], kind="stable")]
    keys = values[kept]
    bits = np.zeros(1 << max(16, (16 * len(keys)).bit_length()), np.uint8)
    bits[(keys & np.uint64(len(bits) - 1)).astype(np.int64)] = 1
    return Index(keys, owner[kept], bits, values, offsets)


def alike(index: Index, values: Words, offsets: Ints, floor: float) -> tuple[Ints, Ints, Floats]:
    """(set, indexed set, Jaccard) of all pairs that reach the floor."""
    return _alike(*index, values, offsets, floor)


@kernel
def _alike(
    keys: Words,
    owners: Ints,
    bits: Bits,
    own_values: Words,
    own_offsets: Ints,
    values: Words,
    offsets: Ints,
    floor: float,
) -> tuple[Ints, Ints, Floats]:
    compared = np.full(
        len(own_offsets) - 1, -1, np.int64
    )  # the last set that each was compared with
    rows = [0 for _ in range(0)]
    others = [0 for _ in range(0)]
    found = [0.0 for _ in range(0)]
    mask = np.uint64(len(bits) - 1)
    for row in range(len(offsets) - 1):
        one = values[offsets[row] : offsets[row + 1]]
        for value in one:
            if not bits[np.int64(value & mask)]:
                continue
            place = np.searchsorted(keys, value)
            while place < len(keys) and keys[place] == value:
                other = owners[place]
                place += 1
                if compared[other] == row:
                    continue
                compared[other] = row
                two = own_values[own_offsets[other] : own_offsets[other + 1]]
                similarity = jaccard(one, two, floor)
                if similarity >= 0:
                    rows.append(row)
                    others.append(other)
                    found.append(similarity)
    return np.array(rows, np.int64), np.array(others, np.int64), np.array(found, np.float64)
