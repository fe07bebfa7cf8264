"""Which tokens are in the batch of a step?    (manifests, seed, step, batch size) -> tokens

A pure function: no state, no order of reading. Ranks take slices of the same batch, so that a run goes on with
the same batches on another number of ranks. Each epoch of a source is a permutation of its windows (a
Feistel network over their numbers: nothing is held); sources are mixed by their weights in a fixed pattern.

Fill-in-the-middle is drawn when a batch is read, anew in each epoch: a repository's document is a candidate
at `fim.rate`; each of its files then at `fim.file_rate`. A file is cut at two of its characters and written
PSM (prefix, suffix, middle) or SPM; never across a file, nor in the name of the repository.

Source: StarCoder 2, section 5.3; Bavarian et al., "Efficient Training of Language Models to Fill in the
Middle", 2022.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from etl.config import Config
from etl.errors import ConfigError
from etl.pack.tokenizer import (
    END,
    FILE_SEP,
    FIM_MIDDLE,
    FIM_PAD,
    FIM_PREFIX,
    FIM_SUFFIX,
    REPO_NAME,
    Encoder,
)
from training.shards import Ints, Shards, Tokens

IGNORED = -100  # a label that no loss is taken of
PATTERN = 1024  # places in which sources alternate
ROUNDS = 4
_MASK = (1 << 64) - 1


class FimConfig(Config):
    rate: float = Field(
        default=0.5, ge=0, le=1, description="share of documents that are candidates"
    )
    file_rate: float = Field(default=0.5, ge=0, le=1, description="share of a candidate's files")
    spm_rate: float = Field(default=0.5, ge=0, le=1, description="of those, suffix before prefix")


class Source(NamedTuple):
    shards: Shards
    weight: float = 1.0
    epochs: float = 1e9  # reading further is an error


class Batch(NamedTuple):
    """int64[rows, length] each; `segments` numbers the documents of a row: none attends to another."""

    inputs: Ints
    labels: Ints
    segments: Ints
    sources: Ints  # int64[rows]

    @property
    def digest(self) -> str:
        """SHA-256 of the tokens."""
        return hashlib.sha256(self.inputs.tobytes() + self.labels.tobytes()).hexdigest()


class Place(NamedTuple):
    source: int
    epoch: int
    shard: int
    window: int


@dataclass(frozen=True)
class Batches:
    """Batches of `rows` windows of `length` tokens."""

    sources: tuple[Source, ...]
    encoder: Encoder
    length: int
    rows: int
    seed: int
    fim: FimConfig = field(default_factory=FimConfig)

    def __post_init__(self) -> None:
        for number in range(len(self.sources)):
            if not self._ends[number].any():
                raise ConfigError(
                    f"source {number}: expected at least one window of {self.length} tokens, found none: pack "
                    "more text, or read shorter windows"
                )

    def places(self, step: int) -> list[Place]:
        """Of each row of the batch of a step (from 0)."""
        return [self.place(step * self.rows + row) for row in range(self.rows)]

    def place(self, sample: int) -> Place:
        """Where the sample (from 0, over all steps) is read. Raises ConfigError behind the epochs."""
        chosen, before, in_turn = pattern(tuple(one.weight for one in self.sources), self.seed)
        at = sample % PATTERN
        source = int(chosen[at])
        number = sample // PATTERN * int(in_turn[source]) + int(before[at])
        ends = self._ends[source]
        total = int(ends[-1])
        epoch, position = divmod(number, total)
        if number >= self.sources[source].epochs * total:
            raise ConfigError(
                f"source {source}: expected at most {self.sources[source].epochs:g} epochs of {total} windows, "
                f"found sample {number}: train fewer steps or allow more epochs"
            )
        window = permuted(position, total, key_of(self.seed, source, epoch))
        shard = int(np.searchsorted(ends, window, side="right"))
        return Place(source, epoch, shard, window - (int(ends[shard - 1]) if shard else 0))

    @functools.cached_property
    def _ends(self) -> list[Ints]:
        """Of each source, the windows up to and with each shard."""
        return [np.cumsum(source.shards.window_counts(self.length)) for source in self.sources]

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rank's slice of the batch of a step."""
        if self.rows % ranks:
            raise ConfigError(
                f"batch of {self.rows} rows: expected a multiple of {ranks} ranks: change the batch or the ranks"
            )
        mine = self.places(step)[rank * self.rows // ranks : (rank + 1) * self.rows // ranks]
        rows = np.stack([self._row(place) for place in mine])
        return batch_of(rows, np.array([place.source for place in mine]))

    def _row(self, place: Place) -> Tokens:
        """uint16[length + 1]"""
        shards = self.sources[place.source].shards
        tokens = shards.window(place.shard, place.window, self.length)
        if self.fim.rate == 0 or self.fim.file_rate == 0:
            return tokens
        start = place.window * self.length
        marks = np.flatnonzero((tokens == END) | (tokens == FILE_SEP) | (tokens == REPO_NAME))
        bounds = [-1, *marks.tolist(), len(tokens)]
        parts: list[npt.NDArray[np.uint16]] = []
        for at, end in itertools.pairwise(bounds):
            mark = int(tokens[at]) if at >= 0 else shards.mark_before(place.shard, start)
            piece = tokens[at + 1 : end]
            if at >= 0:
                parts.append(tokens[at : at + 1])
            if mark == FILE_SEP and len(piece):
                document = shards.document_start(place.shard, start + at + 1)
                key = key_of(self.seed, place.source, place.epoch, place.shard, document)
                if _share(key, 0) < self.fim.rate:
                    own = key_of(key, start + at + 1)
                    if _share(own, 0) < self.fim.file_rate:
                        piece = self._cut(piece, own)
            parts.append(piece)
        whole = np.concatenate(parts)[: len(tokens)]
        if len(whole) < len(tokens):
            whole = np.concatenate((whole, np.full(len(tokens) - len(whole), FIM_PAD, np.uint16)))
        return whole

    def _cut(self, piece: Tokens, key: int) -> Tokens:
        """The file's tokens with its middle last; as it is where it begins or ends inside a character."""
        try:
            text = self.encoder.decode(piece).decode("utf-8")
        except UnicodeDecodeError:
            return piece
        low, high = sorted(int(_share(key, draw) * (len(text) + 1)) for draw in (1, 2))
        prefix, middle, suffix = (
            self.encoder.encode(part) for part in (text[:low], text[low:high], text[high:])
        )
        marks = np.array([FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE], np.uint16)
        if _share(key, 3) < self.fim.spm_rate:
            parts = [marks[:2], suffix, marks[2:], prefix, middle]
        else:
            parts = [marks[:1], prefix, marks[1:2], suffix, marks[2:], middle]
        found: Tokens = np.concatenate(parts)
        return found


def batch_of(rows: Tokens, sources: Ints) -> Batch:
    """Of windows, uint16[rows, length + 1]."""
    tokens = rows.astype(np.int64)
    inputs, labels = np.ascontiguousarray(tokens[:, :-1]), tokens[:, 1:].copy()
    labels[labels == FIM_PAD] = IGNORED
    # A document begins behind the end of the one before; its first token is not foretold by that
    segments = np.cumsum(np.pad(inputs[:, :-1] == END, ((0, 0), (1, 0))), axis=1)
    labels[inputs == END] = IGNORED
    return Batch(inputs, labels, segments, sources)


@functools.cache
def pattern(weights: tuple[float, ...], seed: int) -> tuple[Ints, Ints, Ints]:
    """PATTERN places, to each source by its weight (at least one), in a fixed random order: the source of
    each, how many places before it are the same source's; and the places of each source."""
    shares = np.array(weights) / sum(weights) * PATTERN
    counts = np.maximum(1, np.floor(shares)).astype(np.int64)
    while counts.sum() != PATTERN:
        short = int(np.sign(PATTERN - counts.sum()))
        counts[np.argmax((shares - counts) * short)] += short
    order = [permuted(place, PATTERN, key_of(seed, 0x5EED)) for place in range(PATTERN)]
    chosen = np.repeat(np.arange(len(weights)), counts)[order]
    before = np.array([int((chosen[:at] == source).sum()) for at, source in enumerate(chosen)])
    return chosen, before, counts


def permuted(number: int, count: int, key: int) -> int:
    """Where a permutation of [0, count), drawn by `key`, puts `number`: a Feistel network, walked until it
    comes back into the range."""
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = number >> half, number & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (mix(right ^ mix(key + turn)) & mask)
        number = left << half | right
        if number < count:
            return number


def key_of(*parts: int) -> int:
    key = 0
    for part in parts:
        key = mix((key ^ (part & _MASK)) + 0x9E3779B97F4A7C15)
    return key


def _share(key: int, draw: int) -> float:
    """In [0, 1)."""
    return (mix(key + 0x9E3779B97F4A7C15 * (draw + 1)) >> 11) / 2**53


def mix(value: int) -> int:
    """Splitmix64's finaliser."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
