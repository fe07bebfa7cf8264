"""How many problems of a benchmark does a model solve?    model directory -> pass@k, in MLflow

    python -m training.score --model DIR --task humaneval --samples 20 --k 1 10

DIR is in transformers' form, such as an export. What the model writes is run in bubblewrap
(`training.score.sandbox`). `--solutions` scores the benchmark's own solutions instead: all must pass.
Exit codes: 0 done, 2 configuration or usage, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from etl.config import validated
from etl.errors import ConfigError, StackmillError
from training.score import sandbox
from training.score.estimate import mean_pass_at_k
from training.score.humaneval import HumanEval
from training.score.sandbox import Outcome, SandboxConfig
from training.score.task import Problem, Task
from training.score.tracking import log_score, open_store

logger = logging.getLogger(__name__)

TASKS: dict[str, Task] = {task.name: task for task in (HumanEval(),)}


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    args = _parser().parse_args(argv)
    try:
        _score(args)
    except StackmillError as error:
        sys.stderr.write(f"training.score: {error}\n")
        return error.exit_code
    return 0


def _score(args: argparse.Namespace) -> None:
    """Everything that can be found wrong is found before the model writes."""
    task = TASKS[args.task]
    k_values = sorted(set(args.k))
    if k_values[0] < 1 or k_values[-1] > args.samples:
        raise ConfigError(
            f"--k {' '.join(map(str, args.k))}: expected numbers from 1 to --samples {args.samples}: draw more "
            "samples or ask for a smaller k"
        )
    values = {
        "timeout_s": args.timeout,
        "memory_bytes": args.memory_mb << 20,
        "unsafe": args.unsafe,
    }
    limits = validated(SandboxConfig, values, "the call")
    sandbox.check(limits)
    store = (
        None
        if args.no_tracking
        else open_store(args.tracking_uri, args.experiment, args.parent_run)
    )
    problems = task.problems()[: args.limit]
    started = time.monotonic()
    if args.solutions:
        completions = [[problem.solution] * args.samples for problem in problems]
    else:
        completions = _written(args, task, problems)
    generated_s = time.monotonic() - started
    outcomes = run_all(task, problems, completions, limits, args.workers)
    correct = [sum(outcome.has_passed for outcome in of_problem) for of_problem in outcomes]
    scores = {k: mean_pass_at_k(args.samples, correct, k) for k in k_values}
    flat = [outcome for of_problem in outcomes for outcome in of_problem]
    results: dict[str, int] = {}
    for outcome in flat:
        results[outcome.result] = results.get(outcome.result, 0) + 1
    shown = {
        "task": task.name,
        "problems": len(problems),
        "samples": args.samples,
        **{f"pass@{k}": score for k, score in scores.items()},
        "results": dict(sorted(results.items(), key=lambda item: (-item[1], item[0]))),
        "generated_s": round(generated_s, 1),
        "executed_s": round(sum(outcome.elapsed_s for outcome in flat), 1),
    }
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    samples = _table(problems, completions, outcomes)
    if args.output is not None:
        _write(args.output, samples)
    if store is not None:
        metrics = {f"{task.name}/pass_at_{k}": score for k, score in scores.items()}
        metrics[f"{task.name}/problems"] = float(len(problems))
        name = f"{task.name} {Path(args.model or 'solutions').name}"
        run_id = log_score(store, task.name, name, _params(args), metrics, samples, args.parent_run)
        logger.info("mlflow: run %s", run_id)


def _written(args: argparse.Namespace, task: Task, problems: list[Problem]) -> list[list[str]]:
    try:
        from training.score.generate import GenerateConfig, Generator
    except ImportError as error:
        raise ConfigError(
            f"{error.name}: expected an installed package, found none: install the extra `stackmill[train]`"
        ) from error

    values = {name: getattr(args, name) for name in GenerateConfig.model_fields}
    config = validated(GenerateConfig, values, "the call")
    generator = Generator(Path(args.model), config)
    return generator.completions([problem.prompt for problem in problems], task.stops)


def run_all(
    task: Task,
    problems: Sequence[Problem],
    completions: Sequence[Sequence[str]],
    limits: SandboxConfig,
    workers: int,
) -> list[list[Outcome]]:
    """Outcomes of each problem's completions, `workers` programs at a time."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = [
            [
                pool.submit(sandbox.run, task.program(problem, completion), limits)
                for completion in of_problem
            ]
            for problem, of_problem in zip(problems, completions, strict=True)
        ]
        return [[done.result() for done in of_problem] for of_problem in waiting]


def _table(
    problems: list[Problem], completions: list[list[str]], outcomes: list[list[Outcome]]
) -> dict[str, list[Any]]:
    """Columns, a row for each sample."""
    rows = [
        (problem.problem_id, number, completion, outcome.result, outcome.has_passed)
        for problem, texts, of_problem in zip(problems, completions, outcomes, strict=True)
        for number, (completion, outcome) in enumerate(zip(texts, of_problem, strict=True))
    ]
    names = ("problem_id", "sample", "completion", "result", "has_passed")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _write(path: Path, samples: dict[str, list[Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in zip(*samples.values(), strict=True):
            file.write(json.dumps(dict(zip(samples, row, strict=True))) + "\n")


def _params(args: argparse.Namespace) -> dict[str, Any]:
    names = (
        "samples",
        "temperature",
        "top_p",
        "max_new_tokens",
        "seed",
        "timeout",
        "limit",
        "unsafe",
    )
    given = {name: getattr(args, name) for name in names}
    return {"model": args.model or "solutions", "task": args.task, **given}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.score", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", metavar="DIR", help="model directory in transformers' form")
    what.add_argument(
        "--solutions", action="store_true", help="score the benchmark's own solutions"
    )
    parser.add_argument("--task", choices=sorted(TASKS), default="humaneval")
    parser.add_argument("--samples", type=int, default=1, help="completions a problem")
    parser.add_argument("--k", type=int, nargs="+", default=[1], help="of pass@k")
    parser.add_argument("--temperature", type=float, default=0.2, help="0: the likeliest token")
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--max-new-tokens", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32, help="completions at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only the first so many problems")
    parser.add_argument("--timeout", type=int, default=10, help="seconds of a program")
    parser.add_argument("--memory-mb", type=int, default=1024, help="of a program's process")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="programs at a time"
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="run without bubblewrap: the machine is open to them"
    )
    parser.add_argument("--output", type=Path, help="JSON Lines of the samples")
    parser.add_argument("--tracking-uri", help="of MLflow; default: MLFLOW_TRACKING_URI")
    parser.add_argument("--experiment", default="stackmill-training", help="of MLflow")
    parser.add_argument("--parent-run", metavar="ID", help="MLflow run of the training")
    parser.add_argument("--no-tracking", action="store_true", help="nothing goes to MLflow")
    return parser


if __name__ == "__main__":
    sys.exit(main())
