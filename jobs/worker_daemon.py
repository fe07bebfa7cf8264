"""Forks Python workers that have loaded what all of them need; Spark starts it where executors are on this machine.

Each worker of PySpark's own daemon imports numba, pyarrow and the stages (1.2 s). Before every task it reads the names
of all classes in Spark's jar, which lies on its path (55 ms in Python 3.11), and after it looks through all objects
for garbage (55 ms). This one has imported them before the fork, looks no more through what is imported, and has no
jar on its path.
"""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

PRELOADED = (
    "etl.annotate",
    "etl.assemble",
    "etl.election",
    "etl.ingest",
    "etl.licenses.govern",
    "etl.near_dedup.stage",
)


def main() -> None:
    from pyspark import daemon

    archives = [path for path in sys.path if path.endswith((".jar", ".zip"))]
    sys.path[:] = [path for path in sys.path if path not in archives]
    for path in archives:
        sys.path_importer_cache.pop(path, None)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    manage: Any = daemon.manager  # has no types
    manage()


if __name__ == "__main__":
    main()
