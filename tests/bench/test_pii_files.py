"""Files of the labelled set: only what was labelled is handed out."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from bench import pii_files
from etl.errors import SourceError

RAW = "\ufeffname = 'Zoë'\r\n".encode()


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture
def archive() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        member = tarfile.TarInfo("thing-1.0/a.py")
        member.size = len(RAW)
        tar.addfile(member, io.BytesIO(RAW))
    return raw.getvalue()


def labels(folder: Path, archive: bytes, **changed: object) -> Path:
    row = {
        "package": "thing==1.0 (pypi sdist)", "artifact_sha256": sha256(archive),
        "path": "thing-1.0/a.py", "sha256": sha256(RAW), "split": "dev", "stratum": "random",
        "spans": [{"kind": "NAME", "start": 8, "end": 12}],
    }  # fmt: skip
    path = folder / "labels.jsonl"
    path.write_text(json.dumps(row | changed) + "\n")
    return path


@pytest.fixture
def cache(tmp_path: Path, archive: bytes) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / sha256(archive)).write_bytes(archive)
    return folder


def test_text_has_no_mark_and_its_own_line_ends(
    tmp_path: Path, cache: Path, archive: bytes
) -> None:
    (file,) = pii_files.labelled_files(labels(tmp_path, archive), cache)
    assert file.text == "name = 'Zoë'\r\n".encode()
    (span,) = file.spans
    assert file.text[span.start : span.end] == "Zoë".encode()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "0" * 64}, "expected the file that was labelled"),
        ({"path": "thing-1.0/b.py"}, "expected this file in the archive, found none"),
    ],
)
def test_another_file_is_refused(
    tmp_path: Path, cache: Path, archive: bytes, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        pii_files.labelled_files(labels(tmp_path, archive, **changed), cache)


def test_another_archive_is_refused_and_not_kept(
    tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "empty"
    monkeypatch.setattr(pii_files, "_from_pip", lambda *_: archive + b"x")
    with pytest.raises(SourceError, match="listed SHA-256"):
        pii_files.labelled_files(labels(tmp_path, archive), folder)
    assert not list(folder.iterdir())


def test_a_coordinate_of_no_registry_is_refused(tmp_path: Path, archive: bytes) -> None:
    path = labels(tmp_path, archive, package="thing 1.0")
    with pytest.raises(SourceError, match="name==version"):
        pii_files.labelled_files(path, tmp_path / "empty")
