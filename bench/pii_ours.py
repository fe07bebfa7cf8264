"""What our scanner finds in the labelled set: rows of predictions, as `bench.pii_score` reads them.

    python -m bench.pii_ours [--to build/bench/pii-ours.jsonl]

Prints MB/s of one core over the set, by the CPU time of the median of three runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from bench.pii_files import LabelledFile, parse_with_files
from bench.pii_score import Prediction
from etl.facts import pii

RUNS = 3
TO = Path("build/bench/pii-ours.jsonl")


def predictions(files: Sequence[LabelledFile]) -> tuple[list[Prediction], float]:
    """Our findings in the files' texts, and bytes of text a second of one core."""
    texts = pa.array([file.text.decode() for file in files], pa.string())
    pii.scan(texts.slice(0, 1))  # what a process pays once is not measured
    seconds = []
    for _ in range(RUNS):
        began = time.process_time()
        found = pii.scan(texts)
        seconds.append(time.process_time() - began)
    size = sum(len(file.text) for file in files)
    return list(_rows(found)), size / statistics.median(seconds)


def _rows(found: pa.Array) -> Iterator[Prediction]:
    """`scan` gives a list of spans a text, by itself or as the field `spans`."""
    lists = found.field("spans") if pa.types.is_struct(found.type) else found
    for index, spans in enumerate(lists.to_pylist()):
        for span in spans or ():
            kind = span["kind"].upper()
            yield Prediction(index, kind, span["start"], span["end"], span["detector"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--to", type=Path, default=TO, help="JSON lines")
    args, files = parse_with_files(parser, argv)
    found, speed = predictions(files)
    args.to.parent.mkdir(parents=True, exist_ok=True)
    with args.to.open("w", encoding="utf-8") as lines:
        for one in found:
            lines.write(json.dumps(vars(one)) + "\n")
    sys.stdout.write(f"{len(found)} findings in {len(files)} files, {speed / 1e6:.1f} MB/s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
