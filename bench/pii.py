"""What the pattern layer finds in real files, how fast, and how right: `python bench/pii.py [FOLDER]`.

    python bench/pii.py FOLDER [--mb N]
    python bench/pii.py --labels bench/pii_labels.jsonl --files FOLDER

Without FOLDER: the text files of the environment's own site-packages. Prints MB/s of one core (CPU time,
median of three) and the finds by kind and rule. With labels it prints precision and recall by kind:
strict (the same bytes), and by overlap. A label file has a JSON object a line: package, path, sha256,
spans of kind, start and end in bytes of the decoded UTF-8 text; the files lie under FOLDER as
PACKAGE/PATH or SHA256. Values are never printed.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.kernels import batches, cpu_seconds
from etl.facts import pii

Span = tuple[str, int, int]
SECRETS = (
    "KEY",
    "PASSWORD",
)  # of one kind for the table: which of them a value is is a matter of taste


def measure(folder: Path, megabytes: int) -> None:
    data = [batch.column("content") for batch in batches(folder, megabytes * 1_000_000)]
    size = sum(content.nbytes for content in data)
    pii.scan(data[0][:1])
    seconds = cpu_seconds(lambda: [pii.scan(content) for content in data])
    print(
        f"{sum(map(len, data)):,} files, {size / 1e6:,.0f} MB: {size / 1e6 / seconds:,.0f} MB/s\n"
    )
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for content in data:
        spans = pii.scan(content).field("spans").flatten()
        found.update(
            zip(spans.field("kind").to_pylist(), spans.field("detector").to_pylist(), strict=True)
        )
    print(f"{'kind':<12}{'rule':<32}{'finds':>8}")
    for (kind, rule), count in sorted(found.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"{kind:<12}{rule:<32}{count:>8,}")


def labelled(labels: Path, files: Path) -> Iterator[tuple[str, list[Span]]]:
    """(text, labelled spans) of each row; a file that is not there or not the same stops the run."""
    for line in labels.read_text().splitlines():
        row: dict[str, Any] = json.loads(line)
        choices = [files / row["package"] / row["path"], files / row["sha256"]]
        path = next((choice for choice in choices if choice.is_file()), None)
        if path is None:
            raise SystemExit(f"{row['package']} {row['path']}: expected below {files}, found none")
        raw = path.read_bytes()
        if hashlib.sha256(raw).hexdigest() != row["sha256"]:
            raise SystemExit(f"{path}: expected the SHA-256 {row['sha256']}, found another")
        yield raw.decode("utf-8-sig"), [(s["kind"], s["start"], s["end"]) for s in row["spans"]]


def kind_of(kind: str) -> str:
    return "SECRET" if kind.upper() in SECRETS else kind.upper()


def score(labels: Path, files: Path) -> None:
    rows = list(labelled(labels, files))
    found = pii.scan(pa.array([text for text, _ in rows])).field("spans").to_pylist()
    true: collections.Counter[str] = collections.Counter()
    near: collections.Counter[str] = collections.Counter()
    num_found: collections.Counter[str] = collections.Counter()
    num_labels: collections.Counter[str] = collections.Counter()
    for (_, expected), spans in zip(rows, found, strict=True):
        labels_here = {(kind_of(kind), start, end) for kind, start, end in expected}
        finds_here = {(kind_of(span["kind"]), span["start"], span["end"]) for span in spans}
        for kind, start, end in finds_here:
            num_found[kind] += 1
            true[kind] += (kind, start, end) in labels_here
            near[kind] += any(k == kind and s < end and start < e for k, s, e in labels_here)
        num_labels.update(kind for kind, _, _ in labels_here)
    print(
        f"{'kind':<12}{'labels':>8}{'finds':>8}{'precision':>11}{'recall':>8}{'F1':>8}{'overlap':>9}"
    )
    for kind in sorted(num_labels | num_found):
        precision = true[kind] / max(1, num_found[kind])
        recall = true[kind] / max(1, num_labels[kind])
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        overlap = near[kind] / max(1, num_found[kind])
        counts = f"{kind:<12}{num_labels[kind]:>8,}{num_found[kind]:>8,}"
        print(f"{counts}{precision:>11.3f}{recall:>8.3f}{f1:>8.3f}{overlap:>9.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--mb", type=int, default=100, help="read at most this much")
    parser.add_argument("--labels", type=Path, help="JSON Lines of labelled spans")
    parser.add_argument("--files", type=Path, help="folder of the labelled files")
    arguments = parser.parse_args()
    if arguments.labels:
        score(arguments.labels, arguments.files or arguments.labels.parent)
    else:
        measure(arguments.folder, arguments.mb)


if __name__ == "__main__":
    main()
