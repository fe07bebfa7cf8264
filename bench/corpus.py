"""Which real files does the near-dedup bench run on?    package lists -> Parquet of each size, once

Several versions of the same packages, fetched by name and version (`bench/dedup-packages.txt`) from
the indexes that pip, npm and cargo are configured for; none of their code is run. What is there
already is not fetched again. Files are distinct UTF-8 texts without NUL, at most 1 MiB each, never
a synthetic copy. A smaller size is a sample of a larger one, by a hash of package name and path: a
path of all packages, but of each the file of every version.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etl.errors import ConfigError, SourceError
from etl.sources.config import Limits
from etl.sources.members import CORRUPT, Unsafe, members
from jobs.fetch_demo import Wanted, fetch_all

LIST = Path(__file__).with_name("dedup-packages.txt")
LINE = re.compile(
    r"^(?P<registry>pypi|npm|crates) (?P<name>[@\w./-]+) (?P<version>[\w.+!-]+)"
    r"(?: sha256:(?P<sha256>[0-9a-f]{64}))?$"
)
MAX_FILE_BYTES = 1 << 20
PARTS = 2  # Parquet files a size: one a worker
GROUP_BYTES = 8 << 20  # of text, about, in a row group
FETCH_TIMEOUT_S = 300
ROWS = pa.schema(
    [
        ("id", pa.string()), ("repo_name", pa.string()), ("path", pa.string()),
        ("stars", pa.int64()), ("content", pa.string()),
    ]
)  # fmt: skip
COLUMNS = {"content": "content", "path": "path", "repo_name": "repo_name", "stars": "stars"}


@dataclass(frozen=True)
class Package:
    """A version of a package; `name` is the family that its versions share."""

    registry: str
    name: str
    version: str
    sha256: str | None = None

    @property
    def repo_name(self) -> str:
        return f"{self.registry}-{self.name.strip('@').replace('/', '-')}/{self.version}"


def packages(path: Path = LIST) -> list[Package]:
    """Lines `REGISTRY NAME VERSION [sha256:HEX]`. Raises ConfigError with the line at fault."""
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.match(line)
        if match is None or (match["registry"] == "pypi") != bool(match["sha256"]):
            raise ConfigError(
                f"{path}: line {number}: expected `pypi NAME VERSION sha256:HEX`, `npm NAME VERSION` "
                "or `crates NAME VERSION`"
            )
        found.append(Package(match["registry"], match["name"], match["version"], match["sha256"]))
    return found


def fetch(wanted: list[Package], folder: Path) -> dict[Package, Path]:
    """The archive of each package that could be had. Raises SourceError below 80 % of them."""
    sdists = [one for one in wanted if one.registry == "pypi"]
    fetch_all([Wanted(one.name, one.version, one.sha256 or "") for one in sdists], folder / "pypi")
    of_hash = {_sha256(path): path for path in sorted((folder / "pypi").glob("*.[tz]*"))}
    found = {one: of_hash[one.sha256 or ""] for one in sdists if one.sha256 in of_hash}
    others = [one for one in wanted if one.registry != "pypi"]
    with ThreadPoolExecutor(max_workers=4) as pool:
        paths = pool.map(lambda one: FETCHERS[one.registry](one, folder), others)
        found.update({one: path for one, path in zip(others, paths, strict=True) if path})
    if len(found) < 0.8 * len(wanted):
        raise SourceError(
            f"expected {len(wanted)} packages, could fetch {len(found)}: check that pip, npm and "
            "cargo reach their indexes, then run the same command again"
        )
    return found


def _fetch_npm(one: Package, folder: Path) -> Path | None:
    target = folder / "npm"
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{one.name.strip('@').replace('/', '-')}-{one.version}.tgz"
    if not path.exists():
        command = ["npm", "pack", "--silent", "--pack-destination", str(target.resolve())]
        _quietly([*command, f"{one.name}@{one.version}"], target)
    return path if path.exists() else None


def _fetch_crate(one: Package, folder: Path) -> Path | None:
    path = folder / "crates" / f"{one.name}-{one.version}.crate"
    if path.exists():
        return path
    project = folder / "crates" / f"{one.name}-{one.version}.project"
    (project / "src").mkdir(parents=True, exist_ok=True)
    (project / "src" / "lib.rs").touch()
    (project / "Cargo.toml").write_text(
        '[package]\nname = "fetched"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n'
        f'[dependencies]\n{one.name} = "={one.version}"\n'
    )
    home = project / "home"
    _quietly(["cargo", "fetch"], project, home)
    for fetched in home.glob(f"registry/cache/*/{path.name}"):
        shutil.move(fetched, path)
    shutil.rmtree(project)
    return path if path.exists() else None


FETCHERS = {"npm": _fetch_npm, "crates": _fetch_crate}


def _quietly(command: list[str], folder: Path, cargo_home: Path | None = None) -> None:
    """Runs a package manager; what it could not fetch shows in its file being absent."""
    import os

    given = dict(os.environ)
    if cargo_home is not None:
        given["CARGO_HOME"] = str(cargo_home.resolve())
    try:
        subprocess.run(
            command, cwd=folder, env=given, timeout=FETCH_TIMEOUT_S, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def texts(found: dict[Package, Path]) -> Iterator[tuple[Package, str, bytes]]:
    """(package, path, raw) of every distinct text, package by package."""
    seen: set[bytes] = set()
    for one in sorted(found, key=lambda package: package.repo_name):
        for path, raw in _texts_of(found[one]):
            digest = hashlib.sha256(raw).digest()
            if digest not in seen:
                seen.add(digest)
                yield one, path, raw


def place(one: Package, path: str) -> int:
    """64 bits by which files are chosen: equal for a path in all versions of a package."""
    digest = hashlib.sha256(f"{one.registry} {one.name} {path}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _texts_of(archive: Path) -> Iterator[tuple[str, bytes]]:
    try:
        for member in members(str(archive), Limits()):
            if member.kind != "file" or not 0 < member.size_bytes <= MAX_FILE_BYTES:
                continue
            raw = member.read(MAX_FILE_BYTES)
            path = member.path.decode("utf-8", "replace").partition("/")[2]
            if b"\0" in raw or not path:
                continue
            try:
                raw.decode()
            except UnicodeDecodeError:
                continue
            yield path, raw
    except (Unsafe, *CORRUPT):
        return  # what came before the corrupt place is used


def build(folder: Path, sizes_mb: list[int]) -> dict[int, Path]:
    """Folders of Parquet files (`ROWS`), one a size, each at least that many MB of text.

    Raises: SourceError if the packages do not hold that much.
    """
    targets = {size: folder / f"corpus-{size}" for size in sorted(sizes_mb)}
    missing = {size: path for size, path in targets.items() if not (path / "_done").exists()}
    if not missing:
        return targets
    archives = fetch(packages(), folder / "packages")
    bounds = _bounds(archives, sorted(missing))
    writers = {size: _Writer(path) for size, path in missing.items()}
    for one, path, raw in texts(archives):
        key = place(one, path)
        row = (hashlib.sha256(raw).hexdigest(), one.repo_name, path, stars(one), raw.decode())
        for size, writer in writers.items():
            if key <= bounds[size]:
                writer.add(row)
    for writer in writers.values():
        writer.close()
    return targets


def _bounds(archives: dict[Package, Path], sizes_mb: list[int]) -> dict[int, int]:
    """The largest `place` of each size."""
    rows = np.array(
        [(place(one, path), len(raw)) for one, path, raw in texts(archives)], np.uint64
    ).reshape(-1, 2)
    rows = rows[np.argsort(rows[:, 0])]
    total = np.cumsum(rows[:, 1])
    if not len(total) or total[-1] < sizes_mb[-1] * 1_000_000:
        raise SourceError(
            f"{LIST.name}: expected {sizes_mb[-1]} MB of distinct text, found "
            f"{int(rows[:, 1].sum()) / 1e6:.0f}: name more packages, or ask for less"
        )
    return {size: int(rows[np.searchsorted(total, size * 1_000_000), 0]) for size in sizes_mb}


def stars(one: Package) -> int:
    """A made-up star count of a repository: a function of its name, most of them small."""
    draw = int.from_bytes(hashlib.sha256(one.repo_name.encode()).digest()[:2], "big")
    return int(4 ** (draw / 9000))


class _Writer:
    """`PARTS` Parquet files of about the same size, rows in turn."""

    def __init__(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        self.target, self.num_files = target, 0
        self.rows: list[list[tuple[object, ...]]] = [[] for _ in range(PARTS)]
        self.size = [0] * PARTS
        self.parts = [
            pq.ParquetWriter(target / f"part-{i}.parquet", ROWS, compression="zstd")
            for i in range(PARTS)
        ]

    def add(self, row: tuple[str, str, str, int, str]) -> None:
        part = self.num_files % PARTS
        self.rows[part].append(row)
        self.size[part] += len(row[-1])
        self.num_files += 1
        if self.size[part] >= GROUP_BYTES:
            self._write(part)

    def _write(self, part: int) -> None:
        columns = zip(*self.rows[part], strict=True)
        self.parts[part].write_table(pa.table([list(c) for c in columns], schema=ROWS))
        self.rows[part], self.size[part] = [], 0

    def close(self) -> None:
        for part, writer in enumerate(self.parts):
            if self.rows[part]:
                self._write(part)
            writer.close()
        (self.target / "_done").write_text(json.dumps({"num_files": self.num_files}))
