"""What is a benchmark?    problems, and the program that tells whether a completion solves one"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Problem(NamedTuple):
    """`solution` is the benchmark's own completion."""

    problem_id: str
    prompt: str
    solution: str
    check: str
    entry_point: str


class Task(Protocol):
    """A further benchmark is a further module with these three and an entry in `training.score.__main__.TASKS`."""

    name: str
    stops: tuple[str, ...]  # a completion ends before the first of them

    def problems(self) -> list[Problem]: ...

    def program(self, problem: Problem, completion: str) -> str:
        """Python source that ends without an error if the completion is right."""
        ...


def cut(completion: str, stops: tuple[str, ...]) -> str:
    """`completion` up to the first of the stops."""
    ends = [place for stop in stops if (place := completion.find(stop)) >= 0]
    return completion[: min(ends, default=len(completion))]
