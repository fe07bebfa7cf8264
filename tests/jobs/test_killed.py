"""A crash is a pause: killed after any of its writes, a first build run again ends in the same tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.jobs.lakes import configure, refresh_killed_between_its_writes, tables_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def test_a_refresh_killed_between_its_writes_ends_as_if_it_had_not_been(
    spark: Any, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = yaml.safe_load((built / "pipeline.yaml").read_text())["ingest"]["sources"]
    killed = refresh_killed_between_its_writes(configure(tmp_path, sources), monkeypatch)
    assert len(killed) >= 3, killed
    found, expected = tables_of(spark, tmp_path), tables_of(spark, built)
    for name in expected:
        assert found[name] == expected[name], name
