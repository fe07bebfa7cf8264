"""Signatures: words and shingles exactly, similarity within a stated error over the whole range."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.facts.minhash import FIELDS, POSITIONS, signatures
from etl.facts.reference import jaccard, shingles, signature


def of(text: str) -> dict[str, Any]:
    [row] = signatures(pa.array([text])).to_pylist()
    assert isinstance(row, dict)
    return row


def sketch(row: dict[str, Any]) -> npt.NDArray[np.uint32]:
    return np.frombuffer(row["sketch"], "<u4")


def estimate(one: dict[str, Any], other: dict[str, Any]) -> float:
    return float(np.mean(sketch(one) == sketch(other)))


def similar_texts(rng: random.Random, num_words: int, changed: float) -> tuple[str, str]:
    """A text of distinct words, and it with a share of its words replaced, in blocks of 20."""
    words = [f"w{rng.getrandbits(40)}" for _ in range(num_words)]
    others = list(words)
    for start in range(0, num_words, 20):
        if rng.random() < changed:
            for i in range(start, min(start + 20, num_words)):
                others[i] = f"v{rng.getrandbits(40)}"
    return " ".join(words), " ".join(others)


@settings(max_examples=300, deadline=None)
@given(st.text("ab_1é日 .\n-\u0301ß²", max_size=80) | st.text(max_size=80))
def test_words_and_shingles_are_those_of_re(text: str) -> None:
    row = of(text)
    assert row["num_tokens"] == len(re.findall(r"\w+", text))
    assert row["num_shingles"] == len(shingles(text))
    assert len(row["sketch"]) == (4 * POSITIONS if row["num_shingles"] else 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "écrit", "x" * 8, "y" * 17, "_", "日本"]), max_size=40))
def test_kernel_equals_the_definition(words: list[str]) -> None:
    text = " ".join(words)
    assert of(text) == signature(text)


def test_words_across_the_edges_of_chunks_are_whole() -> None:
    for length in (4090, 4095, 4096, 4097, 8191, 8192, 8193):
        for word in ("abc", "éé", "日本語"):
            text = " " * length + f"{word} b c d e {word}"
            assert of(text) == of(f"{word} b c d e {word}")


def test_a_text_under_five_words_has_no_sketch() -> None:
    assert of("a b c d") == {"num_tokens": 4, "num_shingles": 0, "set_hash": 0, "sketch": b""}
    assert of("") == {"num_tokens": 0, "num_shingles": 0, "set_hash": 0, "sketch": b""}


def test_white_space_and_punctuation_are_no_content_and_case_is() -> None:
    row = of("def add(a, b): return a + b")
    assert of("def add ( a,\n\n    b ) :\n    return a+b\n") == row
    assert of("DEF add(a, b): return a + b")["set_hash"] != row["set_hash"]


def test_the_set_hash_does_not_depend_on_order_or_repetition() -> None:
    one = "a b c d e f g h i j"
    twice = f"{one} {one}"
    thrice = f"{one} {one} {one}"
    assert of(twice)["num_shingles"] == of(thrice)["num_shingles"] == 10
    assert of(twice)["set_hash"] == of(thrice)["set_hash"]
    assert of(twice)["sketch"] == of(thrice)["sketch"]
    assert of(one)["set_hash"] != of(twice)["set_hash"]


def test_different_sets_have_different_hashes() -> None:
    texts = [f"a{i} b c d e f{i % 7} g" for i in range(20_000)]
    rows = signatures(pa.array(texts))
    assert len(set(rows.field("set_hash").to_pylist())) == len(texts)


def test_long_words_differ_by_any_byte() -> None:
    word = "x" * 40
    hashes = {of(f"{word[:i]}y{word[i + 1 :]} b c d e")["set_hash"] for i in range(len(word))} | {
        of(f"{word[:i]} b c d e")["set_hash"] for i in range(1, len(word))
    }
    assert len(hashes) == 79


@pytest.mark.parametrize("num_words", [12, 60, 300, 2000])
def test_the_estimate_is_unbiased_with_an_error_under_0_03(num_words: int) -> None:
    """256 positions: MinHash's own standard error is at most 0.031, at Jaccard 0.5."""
    rng = random.Random(num_words)
    errors = []
    for changed in (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0):
        for _ in range(25):
            one, other = similar_texts(rng, num_words, changed)
            rows = signatures(pa.array([one, other])).to_pylist()
            errors.append(estimate(*rows) - jaccard(shingles(one), shingles(other)))
    assert float(np.sqrt(np.mean(np.square(errors)))) <= 0.03
    assert abs(float(np.mean(errors))) <= 4 * 0.03 / np.sqrt(len(errors))


