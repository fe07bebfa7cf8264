"""spark-submit: what does the corpus look like?

stackmill report --conf conf/demo.yaml
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from etl.eligibility import described
from etl.report import (
    Bin,
    Cluster,
    ErrorExample,
    Job,
    ReportData,
    Share,
    Step,
    render,
    summary,
)
from etl.tables import CORPUS, DECISIONS, DUPLICATES, REPOS, SOURCE_ERRORS
from jobs import conf
from jobs.runner import (
    Arguments,
    JobRun,
    Refresh,
    dry_run,
    exit_code,
    parse,
    start_logging,
    tracked_refresh,
)
from jobs.tracking import beside_lake

logger = logging.getLogger(__name__)

MAX_LANGUAGES = 1000  # more than Linguist knows
SIZE_LABELS = (
    "0",
    "1",
    "4",
    "16",
    "64",
    "256",
    "1k",
    "4k",
    "16k",
    "64k",
    "256k",
    "1M",
    "4M",
    "16M+",
)
LINE_LABELS = (
    "0", "1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1k", "2k", "4k", "8k", "16k", "32k+",
)  # fmt: skip
SIMILARITY_STEPS = 40  # bins of 0.025
COPY_LABELS = ("2", "3", "4", "5-8", "9-16", "17-32", "33-64", "65+")


def report_path(args: Arguments) -> str:
    """Where the page is written. Raises ConfigError where there is no default."""
    given = args.config.report.path
    path = given or beside_lake(args.config, "report/index.html", "report.path")
    if args.sample < 1:
        path = str(Path(path).parent / f"sample-{args.sample:g}" / Path(path).name)
    return path


def write_report(refresh: Refresh, path: str) -> str:
    """Writes the page and gives the summary for the terminal."""
    started = time.monotonic()
    try:
        data = collect(refresh)
    finally:
        refresh.lake.clear_staging()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(render(data), "utf-8")
    counts = {
        "files_in": data.files_in,
        "files_kept": data.kept_files,
        "bytes_in": data.bytes_in,
        "bytes_kept": data.kept_bytes,
        "languages_kept": data.num_languages,
    }
    refresh.runs.append(JobRun("report", "done", time.monotonic() - started, counts))
    return summary(data)


def collect(refresh: Refresh) -> ReportData:
    """Figures of the tables as they are: one join, then aggregates over its small rows."""
    lake, config = refresh.lake, refresh.args.config
    decisions = lake.read(DECISIONS).drop("repo_name", "blob_id", "evidence")
    sources = lake.read(REPOS).select("repo_id", "source_kind")
    columns = [
        "repo_id", "repo_name", "path", "size_bytes", "language", "license_category",
        "license_expression", "num_lines", "kept", "reason", "failed_rules", "num_copies",
        "kept_repo_id", "kept_path", "split", "source_kind", "text_id", "blob_id",
    ]  # fmt: skip
    files = lake.staged(
        "report",
        described(lake)
        .join(decisions, on=["repo_id", "path"], how="inner")
        .join(sources, on="repo_id", how="left")
        .select(*columns),
    )
    order = [name for name, _ in config.decide.rules.enabled()]
    totals = _row(
        files.agg(
            F.count("*").alias("files"),
            F.coalesce(F.sum("size_bytes"), F.lit(0)).alias("bytes"),
            F.coalesce(F.sum(F.when(F.col("kept"), 1)), F.lit(0)).alias("kept_files"),
            F.coalesce(F.sum(F.when(F.col("kept"), F.col("size_bytes"))), F.lit(0)).alias(
                "kept_bytes"
            ),
            F.count_distinct(F.when(F.col("kept"), F.col("language"))).alias("languages"),
        )
    )
    corpus = _row(
        lake.read(CORPUS).agg(
            F.coalesce(F.sum("length_bytes"), F.lit(0)).alias("bytes"),
            F.coalesce(F.sum("num_redactions"), F.lit(0)).alias("redactions"),
        )
    )
    clusters = (
        files.where("num_copies > 1")
        .groupBy("text_id")  # files of one text have one kept file
        .agg(
            F.min("kept_repo_id").alias("kept_repo_id"),
            F.min("kept_path").alias("kept_path"),
            F.max("num_copies").alias("num_copies"),
            F.max("kept").alias("has_kept"),
            F.sum(F.when(F.col("reason") == "exact_duplicate", 1).otherwise(0)).alias("removed"),
        )
    )
    copies = _cluster_totals(clusters)
    return ReportData(
        title=f"{config.mlflow.experiment} corpus",
        made_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=importlib.metadata.version("stackmill"),
        refresh_id=refresh.refresh_id,
        config_hash=conf.digest(config),
        lake=config.lake,
        num_repos=lake.read(REPOS).count(),
        files_in=totals["files"],
        bytes_in=totals["bytes"],
        kept_files=totals["kept_files"],
        kept_bytes=totals["kept_bytes"],
        corpus_bytes=corpus["bytes"],
        num_redactions=corpus["redactions"],
        num_languages=totals["languages"],
        sources=_shares(files, "source_kind", 20),
        steps=_steps(files.where("NOT kept"), F.col("reason"), order),
        failed_rules=_steps(files, F.explode("failed_rules"), order),
        languages=_shares(files.where("language IS NOT NULL"), "language", MAX_LANGUAGES),
        categories=_shares(files, "license_category", 10),
        expressions=_shares(
            files.where("license_expression IS NOT NULL"), "license_expression", 20
        ),
        sizes=_bins(files, F.expr("int(ceil(log2(size_bytes + 1) / 2))"), SIZE_LABELS),
        lines=_bins(
            files.where("num_lines IS NOT NULL"),
            F.expr("int(ceil(log2(num_lines + 1)))"),
            LINE_LABELS,
        ),
        num_clusters=copies["clusters"],
        num_removed_copies=copies["removed"],
        cluster_sizes=_copy_bins(clusters),
        largest_clusters=_largest(clusters, lake.read(REPOS)),
        **_near(files, lake.read(DUPLICATES), config.decide.rules.near_duplicate.threshold),
        splits=_shares(files.where("kept"), "split", 5),
        heaviest_repos=_shares(files, "repo_name", 10),
        **_errors(lake.read(SOURCE_ERRORS)),
        jobs=tuple(
            Job(run.job, run.status, run.elapsed_s, tuple(run.counts.items()))
            for run in refresh.runs
        ),
        table_versions=tuple(sorted(refresh.table_versions().items())),
    )


def _row(rows: DataFrame) -> dict[str, int]:
    """The one row of an aggregate over all."""
    found = rows.first()
    return {name: int(value) for name, value in found.asDict().items()} if found else {}


def _shares(files: DataFrame, column: str, limit: int) -> tuple[Share, ...]:
    name = F.coalesce(column, F.lit("unknown"))
    rows = (
        files.groupBy(name.alias("name"))
        .agg(
            F.count("*").alias("files"),
            F.sum("size_bytes").alias("num_bytes"),
            F.sum(F.when(F.col("kept"), 1).otherwise(0)).alias("kept_files"),
            F.sum(F.when(F.col("kept"), F.col("size_bytes")).otherwise(0)).alias("kept_bytes"),
        )
        .orderBy(F.desc("files"), "name")
        .limit(limit)
        .collect()
    )
    return tuple(Share(**row.asDict()) for row in rows)


def _steps(files: DataFrame, reason: Any, order: list[str]) -> tuple[Step, ...]:
    rows = (
        files.select(reason.alias("reason"), "size_bytes")
        .groupBy("reason")
        .agg(F.count("*").alias("files"), F.sum("size_bytes").alias("num_bytes"))
        .collect()
    )
    place = {name: index for index, name in enumerate(order)}
    steps = [Step(**row.asDict()) for row in rows]
    return tuple(sorted(steps, key=lambda step: (place.get(step.reason, len(place)), step.reason)))


def _bins(files: DataFrame, number: Any, labels: tuple[str, ...]) -> tuple[Bin, ...]:
    """Files in bins that grow by powers; the last holds all beyond."""
    rows = (
        files.groupBy(F.least(number, F.lit(len(labels) - 1)).alias("number"))
        .agg(
            F.count("*").alias("files"), F.sum(F.when(F.col("kept"), 1).otherwise(0)).alias("kept")
        )
        .collect()
    )
    found = {row["number"]: row for row in rows}
    return tuple(
        Bin(label, found[index]["files"], found[index]["kept"])
        if index in found
        else Bin(label, 0, 0)
        for index, label in enumerate(labels)
    )


def _copy_bins(clusters: DataFrame) -> tuple[Bin, ...]:
    number = F.expr(
        "CASE WHEN num_copies <= 4 THEN num_copies - 2 WHEN num_copies <= 8 THEN 3 "
        "WHEN num_copies <= 16 THEN 4 WHEN num_copies <= 32 THEN 5 WHEN num_copies <= 64 THEN 6 "
        "ELSE 7 END"
    )
    return _bins(clusters.withColumn("kept", F.col("has_kept")), number.cast("int"), COPY_LABELS)


def _largest(clusters: DataFrame, repos: DataFrame) -> tuple[Cluster, ...]:
    names = repos.select(F.col("repo_id").alias("kept_repo_id"), "repo_name")
    top = clusters.orderBy(F.desc("num_copies"), "kept_repo_id", "kept_path").limit(10)
    rows = top.join(names, on="kept_repo_id", how="left").collect()
    found = [Cluster(row["repo_name"], row["kept_path"], row["num_copies"]) for row in rows]
    return tuple(sorted(found, key=lambda cluster: (-cluster.num_copies, cluster.path)))


def _cluster_totals(clusters: DataFrame) -> dict[str, int]:
    """clusters, and the files removed from them."""
    return _row(
        clusters.agg(
            F.count("*").alias("clusters"), F.coalesce(F.sum("removed"), F.lit(0)).alias("removed")
        )
    )


def _near(files: DataFrame, duplicates: DataFrame, threshold: float) -> dict[str, Any]:
    """Clusters of contents of other texts, and how similar the contents are to the kept ones."""
    is_near = F.col("rule") == "shingle_jaccard"
    contents = (
        files.where("blob_id IS NOT NULL")
        .groupBy("blob_id")
        .agg(
            F.max("kept").alias("is_kept"),
            F.sum(F.when(F.col("reason") == "near_duplicate", 1).otherwise(0)).alias("removed"),
        )
    )
    rows = duplicates.join(contents, on="blob_id", how="inner")
    clusters = (
        rows.groupBy("cluster_id")
        .agg(
            F.count("*").alias("num_copies"),
            F.max("is_kept").alias("has_kept"),
            F.max(is_near).alias("is_near"),
            F.sum("removed").alias("removed"),
        )
        .where("is_near")
    )
    totals = _cluster_totals(clusters)
    first = int(threshold * SIMILARITY_STEPS)
    labels = tuple(f"{step / SIMILARITY_STEPS:g}" for step in range(first, SIMILARITY_STEPS + 1))
    step = F.floor(F.col("similarity") * SIMILARITY_STEPS + 1e-9).cast("int")
    return {
        "num_near_clusters": totals["clusters"],
        "num_near_removed": totals["removed"],
        "near_sizes": _copy_bins(clusters),
        "similarities": _bins(
            rows.where(is_near).withColumn("kept", F.lit(False)),
            F.greatest(step - first, F.lit(0)),
            labels,
        ),
    }


def _errors(errors: DataFrame) -> dict[str, Any]:
    kinds = errors.groupBy("kind").count().orderBy(F.desc("count"), "kind").collect()
    rows = errors.orderBy("kind", "member").limit(20).collect()
    return {
        "errors": tuple(Step(row["kind"], row["count"], 0) for row in kinds),
        "error_examples": tuple(
            ErrorExample(row["member"], row["kind"], row["message"]) for row in rows
        ),
    }


def main(argv: Sequence[str] | None = None) -> int:
    start_logging()
    try:
        args = parse("report", "what does the corpus look like?", argv)
        if args.dry_run:
            dry_run(args, None)
            return 0
        path = report_path(args)
        with tracked_refresh("report", args) as refresh:
            sys.stdout.write(write_report(refresh, path))
            refresh.artifacts[path] = "report"
        sys.stdout.write(f"report: {path}\n")
    except Exception as error:  # noqa: BLE001  the process ends here, with a code
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
