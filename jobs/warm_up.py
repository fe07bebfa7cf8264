"""Compiles the kernels of the facts, once an installation:    python -m jobs.warm_up

Numba compiles a kernel at its first call and keeps it beside the source (`etl.facts.kernels`). Without
this every Python worker of a first refresh compiles the same ones at the same time, 40 s. For a cluster:
run it in the environment before it is packed, on a machine with the executors' processor.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

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


def compile_group(number: int) -> None:
    """The kernels of one group of annotators; of the rest for the number behind the last."""
    content = pa.array(list(TEXTS.values()))
    names = pa.array([[name] for name in TEXTS])
    if number < len(annotators.GROUPS):
        batch = annotators.Batch(content, names, np.ones(len(TEXTS), np.bool_))
        annotators.GROUPS[number].annotate(batch)
    else:
        find_people(content, pa.array([[1]] * len(TEXTS), pa.list_(pa.int64())))
        shingle_sets(content)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(compile_group, range(len(annotators.GROUPS) + 1)))
    logger.info("kernels are compiled: %.0f s", time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
