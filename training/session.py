"""What is kept of a run while it trains?    steps -> checkpoints, validation, journal

All ranks write their parts of checkpoints and read their parts of validation; rank 0 alone writes the rest:

OUTPUT/config.json       as resolved            OUTPUT/steps.jsonl    a line a step
OUTPUT/data.json         what the run reads     OUTPUT/journal.jsonl  for MLflow
OUTPUT/checkpoints.json  which there are        OUTPUT/validation.json  the last scores
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etl.config import dump
from training import checkpoints, throughput
from training.checkpoints import Checkpoint
from training.config import RESOLVED, RunConfig, StageConfig
from training.export import CHECKPOINTS
from training.files import DATA, LISTED, VALIDATED, replace_text
from training.journal import PARENT, Journal
from training.loop import Loop, Timing
from training.schedule import Place
from training.steps import Step, StepLog
from training.store import git_commit, source_tags
from training.validation import Scores

logger = logging.getLogger(__name__)

EVALUATION = "evaluation"
PACKAGES = ("stackmill", "torch", "deepspeed", "transformers", "mlflow", "numpy")


class Session:
    """The events of a loop; see `training.loop.Events`."""

    def __init__(
        self,
        loop: Loop,
        evaluate: Callable[[StageConfig], Scores],
        identity: dict[str, Any],
        parameters: int,
        done: int,
    ) -> None:
        self.loop, self.evaluate, self.identity = loop, evaluate, identity
        self.config, self.rank = loop.config, loop.rank
        self.output = Path(self.config.output)
        self.parameters = parameters
        self.peak = throughput.peak_flops(self.rank.device) * self.rank.count
        self.scores: Scores | None = None
        self.journal: Journal | None = None
        if self.rank.is_first:
            self.journal = Journal(self.output)
            self.source = source_tags(self.config.program)
            self.steps = StepLog(self.output, done)

    def began(self, name: str, described: dict[str, Any]) -> None:
        """The parent run: what it reads and is made of."""
        if self.journal is None:
            return
        tags = {
            "stackmill.lake": str(described["lake"]),
            "stackmill.corpus_version": str(described["corpus_version"]),
            "stackmill.manifest_sha256": str(described["manifest_sha256"]),
            **self.source,
        }
        self.journal.begin(PARENT, name, tags)
        self.journal.params(PARENT, _flat(dump(self.config)))
        self.journal.params(
            PARENT,
            {"parameters": self.parameters, "commit": git_commit() or "unknown", **_versions()},
        )
        self.journal.params(PARENT, throughput.hardware(self.rank.device, self.rank.count))
        self.journal.inputs(PARENT, _tables(described))
        self.journal.text(PARENT, DATA, json.dumps(described, indent=1))
        self.journal.text(PARENT, RESOLVED, json.dumps(dump(self.config), indent=1))

    def stage_began(self, place: Place) -> None:
        logger.info(
            "stage %s: steps %d to %d, %d sequences of %d tokens", place.stage.name,
            place.first_step + 1, place.first_step + place.stage.steps,
            place.stage.sequences_per_batch, place.stage.sequence_length,
        )  # fmt: skip
        if self.journal is not None:
            run = f"stage/{place.stage.name}"
            self.journal.begin(run, place.stage.name, {"stackmill.kind": "stage", **self.source})
            self.journal.params(run, _flat(dump(place.stage)))

    def stepped(self, step: Step, place: Place, timing: Timing | None) -> None:
        if self.journal is None:
            return
        self.steps.write(step)
        if timing is None:
            return
        flops = throughput.flops_per_token(self.config.model, place.stage, self.parameters)
        speed = timing.tokens / timing.elapsed_s
        values = {
            "train/loss": step.loss,
            "train/gradient_norm": step.gradient_norm,
            "train/learning_rate": step.learning_rate,
            "train/tokens": _tokens_until(self.config, step.step),
            "train/tokens_per_s": speed,
            "train/mfu": speed * flops / self.peak if self.peak else 0.0,
            "train/loader_share": timing.waited_s / timing.elapsed_s,
            "train/skipped_steps": self.loop.guard.skipped,
            **throughput.system_metrics(self.rank.device),
        }
        self.journal.metrics(PARENT, step.step, values)
        self.journal.tags(PARENT, {"stackmill.step": step.step})
        logger.info(
            "step %d of %d: loss %.4f, rate %.2e, %.0f tokens/s, MFU %.3f, waited for batches %.1f %%",
            step.step, self.config.total_steps, step.loss, step.learning_rate, speed,
            values["train/mfu"], 100 * values["train/loader_share"],
        )  # fmt: skip

    def after(self, done: int, place: Place) -> None:
        ends_stage = place.step + 1 == place.stage.steps
        if done % self.config.validation.every_steps == 0 or ends_stage:
            self.validate(done, place.stage)
        if done % self.config.checkpoint.every_steps == 0 or ends_stage:
            self.save(done)
        if ends_stage and self.journal is not None:
            run = f"stage/{place.stage.name}"
            if self.scores is not None:
                self.journal.metrics(run, done, {"validation/loss": self.scores.whole.loss})
            self.journal.end(run)

    def validate(self, done: int, stage: StageConfig) -> None:
        self.scores = self.evaluate(stage)
        whole = self.scores.whole
        logger.info(
            "step %d: validation loss %.4f, %.4f bits a byte, of %d tokens",
            done, whole.loss, whole.bits_per_byte, whole.tokens,
        )  # fmt: skip
        if self.journal is None:
            return
        main = {"validation/loss": whole.loss, "validation/bits_per_byte": whole.bits_per_byte}
        self.journal.metrics(PARENT, done, main)
        self.journal.begin(
            EVALUATION, "validation", {"stackmill.kind": "evaluation", **self.source}
        )
        self.journal.metrics(EVALUATION, done, {**main, **_by_part(self.scores)})
        found = {"step": done, "stage": stage.name, **_table(self.scores)}
        text = json.dumps(found, indent=1)
        replace_text(self.output / VALIDATED, text)
        self.journal.text(EVALUATION, f"validation/step-{done:09d}.json", text)

    def save(self, done: int) -> Checkpoint:
        folder = self.output / CHECKPOINTS
        meta = {
            "step": done,
            "applied_steps": self.loop.applied,
            "identity": self.identity,
            "guard": self.loop.guard.state(),
        }
        made = checkpoints.write(self.loop.engine, folder, meta, self.rank)
        if self.journal is not None:
            checkpoints.prune(folder, self.config.checkpoint)
            listed = [
                {"step": one.step, "path": str(one.path), "sha256": one.meta["sha256"]}
                for one in checkpoints.list_checkpoints(folder)
            ]
            text = json.dumps(listed, indent=1)
            replace_text(self.output / LISTED, text)
            self.journal.text(PARENT, LISTED, text)
            self.journal.tags(PARENT, {"stackmill.step": done})
            logger.info("step %d: checkpoint %s", done, made.path)
        self.rank.wait()
        return made

    def ended(self, status: str) -> None:
        if self.journal is not None:
            if (self.output / VALIDATED).exists():
                self.journal.end(EVALUATION, status)
            self.journal.end(PARENT, status)


def _tables(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{source['name']}.corpus",
            "path": f"{source['lake']}/corpus",
            "version": source["corpus_version"],
            "digest": source["manifest_sha256"][:16],
        }
        for source in described.get("mixture", ())
        if source.get("corpus_version") is not None
    ]


def _by_part(scores: Scores) -> dict[str, float]:
    """Metrics of sources and languages."""
    parts = {f"source/{name}": score for name, score in scores.sources.items()}
    parts |= {f"language/{metric_name(name)}": score for name, score in scores.languages.items()}
    found = {f"validation/loss/{name}": score.loss for name, score in parts.items()}
    return found | {
        f"validation/bits_per_byte/{name}": score.bits_per_byte
        for name, score in parts.items()
        if score.bytes
    }


def metric_name(language: str) -> str:
    """As MLflow allows it: C++ is Cpp, F# is Fsharp."""
    text = language.replace("+", "p").replace("#", "sharp").replace("*", "star")
    return re.sub(r"[^\w\-. /]", "_", text)


def _table(scores: Scores) -> dict[str, Any]:
    def row(score: Any) -> dict[str, float | int]:
        return {
            "loss": score.loss,
            "bits_per_byte": score.bits_per_byte,
            "tokens": int(score.tokens),
            "bytes": int(score.bytes),
        }

    return {
        **row(scores.whole),
        "sources": {name: row(score) for name, score in scores.sources.items()},
        "languages": {name: row(score) for name, score in sorted(scores.languages.items())},
    }


def _tokens_until(config: RunConfig, done: int) -> int:
    """Positions read in the first steps."""
    total = 0
    for stage in config.stages:
        steps = min(done, stage.steps)
        total += steps * stage.sequences_per_batch * stage.sequence_length
        done -= steps
    return total


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """section.key of everything that is configured."""
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        return {prefix: values}
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def _versions() -> dict[str, str]:
    return {f"version.{name}": importlib.metadata.version(name) for name in PACKAGES}
