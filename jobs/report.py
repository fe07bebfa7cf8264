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

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from etl.config import digest
from etl.eligibility import described
from etl.facts import annotators
from etl.report import (
    Bin,
    Cluster,
    ErrorExample,
    Found,
    Job,
    ReportData,
    Share,
    Step,
    render,
    summary,
)
from etl.tables import CONTEXT_SPANS, CORPUS, DECISIONS, DUPLICATES, PII_SPANS, REPOS, SOURCE_ERRORS
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
    figures = _figures(files)
    every, languages = figures["source"], figures["language"]
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
    cluster_sizes, num_clusters, num_removed = _copy_bins(clusters)
    return ReportData(
        title=f"{config.mlflow.experiment} corpus",
        made_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=importlib.metadata.version("stackmill"),
        refresh_id=refresh.refresh_id,
        config_hash=digest(config),
        lake=config.lake,
        num_repos=lake.read(REPOS).count(),
        files_in=sum(share.files for share in every),
        bytes_in=sum(share.num_bytes for share in every),
        kept_files=sum(share.kept_files for share in every),
        kept_bytes=sum(share.kept_bytes for share in every),
        corpus_bytes=corpus["bytes"],
        num_redactions=corpus["redactions"],
        num_languages=sum(share.kept_files > 0 for share in languages),
        sources=tuple(every[:20]),
        steps=_steps(figures["reason"], order),
        failed_rules=_steps(figures["failed_rule"], order),
        languages=tuple(languages[:MAX_LANGUAGES]),
        categories=tuple(figures["category"][:10]),
        expressions=tuple(figures["expression"][:20]),
        sizes=_bins(figures["size"], SIZE_LABELS),
        lines=_bins(figures["lines"], LINE_LABELS),
        num_clusters=num_clusters,
        num_removed_copies=num_removed,
        cluster_sizes=cluster_sizes,
        largest_clusters=_largest(clusters, lake.read(REPOS)),
        **_near(files, lake.read(DUPLICATES), config.decide.rules.near_duplicate.threshold),
        **_found(files, lake.read(PII_SPANS), lake.read(CONTEXT_SPANS)),
        splits=tuple(figures["split"][:5]),
        heaviest_repos=_heaviest(files, 10),
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


def _measures() -> tuple[Column, ...]:
    size = F.coalesce("size_bytes", F.lit(0))
    return (
        F.count("*").alias("files"),
        F.sum(size).alias("num_bytes"),
        F.sum(F.when(F.col("kept"), 1).otherwise(0)).alias("kept_files"),
        F.sum(F.when(F.col("kept"), size).otherwise(0)).alias("kept_bytes"),
    )


def _bin_of(column: str, number: str, labels: tuple[str, ...]) -> str:
    """SQL: the bin's number, the last for all beyond; null where the column is (`least` skips nulls)."""
    return f"IF({column} IS NULL, NULL, string(least({number}, {len(labels) - 1})))"


# Figure -> what of a file it is drawn over; null: the file is not in it
_FIGURES = {
    "source": "coalesce(source_kind, 'unknown')",
    "reason": "reason",
    "language": "language",
    "category": "coalesce(license_category, 'unknown')",
    "expression": "license_expression",
    "size": _bin_of("size_bytes", "int(ceil(log2(size_bytes + 1) / 2))", SIZE_LABELS),
    "lines": _bin_of("num_lines", "int(ceil(log2(num_lines + 1)))", LINE_LABELS),
    "split": "IF(kept, split, NULL)",
}


def _figures(files: DataFrame) -> dict[str, list[Share]]:
    """Every figure's shares, the largest first, in one aggregate: a row for each value of each."""
    entries = ", ".join(
        f"named_struct('figure', '{name}', 'value', {value})" for name, value in _FIGURES.items()
    )
    failed = "transform(failed_rules, rule -> named_struct('figure', 'failed_rule', 'value', rule))"
    of_file = F.explode(F.expr(f"concat(array({entries}), {failed})")).alias("of")
    rows = (
        files.select(of_file, "size_bytes", "kept")
        .where("of.value IS NOT NULL")
        .groupBy("of.figure", "of.value")
        .agg(*_measures())
        .collect()
    )
    found: dict[str, list[Share]] = {name: [] for name in (*_FIGURES, "failed_rule")}
    for figure, *values in sorted(rows, key=lambda row: (-row["files"], row["value"])):
        found[figure].append(Share(*values))
    return found


def _heaviest(files: DataFrame, limit: int) -> tuple[Share, ...]:
    """The repositories with the most files."""
    shares = files.groupBy(F.col("repo_name").alias("name")).agg(*_measures())
    rows = shares.orderBy(F.desc("files"), "name").limit(limit).collect()
    return tuple(Share(*row) for row in rows)


def _steps(shares: list[Share], order: list[str]) -> tuple[Step, ...]:
    place = {name: index for index, name in enumerate(order)}
    steps = [Step(share.name, share.files, share.num_bytes) for share in shares]
    return tuple(sorted(steps, key=lambda step: (place.get(step.reason, len(place)), step.reason)))


def _bins(shares: list[Share], labels: tuple[str, ...]) -> tuple[Bin, ...]:
    """Bins by their number."""
    found = {int(share.name): share for share in shares}
    none = Share("", 0)
    return tuple(
        Bin(label, found.get(index, none).files, found.get(index, none).kept_files)
        for index, label in enumerate(labels)
    )


def _copy_bins(clusters: DataFrame) -> tuple[tuple[Bin, ...], int, int]:
    """Clusters by their size, how many there are, and the files removed from them."""
    number = F.expr(
        "CASE WHEN num_copies <= 4 THEN num_copies - 2 WHEN num_copies <= 8 THEN 3 "
        "WHEN num_copies <= 16 THEN 4 WHEN num_copies <= 32 THEN 5 WHEN num_copies <= 64 THEN 6 "
        "ELSE 7 END"
    )
    rows = (
        clusters.groupBy(number.cast("string").alias("number"))
        .agg(
            F.count("*").alias("clusters"),
            F.sum(F.when(F.col("has_kept"), 1).otherwise(0)).alias("with_kept"),
            F.sum("removed").alias("removed"),
        )
        .collect()
    )
    shares = [Share(row["number"], row["clusters"], kept_files=row["with_kept"]) for row in rows]
    bins = _bins(shares, COPY_LABELS)
    return bins, sum(share.files for share in shares), sum(row["removed"] for row in rows)


def _largest(clusters: DataFrame, repos: DataFrame) -> tuple[Cluster, ...]:
    names = repos.select(F.col("repo_id").alias("kept_repo_id"), "repo_name")
    top = clusters.orderBy(F.desc("num_copies"), "kept_repo_id", "kept_path").limit(10)
    rows = top.join(names, on="kept_repo_id", how="left").collect()
    found = [Cluster(row["repo_name"], row["kept_path"], row["num_copies"]) for row in rows]
    return tuple(sorted(found, key=lambda cluster: (-cluster.num_copies, cluster.path)))


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
    sizes, num_clusters, num_removed = _copy_bins(clusters)
    first = int(threshold * SIMILARITY_STEPS)
    labels = tuple(f"{step / SIMILARITY_STEPS:g}" for step in range(first, SIMILARITY_STEPS + 1))
    step = F.floor(F.col("similarity") * SIMILARITY_STEPS + 1e-9).cast("int")
    number = F.greatest(step - first, F.lit(0)).cast("string").alias("number")
    found = rows.where(is_near).groupBy(number).count().collect()
    return {
        "num_near_clusters": num_clusters,
        "num_near_removed": num_removed,
        "near_sizes": sizes,
        "similarities": _bins([Share(row["number"], row["count"]) for row in found], labels),
    }


def _found(files: DataFrame, spans: DataFrame, context: DataFrame) -> dict[str, Any]:
    """What patterns found in the contents, and the classifier in kept ones, by kind and by detector;
    never a value."""
    kept = files.where("blob_id IS NOT NULL").groupBy("blob_id").agg(F.max("kept").alias("kept"))
    current = spans.where(F.col("version") == annotators.PII_VERSION).select("blob_id", "spans")
    current = current.unionByName(context.select("blob_id", "spans"))
    rows = (
        current.select("blob_id", F.explode("spans").alias("span"))
        .join(kept, on="blob_id", how="inner")
        .groupBy("span.kind", "span.detector")
        .agg(F.count("*").alias("finds"), F.sum(F.col("kept").cast("int")).alias("kept_finds"))
        .collect()
    )
    totals: dict[str, dict[str, tuple[int, int]]] = {"kind": {}, "detector": {}}
    for row in rows:
        for by, sums in totals.items():
            finds, kept_finds = sums.get(row[by], (0, 0))
            sums[row[by]] = finds + row["finds"], kept_finds + row["kept_finds"]
    kinds, detectors = (
        tuple(
            Found(name, *sums[name])
            for name in sorted(sums, key=lambda name: (-sums[name][0], name))
        )
        for sums in totals.values()
    )
    return {"found_kinds": kinds, "detectors": detectors}


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
