"""The scorer of detectors against truths worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import pii_score
from bench.pii_files import LabelledFile, Span
from bench.pii_score import Prediction

TEXT = b'mail = "ann@host.org"\nkey = 0123456789abcdef\n'
EMAIL = (8, 20)
KEY = (28, 44)


def labelled(*spans: Span, text: bytes = TEXT, split: str = "dev") -> LabelledFile:
    return LabelledFile("thing==1.0 (pypi sdist)", "thing/a.py", split, "random", spans, text)


def prf(
    file: LabelledFile, found: list[Prediction], kind: str, *, exact: bool = False
) -> tuple[float, float]:
    one = pii_score.score([file], found, exact=exact)[kind]
    return one.precision, one.recall


def test_positions_of_the_example() -> None:
    assert TEXT[slice(*EMAIL)] == b"ann@host.org"
    assert TEXT[slice(*KEY)] == b"0123456789abcdef"


def test_half_of_the_union_is_a_hit_and_less_is_not() -> None:
    file = labelled(Span("KEY", *KEY))
    for length, hit in ((8, 1.0), (7, 0.0)):
        found = [Prediction(0, "KEY", KEY[0], KEY[0] + length)]
        assert prf(file, found, "KEY") == (hit, hit)
        assert prf(file, found, "KEY", exact=True) == (0.0, 0.0)


def test_quotes_around_a_value_are_the_same_value() -> None:
    file = labelled(Span("EMAIL", *EMAIL))
    found = [Prediction(0, "EMAIL", EMAIL[0] - 2, EMAIL[1] + 2)]
    assert prf(file, found, "EMAIL", exact=True) == (1.0, 1.0)


def test_a_span_is_hit_once() -> None:
    file = labelled(Span("KEY", *KEY))
    found = [Prediction(0, "KEY", *KEY), Prediction(0, "KEY", KEY[0], KEY[1] - 1)]
    assert prf(file, found, "KEY") == (0.5, 1.0)


def test_the_best_overlap_is_paired_first() -> None:
    spans = Span("NAME", 0, 10), Span("NAME", 11, 20)
    file = labelled(*spans, text=b"abcdefghij" + b"-" + b"klmnopqrs")
    found = [Prediction(0, "NAME", 0, 12), Prediction(0, "NAME", 0, 10)]
    outcome = pii_score.match(file, found, frozenset({"NAME"}), exact=False)
    assert [(span.start, one.end) for span, one in outcome.pairs] == [(0, 10)]
    assert [one.end for one in outcome.false_alarms] == [12]
    assert [span.start for span in outcome.misses] == [11]


@pytest.mark.parametrize("kind", ["KEY", "PASSWORD", "EMAIL"])
def test_a_doubtful_span_is_neither_hit_nor_miss_nor_false_alarm(kind: str) -> None:
    file = labelled(Span("KEY", *KEY, doubtful=True))
    one = pii_score.score([file], [Prediction(0, kind, *KEY)])[kind]
    assert (one.labelled, one.found, one.hits) == (0, 0, 0)


def test_a_doubtful_span_counts_when_it_is_asked_for() -> None:
    counted = pii_score.counted([labelled(Span("KEY", *KEY, doubtful=True))])
    assert pii_score.score(counted, [])["KEY"].labelled == 1


def test_a_hit_is_a_hit_even_beside_a_doubtful_span() -> None:
    file = labelled(Span("KEY", *KEY), Span("EMAIL", *EMAIL, doubtful=True))
    found = [Prediction(0, "KEY", *KEY), Prediction(0, "KEY", *EMAIL)]
    assert prf(file, found, "KEY") == (1.0, 1.0)


def test_another_kind_is_a_miss_and_a_false_alarm_but_one_secret() -> None:
    file = labelled(Span("KEY", *KEY))
    found = [Prediction(0, "PASSWORD", *KEY)]
    assert prf(file, found, "KEY") == (0.0, 0.0)
    assert pii_score.score([file], found)["PASSWORD"].found == 1
    assert prf(file, found, "SECRET") == (1.0, 1.0)


def test_what_another_file_holds_does_not_count() -> None:
    file = labelled(Span("KEY", *KEY))
    scores = pii_score.score([file, labelled()], [Prediction(1, "KEY", *KEY)])
    assert (scores["KEY"].hits, scores["KEY"].found, scores["KEY"].labelled) == (0, 1, 1)


def test_f1() -> None:
    assert pii_score.Score(labelled=4, found=2, hits=1).f1 == pytest.approx(1 / 3)
    assert pii_score.Score().f1 == 0.0


def test_confusion_names_detector_and_what_it_was() -> None:
    file = labelled(Span("KEY", *KEY), Span("EMAIL", *EMAIL))
    found = [
        Prediction(0, "PASSWORD", *KEY, "entropy"),
        Prediction(0, "KEY", 0, 4, "entropy"),
        Prediction(0, "EMAIL", EMAIL[0], EMAIL[0] + 2, "regex"),
    ]
    assert pii_score.confusion([file], found) == {
        ("entropy", "KEY", "PASSWORD"): 1,
        ("entropy", "nothing", "KEY"): 1,
        ("regex", "part of EMAIL", "EMAIL"): 1,
        ("", "EMAIL", "nothing"): 1,
    }


def test_each_layer_adds_to_those_before_it() -> None:
    file = labelled(Span("KEY", *KEY), Span("EMAIL", *EMAIL))
    found = [
        Prediction(0, "EMAIL", *EMAIL, "regex", "pattern"),
        Prediction(0, "KEY", *KEY, "context", "context"),
    ]
    first, second = pii_score.layer_table([file], found).splitlines()[1:]
    assert first.split()[:3] == ["pattern", "100/100/100", "0/"]
    assert second.split()[:3] == ["+", "context", "100/100/100"]
    assert pii_score.confusion([file], pii_score.layered(found)) == {
        ("pattern", "EMAIL", "EMAIL"): 1,
        ("context", "KEY", "KEY"): 1,
    }


def test_a_half_of_the_set_has_numbers_of_its_own() -> None:
    files = [labelled(split="test"), labelled(Span("KEY", *KEY)), labelled(split="test")]
    found = [Prediction(1, "KEY", *KEY), Prediction(2, "KEY", *KEY)]
    half, mine = pii_score.restricted(files, found, pii_score.of_split("test"))
    assert half == [files[0], files[2]]
    assert mine == [Prediction(1, "KEY", *KEY)]


def test_prose_and_data_are_no_source_files() -> None:
    names = ["a.py", "b.c", "README.md", "c.json", "d.xml", "e.txt", "f.js"]
    files = [replace(labelled(), path=f"thing/{name}") for name in names]
    half, _ = pii_score.restricted(files, [], pii_score.is_source)
    assert [file.path[-4:].lstrip("/") for file in half] == ["a.py", "b.c", "f.js"]


def test_places_hold_no_value(tmp_path: Path) -> None:
    file = labelled(Span("KEY", *KEY))
    lines = list(pii_score.places([file], [Prediction(0, "EMAIL", *EMAIL, "regex")]))
    assert [line.split("\t")[:2] for line in lines] == [["false alarm", "EMAIL"], ["miss", "KEY"]]
    assert [line.split("\t")[3] for line in lines] == ["thing/a.py:1", "thing/a.py:2"]
    assert not any("0123" in line or "ann" in line for line in lines)


def test_the_committed_set_is_what_it_says() -> None:
    rows = [json.loads(line) for line in Path("bench/pii_labels.jsonl").read_text().splitlines()]
    assert len(rows) >= 500
    assert len({(row["artifact_sha256"], row["path"]) for row in rows}) == len(rows)
    halves: dict[str, set[str]] = {}
    for row in rows:
        halves.setdefault(row["package"].split("==")[0], set()).add(row["split"])
        assert set(row) == {
            "package",
            "artifact_sha256",
            "path",
            "sha256",
            "split",
            "stratum",
            "spans",
        }
        ends = 0
        for span in row["spans"]:
            assert set(span) <= {"kind", "start", "end", "doubtful"}
            assert span["kind"] in pii_score.KINDS
            assert ends <= span["start"] < span["end"]
            ends = span["end"]
    assert {len(split) for split in halves.values()} == {1}
