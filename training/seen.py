"""At which steps is a document read?    places in shards, what a run read -> steps

`training.batches` says which window each sample of a step is; this is its inverse, over all windows at once. It
needs the shards' sizes alone, which the manifest has: the shards may be gone. A document's last tokens may be
pushed out of a window by the marks of fill-in-the-middle: what is said here is what the windows hold without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.batches import PATTERN, ROUNDS, key_of, mix, pattern
from training.shards import Ints

NEVER = np.iinfo(np.int64).max
_HIGH = np.uint64(0xBF58476D1CE4E5B9)
_LOW = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Reading:
    """A stage: steps [first_step, end_step) of `rows` windows of `length` tokens, of sources whose shards
    hold `tokens` each, in the order of the manifest."""

    tokens: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    seed: int
    length: int
    rows: int
    first_step: int
    end_step: int

    def steps(self, source: int, shard: int, offset: int, num_tokens: int) -> Ints:
        """Ascending: all steps with a window that holds a token of [offset, offset + num_tokens)."""
        first, end = self._windows(
            source, np.array([shard]), np.array([offset]), np.array([num_tokens])
        )
        found = self._steps_of(source, np.arange(first[0], end[0]))
        unique: Ints = np.unique(found[found != NEVER])
        return unique

    def first_steps(self, source: int, shards: Ints, offsets: Ints, num_tokens: Ints) -> Ints:
        """Of each document; NEVER where the stage ends before."""
        first, end = self._windows(source, shards, offsets, num_tokens)
        total = int(self._ends(source)[-1]) if self.tokens[source] else 0
        steps = np.append(self._steps_of(source, np.arange(total), num_epochs=1)[0], NEVER)
        # Pairs of bounds: the least of every other stretch
        least = np.minimum.reduceat(
            steps, np.stack((first, np.maximum(end, first)), axis=1).ravel()
        )
        return np.where(end > first, least[::2], NEVER)

    def _ends(self, source: int) -> Ints:
        """Windows up to and with each shard."""
        sizes = np.array(self.tokens[source], np.int64)
        return np.cumsum(np.maximum(0, (sizes - 1) // self.length))

    def _windows(
        self, source: int, shards: Ints, offsets: Ints, num_tokens: Ints
    ) -> tuple[Ints, Ints]:
        """Bounds of the windows that hold a token of each document, by their numbers in the source. A window's
        last token is the next one's first."""
        ends = self._ends(source)
        starts = np.append(0, ends)[shards]
        first = starts + np.maximum(0, -(-offsets // self.length) - 1)
        end = starts + (offsets + num_tokens - 1) // self.length + 1
        return np.minimum(first, ends[shards]), np.minimum(end, ends[shards])

    def _steps_of(self, source: int, windows: Ints, num_epochs: int | None = None) -> Ints:
        """int64[epochs, windows]: when each is read; NEVER where the stage ends before."""
        chosen, _, in_turn = pattern(self.weights, self.seed)
        places = np.flatnonzero(chosen == source)
        num_samples = (self.end_step - self.first_step) * self.rows
        total = int(self._ends(source)[-1]) if self.tokens[source] else 0
        most = min(num_samples, -(-num_samples // PATTERN) * int(in_turn[source]))
        epochs = num_epochs or -(-most // max(total, 1))
        found = np.full((epochs, len(windows)), NEVER)
        for epoch in range(epochs):
            positions = unpermuted(windows, total, key_of(self.seed, source, epoch))
            turn, place = np.divmod(epoch * total + positions, int(in_turn[source]))
            sample = turn * PATTERN + places[place]
            step = self.first_step + sample // self.rows
            found[epoch] = np.where(sample < num_samples, step, NEVER)
        return found


def readings(
    data: dict[str, Any], manifests: Sequence[dict[str, Any]]
) -> list[tuple[str, Reading]]:
    """Name and reading of each stage of a run: its `data.json` and the manifests of its mixture, in order."""
    tokens = tuple(
        tuple(shard["num_tokens"] for shard in manifest["shards"] if shard["split"] == "train")
        for manifest in manifests
    )
    weights = tuple(float(source["weight"]) for source in data["mixture"])
    return [
        (
            stage["name"],
            Reading(
                tokens,
                weights,
                data["seed"],
                stage["sequence_length"],
                stage["sequences_per_batch"],
                stage["first_step"],
                stage["end_step"],
            ),
        )
        for stage in data["stages"]
    ]


def unpermuted(places: Ints, count: int, key: int) -> Ints:
    """The numbers that `training.batches.permuted` puts at these places."""
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = [np.uint64(mix(key + turn)) for turn in range(ROUNDS)]
    found = places.astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        values = found[outside]
        left, right = values >> half, values & mask
        for turn in reversed(range(ROUNDS)):
            left, right = right ^ (_mixed(left ^ keys[turn]) & mask), left
        found[outside] = left << half | right
        outside = outside[found[outside] >= np.uint64(count)]
    return found.astype(np.int64)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """`training.batches.mix`"""
    values = (values ^ (values >> np.uint64(30))) * _HIGH
    values = (values ^ (values >> np.uint64(27))) * _LOW
    return values ^ (values >> np.uint64(31))
