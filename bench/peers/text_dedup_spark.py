"""text-dedup's Spark script (0.4.0) at its best: Parquet of id, content -> Parquet of the ids kept.

    python text_dedup_spark.py CORPUS OUTPUT SCRATCH MASTER BANDS ROWS

It runs the installed script itself, with these lines of it replaced, each by a cheaper one:

- 8192 shuffle, 4096 edge and 256 output partitions, 100 tasks by default: 4. They are for a cluster;
  here they would be its whole cost.
- the whole row kept through joins and written out: ids only, as the result is the ids.
- GraphFrames' connected components (no build of GraphFrames for Spark 3.5 is to be had from the
  registries): the edges collected to the driver, union-find with path compression. It costs less.

The session: the C1 compiler and the parallel collector alone. `spark.sql.execution.arrow`
stays on as it sets it.
"""

import sys
from pathlib import Path

import text_dedup

REPLACED = (
    ('"spark.default.parallelism", "100"', '"spark.default.parallelism", "4"'),
    ('"spark.sql.shuffle.partitions", "8192"', '"spark.sql.shuffle.partitions", "4"'),
    (".repartition(4096)", ".repartition(4)"),
    (".parquet(args.input)", '.parquet(args.input).select("id", "content")'),
    ("max(256, min(", "max(4, min("),
    ("from graphframes import GraphFrame  # type: ignore", ""),
    (
        "GraphFrame(vertices_df, edges_df).connectedComponents().persist(",
        "components(spark, edges_df).persist(",
    ),
    ("    df = df.join(\n", '    df = df.select("id", "__id__").join(\n'),
)
COMPONENTS = """
def components(spark, edges):
    parent = {}
    def find(x):
        while parent.setdefault(x, x) != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x
    for a, b in edges.toPandas().itertuples(index=False):
        a, b = find(a), find(b)
        if a != b:
            parent[max(a, b)] = min(a, b)
    import pandas
    rows = pandas.DataFrame({"id": list(parent), "component": [find(x) for x in list(parent)]})
    return spark.createDataFrame(rows)
"""


def best_script() -> str:
    """The installed script with `REPLACED`. Raises ValueError if a line is not there."""
    source = Path(text_dedup.__file__).with_name("minhash_spark.py").read_text()
    for old, new in REPLACED:
        if old not in source:
            raise ValueError(f"text-dedup 0.4.0: expected {old!r} in its Spark script")
        source = source.replace(old, new)
    return source.replace("# region: Hashing", COMPONENTS + "# region: Hashing", 1)


def main(corpus: str, output: str, scratch: str, master: str, bands: str, rows: str) -> None:
    import os

    script = Path(scratch, "minhash_spark.py")
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(best_script())
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.master": master,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "3g",
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:TieredStopAtLevel=1",
        "spark.local.dir": scratch,
        "spark.sql.files.maxPartitionBytes": str(32 << 20),
    }
    given = [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    arguments = [
        "--input", corpus, "--output", output, "--column", "content", "--checkpoint_dir",
        f"{scratch}/checkpoints", "--threshold", "0.7", "--ngram_size", "5", "--min_length", "5",
        "--num_perm", str(int(bands) * int(rows)), "--b", bands, "--r", rows,
    ]  # fmt: skip
    from pyspark.find_spark_home import _find_spark_home

    submit = f"{_find_spark_home()}/bin/spark-submit"
    os.execv(submit, [submit, *given, str(script), *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
