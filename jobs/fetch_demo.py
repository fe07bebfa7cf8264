"""Fetch the demo's source distributions by name and version, without running any of their code.

    python -m jobs.fetch_demo --list conf/demo-sdists.txt --to build/demo/sdists

The index is the one that pip is configured for. Each file is checked against the SHA-256 that the
list holds; what is there already is not fetched again, and then no network is touched.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from etl.errors import ConfigError, SourceError, StackmillError

logger = logging.getLogger(__name__)

MAX_MISSING = 0.2  # share of the list without which the demo is still worth running
TIMEOUT_S = 120
JSON_INDEX = "application/vnd.pypi.simple.v1+json"
LINE = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)\s+sha256:(?P<sha256>[0-9a-f]{64})\s*(?:#.*)?$"
)


@dataclass(frozen=True)
class Wanted:
    name: str
    version: str
    sha256: str


def parse_list(path: Path) -> list[Wanted]:
    """Lines `name==version sha256:HEX`. Raises ConfigError with the line at fault."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{path}: expected a list of packages: {os.strerror(error.errno or 0)}"
        ) from None
    wanted = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.match(line)
        if found is None:
            raise ConfigError(f"{path}: line {number}: expected `name==version sha256:HEX  # why`")
        wanted.append(Wanted(found["name"], found["version"], found["sha256"]))
    return wanted


def index_url() -> str:
    """The index that pip would ask: its environment, its configuration, its default."""
    given = os.environ.get("PIP_INDEX_URL")
    if given:
        return given
    found = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode == 0 and found.stdout.strip():
        return found.stdout.strip()
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def fetch_all(wanted: list[Wanted], folder: Path) -> list[str]:
    """Fetches what is missing, four at a time; gives a line for each that could not be had."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {
        _sha256(path) for path in folder.iterdir() if path.is_file() and path.suffix != ".part"
    }
    missing = [one for one in wanted if one.sha256 not in there]
    if not missing:
        return []
    index = index_url().rstrip("/")
    failed = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = {pool.submit(_fetch, one, index, folder): one for one in missing}
        for number, (future, one) in enumerate(futures.items(), 1):
            try:
                logger.info("%d of %d: %s", number, len(missing), future.result())
            except (StackmillError, OSError, ValueError) as error:
                failed.append(f"{one.name}=={one.version}: {error}")
    return failed


def _fetch(one: Wanted, index: str, folder: Path) -> str:
    name = re.sub(r"[-_.]+", "-", one.name).lower()
    page_url = f"{index}/{name}/"
    page = json.loads(_get(page_url, JSON_INDEX))
    for file in page["files"]:
        if file.get("hashes", {}).get("sha256") == one.sha256:
            raw = _get(urllib.parse.urljoin(page_url, file["url"]), "*/*")
            if hashlib.sha256(raw).hexdigest() != one.sha256:
                raise SourceError("expected the file of the listed SHA-256, found another")
            target = folder / Path(file["filename"]).name
            part = target.with_suffix(target.suffix + ".part")
            part.write_bytes(raw)
            part.replace(target)
            return target.name
    raise SourceError(
        "expected a file of the listed SHA-256 in the index, found none: renew the list"
    )


def _get(url: str, accept: str) -> bytes:
    import ssl

    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context(cafile=certificates)
    request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "stackmill"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as response:
        raw: bytes = response.read()
        return raw


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--list", type=Path, required=True, help="the packages")
    parser.add_argument("--to", type=Path, required=True, help="folder to fetch into")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        wanted = parse_list(args.list)
        failed = fetch_all(wanted, args.to)
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    for line in failed:
        sys.stderr.write(f"stackmill: not fetched: {line}\n")
    if len(failed) > MAX_MISSING * len(wanted):
        sys.stderr.write(
            f"stackmill: expected {len(wanted)} packages, could not fetch {len(failed)}: check that "
            "pip reaches its index, then run the same command again\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
