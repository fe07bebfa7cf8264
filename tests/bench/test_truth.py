"""The bench's exact answer, against sets written as Python sets."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.truth import WORDS, all_pairs, shingle_sets, similarity


def sets_of(text: str) -> set[tuple[str, ...]]:
    words = WORDS.findall(text)
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(one: str, two: str) -> float:
    left, right = sets_of(one), sets_of(two)
    return len(left & right) / len(left | right) if left | right else 0.0


def test_shingles_are_runs_of_five_words_whatever_stands_between_them() -> None:
    offsets, members = shingle_sets(
        ["a b c d e f", "a+b\n\tc (d) e;f", "a b c d", "", "é_1 b c d e"]
    )
    assert np.diff(offsets).tolist() == [2, 2, 0, 0, 1]
    assert members[0:2].tolist() == members[2:4].tolist()


def test_seven_of_ten_shingles_in_common_are_similar_and_six_of_ten_are_not() -> None:
    sets = [*range(1, 9)], [*range(1, 8), 90, 91], [*range(1, 7), 80, 81, 82]
    texts = [" ".join(f"w{n}" for n in numbers) for numbers in sets]
    found, scores = all_pairs(shingle_sets([*texts, texts[0] + "!"]), 0.7)
    assert found.tolist() == [[0, 3]]  # 3 of 6 and 2 of 7 shingles are common to the others
    assert scores.tolist() == [1.0]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_no_pair_is_lost_and_none_is_added(threshold: float, seed: int) -> None:
    draw = random.Random(seed)
    base = [str(draw.randrange(40)) for _ in range(30)]
    texts = []
    for _ in range(25):
        words = base[draw.randrange(6) : 30 - draw.randrange(6)]
        for _ in range(draw.randrange(4)):
            words[draw.randrange(len(words))] = str(draw.randrange(40))
        texts.append(" ".join(words))
    expected = {
        (i, j): jaccard(texts[i], texts[j])
        for i, j in combinations(range(len(texts)), 2)
        if jaccard(texts[i], texts[j]) >= threshold
    }
    sets = shingle_sets(texts)
    found, scores = all_pairs(sets, threshold)
    assert {tuple(pair): score for pair, score in zip(found.tolist(), scores, strict=True)} == (
        pytest.approx(expected)
    )
    for one, two in found.tolist():
        assert similarity(sets, one, two) == pytest.approx(expected[one, two])
