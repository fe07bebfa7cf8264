"""Lakes on disk: a configuration with its lake beside it, and all rows of its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl.tables import (
    BLOBS,
    CONTEXT_LINES,
    CONTEXT_SPANS,
    CORPUS,
    DECISIONS,
    DOCUMENTS,
    DUPLICATES,
    FACTS,
    FILES,
    LICENSE_FACTS,
    LICENSES,
    NAME_FACTS,
    PII_SPANS,
    REPOS,
    SIGNATURES,
    SOURCE_ERRORS,
    Table,
)
from jobs.__main__ import main
from jobs.lake import DeltaLake

COMPARED = (
    REPOS, FILES, BLOBS, SOURCE_ERRORS, FACTS, NAME_FACTS, SIGNATURES, PII_SPANS, LICENSE_FACTS,
    LICENSES, DOCUMENTS, DUPLICATES, DECISIONS, CONTEXT_LINES,
    CONTEXT_SPANS, CORPUS,
)  # fmt: skip


def configure(folder: Path, sources: list[dict[str, str]], **sections: Any) -> str:
    """A configuration file with its lake beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pipeline.yaml"
    ingest = {"sources": sources, **sections.pop("ingest", {})}
    values = {"lake": str(folder / "lake"), "ingest": ingest, **sections}
    path.write_text(yaml.safe_dump(values))
    return str(path)


def rows_of(spark: Any, folder: Path, table: Table) -> list[str]:
    """The table's rows over the columns that are not volatile, in an order of their own."""
    lake = DeltaLake(spark, str(folder / "lake"))
    columns = [name for name in table.columns if name not in table.volatile]
    found = lake.read(table).select(*columns).collect()
    return sorted(
        json.dumps(row.asDict(recursive=True), default=_shown, sort_keys=True) for row in found
    )


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, (bytes, bytearray)) else str(value)


def tables_of(spark: Any, folder: Path) -> dict[str, list[str]]:
    return {table.name: rows_of(spark, folder, table) for table in COMPARED}


def refresh_killed_between_its_writes(conf: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Killed after its third write, called again and killed after its fourth, and so on to the end; the
    tables that it wrote last."""
    go_on = DeltaLake._written
    written: list[str] = []
    killed: list[str] = []

    def failing(self: DeltaLake, table: Table) -> None:
        go_on(self, table)
        written.append(table.name)
        if len(written) == 3 + len(killed):
            killed.append(table.name)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DeltaLake, "_written", failing)
        for _ in range(20):
            written.clear()
            try:
                assert main(["refresh", "--conf", conf]) == 0
            except KeyboardInterrupt:
                continue
            return killed
    raise AssertionError(f"no end in sight, killed at {killed}")
