"""A crash is a pause: killed at any of its writes, a refresh run again ends in the same tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from etl.tables import Table
from jobs.__main__ import main
from jobs.lake import DeltaLake
from tests.jobs.lakes import configure, tables_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_a_refresh_killed_between_its_writes_ends_as_if_it_had_not_been(
    spark: Any, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at its third write, called again and killed at its fourth, and so on to the end."""
    sources = yaml.safe_load((built / "pipeline.yaml").read_text())["ingest"]["sources"]
    path = configure(tmp_path, sources)
    write = DeltaLake._write
    killed: list[str] = []

    def failing(self: DeltaLake, table: Table, *rest: Any) -> None:
        written.append(table.name)
        if len(written) == 3 + len(killed):
            killed.append(table.name)
            raise KeyboardInterrupt
        write(self, table, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(DeltaLake, "_write", failing)
        for _ in range(20):
            written: list[str] = []
            try:
                assert main(["refresh", "--conf", path]) == 0
                break
            except KeyboardInterrupt:
                continue
    assert len(killed) >= 3, killed
    found, expected = tables_of(spark, tmp_path), tables_of(spark, built)
    for name in expected:
        assert found[name] == expected[name], name
