"""How is a model trained?    engine, batches of each stage -> steps, each the same for any number of ranks

A step: the rank's rows of the batch, in pieces; the loss is the mean over the labels of the whole batch, on
whichever ranks they are; the guard looks at it before the last backward pass; DeepSpeed clips and steps. The next
batch is read by a thread meanwhile. What happens between steps (checkpoints, validation, tracking) is `Events`'.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from training import zero
from training.batches import IGNORED, Batch
from training.config import RunConfig, StageConfig
from training.guard import LossGuard
from training.model import enter_stage, packed
from training.ranks import Rank
from training.schedule import Place, learning_rate, place_of
from training.steps import Step, rows_digest, shown

logger = logging.getLogger(__name__)


class StageBatches(Protocol):
    """Batches of one stage, by the step inside it."""

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch: ...


class Timing(NamedTuple):
    """Seconds of the steps since the last report."""

    steps: int
    elapsed_s: float
    waited_s: float  # for batches
    tokens: int  # positions, labels or not


class Events(Protocol):
    """What is done beside the steps; every rank calls each at the same step."""

    def stage_began(self, place: Place) -> None: ...

    def stepped(self, step: Step, place: Place, timing: Timing | None) -> None: ...

    def after(self, done: int, place: Place) -> None: ...


@dataclass
class Loop:
    config: RunConfig
    engine: Any
    rank: Rank
    batches_of: Callable[[StageConfig], StageBatches]
    guard: LossGuard
    applied: int = 0  # steps that changed weights

    def run(self, done: int, events: Events) -> None:
        """From the step after `done` to the last."""
        stages, total = self.config.stages, self.config.total_steps
        stage_number = -1
        began, waited, tokens, since = time.perf_counter(), 0.0, 0, done
        with ThreadPoolExecutor(1, "batches") as pool:
            coming = pool.submit(self._read, done) if done < total else None
            for step in range(done, total):
                place = place_of(stages, step)
                if place.number != stage_number:
                    stage_number = place.number
                    enter_stage(self.engine.module, place.stage)
                    events.stage_began(place)
                    began = time.perf_counter()
                started = time.perf_counter()
                assert coming is not None  # noqa: S101  narrows the type
                batch = coming.result()
                waited += time.perf_counter() - started
                if step + 1 < total:
                    coming = pool.submit(self._read, step + 1)
                made = self._step(step, place, batch)
                tokens += place.stage.sequences_per_batch * place.stage.sequence_length
                timing = None
                every = self.config.tracking.log_every_steps
                if made.step % every == 0 or made.step == total:
                    now = time.perf_counter()
                    timing = Timing(made.step - since, now - began, waited, tokens)
                    began, waited, tokens, since = now, 0.0, 0, made.step
                events.stepped(made, place, timing)
                paused = time.perf_counter()
                events.after(made.step, place)
                began += time.perf_counter() - paused

    def _read(self, step: int) -> Batch:
        place = place_of(self.config.stages, step)
        batches = self.batches_of(place.stage)
        return batches.batch(place.step, self.rank.number, self.rank.count)

    def _step(self, step: int, place: Place, batch: Batch) -> Step:
        """One optimizer step, or none where the guard says so."""
        rows = len(batch.inputs)
        mine = [int((batch.labels != IGNORED).sum()), rows_digest(batch, rows * self.rank.number)]
        labels, digest = self.rank.total_ints(mine)
        loss = self._backward(batch, place.stage, labels)
        rate = learning_rate(place.stage, place.step)
        zero.set_rate(self.engine, rate)
        self.engine.step()
        # DeepSpeed leaves out a step whose gradients are no numbers
        is_taken = bool(self.engine.was_step_applied())
        norm = float(self.engine.get_global_grad_norm() or 0.0) if is_taken else math.nan
        if is_taken:
            self.applied += 1
            self.guard.took(loss)
        else:
            logger.warning("step %d: left out, its loss is %g", step + 1, loss)
            self.guard.left_out(step + 1)
        return Step(step + 1, loss, norm, rate, labels, shown(digest), not is_taken)

    def _backward(self, batch: Batch, stage: StageConfig, labels: int) -> float:
        """Accumulates gradients of the mean over all labels; gives that mean."""
        pieces = zero.pieces_of(stage, self.rank.count)
        # DeepSpeed takes the mean over ranks of what is a sum
        scale = self.rank.count / max(1, labels)
        summed = torch.zeros((), dtype=torch.float64, device=self.rank.device)
        loss = 0.0
        for number, part in enumerate(_split(batch, pieces)):
            is_last = number == pieces - 1
            self.engine.set_gradient_accumulation_boundary(is_last)
            nats = self.engine(*packed(part, self.rank.device))
            summed += nats.detach().double()
            scaled = nats * scale
            if is_last:
                loss = self.rank.total([float(summed)])[0] / max(1, labels)
                if not self.guard.admits(loss):
                    scaled = scaled * math.nan  # DeepSpeed then leaves the step out
            self.engine.backward(scaled, scale_wrt_gas=False)
        return loss


def _split(batch: Batch, pieces: int) -> list[Batch]:
    columns = [np.split(array, pieces) for array in batch]
    return [Batch(*parts) for parts in zip(*columns, strict=True)]
