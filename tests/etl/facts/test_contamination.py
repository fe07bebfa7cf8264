"""Benchmark tasks in a text: found however they are laid out, and not where a token differs."""

from __future__ import annotations

import csv
import hashlib
import json
import textwrap
from importlib import resources

import numpy as np
import pyarrow as pa
import pytest

from etl.facts import contamination
from etl.facts.annotators import sign
from jobs import benchmark_needles
from training.score import humaneval

PROSE = (
    "Check if in given list of numbers, are any two numbers closer to each other than given "
    "threshold."
)
SOLUTION = """\
    for idx, elem in enumerate(numbers):
        for idx2, elem2 in enumerate(numbers):
            if idx != idx2:
                distance = abs(elem - elem2)
                if distance < threshold:
                    return True

    return False
"""


def matches(*texts: str | None) -> list[list[str]]:
    content = pa.array(texts, pa.string())
    due = np.ones(len(texts), np.bool_)
    found = contamination.matches(content, sign(content, due).has_both, due)
    assert found.type == pa.list_(pa.string())
    return found.to_pylist()  # type: ignore[no-any-return]


def wrapped(text: str, width: int, lead: str) -> str:
    return "\n".join(lead + line for line in textwrap.wrap(text, width))


@pytest.mark.parametrize(
    "text",
    [
        f'def f(numbers):\n    """ {PROSE}\n    >>> f([1.0], 0.5)\n    False\n    """\n',
        f"int f() {{\n{wrapped(PROSE, 33, '  // ')}\n}}\n",
        f"/**\n{wrapped(PROSE, 40, ' * ')}\n */\n",
        f"\t{PROSE}".replace(" ", "\r\n\t\t"),
        json.dumps({"prompt": f'def f():\n    """{PROSE}\n    """\n'}),
    ],
    ids=["indented", "comment", "block", "a word a line", "json"],
)
def test_a_description_is_found_however_it_is_laid_out(text: str) -> None:
    assert matches(text) == [["HumanEval/0 description"]]


def test_a_solution_is_found_with_other_indentation_and_in_json() -> None:
    tabs = textwrap.dedent(SOLUTION).replace("    ", "\t")
    escaped = json.dumps({"canonical_solution": SOLUTION})
    assert matches(tabs, escaped) == [["HumanEval/0 solution"]] * 2


def test_a_near_miss_is_not_found() -> None:
    words = PROSE.split()
    others = [" ".join([*words[:i], "another", *words[i + 1 :]]) for i in range(len(words))]
    assert matches(*others) == [[]] * len(words)
    assert matches(PROSE[: -len("threshold.")], SOLUTION.replace("<", "<=")) == [[], []]
    assert matches(SOLUTION.replace("distance", "space"), "", None) == [[], [], []]


def test_only_what_is_due_is_looked_at_and_rows_stay_in_their_order() -> None:
    content = pa.array([PROSE, "x", SOLUTION + PROSE, PROSE])
    due = np.array([True, True, True, False])
    has_anchors = sign(content, np.ones(4, np.bool_)).has_both
    assert contamination.matches(content, has_anchors, due).to_pylist() == [
        ["HumanEval/0 description"], [],
        ["HumanEval/0 description", "HumanEval/0 solution"], [],
    ]  # fmt: skip


def test_each_task_of_the_package_is_found_and_what_is_no_evidence_is_listed() -> None:
    text = resources.files("etl").joinpath(contamination.DATA).read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    assert list(rows[0]) == list(contamination.COLUMNS)
    assert len({(row["task"], row["kind"]) for row in rows}) == len(rows) == 2 * 164
    excluded = {(row["task"], row["kind"]): row["excluded"] for row in rows if row["excluded"]}
    assert {kind for _, kind in excluded} == {"solution"}
    assert excluded["HumanEval/23", "solution"] == "short"  # return len(string)
    assert excluded["HumanEval/53", "solution"] == "short"  # return x + y
    assert "Fibonacci" in excluded["HumanEval/55", "solution"]

    problems = humaneval.records()
    files = [problem["prompt"] + problem["canonical_solution"] for problem in problems]
    for problem, found in zip(problems, matches(*files), strict=True):
        task = problem["task_id"]
        own = {
            f"{task} {kind}" for kind in ("description", "solution") if (task, kind) not in excluded
        }
        assert own <= set(found)
    alone = matches(*(problem["canonical_solution"] for problem in problems))
    assert sum(bool(found) for found in alone) == 164 - len(excluded)


def test_the_version_changes_with_the_needles() -> None:
    """Facts of an older version are computed again: raise VERSION with the file, then this line."""
    raw = resources.files("etl").joinpath(contamination.DATA).read_bytes()
    assert (contamination.VERSION, hashlib.sha256(raw).hexdigest()[:16]) == (1, "a2e5355473482896")


def test_the_needles_are_what_the_command_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark_needles.main() == 0
    raw = resources.files("etl").joinpath(contamination.DATA).read_text("utf-8")
    assert capsys.readouterr().out == raw
