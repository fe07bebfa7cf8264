"""What was each step?    OUTPUT/steps.jsonl: step, loss, gradient norm, rate, tokens, digest of its batch

A line a step, of rank 0. After a restart the lines behind the checkpoint go: a run that was killed and one that was
not leave the same file, but for what was the clock's.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from training.batches import Batch

STEPS = "steps.jsonl"
_MASK = (1 << 64) - 1


class Step(NamedTuple):
    step: int  # from 1: steps done
    loss: float  # nats a token, before the step's change
    gradient_norm: float
    learning_rate: float
    tokens: int  # that have a label
    batch: str
    is_skipped: bool


class StepLog:
    def __init__(self, folder: Path, done: int) -> None:
        """Keeps the lines of the first `done` steps."""
        self.path = folder / STEPS
        kept = [line for line in read_steps(folder) if line["step"] <= done]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

    def write(self, step: Step) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(step._asdict()) + "\n")


def read_steps(folder: Path) -> list[dict[str, Any]]:
    path = folder / STEPS
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def rows_digest(batch: Batch, first_row: int) -> int:
    """Of the rows of a rank, as int64: the sum over ranks, modulo 2^64, is that of the whole batch."""
    total = 0
    for number, (inputs, labels) in enumerate(zip(batch.inputs, batch.labels, strict=True)):
        digest = hashlib.sha256((first_row + number).to_bytes(8, "little"))
        digest.update(inputs.tobytes())
        digest.update(labels.tobytes())
        total += int.from_bytes(digest.digest()[:8], "little")
    total &= _MASK
    return total - (1 << 64) if total >> 63 else total


def shown(digest: int) -> str:
    return f"{digest & _MASK:016x}"
