"""What would near-dedup cost at a billion files?    build/bench/dedup.json -> the tables of docs/near-dedup-cost.md

    python -m bench.near_dedup_cost [--folder build/bench]

Every constant is a slope between the smallest and the largest size that `bench.dedup` measured (parts
`speed` and `bytes`), a file or a MB: fixed cost is left out, it is nothing at this scale. The page says
what the straight line assumes and what would bend it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = (1_000_000_000, 5_450_000_000)
VCPUS, MEMORY_GIB, DISK_TB = 32, 128, 1.9  # m6id.8xlarge
DOLLARS_AN_HOUR = 1.90  # assumed, on demand; not looked up
BUSY = 0.7  # assumed share of vCPU time that a cluster spends on the job's own CPU-seconds
STEPS = ("signatures", "near_dedup", "decide")
TABLES = (
    "signatures", "documents", "band_index", "pairs", "unverified", "deferred_sets", "duplicates",
    "decisions",
)  # fmt: skip


@dataclass(frozen=True)
class Slopes:
    """A file: bytes of text, CPU-seconds, bytes read and shuffled by step, bytes of tables."""

    text_bytes: float
    cpu_s: dict[str, float]
    read_bytes: dict[str, float]
    shuffled_bytes: dict[str, float]
    shuffled_rows: dict[str, float]
    table_bytes: dict[str, float]
    sizes: tuple[int, int]  # files


def slopes(stored: dict[str, Any]) -> Slopes:
    """Raises KeyError where a part has not been measured."""
    sizes = sorted(
        int(name.split()[1])
        for name in stored
        if name.startswith("bytes ") and f"stackmill {name.split()[1]}" in stored
    )
    low, high = sizes[0], sizes[-1]
    moved = [stored[f"bytes {size}"] for size in (low, high)]
    ours = [stored[f"stackmill {size}"] for size in (low, high)]
    more = moved[1]["num_files"] - moved[0]["num_files"]

    def rise(values: list[float]) -> float:
        return max(0.0, values[1] - values[0]) / more

    def of_steps(name: str) -> dict[str, float]:
        return {step: rise([found["steps"][step][name] for found in moved]) for step in STEPS}

    return Slopes(
        rise([low * 1e6, high * 1e6]),
        {step: rise([found["steps"][step] for found in ours]) for step in STEPS},
        of_steps("read_bytes"),
        of_steps("shuffled_bytes"),
        of_steps("shuffled_rows"),
        {name: rise([found["tables"].get(name, 0) for found in moved]) for name in TABLES},
        (moved[0]["num_files"], moved[1]["num_files"]),
    )


def pages(found: Slopes) -> str:
    lines = [
        f"Measured a file, between {found.sizes[0]:,} and {found.sizes[1]:,} files of "
        f"{found.text_bytes / 1e3:.1f} KB on average:",
        "",
        "| step | CPU, ms | bytes read | bytes shuffled | rows shuffled |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {step} | {1000 * found.cpu_s[step]:.2f} | {found.read_bytes[step]:,.0f} | "
        f"{found.shuffled_bytes[step]:,.0f} | {found.shuffled_rows[step]:.2f} |"
        for step in STEPS
    ]
    sizes = ", ".join(f"`{name}` {size:,.0f}" for name, size in found.table_bytes.items())
    lines += [
        "",
        f"Bytes a file in the tables: {sizes}.",
        "",
        "| | " + _heads() + " |",
        "|---|---|---|",
    ]
    lines += [
        _row("text, TB", [found.text_bytes * n / 1e12 for n in FILES]),
        *(
            _row(f"`{name}`, TB", [size * n / 1e12 for n in FILES])
            for name, size in found.table_bytes.items()
        ),
        *(
            _row(f"{step}: read, TB", [found.read_bytes[step] * n / 1e12 for n in FILES])
            for step in STEPS
        ),
        *(
            _row(f"{step}: shuffled, TB", [found.shuffled_bytes[step] * n / 1e12 for n in FILES])
            for step in STEPS
        ),
        *(
            _row(f"{step}: core-hours", [found.cpu_s[step] * n / 3600 for n in FILES], 0)
            for step in STEPS
        ),
    ]
    hours = [sum(found.cpu_s.values()) * n / 3600 for n in FILES]
    nodes = [hour / BUSY / VCPUS for hour in hours]
    lines += [
        _row("all: core-hours", hours, 0),
        _row(f"node-hours (m6id.8xlarge, {VCPUS} vCPU, {BUSY:.0%} busy)", nodes, 0),
        _row(
            f"dollars, at ${DOLLARS_AN_HOUR:.2f} a node-hour",
            [n * DOLLARS_AN_HOUR for n in nodes],
            0,
        ),
        _row("hours on 100 nodes", [n / 100 for n in nodes], 1),
    ]
    return "\n".join(lines)


def _heads() -> str:
    return " | ".join(f"{n / 1e9:g} billion files" for n in FILES)


def _row(title: str, values: list[float], digits: int = 2) -> str:
    return f"| {title} | " + " | ".join(f"{value:,.{digits}f}" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    stored = json.loads((parser.parse_args().folder / "dedup.json").read_text())
    print(pages(slopes(stored)))


if __name__ == "__main__":
    main()
