"""What is to be known of a run?    calls -> lines of OUTPUT/journal.jsonl, in the order of what happened

A line is one thing to say of one run, for MLflow (`training.tracking` sends them) or for whoever reads the file. The
runs of a training have keys: PARENT, and those of its children.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
PARENT = "run"  # the key of the run that the others are children of


class Journal:
    """The lines of a run, for a sender; written by one thread, read by another."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / JOURNAL
        if self.path.exists():
            raw = self.path.read_bytes()
            if not raw.endswith(b"\n"):  # a run was killed as it wrote
                self.path.write_bytes(raw[: raw.rfind(b"\n") + 1])

    def begin(self, run: str, name: str, tags: Mapping[str, str]) -> None:
        """A run, or the same run again after a restart."""
        self._write("begin", run, name=name, tags=dict(tags), key=uuid.uuid4().hex)

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        self._write("params", run, values={name: str(value) for name, value in values.items()})

    def metrics(self, run: str, step: int, values: Mapping[str, float]) -> None:
        self._write("metrics", run, step=step, values=dict(values))

    def tags(self, run: str, values: Mapping[str, Any]) -> None:
        self._write("tags", run, values={name: str(value) for name, value in values.items()})

    def text(self, run: str, name: str, text: str) -> None:
        """An artifact, held in the journal."""
        self._write("text", run, name=name, text=text)

    def files(self, run: str, folder: Path, name: str) -> None:
        """A folder of artifacts, read when they are sent."""
        self._write("files", run, folder=str(folder.absolute()), name=name)

    def inputs(self, run: str, tables: list[dict[str, Any]]) -> None:
        """Delta tables: name, path, version, digest."""
        self._write("inputs", run, tables=tables)

    def register(self, run: str, model: str, name: str, tags: Mapping[str, Any]) -> None:
        """The artifacts `name` of the run become a version of the model."""
        values = {key: str(value) for key, value in tags.items()}
        self._write("register", run, model=model, name=name, tags=values)

    def end(self, run: str, status: str = "FINISHED") -> None:
        self._write("end", run, status=status)

    def _write(self, op: str, run: str, **values: Any) -> None:
        line = {"op": op, "run": run, "time": round(time.time() * 1000), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
