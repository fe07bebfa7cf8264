"""May a step's loss change the weights?    loss -> verdict

A loss that is no number, or lies far above those before it, comes of a bad batch or a run that comes apart: the
step is left out. Many in a row are the latter, and end the run. The state goes into checkpoints, so that a run that
is resumed judges as one that was not.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

from etl.errors import TrainingError
from training.config import GuardConfig


class LossGuard:
    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self.losses: deque[float] = deque(maxlen=config.window)
        self.skipped = 0  # in all
        self.in_a_row = 0

    def admits(self, loss: float) -> bool:
        """Whether the loss is a number and no spike. Nothing is a spike before half a window is full."""
        if not math.isfinite(loss):
            return False
        if 2 * len(self.losses) < self.config.window:
            return True
        mean = statistics.fmean(self.losses)
        spread = max(statistics.pstdev(self.losses, mean), 1e-3 * mean)
        return loss <= mean + self.config.deviations * spread

    def took(self, loss: float) -> None:
        self.losses.append(loss)
        self.in_a_row = 0

    def left_out(self, step: int) -> None:
        """Raises TrainingError after too many in a row."""
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.config.max_skipped:
            raise TrainingError(
                f"step {step}: expected a finite loss near those before it, found none in {self.in_a_row} steps: "
                "lower the learning rate, or delete the last checkpoint and go on from the one before"
            )

    def state(self) -> dict[str, object]:
        return {"losses": list(self.losses), "skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, state: dict[str, object]) -> None:
        self.losses.extend(state["losses"])  # type: ignore[arg-type]
        self.skipped = int(state["skipped"])  # type: ignore[call-overload]
        self.in_a_row = int(state["in_a_row"])  # type: ignore[call-overload]
