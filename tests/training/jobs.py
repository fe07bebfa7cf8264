"""What the ranks of a test run: functions that can be named across processes."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from bench import zero_memory
from training import finetune as finetuning
from training import pretrain as pretraining
from training.config import TrainingConfig, load_finetune
from training.steps import read_steps

_MAINS = {"pretrain": pretraining.main, "finetune": finetuning.main}


def pretrain(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Trains, and gives the lines of its steps."""
    pretraining.run(TrainingConfig.model_validate(values))
    return read_steps(Path(values["output"]))


def finetune(path: str, settings: list[str]) -> list[dict[str, Any]]:
    """Tunes, and gives the lines of its steps."""
    config = load_finetune(path, settings)
    finetuning.run(config)
    return read_steps(Path(config.output))


def command(name: str, arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """`python -m training.NAME`: its exit code, and what it wrote to stderr."""
    os.environ |= environment
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = _MAINS[name](arguments)
    return code, said.getvalue()


def held_bytes(bf16: bool) -> int:
    """What the tensors of a rank hold in ZeRO-3, as `bench.zero_memory` counts it."""
    return zero_memory.measure(3, bf16)
