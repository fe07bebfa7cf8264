"""What the bench says of a result, and what its adversarial inputs claim of themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import corpus, dedup_adversarial, truth
from bench.dedup import Result, exact_answer
from bench.moved import table_bytes
from etl.errors import ConfigError


def text(first: int, last: int) -> str:
    return " ".join(f"w{n}" for n in range(first, last))


# a and b share 92 of 100 shingles, b and c too, a and c 86 of 106; x stands alone; s is too short
ROWS = [
    ("a", text(0, 100)), ("b", text(4, 104)), ("c", text(8, 108)),
    ("x", text(500, 600)), ("s", "one two three"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dropped", "kept_for", "recall", "wrong", "unnamed", "lost"),
    [
        ({"b", "c"}, {"b": "a", "c": "a"}, 1.0, 0, 0, 0),
        ({"b"}, {"b": "a"}, 2 / 3, 0, 0, 0),  # a and c are both kept
        ({"a", "b", "c"}, {}, 1.0, 3, 0, 1),
        ({"b", "c", "x"}, {"b": "a", "c": "a", "x": "a"}, 1.0, 1, 1, 0),
        ({"b", "c"}, {"b": "c", "c": "a"}, 1.0, 0, 1, 0),  # b for c, which is not kept
        (set(), {}, 0.0, 0, 0, 0),
    ],
)
def test_a_result_is_judged_by_the_exact_answer(
    dropped: set[str], kept_for: dict[str, str], recall: float, wrong: int, unnamed: int, lost: int
) -> None:
    answer = exact_answer(ROWS)
    assert len(answer.pairs) == 3
    found = answer.judge(Result(dropped, kept_for))
    assert found.recall == pytest.approx(recall)
    assert (found.wrong, found.unnamed, found.lost_clusters) == (wrong, unnamed, lost)


def similarities(name: str, scale: float) -> tuple[int, np.ndarray, int]:
    """Files, similarities of the pairs at 0.5 or more, number of them at 0.7 or more."""
    case = next(case for case in dedup_adversarial.CASES if case.name == name)
    texts = [file.text for file in case.files(scale)]
    _, scores = truth.all_pairs(truth.shingle_sets(texts), 0.5)
    return len(texts), scores, int((scores >= 0.7).sum())


@pytest.mark.parametrize(
    ("name", "scale", "expected"),
    [
        ("generated", 0.0003, [395 / 397]),
        ("boilerplate", 0.002, [296 / 496]),
        ("component", 0.001, [1316 / 1676, 1136 / 1856]),
        ("chain", 0.004, [166 / 226, 136 / 256]),
        ("templates", 0.002, [15 / 25, 51 / 61]),
    ],
)
def test_the_generated_files_are_as_similar_as_their_case_says(
    name: str, scale: float, expected: list[float]
) -> None:
    num_files, scores, num_pairs = similarities(name, scale)
    assert sorted(set(np.round(scores, 9))) == sorted(round(score, 9) for score in expected)
    if name in ("generated", "boilerplate"):
        every = num_files * (num_files - 1) // 2
        assert (len(scores), num_pairs) == (every, every if name == "generated" else 0)
    if name in ("component", "chain"):
        assert num_pairs == num_files - 1  # neighbours alone


def test_greedy_in_rank_order_is_the_answer_for_a_chain() -> None:
    stars = {"a": 0, "b": 100, "c": 50, "d": 0, "e": 0}  # versions in turn
    files = {
        row_id: dedup_adversarial.File(f"v/{i:06d}.py", "", count)
        for i, (row_id, count) in enumerate(stars.items())
    }
    check = dedup_adversarial.drift_is_right(30, 200)
    # b is kept and takes a and c; d comes before e and takes it: c, which is dropped, takes nothing
    assert check(files, Result({"a", "c", "e"})) == ""
    assert check(files, Result({"a", "c", "d", "e"})) != ""
    assert check(files, Result({"b", "d"})) != ""


def test_short_files_have_no_shingle_and_each_pair_of_line_ends_drops_one() -> None:
    case = next(case for case in dedup_adversarial.CASES if case.name == "one_line")
    listed = list(case.files(0.001))
    assert np.diff(truth.shingle_sets(file.text for file in listed)[0]).max() == 0
    files = {str(i): file for i, file in enumerate(listed)}
    crlf = {row_id for row_id, file in files.items() if file.text.endswith("\r\n")}
    assert case.check(files, Result(crlf)) == ""
    assert case.check(files, Result(set())) != ""
    assert case.check(files, Result(crlf | {"2"})) != ""


def test_the_list_of_packages_names_the_line_at_fault(tmp_path: Path) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("# why\nnpm @types/node 1.0.0\ncrates syn 2.0.0\npypi six 1.16.0\n")
    with pytest.raises(ConfigError, match="line 4"):
        corpus.packages(path)


def test_a_path_has_one_place_in_all_versions_of_a_package() -> None:
    one, two = (corpus.Package("npm", "left", version) for version in ("1.0.0", "2.0.0"))
    other = corpus.Package("npm", "right", "1.0.0")
    assert corpus.place(one, "a.js") == corpus.place(two, "a.js")
    assert corpus.place(one, "a.js") != corpus.place(other, "a.js")
    assert corpus.place(one, "a.js") != corpus.place(one, "b.js")


def test_live_bytes_of_a_table_are_what_was_added_and_not_removed(tmp_path: Path) -> None:
    log = tmp_path / "pairs" / "_delta_log"
    log.mkdir(parents=True)
    (log / "0.json").write_text(json.dumps({"add": {"path": "a", "size": 5}}) + "\n")
    lines = [{"remove": {"path": "a"}}, {"add": {"path": "b", "size": 7}}]
    (log / "1.json").write_text("\n".join(map(json.dumps, lines)))
    assert table_bytes(tmp_path) == {"pairs": 7}
