"""Kneser-Ney against a hand-computed corpus and a slow implementation by the definition."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import ConfigError
from etl.pack.tokenizer import END
from training import ngram
from training.ngram import KneserNey

A, B, C = 50, 51, 52


def tokens(*values: int) -> np.ndarray:
    return np.array(values, np.uint16)


def test_a_bigram_model_of_six_tokens_is_as_computed_by_hand() -> None:
    """Of `A B A B A C`, the pairs foretold: AB twice, BA twice, AC once. D = 1 / (1 + 2 x 2) = 0.2.

    Distinct contexts before B, A, C: 1 each of 3; n1 = 3 and n2 = 0, so D = 0.5 for unigrams, which give
    3 x 0.5 / 3 = 0.5 to the uniform distribution over 10: p(B) = p(A) = p(C) = 0.5 / 3 + 0.05.
    p(B | A) = 1.8 / 3 + 0.2 x 2 / 3 x p(B); p(A | B) = 1.8 / 2 + 0.2 x 1 / 2 x p(A).
    """
    model = KneserNey.fit([tokens(A, B, A, B, A, C)], 2, 10)
    lower = 0.5 / 3 + 0.05
    b_after_a = 1.8 / 3 + 0.4 / 3 * lower
    a_after_b = 1.8 / 2 + 0.1 * lower
    c_after_a = 0.8 / 3 + 0.4 / 3 * lower
    assert model.probabilities(tokens(A, B, A, C)) == pytest.approx(
        [b_after_a, a_after_b, c_after_a], rel=1e-12
    )
    # Never seen: C behind B by the unigrams alone; anything behind C by the uniform part as well
    found = model.probabilities(tokens(B, C, 60))
    assert found == pytest.approx([0.1 * lower, 0.05], rel=1e-12)
    loss = model.loss([tokens(A, B, A, C)])
    assert loss.num_tokens == 3
    assert loss.nats_per_token == pytest.approx(
        -(math.log(b_after_a) + math.log(a_after_b) + math.log(c_after_a)) / 3
    )


def test_a_unigram_model_is_as_computed_by_hand() -> None:
    """`B A B A C` are foretold (not the first A): A 2, B 2, C 1 of 5. D = 1 / (1 + 2 x 2) = 0.2."""
    model = KneserNey.fit([tokens(A, B, A, B, A, C)], 1, 10)
    given_away = 0.2 * 3 / 5 / 10
    assert model.probabilities(tokens(A, A, C, 60)) == pytest.approx(
        [1.8 / 5 + given_away, 0.8 / 5 + given_away, given_away]
    )


# By the definition, with a dictionary an order


class Slow:
    def __init__(self, shards: list[list[int]], order: int, vocabulary: int) -> None:
        grams: Counter[tuple[int, ...]] = Counter()
        for shard in shards:
            padded = [END] * (order - 1) + shard
            for place in range(len(shard)):
                gram = tuple(padded[place : place + order])
                before = shard[place - 1] if place else END
                if before != END:
                    grams[gram] += 1
        self.tables = [grams]
        while len(next(iter(self.tables[0]))) > 1:
            self.tables.insert(0, Counter(gram[1:] for gram in self.tables[0]))
        self.vocabulary = vocabulary

    def probability(self, gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / self.vocabulary
        table = self.tables[len(gram) - 1]
        below = self.probability(gram[1:])
        followers = {one: times for one, times in table.items() if one[:-1] == gram[:-1]}
        if not followers:
            return below
        ones, twos = (sum(times == n for times in table.values()) for n in (1, 2))
        discount = ones / (ones + 2 * twos) if ones and twos else 0.5
        total = sum(followers.values())
        own = max(table[gram] - discount, 0) / total
        return own + discount * len(followers) / total * below


STREAM = st.lists(st.sampled_from([END, 50, 51, 52, 53]), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(shards=st.lists(STREAM, min_size=1, max_size=3), held_out=STREAM, order=st.integers(1, 3))
def test_probabilities_are_those_of_the_definition(
    shards: list[list[int]], held_out: list[int], order: int
) -> None:
    arrays = [tokens(*shard) for shard in shards]
    if all(len(ngram.keys_of(array, 1)) == 0 for array in arrays):
        with pytest.raises(ConfigError, match="training tokens"):
            KneserNey.fit(arrays, order, 70)
        return
    slow = Slow(shards, order, 70)
    padded = [END] * (order - 1) + held_out
    expected = [
        slow.probability(tuple(padded[place : place + order]))
        for place in range(1, len(held_out))
        if held_out[place - 1] != END
    ]
    model = KneserNey.fit(arrays, order, 70)
    assert model.probabilities(tokens(*held_out)) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=40, deadline=None)
@given(shard=STREAM.filter(lambda shard: len(shard) > 2), order=st.integers(1, 3))
def test_probabilities_of_all_tokens_behind_a_context_sum_to_one(
    shard: list[int], order: int
) -> None:
    if len(ngram.keys_of(tokens(*shard), 1)) == 0:
        return
    model = KneserNey.fit([tokens(*shard)], order, 70)
    for context in ([50, 51], [END, 52], [60, 61]):
        total = sum(model.probabilities(tokens(*context, last))[-1] for last in range(70))
        assert total == pytest.approx(1.0)


def test_a_loss_does_not_depend_on_how_the_tokens_are_cut_into_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = np.random.default_rng(1).choice([END, 50, 51, 52, 53], 2000).astype(np.uint16)
    model = KneserNey.fit([stream[:1000]], 3, 70)
    whole = model.loss([stream[1000:]])
    for size in (1, 2, 3, 7, 999):
        monkeypatch.setattr(ngram, "CHUNK", size)
        cut = model.loss([stream[1000:]])
        assert cut.num_tokens == whole.num_tokens
        assert cut.nats == pytest.approx(whole.nats)


def test_higher_orders_foretell_regular_text_better_and_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = []
    for split, repeats in (("train", 40), ("validation", 10)):
        stream = np.array(([50, 51, 52, 50, 51, 53] * repeats + [END]) * 2, "<u2")
        (tmp_path / f"{split}.bin").write_bytes(stream.tobytes())
        entries.append(
            {"name": f"{split}.bin", "sha256": "", "split": split, "num_tokens": len(stream)}
        )
    manifest = {"format": 1, "tokenizer": {"sha256": "", "vocabulary": 100}, "shards": entries}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert ngram.main(["--manifest", str(tmp_path / "manifest.json")]) == 0
    found = json.loads(capsys.readouterr().out)
    losses = [found[name]["nats_per_token"] for name in ("unigram", "bigram", "trigram")]
    assert losses == sorted(losses, reverse=True)
    assert losses[1] < 0.6 < 1.0 < losses[0]
    assert {one["tokens"] for one in found.values()} == {2 * 60}
    windows = ngram.baselines(tmp_path / "manifest.json", (1,), (50, 1000))
    assert windows["unigram"].num_tokens == 100 - 1  # but for the one behind the first end
    assert ngram.main(["--manifest", str(tmp_path / "none.json")]) == 3
    assert "stackmill pack" in capsys.readouterr().err
