"""What the ranks of a test run: functions that can be named across processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.config import TrainingConfig
from training.pretrain import run
from training.steps import read_steps


def pretrain(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Trains, and gives the lines of its steps."""
    run(TrainingConfig.model_validate(values))
    return read_steps(Path(values["output"]))
