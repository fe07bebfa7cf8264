"""The classifier's data: made lines and labelled lines of packages, on what a reader can check."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from etl.errors import ConfigError
from training.ner.distant import excluded_packages, labelled_lines
from training.ner.made import Labelled, filled, made_lines
from training.ner.names import People


def entities(line: Labelled) -> list[tuple[str, str]]:
    return [(entity, line.text[start:end]) for start, end, entity in line.entities]


def test_a_template_is_filled_and_its_labelled_slots_are_entities() -> None:
    line = filled(
        "  # by {name} ({mail}): user {user}, password {pass}, key {key}, {year}", People(1, False)
    )
    assert line.text.startswith("# by ")
    kinds = [entity for entity, _ in entities(line)]
    assert kinds == ["NAME", "USERNAME", "PASSWORD", "KEY"]
    assert all(value and value == value.strip() for _, value in entities(line))
    assert "{" not in line.text.replace(entities(line)[2][1], "")


def test_the_same_seed_makes_the_same_lines_and_another_other_ones() -> None:
    lines = made_lines(People(1, False), 50)
    assert lines == made_lines(People(1, False), 50)
    assert lines != made_lines(People(2, False), 50)


def test_held_out_names_are_in_no_line_that_is_learned_from() -> None:
    learned, held_out = People(1, False), People(1, True)
    for one, other in zip(learned.cultures[:-1], held_out.cultures[:-1], strict=True):
        assert set(one.family) != set(other.family)
    assert not set(learned.cultures[0].family) & set(held_out.cultures[0].family)


def sdist(folder: Path, name: str, files: dict[str, str]) -> None:
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(text.encode())
            archive.addfile(info, BytesIO(text.encode()))


def test_whom_a_package_names_is_labelled_in_all_and_no_real_value_is_left(tmp_path: Path) -> None:
    sdist(
        tmp_path,
        "one",
        {"PKG-INFO": "Name: one\nAuthor: Jane Doerfel\nAuthor-email: jdoerfel7@box.io\n"},
    )
    sdist(tmp_path, "two", {"a.py": "# Contact Jane Doerfel, thanks @jdoerfel7\nx = 1\n"})
    sdist(tmp_path, "out", {"a.py": "# Contact Bob Roebuck\n"})
    learned, held_out = labelled_lines(tmp_path / "none", tmp_path, frozenset({"out"}), 1)
    [line] = [line for line in learned + held_out if "Contact" in line.text]
    assert [entity for entity, _ in entities(line)] == ["NAME", "USERNAME"]
    text = " ".join(line.text for line in learned + held_out)
    assert not any(value in text for value in ("Doerfel", "jdoerfel7", "Roebuck"))


def test_what_may_be_a_name_is_not_known_unless_it_stands_in_many_packages(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        sdist(tmp_path, name, {"a.py": f"# {name}: written with Turbo Zarkon\n"})
    sdist(tmp_path, "four", {"a.py": "# written with Gerfried Zarkon\n"})
    learned, held_out = labelled_lines(tmp_path / "none", tmp_path, frozenset(), 1)
    unknown = {
        line.text: [line.text[start:end] for start, end in line.unknown]
        for line in learned + held_out
    }
    assert unknown["# one: written with Turbo Zarkon"] == []
    assert unknown["# written with Gerfried Zarkon"] == ["Gerfried Zarkon"]


def test_packages_that_are_none_and_a_labelled_set_that_is_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected packages, found none"):
        labelled_lines(tmp_path, tmp_path, frozenset(), 1)
    with pytest.raises(ConfigError, match="expected the labelled set, found FileNotFoundError"):
        excluded_packages(tmp_path / "none.jsonl")


def test_names_of_excluded_packages_are_normal(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"package": "Some_Thing.x==1.0 (pypi sdist)"}\n')
    assert excluded_packages(labels) == {"some-thing-x"}
