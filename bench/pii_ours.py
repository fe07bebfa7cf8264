"""What our layers find in the labelled set: rows of predictions, as `bench.pii_score` reads them.

    python -m bench.pii_ours [--to build/bench/pii-ours.jsonl] [--layers pattern,repository,context]

pattern: the scan of a content. repository: whom the package's manifest and all files of its archive name, looked
for in the labelled files. context: the classifier over every candidate line, without a budget. Of spans that
overlap, the first layer's counts. Prints MB/s of one core of the scan, by the CPU time of the median of three runs.
"""

from __future__ import annotations

import argparse
import collections
import json
import statistics
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.pii_files import LabelledFile, parse_with_files
from bench.pii_score import Prediction
from etl.context_pii.config import ContextPiiConfig
from etl.context_pii.lines import PROSE_EXTENSIONS, candidate_lines, line_texts
from etl.context_pii.model import Tagger, load_model
from etl.facts import pii
from etl.facts.pii_names import person_hashes
from etl.facts.pii_people import find_people
from etl.gazetteer import MAX_HASHES
from etl.sources.metadata import Package, core_metadata, crate_metadata, npm_metadata

RUNS = 3
TO = Path("build/bench/pii-ours.jsonl")
LAYERS = ("pattern", "repository", "context")
MANIFESTS: dict[str, Callable[[bytes], Package]] = {
    "PKG-INFO": core_metadata,
    "package.json": npm_metadata,
    "Cargo.toml": crate_metadata,
}
MAX_FILE_BYTES, MAX_ARCHIVE_BYTES = 2 << 20, 100 << 20


def texts_of(files: Sequence[LabelledFile]) -> pa.Array:
    return pa.array([file.text.decode() for file in files], pa.string())


def pattern(texts: pa.Array) -> tuple[pa.ListArray, float]:
    """Spans of each text, and bytes of text a second of one core."""
    pii.scan(texts.slice(0, 1))  # what a process pays once is not measured
    seconds = []
    for _ in range(RUNS):
        began = time.process_time()
        found = pii.scan(texts)
        seconds.append(time.process_time() - began)
    return found.field("spans"), texts.nbytes / statistics.median(seconds)


def repository(files: Sequence[LabelledFile], texts: pa.Array, cache: Path) -> pa.ListArray:
    """Where the people of its package stand in each text."""
    archives = {file.package: cache / file.archive for file in files}
    people = {package: _people(archive) for package, archive in archives.items()}
    lists = pa.array([people[file.package] for file in files], pa.list_(pa.int64()))
    return find_people(texts, lists)


def _people(archive: Path) -> list[int]:
    counts: collections.Counter[int] = collections.Counter()
    contents: list[str] = []
    for name, raw in _texts(archive):
        read = MANIFESTS.get(name.rpartition("/")[2])
        if read is not None:
            for person in read(raw).people:
                counts.update(person_hashes(person.name, person.email))
        contents.append(raw.decode())
    for row in pii.scan(pa.array(contents, pa.string())).field("people").to_pylist():
        counts.update(row)
    most = sorted(counts, key=lambda value: (-counts[value], value))[:MAX_HASHES]
    return sorted(most)


def _texts(archive: Path) -> Iterator[tuple[str, bytes]]:
    size = 0
    for name, raw in _members(archive):
        if size < MAX_ARCHIVE_BYTES and b"\0" not in raw:
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                continue
            size += len(raw)
            yield name, raw


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if info.file_size <= MAX_FILE_BYTES:
                    yield info.filename, zipped.read(info)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.size <= MAX_FILE_BYTES:
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file.read()


def context(files: Sequence[LabelledFile], texts: pa.Array, spans: pa.ListArray) -> pa.ListArray:
    """What the classifier finds in each text's candidate lines."""
    is_prose = np.array([_extension(file.path) in PROSE_EXTENSIONS for file in files])
    lines = candidate_lines(texts, is_prose, spans)
    found = Tagger(load_model(None))(line_texts(texts, lines).to_pylist())
    rows: list[list[dict[str, object]]] = [[] for _ in files]
    starts = lines.flatten().field("start").to_pylist()
    parents = lines.value_parent_indices().to_pylist()
    for row, start, in_line in zip(parents, starts, found, strict=True):
        for span in in_line:
            if span.score < ContextPiiConfig().min_score:
                continue
            moved = {"start": start + span.start, "end": start + span.end}
            rows[row].append({**span._asdict(), **moved})
    return pa.array(rows, pa.list_(pii.SPAN))


def _extension(path: str) -> str:
    basename = path.rpartition("/")[2]
    return basename.rpartition(".")[2].lower() if "." in basename else ""


def merged(layers: dict[str, pa.ListArray]) -> list[Prediction]:
    """Of spans that overlap those of the first layer; by layer, file and place."""
    found: list[Prediction] = []
    rows = {name: lists.to_pylist() for name, lists in layers.items()}
    for index in range(len(next(iter(rows.values())))):
        taken: list[Prediction] = []
        for name, lists in rows.items():
            for span in lists[index] or ():
                start, end = span["start"], span["end"]
                if not any(one.start < end and start < one.end for one in taken):
                    detector = span.get("detector") or name
                    taken.append(
                        Prediction(index, span["kind"].upper(), start, end, detector, name)
                    )
        found += taken
    return sorted(found, key=lambda one: (LAYERS.index(one.layer), one.file, one.start))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--to", type=Path, default=TO, help="JSON lines")
    parser.add_argument("--layers", default=",".join(LAYERS), help="of them, comma-separated")
    args, files = parse_with_files(parser, argv)
    wanted = args.layers.split(",")
    if not set(wanted) <= set(LAYERS):
        parser.error(f"--layers: expected some of {', '.join(LAYERS)}, found {args.layers}")
    texts = texts_of(files)
    spans, speed = pattern(texts)
    layers = {"pattern": spans}
    if "repository" in wanted:
        layers["repository"] = repository(files, texts, args.cache)
    if "context" in wanted:
        layers["context"] = context(files, texts, spans)
    found = merged({name: layers[name] for name in wanted})
    args.to.parent.mkdir(parents=True, exist_ok=True)
    with args.to.open("w", encoding="utf-8") as lines:
        for one in found:
            lines.write(json.dumps(vars(one)) + "\n")
    sys.stdout.write(f"{len(found)} findings in {len(files)} files, {speed / 1e6:.1f} MB/s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
