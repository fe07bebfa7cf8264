"""What lies in a run's output folder beside checkpoints, steps and journal?    names; files that are whole

OUTPUT/data.json says what the run reads, OUTPUT/checkpoints.json which checkpoints there are; both are artifacts of
its MLflow run too, by which `stackmill runs` and `stackmill data` answer.
"""

from __future__ import annotations

from pathlib import Path

DATA, LISTED, VALIDATED = "data.json", "checkpoints.json", "validation.json"


def replace_text(path: Path, text: str) -> None:
    """Whoever reads the file finds the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
