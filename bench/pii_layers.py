"""What do the context layer and the repository layer cost?

    python -m bench.pii_layers [--conf conf/demo.yaml] [--turns 6]

On a copy of a lake that has been refreshed, in one warm session, after a turn that warms up: `context_pii` of all
kept files, from empty tables; and `assemble` of the whole corpus, in turn with what repositories say of their
people and without, the one first that was last before. Prints medians of CPU-seconds (driver, JVM and workers):
of the context layer a kept MB, of the repository layer as a share of `assemble` without it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from functools import partial
from pathlib import Path
from unittest import mock

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.annotate import timed
from etl import assemble
from etl.context_pii import stage as context_pii
from etl.gazetteer import gazetteers
from etl.stage import Lake
from etl.tables import CONTEXT_LINES, CONTEXT_SPANS, CORPUS, CORPUS_HISTORY, LINE_SPANS, Table
from jobs import conf
from jobs.lake import DeltaLake
from jobs.session import open_session

COPY = Path("build/bench/pii-layers")
WITH, WITHOUT, CONTEXT = "assemble", "assemble without the repository layer", "context_pii"


def nobody(lake: Lake, version: int) -> DataFrame:
    return gazetteers(lake, version).where(F.lit(False))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--conf", default="conf/demo.yaml", help="of the lake that is copied")
    parser.add_argument("--turns", type=int, default=6)
    args = parser.parse_args()
    config = conf.load(args.conf, [], None)
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(config.lake, COPY)
    spark = open_session("bench", config.session, with_spark_nlp=True)
    redaction = config.assemble.model_copy(update={"export": None})

    def emptied(*tables: Table) -> DeltaLake:
        for table in tables:
            shutil.rmtree(COPY / table.name, ignore_errors=True)
        return DeltaLake(spark, str(COPY))

    def assembled(way: str) -> None:
        lake = emptied(CORPUS, CORPUS_HISTORY)
        with mock.patch.object(assemble, "gazetteers", gazetteers if way == WITH else nobody):
            assemble.assemble(lake, redaction)
        lake.clear_staging()

    def found() -> None:
        lake = emptied(CONTEXT_LINES, LINE_SPANS, CONTEXT_SPANS)
        context_pii.find_in_context(lake, config.context_pii)
        lake.clear_staging()

    taken: dict[str, list[float]] = {CONTEXT: [], WITH: [], WITHOUT: []}
    for turn in range(args.turns + 1):
        costs = {CONTEXT: timed(found)[1]}
        for way in (WITH, WITHOUT) if turn % 2 else (WITHOUT, WITH):
            costs[way] = timed(partial(assembled, way))[1]
        print(f"turn {turn}: {', '.join(f'{way} {cpu:.1f}' for way, cpu in costs.items())} CPU-s")
        if turn:
            for way, cpu in costs.items():
                taken[way].append(cpu)
    cost = {way: statistics.median(values) for way, values in taken.items()}
    kept = DeltaLake(spark, str(COPY)).read(CORPUS).agg(F.sum("length_bytes")).collect()[0][0]
    print(
        f"{kept / 1e6:.0f} MB kept: the context layer takes {cost[CONTEXT]:.1f} CPU-s, "
        f"{1e6 * cost[CONTEXT] / kept:.3f} a MB; the repository layer adds "
        f"{cost[WITH] / cost[WITHOUT] - 1:.1%} to the {cost[WITHOUT]:.1f} of assemble"
    )


if __name__ == "__main__":
    main()
