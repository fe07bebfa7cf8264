"""Compiles the kernels, once an installation:    python -m jobs.warm_up

Numba compiles a kernel at its first call and keeps it beside the source (`etl.facts.kernels`). Without
this every Python worker of a first refresh compiles the same ones at the same time, for two minutes.
For a cluster: run it in the environment before it is packed, on a machine with the executors' processor.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyarrow as pa

from etl.context_pii.lines import LINES, candidate_lines, line_texts
from etl.facts import annotators
from etl.facts.kernels import read_only
from etl.facts.minhash import POSITIONS
from etl.facts.pii import SPAN
from etl.facts.pii_people import find_people
from etl.near_dedup import greedy, similarity
from etl.near_dedup.bands import (
    NEW,
    are_met,
    band_hashes,
    find_sorted,
    in_order,
    places_in,
    split_bands,
)
from etl.near_dedup.blocks import components, mixed
from etl.near_dedup.config import NearDedupConfig
from etl.near_dedup.elect import Edges, elect, in_rank_order, least_rows
from etl.near_dedup.overlap import alike, index_of
from etl.redact import redact

logger = logging.getLogger(__name__)

TEXTS = {  # together they reach every kernel of the facts
    "page.html": "<html><body><p>visible &amp; é</p></body></html>\n",
    "module.py": '# Copyright 2026 Ada Example <ada@stackmill.dev>\npassword = "x7Kq2mVt9z"  # 93.184.216.34\n',
}


def contents() -> pa.Array:
    return pa.array(list(TEXTS.values()))


def compile_group(number: int) -> None:
    """The kernels of one group of annotators."""
    names = pa.array([[name] for name in TEXTS])
    batch = annotators.Batch(contents(), names, np.ones(len(TEXTS), np.bool_))
    annotators.GROUPS[number].annotate(batch)


def compile_assembly() -> None:
    people = find_people(contents(), pa.array([[1]] * len(TEXTS), pa.list_(pa.int64())))
    span = {"kind": "email", "start": 0, "end": 4, "detector": "email", "score": 1.0}
    spans = pa.array([[span], []], people.type)
    redact(contents(), [spans, people])
    no_spans = pa.array([[], []], pa.list_(SPAN))
    candidate_lines(contents(), np.array([True, False]), no_spans)
    line_texts(contents(), pa.array([[], []], LINES))


def compile_candidates() -> None:
    config = NearDedupConfig()
    documents = np.arange(2)
    sketches = read_only(np.zeros(2 * POSITIONS, np.uint32), np.uint32).reshape(2, POSITIONS)
    hashes = band_hashes(sketches, config.bands, config.rows)
    hashes = np.column_stack((hashes, mixed(documents.view(np.uint64))))
    keys, owners, _ = split_bands(hashes, documents, 2)
    order = in_order(keys)
    kinds = np.full(len(keys), NEW, np.uint8)
    are_met(keys[order], np.array([0, len(keys)]), np.unique(keys))
    places_in(keys[order], keys[order])
    places_in(documents, read_only(documents, np.int64))
    limits = (config.bucket_documents, config.bucket_pairs)
    find_sorted(keys[order], owners[order], kinds, limits)


def compile_comparison() -> None:
    config = NearDedupConfig()
    values, offsets = similarity.shingle_sets(contents())
    left, right = np.arange(1), np.arange(1, 2)
    components(left, right)
    sketches = np.zeros((2, POSITIONS), np.uint32)
    similarity.agreements(sketches, left, right)
    similarity.digests(values, offsets, left, np.ones(1, np.bool_))
    similarity.taken(values, offsets, left)
    similarity.taken(read_only(values, np.uint64), offsets, left)
    similarity.similarities(values, offsets, left, right, config.floor)
    elected = elect(np.arange(2), Edges(left, right, np.ones(1)))
    ids = np.arange(8).reshape(2, 4)
    in_rank_order(np.arange(2), ids)
    least_rows(elected.cluster, ids.view(np.uint8))
    alike(index_of(values, offsets, config.floor), values, offsets, config.floor)


def compile_election() -> None:
    config = NearDedupConfig()
    values, offsets = similarity.shingle_sets(contents())
    scheme = (config.bands, config.rows, config.min_agreement)
    demanded, pivots = np.ones(2, np.bool_), np.zeros(2, np.bool_)
    sketches = np.zeros((2, POSITIONS), np.uint32)
    greedy.compare(values, offsets, sketches, demanded, pivots, config.floor, 0.7, scheme)


TASKS: tuple[Callable[[], None], ...] = (
    *(functools.partial(compile_group, number) for number in range(len(annotators.GROUPS))),
    compile_election,
    compile_comparison,
    compile_candidates,
    compile_assembly,
)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(task) for task in TASKS]:
            done.result()
    logger.info("kernels are compiled: %.0f s", time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
