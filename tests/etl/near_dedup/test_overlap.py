"""Pairs of two collections against brute force over Python's sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.near_dedup.overlap import Index, alike, index_of

SETS = st.lists(st.sets(st.integers(1, 24), max_size=12), max_size=8)


def arrays(sets: list[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    values = [value for one in sets for value in sorted(one)]
    return np.array(values, np.uint64), np.cumsum([0, *map(len, sets)])


@settings(max_examples=150, deadline=None)
@given(few=SETS, many=SETS, floor=st.sampled_from([0.3, 0.5, 0.75, 1.0]))
def test_the_pairs_are_those_of_brute_force(
    few: list[set[int]], many: list[set[int]], floor: float
) -> None:
    rows, numbers, similarities = alike(index_of(*arrays(few), floor), *arrays(many), floor)
    found = dict(zip(zip(rows.tolist(), numbers.tolist(), strict=True), similarities, strict=True))
    assert len(found) == len(rows)
    assert found == {
        (row, number): len(one & other) / len(one | other)
        for row, one in enumerate(many)
        for number, other in enumerate(few)
        if one and other and len(one & other) / len(one | other) >= floor
    }


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    index = index_of(*arrays([{1, 2, 3}, {3, 4}]), 0.5)
    index.save(tmp_path / "index.part")
    for one, other in zip(Index.load(tmp_path / "index.part"), index, strict=True):
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()