@pytest.mark.parametrize(
    ("shared", "own"), [(1, 0), (1, 1), (2, 1), (1, 4), (3, 3), (9, 1), (20, 5)]
)
def test_small_sets_are_estimated_without_bias(shared: int, own: int) -> None:
    """Sets of a few shingles, where one throw must fill many bins."""
    rng = random.Random(7)
    errors = []
    for _ in range(60):
        common = [f"{rng.getrandbits(40)} a b c d" for _ in range(shared)]
        sides = [common + [f"{rng.getrandbits(40)} a b c d" for _ in range(own)] for _ in range(2)]
        texts = [" ".join(side) for side in sides]
        exact = jaccard(shingles(texts[0]), shingles(texts[1]))
        errors.append(estimate(*signatures(pa.array(texts)).to_pylist()) - exact)
    assert float(np.sqrt(np.mean(np.square(errors)))) <= 0.035
    assert abs(float(np.mean(errors))) <= 4 * 0.035 / np.sqrt(len(errors))


def test_positions_agree_independently_enough_for_bands() -> None:
    """6 positions in a band agree with Jaccard^6: within 4 standard errors of 42 x 300 bands."""
    rng = random.Random(11)
    agreed, expected = [], []
    for _ in range(300):
        one, other = similar_texts(rng, 200, 0.15)
        first, second = (sketch(row) for row in signatures(pa.array([one, other])).to_pylist())
        equal = (first == second)[: 42 * 6].reshape(42, 6)
        agreed.append(equal.all(axis=1).mean())
        expected.append(jaccard(shingles(one), shingles(other)) ** 6)
    assert float(np.mean(agreed)) == pytest.approx(float(np.mean(expected)), abs=0.03)


def test_unrelated_texts_agree_nowhere() -> None:
    rng = random.Random(5)
    texts = [" ".join(f"{rng.getrandbits(60)}" for _ in range(5000)) for _ in range(20)]
    sketches = [sketch(row) for row in signatures(pa.array(texts)).to_pylist()]
    agreeing = sum(
        int((one == other).sum()) for i, one in enumerate(sketches) for other in sketches[:i]
    )
    assert agreeing == 0


def test_signatures_never_change() -> None:
    """From the plain Python form at version 1: a change of any of these needs a new version."""
    row = of("the quick brown fox jumps over the lazy dog")
    assert row["num_shingles"] == 5
    assert row["set_hash"] == FIRST_SET_HASH
    assert sketch(row)[:4].tolist() == FIRST_POSITIONS


FIRST_SET_HASH = 949969380709995094
FIRST_POSITIONS = [3126541757, 3376582335, 285120756, 4087319670]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.text("ab c\n", max_size=60), max_size=10), st.data())
def test_rows_are_independent_of_their_batch(texts: list[str | None], data: st.DataObject) -> None:
    array = pa.array(texts, pa.string())
    start = data.draw(st.integers(0, len(texts)))
    rows = signatures(array[start:]).to_pylist()
    assert rows == [None if text is None else of(text) for text in texts[start:]]


def test_the_table_grows_and_is_clean_for_the_next_row() -> None:
    rng = random.Random(3)
    many = " ".join(str(rng.getrandbits(8)) for _ in range(100_000))
    rows = signatures(pa.array(["a b c d e f", many, "a b c d e f", many])).to_pylist()
    assert rows[0] == rows[2]
    assert rows[1] == rows[3]
    assert rows[1]["num_shingles"] == len(shingles(many))


def test_an_empty_batch_has_the_schema() -> None:
    assert signatures(pa.array([], pa.string())).type == FIELDS
