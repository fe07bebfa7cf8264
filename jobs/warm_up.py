"""Compiles the kernels of the facts, once an installation:    python -m jobs.warm_up

Numba compiles a kernel at its first call and keeps it beside the source (`etl.facts.kernels`). Without
this every Python worker of a first refresh compiles the same ones at the same time, 40 s. For a cluster:
run it in the environment before it is packed, on a machine with the executors' processor.
"""

from __future__ import annotations

import logging
import sys
import time

import numpy as np
import pyarrow as pa

from etl.facts import annotators
from etl.facts.pii_people import find_people
from etl.near_dedup.similarity import shingle_sets

logger = logging.getLogger(__name__)

TEXTS = {  # together they reach every kernel of the facts
    "page.html": "<html><body><p>visible &amp; é</p></body></html>\n",
    "module.py": '# Copyright 2026 Ada Example <ada@stackmill.dev>\npassword = "x7Kq2mVt9z"  # 93.184.216.34\n',
}


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    content = pa.array(list(TEXTS.values()))
    every = sum(group.bit for group in annotators.GROUPS)
    columns = [
        pa.array(list(TEXTS)),
        content,
        pa.array([[name] for name in TEXTS]),
        pa.array(np.full(len(TEXTS), every, np.int32)),
    ]
    annotators.annotate_batch(pa.RecordBatch.from_arrays(columns, schema=annotators.INPUT))
    find_people(content, pa.array([[1]] * len(TEXTS), pa.list_(pa.int64())))
    shingle_sets(content)
    logger.info("kernels are compiled: %.0f s", time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
