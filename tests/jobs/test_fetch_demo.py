"""Fetching by name and version, from a real index on loopback."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from etl.errors import ConfigError
from jobs import fetch_demo

FILES = {"one-1.0.tar.gz": b"the first", "two-2.0.tar.gz": b"the second"}


class Index(ThreadingHTTPServer):
    """A simple index of FILES; `asked` holds the paths that were requested."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Index)
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    root = tmp_path / "web"
    for name, content in FILES.items():
        page = root / "simple" / name.partition("-")[0]
        page.mkdir(parents=True)
        (root / name).write_bytes(content)
        hashes = {"sha256": hashlib.sha256(content).hexdigest()}
        listing = {"files": [{"filename": name, "url": f"../../{name}", "hashes": hashes}]}
        (page / "index.html").write_text(json.dumps(listing))
    server = Index(root)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def write_list(tmp_path: Path, **changed: str) -> Path:
    path = tmp_path / "list.txt"
    lines = ["# a comment"]
    for name, content in FILES.items():
        package, version = name.removesuffix(".tar.gz").split("-")
        digest = changed.get(package, hashlib.sha256(content).hexdigest())
        lines.append(f"{package}=={version} sha256:{digest}  # why")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(tmp_path: Path, listed: Path) -> int:
    return fetch_demo.main(["--list", str(listed), "--to", str(tmp_path / "to")])


def test_all_is_fetched_once_and_then_no_network_is_touched(tmp_path: Path, index: Index) -> None:
    listed = write_list(tmp_path)
    assert run(tmp_path, listed) == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "to").iterdir()} == FILES
    asked = len(index.asked)
    assert asked == 4
    assert run(tmp_path, listed) == 0
    assert len(index.asked) == asked


def test_a_file_of_another_hash_is_not_taken(
    tmp_path: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, write_list(tmp_path, two="0" * 64)) == 1
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["one-1.0.tar.gz"]
    said = capsys.readouterr().err
    assert "two==2.0: expected a file of the listed SHA-256" in said
    assert "expected 2 packages, could not fetch 1" in said


def test_a_served_file_that_is_not_what_the_index_says_is_not_taken(
    tmp_path: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web" / "two-2.0.tar.gz").write_bytes(b"something else")
    assert run(tmp_path, write_list(tmp_path)) == 1
    assert "expected the file of the listed SHA-256, found another" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["one-1.0.tar.gz"]


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("one==1.0\n")
    with pytest.raises(ConfigError, match="line 1: expected `name==version sha256:HEX"):
        fetch_demo.parse_list(path)


def test_the_demo_list_has_five_packages_in_two_versions() -> None:
    wanted = fetch_demo.parse_list(Path(__file__).parents[2] / "conf" / "demo-sdists.txt")
    names = [one.name for one in wanted]
    assert len({name for name in names if names.count(name) == 2}) >= 5
    assert len(wanted) >= 30
