"""The steps of a document against the loader, run forward over all steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.pack.tokenizer import END
from training.batches import Batches, FimConfig, Source, permuted
from training.seen import NEVER, Reading, readings, unpermuted
from training.shards import Shard, Shards

SIZES = ((400, 90, 7, 0, 333), (120, 260))


class Numbered(Shards):
    """Shards in memory whose tokens are told apart by source, shard and place."""

    def __init__(self, sizes: tuple[int, ...], first: int) -> None:
        self.shards = []
        for size in sizes:
            tokens = np.arange(first, first + size, dtype=np.uint16)
            self.shards.append(Shard("", "", tokens, np.flatnonzero(tokens == END) + 1))
            first += size


SOURCES = (Numbered(SIZES[0], 1000), Numbered(SIZES[1], 5000))


def loader(length: int, rows: int, weights: tuple[float, ...], seed: int) -> Batches:
    found = tuple(Source(*pair) for pair in zip(SOURCES, weights, strict=False))
    encoder: Any = None
    return Batches(found, encoder, length, rows, seed, FimConfig(rate=0))


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 1500), key=st.integers(0, 2**64 - 1))
def test_a_permutation_is_undone(count: int, key: int) -> None:
    numbers = np.arange(count)
    places = np.array([permuted(number, count, key) for number in range(count)])
    assert (unpermuted(places, count, key) == numbers).all()


@pytest.mark.parametrize("weights", [(1.0,), (3.0, 1.0)])
@pytest.mark.parametrize(("length", "rows"), [(16, 4), (32, 3), (50, 1)])
def test_steps_are_those_whose_batches_hold_a_token_of_the_document(
    weights: tuple[float, ...], length: int, rows: int
) -> None:
    """Two stages: the second begins at step 40, with windows of its own."""
    second = (2 * length, rows + 1)
    steps_of: dict[int, set[int]] = {}
    for first, (size, num_rows), num_steps in ((0, (length, rows), 40), (40, second, 30)):
        reader = loader(size, num_rows, weights, 7)
        for step in range(num_steps):
            batch = reader.batch(step)
            last = np.stack([reader._row(place)[-1:] for place in reader.places(step)])
            for token in np.unique(np.concatenate((batch.inputs, last), axis=1)).tolist():
                steps_of.setdefault(token, set()).add(first + step)
    manifests = [
        {"shards": [{"split": "train", "num_tokens": size} for size in sizes]} for sizes in SIZES
    ][: len(weights)]
    data = {
        "seed": 7,
        "mixture": [{"weight": weight} for weight in weights],
        "stages": [
            {"name": "one", "first_step": 0, "end_step": 40, "sequence_length": length,
             "sequences_per_batch": rows},
            {"name": "two", "first_step": 40, "end_step": 70, "sequence_length": second[0],
             "sequences_per_batch": second[1]},
        ],
    }  # fmt: skip
    stages = readings(data, manifests)
    assert [name for name, _ in stages] == ["one", "two"]
    generator = np.random.default_rng(1)
    for source in range(len(weights)):
        for shard, size in enumerate(SIZES[source]):
            documents = [(0, size), *generator.integers(1, 60, (6, 2)).tolist()] if size else []
            for offset, num_tokens in documents:
                offset = min(offset, size - 1)
                num_tokens = min(num_tokens, size - offset)
                start = int(SOURCES[source].shards[shard].tokens[offset])
                expected = set().union(
                    *(steps_of.get(token, set()) for token in range(start, start + num_tokens))
                )
                found = [reading.steps(source, shard, offset, num_tokens) for _, reading in stages]
                assert set(np.concatenate(found).tolist()) == expected
                for (_, reading), steps in zip(stages, found, strict=True):
                    at = [np.array([value]) for value in (shard, offset, num_tokens)]
                    first_step = reading.first_steps(source, *at)[0]
                    assert first_step == (steps[0] if len(steps) else NEVER)


def test_first_steps_of_many_documents_are_those_of_each() -> None:
    reading = Reading(SIZES, (3.0, 1.0), 7, 16, 4, 10, 25)
    generator = np.random.default_rng(2)
    shards = generator.choice([0, 1, 2, 4], 100)
    sizes = np.array(SIZES[0])[shards]
    offsets = generator.integers(0, sizes)
    num_tokens = generator.integers(1, sizes - offsets + 1)
    found = reading.first_steps(0, shards, offsets, num_tokens)
    each = [reading.steps(0, *place) for place in zip(shards, offsets, num_tokens, strict=True)]
    assert found.tolist() == [int(steps[0]) if len(steps) else NEVER for steps in each]
    assert (found == NEVER).any()
    assert found[found != NEVER].min() == 10
