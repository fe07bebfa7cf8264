"""What does ZeRO-3 cost on one rank?    tokens/s beside plain torch, wait for batches

    python -m bench.training --lake build/demo/lake

Both train the same model on the same batches in the same process, in turns: transformers' own model and loss with
torch's AdamW, and ours. Medians of the turns.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import Starcoder2ForCausalLM

from training import zero
from training.attention import mask_of, positions_of
from training.batches import IGNORED
from training.config import TrainingConfig, load
from training.corpus import Corpus, open_corpus
from training.guard import LossGuard
from training.loop import Loop, Timing
from training.model import count_parameters, initial_value, starcoder2_config
from training.ranks import Rank, joined
from training.schedule import Place
from training.steps import Step

TURNS = 5


class Silent:
    """Events of a loop: the time of its steps is kept, nothing else is done."""

    def __init__(self) -> None:
        self.timings: list[Timing] = []

    def stage_began(self, place: Place) -> None:
        pass

    def stepped(self, step: Step, place: Place, timing: Timing | None) -> None:
        if timing is not None:
            self.timings.append(timing)

    def after(self, done: int, place: Place) -> None:
        pass


def plain(config: TrainingConfig, corpus: Corpus) -> Callable[[int, int], float]:
    """Trains steps [start, end); gives the seconds."""
    stage = config.stages[0]
    settings = starcoder2_config(config.model, stage)
    settings._attn_implementation = "sdpa"
    model = Starcoder2ForCausalLM(settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    batches = corpus.batches(stage)

    def run(start: int, end: int) -> float:
        read = [batches.batch(step) for step in range(start, end)]
        began = time.perf_counter()
        for batch in read:
            labels = torch.from_numpy(batch.labels)
            logits = model(
                input_ids=torch.from_numpy(batch.inputs),
                attention_mask=mask_of(torch.from_numpy(batch.segments), stage.sliding_window),
                position_ids=torch.from_numpy(positions_of(batch.segments)),
                use_cache=False,
            ).logits
            loss = functional.cross_entropy(
                logits.view(-1, logits.shape[-1]), labels.view(-1), ignore_index=IGNORED
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return time.perf_counter() - began

    return run


def ours(
    config: TrainingConfig, corpus: Corpus, rank: Rank
) -> Callable[[int, int], tuple[float, float]]:
    """Trains steps [start, end); gives the seconds, and those of them that were a wait for batches."""

    def weights(name: str, shape: torch.Size) -> torch.Tensor:
        return initial_value(name, shape, config.model, config.seed)

    engine = zero.start_engine(config, rank, config.stages[0], weights)
    batches = functools.cache(corpus.batches)

    def run(start: int, end: int) -> tuple[float, float]:
        stage = config.stages[0].model_copy(update={"steps": end})
        part: Any = config.model_copy(update={"stages": (stage,)})
        events = Silent()
        Loop(part, engine, rank, batches, LossGuard(config.guard)).run(start, events)
        return (
            sum(timing.elapsed_s for timing in events.timings),
            sum(timing.waited_s for timing in events.timings),
        )

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conf", default="conf/training/smoke.yaml")
    parser.add_argument("--lake", required=True)
    parser.add_argument("--steps", type=int, default=8, help="of a turn")
    given = parser.parse_args()
    settings = [f"data.sources.0.lake={Path(given.lake).absolute()}", "tracking.log_every_steps=1"]
    config = load(given.conf, settings)
    stage = config.stages[0]
    tokens = given.steps * stage.sequences_per_batch * stage.sequence_length
    with joined(600) as rank:
        corpus = open_corpus(config)
        train = ours(config, corpus, rank)
        train(0, 2)
        beside = plain(config, corpus)
        beside(0, 2)
        found: dict[str, list[float]] = {"ours": [], "plain": [], "waited": []}
        for turn in range(TURNS):
            start = 2 + turn * given.steps
            found["plain"].append(tokens / beside(start, start + given.steps))
            elapsed, waited = train(start, start + given.steps)
            found["ours"].append(tokens / elapsed)
            found["waited"].append(waited / elapsed)
        middle = {name: statistics.median(values) for name, values in found.items()}
        parameters = count_parameters(config.model, stage)
        print(f"parameters {parameters}, threads {torch.get_num_threads()}")
        print(f"plain torch {middle['plain']:.0f} tokens/s, ZeRO-3 {middle['ours']:.0f} tokens/s")
        print(
            f"ratio {middle['ours'] / middle['plain']:.3f}, waited for batches {middle['waited']:.2%}"
        )


if __name__ == "__main__":
    main()
