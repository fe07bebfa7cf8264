"""What do all trainings do around their steps?    batches, weights, scores -> checkpoints, export, MLflow run

Pretraining and fine-tuning differ in what they read, where their weights begin and how they are scored; this is the
rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from etl.config import AnyConfig, dump
from etl.errors import StackmillError
from training import checkpoints, tracking, zero
from training.checkpoints import Checkpoint, list_checkpoints
from training.config import RESOLVED, RunConfig, StageConfig
from training.export import CHECKPOINTS, export, weights_digest
from training.files import DATA, VALIDATED, replace_text
from training.guard import LossGuard
from training.journal import PARENT, Journal
from training.loop import Loop, StageBatches
from training.model import count_parameters
from training.ranks import Rank
from training.sample import write_samples
from training.schedule import place_of
from training.session import Session
from training.validation import Scores

logger = logging.getLogger(__name__)


def to_go_on_from(output: Path, identity: dict[str, Any]) -> Checkpoint | None:
    """The newest checkpoint. Raises ConfigError where it is of another model, tokenizer or data."""
    found = list_checkpoints(output / CHECKPOINTS)
    if not found:
        return None
    checkpoints.check(found[-1], identity)
    return found[-1]


def start_loop(
    config: RunConfig,
    rank: Rank,
    batches_of: Callable[[StageConfig], StageBatches],
    weights: zero.Weights,
    checkpoint: Checkpoint | None,
) -> Loop:
    """At step 0, or as it was at the checkpoint."""
    done = checkpoint.step if checkpoint else 0
    stage = place_of(config.stages, min(done, config.total_steps - 1)).stage
    engine = zero.start_engine(config, rank, stage, weights)
    loop = Loop(config, engine, rank, batches_of, LossGuard(config.guard))
    if checkpoint:
        checkpoints.read(engine, checkpoint, rank)
        loop.guard.restore(checkpoint.meta["guard"])
        loop.applied = int(checkpoint.meta["applied_steps"])
        logger.info("goes on from step %d, %s", done, checkpoint.path)
    return loop


def run_loop(
    loop: Loop,
    evaluate: Callable[[StageConfig], Scores],
    identity: dict[str, Any],
    described: dict[str, Any],
    checkpoint: Checkpoint | None,
) -> None:
    """To the last step; then rank 0 exports. `described`: what `data.json` says."""
    config, rank = loop.config, loop.rank
    output = Path(config.output)
    done = checkpoint.step if checkpoint else 0
    if rank.is_first:
        replace_text(output / DATA, json.dumps(described, indent=1))
        replace_text(output / RESOLVED, json.dumps(dump(config), indent=1))
    parameters = count_parameters(config.model, config.stages[-1])
    session = Session(loop, evaluate, identity, parameters, done)
    sender = tracking.start(config) if rank.is_first else None
    status = "FAILED"
    try:
        with _ended_by_sigterm():
            session.began(config.tracking.run_name or output.name, described)
            loop.run(done, session)
            if session.journal is not None:
                _finish(config, session.journal, described)
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        session.ended(status)
        if sender is not None:
            sender.close()


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """As by an interrupt, so that the run is told to be over; the exit code says which signal it was."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # where no signal can be heard
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(config: RunConfig, journal: Journal, described: dict[str, Any]) -> None:
    """Exports the last checkpoint, lets it write, and says where everything is."""
    output = Path(config.output)
    newest = list_checkpoints(output / CHECKPOINTS)[-1]
    folder = export(config, newest, output / "export")
    digest = weights_digest(folder)
    journal.tags(PARENT, {"stackmill.export": folder.absolute(), "stackmill.export_sha256": digest})
    samples = write_samples(folder, config.sample, config.seed)
    if samples:
        (output / "samples.md").write_text(samples, "utf-8")
        journal.text(PARENT, f"samples/step-{newest.step:09d}.md", samples)
    if config.tracking.upload_export:
        journal.files(PARENT, folder, "export")
    if config.tracking.registered_model is not None:
        lineage = {
            "step": newest.step,
            "checkpoint_sha256": newest.meta["sha256"],
            "weights_sha256": digest,
            **{name: value for name, value in described.items() if isinstance(value, str | int)},
        }
        journal.register(PARENT, config.tracking.registered_model, "export", lineage)
    _say(output, samples, folder)


def _say(output: Path, samples: str, folder: Path) -> None:
    lines = [samples] if samples else []
    if (output / VALIDATED).exists():
        scores = json.loads((output / VALIDATED).read_text("utf-8"))
        lines.append(
            f"validation loss: {scores['loss']:.4f} nats a token, {scores['bits_per_byte']:.4f} bits a byte, "
            f"on {scores['tokens']} tokens"
        )
    lines.append(f"export: {folder}\n")
    sys.stdout.write("\n".join(lines))


def start_logging(rank: Rank | None = None) -> None:
    """Rank 0 says how it goes; the others, only what is wrong."""
    level = logging.INFO if rank is None or rank.is_first else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("training").setLevel(level)
    for noisy in ("DeepSpeed", "mlflow", "alembic", "transformers", "numba", "torch"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def parser(program: str) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog=program, allow_abbrev=False)
    found.add_argument("--conf", metavar="FILE", required=True, help="YAML configuration")
    found.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="settings",
        help="override one key; may be repeated",
    )  # fmt: skip
    found.add_argument(
        "--dry-run", action="store_true", help="print the resolved configuration; train nothing"
    )
    # The deepspeed launcher adds it; ranks come from the environment
    found.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return found


def main_of(
    flags: argparse.ArgumentParser,
    load: Callable[[str, list[str]], AnyConfig],
    act: Callable[[AnyConfig, argparse.Namespace], None],
    argv: Sequence[str] | None,
) -> int:
    """Reads the command line and the configuration, acts, and gives the exit code."""
    given = flags.parse_args(argv)
    try:
        config = load(given.conf, given.settings)
        if given.dry_run:
            sys.stdout.write(json.dumps(dump(config), indent=2) + "\n")
        else:
            act(config, given)
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


def exit_code(error: BaseException) -> int:
    """Writes what went wrong to stderr, in one line where the cause is known."""
    if isinstance(error, StackmillError):
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    first = str(error).strip().split("\n")[0][:500]
    sys.stderr.write(f"stackmill: {type(error).__name__}: {first}\n")
    logger.debug("failed", exc_info=error)
    return 1
