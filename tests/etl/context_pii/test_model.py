"""What a folder must be to be run, told where it is not; and what the shipped classifier says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl.context_pii.model import Tagger, default_folder, load_model
from etl.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped classifier, to be damaged."""
    return Path(shutil.copytree(default_folder(), tmp_path / "ner"))


def error_of(folder: Path) -> str:
    with pytest.raises(ConfigError) as found:
        load_model(str(folder))
    return str(found.value)


@pytest.mark.parametrize("name", ["model.onnx", "assets/labels.txt", "assets/settings.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"expected the file {folder / name}, found none" in error_of(folder)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none' / 'model.onnx'}, found none" in error_of(tmp_path / "none")


def test_a_file_that_is_no_network_is_told(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no network")
    assert "expected a network in ONNX and its pieces, found" in error_of(folder)


def test_another_number_of_labels_is_told_with_both_shapes(folder: Path) -> None:
    with (folder / "assets" / "labels.txt").open("a") as labels:
        labels.write("B-OTHER\n")
    message = error_of(folder)
    assert "expected logits of shape (1, 128, 10) for the 10 labels" in message
    assert "found (1, 128, 9)" in message


def test_more_pieces_than_the_network_knows_are_told(folder: Path) -> None:
    with (folder / "assets" / "vocab.txt").open("a") as vocab:
        vocab.writelines(f"piece{number}\n" for number in range(5000))
    assert "expected a network for" in error_of(folder)


def test_more_positions_than_the_network_has_are_told(folder: Path) -> None:
    (folder / "assets" / "settings.json").write_text(
        '{"max_length": 999, "is_case_sensitive": true}'
    )
    assert "999 positions" in error_of(folder)


@pytest.mark.parametrize("text", ["{", '{"max_length": "many", "is_case_sensitive": true}', "{}"])
def test_settings_that_are_none_are_told(folder: Path, text: str) -> None:
    (folder / "assets" / "settings.json").write_text(text)
    assert "expected JSON with max_length and is_case_sensitive" in error_of(folder)


def test_a_vocabulary_without_special_pieces_is_told(folder: Path) -> None:
    (folder / "assets" / "vocab.txt").write_text("a\nb\n")
    assert "expected the pieces [UNK], [CLS], [SEP], [PAD]" in error_of(folder)


def test_the_id_changes_with_any_of_the_files(folder: Path) -> None:
    first = load_model(str(folder)).model_id
    assert first == load_model(None).model_id
    labels = folder / "assets" / "labels.txt"
    labels.write_text(labels.read_text().replace("NAME", "PERSON"))
    assert load_model(str(folder)).model_id != first


LINES = {
    "# Contact: Jane Doerfel": [("name", "Jane Doerfel")],
    "Special thanks go out to Håkan Lindqvist and Ngozi Okafor.": [
        ("name", "Håkan Lindqvist"), ("name", "Ngozi Okafor"),
    ],
    "# Log in with user jdoerfel7 and password xK93mf2q": [
        ("username", "jdoerfel7"), ("password", "xK93mf2q"),
    ],
    "The password must be at least 8 characters long": [],
    "# Powered by Visual Studio and the Apache Software Foundation": [],
    "import numpy as np": [],
}  # fmt: skip


def test_the_shipped_classifier_finds_names_and_credentials_in_words() -> None:
    found = Tagger(load_model(None))(list(LINES))
    for (line, expected), spans in zip(LINES.items(), found, strict=True):
        raw = line.encode()
        assert [(s.kind, raw[s.start : s.end].decode()) for s in spans] == expected, line


def test_what_is_found_in_a_line_does_not_depend_on_its_neighbours() -> None:
    tagger = Tagger(load_model(None))
    lines = [*LINES, "x " * 200, "é" * 100] * 3
    together = [[span[:4] for span in spans] for spans in tagger(lines)]
    alone = [[span[:4] for span in tagger([line])[0]] for line in lines]
    assert together == alone
