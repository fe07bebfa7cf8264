"""Which stage is a step in, and at what learning rate?    stages, step -> stage, rate

A pure function of the step: nothing to save, nothing to restore. Warm-up is linear, then a cosine falls to the
stage's final rate; each stage begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from training.config import StageConfig


class Place(NamedTuple):
    number: int
    stage: StageConfig
    step: int  # inside the stage, from 0
    first_step: int  # of the stage, in the whole run


def place_of(stages: Sequence[StageConfig], step: int) -> Place:
    """Where a step (from 0) lies. Raises IndexError behind the last."""
    first = 0
    for number, stage in enumerate(stages):
        if step < first + stage.steps:
            return Place(number, stage, step - first, first)
        first += stage.steps
    raise IndexError(f"step {step} of {first}")


def learning_rate(stage: StageConfig, step: int) -> float:
    """Of a step (from 0) inside its stage: above 0 in the first, the peak right after the warm-up."""
    if step < stage.warmup_steps:
        return stage.learning_rate * (step + 1) / (stage.warmup_steps + 1)
    turn = (step - stage.warmup_steps) / max(1, stage.steps - 1 - stage.warmup_steps)
    share = (1 + math.cos(math.pi * min(1.0, turn))) / 2
    return stage.final_learning_rate + (stage.learning_rate - stage.final_learning_rate) * share
