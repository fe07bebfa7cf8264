"""How many bytes does each step read, shuffle and leave?    Spark's event log, the lake -> bytes

Shuffled and read bytes are Spark's own task metrics, compressed, as they go over the network; tables are
their live files. A run with the event log on is not the one whose CPU is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Moved:
    read_bytes: int = 0
    shuffled_bytes: int = 0
    shuffled_rows: int = 0
    spilled_bytes: int = 0
    largest_task_bytes: int = 0  # peak execution memory of one task


def moved(log_folder: Path, steps: list[tuple[str, int]]) -> dict[str, Moved]:
    """By step; `steps` are names and the milliseconds at which they began."""
    found: dict[str, Moved] = {}
    for log in log_folder.iterdir():
        for event in _events(log):
            if event["Event"] != "SparkListenerTaskEnd" or not event.get("Task Metrics"):
                continue
            metrics, at = event["Task Metrics"], event["Task Info"]["Launch Time"]
            step = next((name for name, start in reversed(steps) if at >= start), steps[0][0])
            row = found.setdefault(step, Moved())
            row.read_bytes += metrics["Input Metrics"]["Bytes Read"]
            row.shuffled_bytes += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            row.shuffled_rows += metrics["Shuffle Write Metrics"]["Shuffle Records Written"]
            row.spilled_bytes += metrics["Disk Bytes Spilled"]
            peak = metrics.get("Peak Execution Memory", 0)
            row.largest_task_bytes = max(row.largest_task_bytes, peak)
    return found


def _events(log: Path) -> Iterator[dict]:  # type: ignore[type-arg]
    with log.open() as file:
        for line in file:
            yield json.loads(line)


def table_bytes(lake: Path) -> dict[str, int]:
    """Live bytes of each Delta table: what its log has added and not removed."""
    found = {}
    for table in sorted(path for path in lake.iterdir() if (path / "_delta_log").exists()):
        files: dict[str, int] = {}
        for log in sorted((table / "_delta_log").glob("*.json")):
            for line in log.read_text().splitlines():
                action = json.loads(line)
                if "add" in action:
                    files[action["add"]["path"]] = action["add"]["size"]
                elif "remove" in action:
                    files.pop(action["remove"]["path"], None)
        found[table.name] = sum(files.values())
    return found
