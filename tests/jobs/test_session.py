"""What a session adds to Spark where it starts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

pytestmark = pytest.mark.spark


def test_a_worker_begins_with_the_stages_loaded_and_without_archives_on_its_path(
    spark: Any,
) -> None:
    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import gc
        import sys

        list(batches)
        places = [*sys.path, *sys.path_importer_cache]
        found = {
            "archives": [sum(place.endswith((".jar", ".zip")) for place in places)],
            "loaded": [int("etl.annotate" in sys.modules)],
            "frozen": [gc.get_freeze_count()],
        }
        yield pa.RecordBatch.from_pydict(found)

    rows = spark.range(1).mapInArrow(look, "archives long, loaded long, frozen long").collect()
    assert (rows[0]["archives"], rows[0]["loaded"]) == (0, 1)
    assert rows[0]["frozen"] > 10_000
