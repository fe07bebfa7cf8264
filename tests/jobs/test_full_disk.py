"""A disk that fills up: the job fails clearly, the tables stay readable, a rerun completes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.tables import BLOBS, FILES
from jobs.__main__ import main
from jobs.lake import DeltaLake
from tests import disks
from tests.jobs import small

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 8 MB."""
    with disks.mounted(tmp_path / "disk", "8m") as disk:
        yield disk


def test_a_full_disk_fails_clearly_and_a_rerun_completes(
    spark: Any, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = small.write_trees(tmp_path)
    lake = str(small_disk / "lake")
    base = ["--lake", lake]
    assert main(["ingest", *base, "--source", f"tree:{trees}"]) == 0
    before = DeltaLake(spark, lake).read(FILES).count()

    noise = random.Random(7)
    big = "".join(f"x = '{noise.getrandbits(256):064x}'\n" for _ in range(130_000))  # 9 MB of hex
    for index in range(4):
        small.write_tree(trees / "big", {f"{index}.py": big[index * 2_300_000 :][:2_300_000]})
    capsys.readouterr()
    assert main(["ingest", *base, "--source", f"tree:{trees}"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    readable = DeltaLake(spark, lake)
    assert readable.read(FILES).count() == before
    assert readable.read(BLOBS).where("content IS NOT NULL").count() > 0

    disks.resize(small_disk, "100m")
    assert main(["ingest", *base, "--source", f"tree:{trees}"]) == 0
    found = DeltaLake(spark, lake)
    files, blobs = found.read(FILES), found.read(BLOBS)
    assert files.count() == before + 4
    stored = files.where("status = 'stored'")
    assert stored.join(blobs, "blob_id", "left_anti").count() == 0
