"""How well is unseen code foretold?    engine, validation split -> nats a token and bits a byte, by language

Windows lie evenly over the split; every token in them counts once, as a whole repository's text would be read.
Bits a byte: the nats of the tokens over the bytes that they stand for, so that tokenizers can be compared; what
has no bytes (the sentinels) has its nats counted too. The language of a token is that of its file; tokens
between files, such as a repository's name, count in the total alone.

Shapes: W windows, T tokens of one, F files of a shard, L languages.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from etl.errors import ConfigError, ContractError
from training.batches import IGNORED, Batch, batch_of
from training.config import StageConfig, ValidationConfig
from training.corpus import Corpus, OpenSource
from training.model import packed
from training.ranks import Rank
from training.shards import Ints, Window

BETWEEN = ""  # the language of tokens that are in no file


@dataclasses.dataclass
class Score:
    """Sums over tokens."""

    nats: float = 0.0
    tokens: float = 0.0
    bytes: float = 0.0

    @property
    def loss(self) -> float:
        """Nats a token."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes if self.bytes else math.nan


@dataclasses.dataclass(frozen=True)
class Scores:
    whole: Score
    sources: dict[str, Score]
    languages: dict[str, Score]


@dataclasses.dataclass(frozen=True)
class Validation:
    """The windows of one stage's length, and the language of each of their tokens."""

    corpus: Corpus
    languages: tuple[str, ...]
    windows: tuple[tuple[Window, ...], ...]  # of each source
    files: tuple[dict[int, tuple[Ints, Ints, Ints]], ...]  # shard -> offsets, ends, languages

    def rows(self, source: int, windows: list[Window], length: int) -> tuple[Batch, Ints]:
        """A batch of these windows, and the number of the language of each label."""
        shards = self.corpus.sources[source].validation
        tokens = np.stack([shards.window(one.shard, one.number, length) for one in windows])
        languages = np.stack([self._languages(source, window, length) for window in windows])
        return batch_of(tokens, np.full(len(windows), source)), languages

    def _languages(self, source: int, window: Window, length: int) -> Ints:
        """int64[T]"""
        offsets, ends, languages = self.files[source][window.shard]
        labels = np.arange(window.number * length + 1, (window.number + 1) * length + 1)
        file = np.searchsorted(offsets, labels, side="right") - 1
        inside = (file >= 0) & (labels < ends[file])
        return np.where(inside, languages[file], 0)


def open_validation(corpus: Corpus, stage: StageConfig, config: ValidationConfig) -> Validation:
    """Raises ConfigError where the split has no window, ContractError where the table of files is another."""
    languages: dict[str, int] = {BETWEEN: 0}
    windows, files = [], []
    for source in corpus.sources:
        found = source.validation.spread(stage.sequence_length, config.max_tokens)
        if not found:
            raise ConfigError(
                f"data.sources.{source.config.name}: expected a window of {stage.sequence_length} tokens to "
                "validate on, found none: raise decide.split.validation_fraction and pack again"
            )
        windows.append(tuple(found))
        files.append(_files_of(source, {window.shard for window in found}, languages))
    return Validation(corpus, tuple(languages), tuple(windows), tuple(files))


def evaluate(
    engine: Any, validation: Validation, stage: StageConfig, at_once: int, rank: Rank
) -> Scores:
    """The same on every rank, each of which reads its share of the windows."""
    count = len(validation.languages)
    widths = np.array([len(raw) for raw in validation.corpus.encoder.bytes_of], np.float64)
    widths = np.pad(widths, (0, max(0, engine.module.config.vocab_size - len(widths))))
    sums = np.zeros((len(validation.windows), count, 3))
    engine.eval()
    with torch.no_grad():
        for source, batch, languages in _shares(validation, stage, at_once, rank):
            nats = engine(*packed(batch, rank.device)).cpu().numpy().astype(np.float64)
            told = batch.labels != IGNORED
            labels, spoken = batch.labels[told], languages[told]
            for column, values in enumerate((nats[told], None, widths[labels])):
                sums[source, :, column] += np.bincount(spoken, values, minlength=count)
    engine.train()
    totals = np.array(rank.total(sums.reshape(-1).tolist())).reshape(sums.shape)
    return _scores(validation, totals)


def _shares(
    validation: Validation, stage: StageConfig, at_once: int, rank: Rank
) -> Iterator[tuple[int, Batch, Ints]]:
    """As many batches on every rank: where one has fewer windows, it reads one again that counts nothing."""
    share = rank.count * at_once
    for source, windows in enumerate(validation.windows):
        for start in range(0, len(windows), share):
            mine = list(windows[start + rank.number : start + share : rank.count])
            batch, languages = validation.rows(source, mine or [windows[0]], stage.sequence_length)
            if not mine:
                batch.labels[:] = IGNORED
            yield source, batch, languages


def _scores(validation: Validation, totals: Any) -> Scores:
    """`totals`: float64[sources, L, (nats, tokens, bytes)]"""
    whole = Score(*totals.sum(axis=(0, 1)).tolist())
    sources = {
        source.config.name: Score(*part.sum(axis=0).tolist())
        for source, part in zip(validation.corpus.sources, totals, strict=True)
    }
    by_language = totals.sum(axis=0)
    languages = {
        name: Score(*by_language[number].tolist())
        for number, name in enumerate(validation.languages)
        if name != BETWEEN and by_language[number, 1]
    }
    return Scores(whole, sources, languages)


def _files_of(
    source: OpenSource, wanted: set[int], languages: dict[str, int]
) -> dict[int, tuple[Ints, Ints, Ints]]:
    """Of the shards: where files begin and end, and the number of each one's language, which may be new."""
    shards = source.validation.shards
    location = f"{source.config.lake.rstrip('/')}/shard_documents"
    names = [shards[number].name for number in sorted(wanted)]
    try:
        table = DeltaTable(location)
    except TableNotFoundError:
        raise ContractError(
            f"{location}: expected the table of the files in shards, found none: run `stackmill pack`"
        ) from None
    rows = table.to_pandas(
        columns=["shard", "offset", "num_tokens", "language"], filters=[("shard", "in", names)]
    ).sort_values(["shard", "offset"])
    found = {}
    by_shard = dict(iter(rows.groupby("shard")))
    for number in wanted:
        name = shards[number].name
        if name not in by_shard:
            raise ContractError(
                f"{location}: expected the files of {name}, found none: the corpus was packed again; begin a new "
                f"run, or restore what {Path(source.manifest).name} names"
            )
        part = by_shard[name]
        spoken = part["language"].fillna("unknown")
        numbers = [languages.setdefault(language, len(languages)) for language in spoken]
        offsets = part["offset"].to_numpy(np.int64)
        ends = offsets + part["num_tokens"].to_numpy(np.int64)
        found[number] = (offsets, ends, np.array(numbers, np.int64))
    return found
