"""The corpus: pure functions on DataFrames and Arrow batches. Imports no other package of ours."""

import sys
import zipimport


def _read_archives_once() -> None:
    """In a PySpark worker: the directories of the archives on its path are read once, not at each task.

    PySpark has Python forget its import caches at the start of every task, and Spark's own jar and
    `pyspark.zip` are on a worker's path: 7,000 entries that Python reads again, 60 to 80 ms of CPU a
    task. No archive changes while a worker lives; one that is added has a path of its own.
    """
    if "pyspark.worker" in sys.modules:
        zipimport.zipimporter.invalidate_caches = _keep  # type: ignore[method-assign, assignment]


def _keep(importer: zipimport.zipimporter) -> None:
    """What an archive's importer forgets: nothing."""


_read_archives_once()
