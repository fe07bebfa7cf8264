"""What the pattern layer finds in real files, and how fast; `bench.pii_score` says how right.

    python -m bench.pii [FOLDER] [--mb N]

Without FOLDER: the text files of the environment's own site-packages. Prints MB/s of one core (CPU time,
median of three) and the finds by kind and rule. Values are never printed.
"""

from __future__ import annotations

import argparse
import collections
import sysconfig
from pathlib import Path

from bench.kernels import batches, cpu_seconds
from etl.facts import pii


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--mb", type=int, default=100, help="read at most this much")
    arguments = parser.parse_args()
    measure(arguments.folder, arguments.mb)


if __name__ == "__main__":
    main()
