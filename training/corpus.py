"""What is read?    configuration -> shards of each source, by manifests that cannot change; batches of a stage

`pack` leaves each manifest under a name of its own digest beside `manifest.json`: a run is pinned to those that it
began with, and goes on with them when the corpus has been packed again.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from etl.errors import ConfigError
from etl.pack.manifest import MANIFEST, name_of
from etl.pack.tokenizer import Encoder
from training.batches import Batches, Source
from training.config import RunConfig, SourceConfig, StageConfig, TrainingConfig
from training.shards import Shards

FOLDER = "shards"


@dataclasses.dataclass(frozen=True)
class OpenSource:
    config: SourceConfig
    manifest: str  # under the lake
    train: Shards
    validation: Shards


@dataclasses.dataclass(frozen=True)
class Corpus:
    config: TrainingConfig
    encoder: Encoder
    sources: tuple[OpenSource, ...]

    def batches(self, stage: StageConfig) -> Batches:
        """Step 0 of them is the stage's first."""
        return Batches(
            tuple(Source(one.train, one.config.weight, one.config.epochs) for one in self.sources),
            self.encoder,
            stage.sequence_length,
            stage.sequences_per_batch,
            self.config.seed,
            self.config.data.fim,
        )

    def check_epochs(self) -> None:
        """Raises ConfigError where a stage would read a source more often than allowed."""
        for stage in self.config.stages:
            last = self.batches(stage)
            for sample in range(1, 1 + min(1024, stage.steps * stage.sequences_per_batch)):
                last.place(stage.steps * stage.sequences_per_batch - sample)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint of this run must be of."""
        config = self.config
        return {
            "model": config.model.model_dump(mode="json"),
            "tokenizer": {"sha256": self.encoder.digest},
            "data": {
                "seed": config.seed,
                "fim": config.data.fim.model_dump(mode="json"),
                "sources": {
                    one.config.name: {"sha256": one.train.digest, "weight": one.config.weight}
                    for one in self.sources
                },
                "stages": stages_of(config, with_end=False),
            },
        }

    def described(self) -> dict[str, Any]:
        """What `data.json` says: from a run to its data, and from a file to the run's steps."""
        first = self.sources[0]
        mixture = [
            {
                "name": one.config.name,
                "lake": one.config.lake,
                "manifest": one.manifest,
                "manifest_sha256": one.train.digest,
                "corpus_version": one.train.manifest.get("corpus_version"),
                "weight": one.config.weight,
                "epochs": one.config.epochs,
            }
            for one in self.sources
        ]
        return {
            "lake": first.config.lake,
            "corpus_version": first.train.manifest.get("corpus_version"),
            "manifest_sha256": first.train.digest,
            "manifest": first.manifest,
            "tokenizer_sha256": self.encoder.digest,
            "seed": self.config.seed,
            "fim": self.config.data.fim.model_dump(mode="json"),
            "mixture": mixture,
            "stages": stages_of(self.config),
        }


def open_corpus(config: TrainingConfig, pinned: dict[str, str] | None = None) -> Corpus:
    """`pinned`: the manifest of each source, as a run that is resumed began with it.

    Raises ContractError for shards that are not what their manifest says, or of another tokenizer.
    """
    encoder = Encoder(config.tokenizer_folder)
    if encoder.vocabulary > config.model.vocabulary:
        raise ConfigError(
            f"model.vocabulary = {config.model.vocabulary}: expected at least the tokenizer's "
            f"{encoder.vocabulary} tokens ({config.tokenizer_folder}): set it"
        )
    names = [source.name for source in config.data.sources]
    if len(set(names)) < len(names):
        raise ConfigError(f"data.sources: expected a name of its own for each, found {names}")
    opened = []
    for source in config.data.sources:
        folder = Path(source.lake)
        manifest = (pinned or {}).get(source.name) or _named_by_digest(folder)
        train, validation = (
            Shards(folder / manifest, split, encoder.digest, config.data.verify)
            for split in ("train", "validation")
        )
        opened.append(OpenSource(source, manifest, train, validation))
    return Corpus(config, encoder, tuple(opened))


def stages_of(config: RunConfig, with_end: bool = True) -> list[dict[str, Any]]:
    """Steps [first_step, end_step) of each; a run may be made longer, so that the end is not its identity."""
    found, first = [], 0
    for stage in config.stages:
        entry: dict[str, Any] = {
            "name": stage.name,
            "first_step": first,
            "sequence_length": stage.sequence_length,
            "sequences_per_batch": stage.sequences_per_batch,
        }
        first += stage.steps
        found.append({**entry, "end_step": first} if with_end else entry)
    return found


def _named_by_digest(lake: Path) -> str:
    """The manifest of now under its unchanging name, where it has one."""
    current = lake / FOLDER / MANIFEST
    if not current.exists():
        return f"{FOLDER}/{MANIFEST}"  # opening it says what is missing
    digest = hashlib.sha256(current.read_bytes()).hexdigest()
    name = name_of(digest)
    return f"{FOLDER}/{name if (lake / FOLDER / name).exists() else MANIFEST}"
