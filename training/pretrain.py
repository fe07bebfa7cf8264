"""Trains a model on token shards.

    python -m training.pretrain --conf conf/training/smoke.yaml [--set stages.0.steps=100]
    torchrun --nproc-per-node 8 -m training.pretrain --conf FILE
    deepspeed --module training.pretrain --conf FILE
    spark-submit jobs/pretrain.py --conf FILE

A run that was stopped goes on from its last checkpoint when it is started again, with any number of ranks. Exit
codes: 0 done, 2 configuration or usage, 3 shards or checkpoints are not what they should be, 1 anything else.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.checkpoints import Checkpoint, list_checkpoints
from training.config import StageConfig, TrainingConfig, load
from training.corpus import Corpus, open_corpus
from training.export import CHECKPOINTS
from training.files import DATA
from training.model import initial_value
from training.ranks import Rank, joined
from training.run import main_of, parser, run_loop, start_logging, start_loop, to_go_on_from
from training.validation import Scores, evaluate, open_validation


def run(config: TrainingConfig) -> None:
    """As one rank among those that the environment names; the same code under every launcher."""
    with joined(config.zero.timeout_s) as rank:
        start_logging(rank)
        output = Path(config.output)
        corpus = open_corpus(config, _pinned(output))
        corpus.check_epochs()
        train(config, rank, corpus, to_go_on_from(output, corpus.identity()))


def run_values(values: dict[str, Any]) -> None:
    """`run` for a launcher that hands over what can be pickled."""
    run(TrainingConfig.model_validate(values))


def train(
    config: TrainingConfig, rank: Rank, corpus: Corpus, checkpoint: Checkpoint | None
) -> None:
    def weights(name: str, shape: torch.Size) -> torch.Tensor:
        return initial_value(name, shape, config.model, config.seed)

    loop = start_loop(config, rank, functools.cache(corpus.batches), weights, checkpoint)
    opened = functools.cache(lambda stage: open_validation(corpus, stage, config.validation))

    def evaluated(stage: StageConfig) -> Scores:
        at_once = config.validation.sequences_per_rank
        return evaluate(loop.engine, opened(stage), stage, at_once, rank)

    run_loop(loop, evaluated, corpus.identity(), corpus.described(), checkpoint)


def _pinned(output: Path) -> dict[str, str] | None:
    """The manifests that a run of this output began with."""
    if not list_checkpoints(output / CHECKPOINTS):
        return None
    described = json.loads((output / DATA).read_text("utf-8"))
    return {source["name"]: source["manifest"] for source in described["mixture"]}


def main(argv: Sequence[str] | None = None) -> int:
    return main_of(parser("python -m training.pretrain"), load, lambda config, _: run(config), argv)


if __name__ == "__main__":
    sys.exit(main())
