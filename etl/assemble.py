"""What does the model read?    decisions, blobs, spans -> corpus, corpus_history, export

The only stage that drops rows. Kept content is read, redacted and written by repository; only
repositories whose kept files, contents or facts have changed are written again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.batches import gathered
from etl.config import Config
from etl.contents import class_sizes, contents_with
from etl.eligibility import described
from etl.errors import ConfigError
from etl.facts import annotators
from etl.gazetteer import gazetteers
from etl.history import record_history
from etl.redact import REPLACEMENTS
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    BLOBS,
    CONTEXT_SPANS,
    CORPUS,
    CORPUS_HISTORY,
    DECISIONS,
    FACTS,
    FILES,
    LICENSES,
    NAME_FACTS,
    PII_SPANS,
    REPOS,
)

BATCH_ROWS = (32, 4, 1)  # of each size class: a batch is read and written, 64 MB together
SPLITS = ("train", "validation")
BROADCAST_FILES = 2_000_000  # up to so many kept files are broadcast to the content


FAKE_KEY = "STACKMILL_FAKE_KEY"  # environment variable of the driver: the key of made-up values


class AssembleConfig(Config):
    redact: dict[str, str] = Field(
        default=dict(REPLACEMENTS),
        description="kind of a finding -> what stands in its place; kinds left out stay",
    )
    replace_with: Literal["tags", "fakes"] = Field(
        default="tags",
        description="fakes: made-up values instead of the tags of `redact`, the same for the same value "
        f"in a repository, derived from the key in the environment variable {FAKE_KEY}",
    )
    keep: tuple[str, ...] = Field(
        default=("copyright_holder",),
        description="detectors whose finds stay: attribution is a duty of licenses",
    )
    export: str | None = Field(
        default=None,
        description="folder for Parquet files that `datasets` reads, a subfolder a split; none "
        "if null",
    )

    def beside(self) -> str:
        """A digest of the key where values are made up: another key, another corpus."""
        if self.replace_with != "fakes":
            return ""
        return hashlib.sha256(_fake_key()).hexdigest()[:16]


def assemble(lake: Lake, config: AssembleConfig) -> Counts:
    """Writes `corpus` where it differs from what is decided, and `corpus_history`.

    Cost: reads the content of the repositories that changed; it is shuffled once, by repo_id.
    """
    people = lake.staged("gazetteers", gazetteers(lake, annotators.PII_VERSION))
    wanted = lake.staged("wanted", wanted_rows(lake, people, config))
    changed = _changed_repos(lake, wanted)
    repo_ids = [row["repo_id"] for row in changed.toLocalIterator()]
    if repo_ids:
        record_history(lake)
        rows = wanted.join(F.broadcast(changed), on="repo_id", how="left_semi")
        lake.replace_repos(CORPUS, _redacted(lake, rows, people, config), repo_ids)
    record_history(lake)
    if config.export is not None:
        corpus = lake.read(CORPUS)
        for split in SPLITS:
            if repo_ids or not lake.is_complete(f"{config.export}/{split}"):
                rows = corpus.where(F.col("split") == split).drop("digest")
                lake.export(rows, f"{config.export}/{split}")
    totals = (
        lake.read(CORPUS)
        .agg(
            F.count("*").alias("files"),
            F.coalesce(F.sum("length_bytes"), F.lit(0)).alias("bytes"),
            F.coalesce(F.sum("num_redactions"), F.lit(0)).alias("redactions"),
        )
        .first()
    )
    return {**totals.asDict(), "repos_written": len(repo_ids)} if totals else {}


def wanted_rows(lake: Lake, people: DataFrame, config: AssembleConfig) -> DataFrame:
    """The rows that `corpus` should have, but for content, with `digest`: what they depend on; and
    size_class."""
    decisions = lake.read(DECISIONS).where("kept").select("repo_id", "path", "num_copies", "split")
    repos = lake.read(REPOS).select(
        "repo_id", "url", "revision_id", "branch_name", "revision_date", "committer_date", "forks"
    )
    files = described(lake).join(decisions, on=["repo_id", "path"], how="inner")
    digests = people.select("repo_id", "people_digest")
    context = lake.read(CONTEXT_SPANS).select(
        "blob_id", F.sha2(F.to_json("spans"), 256).alias("context_digest")
    )
    rows = files.join(repos, on="repo_id", how="left").join(digests, on="repo_id", how="left")
    rows = rows.join(context, on="blob_id", how="left")
    rows = rows.select(*_corpus_columns(), "people_digest", "context_digest", "size_class")
    settings = f"{config.model_dump_json(exclude={'export'})} {annotators.PII_VERSION}"
    if beside := config.beside():
        settings += f" {beside}"
    told = rows.drop("size_class").columns
    digest = F.sha2(F.to_json(F.struct(*told, F.lit(settings).alias("settings"))), 256)
    return rows.withColumn("digest", digest).drop("people_digest", "context_digest")


def _fake_key() -> bytes:
    """Raises ConfigError where the environment has none: values made up without one can be undone."""
    key = os.environ.get(FAKE_KEY, "")
    if len(key) < 16:
        raise ConfigError(
            f"assemble.replace_with = fakes: expected a key of at least 16 characters in the environment "
            f"variable {FAKE_KEY}, found {len(key)}: set it, or use replace_with = tags"
        )
    return key.encode()


def _corpus_columns() -> list[Any]:
    ids = F.regexp_extract_all("license_expression", F.lit("[A-Za-z0-9.+-]+"), F.lit(0))
    operators = F.array(F.lit("AND"), F.lit("OR"), F.lit("WITH"))
    generated = F.coalesce("is_generated", F.lit(False)) | F.col("has_generated_marker")
    category = F.col("license_category")
    same = [
        "repo_id", "repo_name", "path", "extension", "language", "license_expression", "split",
        "blob_id", "text_id", "num_lines", "avg_line_length", "max_line_length", "is_test",
        "is_documentation", "host", "revision_id", "branch_name", "revision_date",
        "committer_date", "num_copies",
    ]  # fmt: skip
    return [
        *same,
        F.col("basename").alias("filename"),
        F.when(category == "none", "no_license").otherwise(category).alias("license_type"),
        F.sort_array(F.array_distinct(F.array_except(ids, operators))).alias("detected_licenses"),
        F.col("source_blob_id").alias("content_id"),
        F.col("alphabetic_fraction").alias("alpha_fraction"),
        F.col("is_vendored").alias("is_vendor"),
        generated.alias("is_generated"),
        F.col("url").alias("repo_url"),
        F.col("stars").alias("star_events_count"),
        F.col("forks").alias("fork_events_count"),
    ]


def _changed_repos(lake: Lake, wanted: DataFrame) -> DataFrame:
    """Repositories whose rows in `corpus` are not the wanted ones: by digest, no content read."""
    key = ["repo_id", "path"]
    there = lake.read(CORPUS).select(*key, F.col("digest").alias("digest_there"))
    both = wanted.select(*key, "digest").join(there, on=key, how="full")
    return both.where("NOT (digest <=> digest_there)").select("repo_id").distinct()


def _redacted(lake: Lake, rows: DataFrame, people: DataFrame, config: AssembleConfig) -> DataFrame:
    """`rows` with content. The few large files go first: each class has its own batch size."""
    sizes = class_sizes(rows)
    contents, is_broadcast = lake.read(BLOBS), sum(sizes.values()) <= BROADCAST_FILES
    if is_broadcast:
        contents = contents_with(lake, rows)
    spans = lake.read(PII_SPANS).where(F.col("version") == annotators.PII_VERSION)
    rows = rows.join(spans.select("blob_id", "spans"), on="blob_id", how="inner")
    rows = rows.join(people.select("repo_id", "people"), on="repo_id", how="left")
    context = lake.read(CONTEXT_SPANS).select("blob_id", F.col("spans").alias("context"))
    rows = rows.join(context, on="blob_id", how="left")
    contents = contents.select("blob_id", "size_class", "content", "encoding")
    whole = contents.join(
        F.broadcast(rows) if is_broadcast else rows, on=["blob_id", "size_class"], how="inner"
    ).withColumn("num_redactions", F.lit(0))  # one kept file a text: a content is joined to one row
    whole = whole.withColumnRenamed("encoding", "src_encoding").withColumn(
        "length_bytes", F.octet_length("content").cast("long")
    )
    schema = T.StructType([CORPUS.schema[name] for name in CORPUS.columns])
    ready = []
    for size_class in sorted(sizes, reverse=True):
        lake.batch_rows(BATCH_ROWS[size_class])
        found = whole.where(F.col("size_class") == size_class)
        redacted = found.select(*CORPUS.columns, "spans", "people", "context").mapInArrow(
            _Redactor(config), schema
        )
        ready.append(lake.staged("redacted", redacted) if size_class else redacted)
    return (
        reduce(DataFrame.unionByName, ready, lake.local_rows([], schema))
        .repartition("repo_id")
        .sortWithinPartitions("repo_id", "path")
    )


class _Redactor:
    """Arrow batches with `spans`, `people` and `context` to batches of CORPUS; every row stays."""

    def __init__(self, config: AssembleConfig) -> None:
        self.replacements = config.redact
        self.keep = config.keep
        self.fake_key = _fake_key() if config.replace_with == "fakes" else None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from etl.facts.pii_people import find_people  # loads compiled kernels: in the worker only
        from etl.redact import Fakes, redact

        fakes = Fakes(self.fake_key) if self.fake_key else None
        for batch in gathered(batches):
            whole = batch.column("content")
            content, counts = redact(
                whole,
                (
                    batch.column("spans"),
                    find_people(whole, batch.column("people")),
                    batch.column("context"),
                ),
                self.replacements,
                keep=self.keep,
                fakes=fakes,
                repo_ids=batch.column("repo_id"),
            )
            columns = {name: batch.column(name) for name in CORPUS.columns}
            lengths = pa.compute.binary_length(content).cast(pa.int64())
            columns.update(content=content, num_redactions=counts, length_bytes=lengths)
            yield pa.RecordBatch.from_pydict(columns)


STAGE = Stage(
    "assemble",
    "what does the model read?",
    reads=(REPOS, FILES, BLOBS, FACTS, NAME_FACTS, PII_SPANS, LICENSES, DECISIONS, CONTEXT_SPANS),
    writes=(CORPUS, CORPUS_HISTORY),
    config_type=AssembleConfig,
    run=assemble,
)
