"""Fine-tunes an export on conversations: loss on answers only.

    python -m training.finetune --conf FILE [--set stages.0.steps=100]
    torchrun --nproc-per-node 8 -m training.finetune --conf FILE

The same engine, checkpoints and tracking as `training.pretrain`; its export has the chat template.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from etl.errors import ConfigError
from etl.pack.tokenizer import Encoder
from training.batches import IGNORED, Batch
from training.config import FinetuneConfig, StageConfig, load_finetune
from training.conversations import (
    ChatBatches,
    Conversation,
    Rows,
    encode,
    is_held_out,
    pack,
    read_messages,
)
from training.corpus import stages_of
from training.loop import Loop
from training.model import packed
from training.ranks import Rank, joined
from training.run import main_of, parser, run_loop, start_logging, start_loop, to_go_on_from
from training.validation import Score, Scores

logger = logging.getLogger(__name__)


def run(config: FinetuneConfig) -> None:
    with joined(config.zero.timeout_s) as rank:
        start_logging(rank)
        encoder = Encoder(config.tokenizer_folder)
        train_on, held_out = _conversations(config, encoder)
        identity = _identity(config, encoder)
        checkpoint = to_go_on_from(Path(config.output), identity)
        rows = functools.cache(lambda stage: _rows(train_on, stage))

        def batches_of(stage: StageConfig) -> ChatBatches:
            return ChatBatches(
                rows(stage), stage.sequences_per_batch, config.seed, config.chat.epochs
            )

        for stage in config.stages:
            batches_of(stage).batch(stage.steps - 1)  # as many rows as steps ask for
        with _Base(Path(config.base)) as base:
            loop = start_loop(config, rank, batches_of, base.weights, checkpoint)

        def evaluated(stage: StageConfig) -> Scores:
            at_once = config.validation.sequences_per_rank
            return _evaluate(loop, pack(held_out, stage.sequence_length), at_once, encoder)

        described = {
            "base": config.base,
            "lake": None,
            "corpus_version": None,
            "manifest_sha256": None,
            "seed": config.seed,
            "chat": identity["data"]["sources"],
            "conversations": len(train_on),
            "stages": stages_of(config),
        }
        run_loop(loop, evaluated, identity, described, checkpoint)


def _conversations(
    config: FinetuneConfig, encoder: Encoder
) -> tuple[list[Conversation], list[Conversation]]:
    """To train on, and held out."""
    parts: tuple[list[Conversation], list[Conversation]] = ([], [])
    for messages in read_messages(config.chat.files):
        is_out = is_held_out(messages, config.chat.validation_share)
        parts[is_out].append(encode(messages, encoder))
    if not parts[0]:
        raise ConfigError("chat.files: expected conversations, found none to train on: add some")
    return parts


def _rows(conversations: list[Conversation], stage: StageConfig) -> Rows:
    found = pack(conversations, stage.sequence_length)
    if not len(found.inputs):
        raise ConfigError(
            f"stage {stage.name}: expected conversations of at most {stage.sequence_length} tokens, found "
            "none: raise sequence_length"
        )
    logger.info(
        "stage %s: %d conversations in %d rows, %d longer than a row left out",
        stage.name, len(conversations) - found.left_out, len(found.inputs), found.left_out,
    )  # fmt: skip
    return found


def _identity(config: FinetuneConfig, encoder: Encoder) -> dict[str, Any]:
    """What a checkpoint of this run must be of."""
    sources = {}
    for name in config.chat.files:
        with Path(name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        sources[name] = {"sha256": digest, "weight": 1.0}
    with (Path(config.base) / "config.json").open("rb") as file:
        base = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "model": {**config.model.model_dump(mode="json"), "base_config_sha256": base},
        "tokenizer": {"sha256": encoder.digest},
        "data": {
            "seed": config.seed,
            "validation_share": config.chat.validation_share,
            "sources": sources,
            "stages": stages_of(config, with_end=False),
        },
    }


class _Base:
    """The weights of an export, by name, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        opened: list[Any] = []  # its methods have no types
        for path in sorted(folder.glob("*.safetensors")):
            opened.append(safe_open(path, "pt"))
        self.files = opened
        self.of = {name: file for file in self.files for name in file.keys()}  # noqa: SIM118
        self.folder = folder

    def __enter__(self) -> _Base:
        return self

    def __exit__(self, *_: object) -> None:
        self.of.clear()
        self.files.clear()

    def weights(self, name: str, shape: torch.Size) -> torch.Tensor:
        if name not in self.of:
            raise ConfigError(
                f"{self.folder}: expected the weights {name}, found none: set base to an export"
            )
        found: torch.Tensor = self.of[name].get_tensor(name).float()
        return found.view(shape)


def _evaluate(loop: Loop, rows: Rows, at_once: int, encoder: Encoder) -> Scores:
    """Of the answers held out; not a number where none is."""
    rank: Rank = loop.rank
    widths = np.array([len(raw) for raw in encoder.bytes_of], np.float64)
    share = rank.count * at_once
    sums = np.zeros(3)
    loop.engine.eval()
    with torch.no_grad():
        for start in range(0, len(rows.inputs), share):
            mine = slice(start + rank.number * at_once, start + (rank.number + 1) * at_once)
            labels = rows.labels[mine]
            if not len(labels):  # every rank takes part
                mine = slice(0, 1)
                labels = np.full_like(rows.labels[:1], IGNORED)
            sources = np.zeros(len(labels), np.int64)
            batch = Batch(rows.inputs[mine], labels, rows.segments[mine], sources)
            nats = loop.engine(*packed(batch, rank.device)).double().sum()
            told = batch.labels[batch.labels != IGNORED]
            sums += (float(nats), len(told), float(widths[told].sum()))
    loop.engine.train()
    return Scores(Score(*rank.total(sums.tolist())), {}, {})


def main(argv: Sequence[str] | None = None) -> int:
    flags = parser("python -m training.finetune")
    return main_of(flags, load_finetune, lambda config, _: run(config), argv)


if __name__ == "__main__":
    sys.exit(main())
