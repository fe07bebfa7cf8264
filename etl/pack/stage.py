"""Which tokens does a model see, and of which file is each?    corpus, tokenizer -> shards, shard_documents

Repositories fall into buckets by a range of repo_id; a bucket and a split are a shard. Only buckets whose rows
in `corpus` have changed are packed again. A shard's name holds a digest of its tokens and of the files they are
of: what a manifest names cannot change under a run that reads it. The manifest is written when they are there,
and says all that a loader needs: `training.shards` reads it. Shards that neither it nor the last one names are
then removed; which file lay where in them stays in `shard_documents`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.config import Config
from etl.errors import ConfigError
from etl.near_dedup.arrow import parts_of
from etl.pack import documents, manifest, tokenizer
from etl.pack.validation import Overlap, overlap
from etl.shares import is_below
from etl.stage import Counts, Lake, Stage
from etl.tables import CORPUS, SHARD_DOCUMENTS, SHARDS

logger = logging.getLogger(__name__)

BATCH_ROWS = 16
NOT_IN_SHARDS = {"keep_manifests", "max_validation_similarity"}  # settings that shards do not tell
OURS = re.compile(r"(?:train|validation)-\d{5}-[0-9a-f]{16}\.bin|\.[0-9a-f]{32}\.part")
_PACKED = T.StructType(
    [
        T.StructField(name, T.StringType())
        for name in (
            "shard",
            "sha256",
            "split",
            "repo_id",
            "path",
            "blob_id",
            "text_id",
            "language",
        )
    ]
    + [
        T.StructField(name, T.LongType())
        for name in ("bucket", "offset", "num_tokens", "num_bytes", "num_documents")
    ]
)


class TokenizerConfig(Config):
    vocabulary: int = Field(
        default=tokenizer.VOCABULARY, ge=512, le=1 << 16, description="tokens, sentinels counted in"
    )
    sample_bytes: int = Field(
        default=64 << 20, ge=1 << 16, description="text that it is trained on, a sample of `corpus`"
    )
    key: str = Field(default="stackmill", description="of the hash that draws the sample")


class PackConfig(Config):
    buckets: int = Field(default=64, ge=1, le=65_536, description="of repositories: shards a split")
    names_rate: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of repositories whose documents hold names and paths",
    )
    order: documents.Order = Field(
        default="dependency",
        description="of a repository's files: dependency (by path where none is known), path, random",
    )
    key: str = Field(
        default="stackmill", description="of the hash that draws names and random order"
    )
    keep_manifests: int = Field(
        default=1,
        ge=0,
        description="earlier manifests whose shards stay, so that a run that reads them can go on",
    )
    max_validation_similarity: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a validation file as similar to a training file as this is left out: Jaccard of 5-word "
        "shingles",
    )


def train_tokenizer(lake: Lake, config: TokenizerConfig) -> Counts:
    """Writes LAKE/tokenizer. Cost: reads a sample of the training split; it is held on the driver."""
    rows = lake.read(CORPUS).where("split = 'train'")
    total = rows.agg(F.coalesce(F.sum("length_bytes"), F.lit(0)).alias("bytes")).collect()[0][
        "bytes"
    ]
    if not total:
        raise ConfigError(
            "train_tokenizer: expected files in `corpus`, found none: run `stackmill refresh`"
        )
    digest = F.sha2(F.concat_ws(" ", F.lit(config.key), "repo_id", "path"), 256)
    sample = (
        rows.where(is_below(digest, min(1.0, config.sample_bytes / total)))
        .select(digest.alias("place"), "content", "length_bytes")
        .orderBy("place")
    )
    found = list(sample.toLocalIterator())
    trained = tokenizer.train((row["content"] for row in found), config.vocabulary)
    folder = Path(lake.folder("tokenizer"))
    tokenizer.save(trained, folder)
    lake.progress("train_tokenizer: %d tokens in %s", trained.get_vocab_size(), folder)
    return {
        "tokens": trained.get_vocab_size(),
        "files_read": len(found),
        "content_bytes_read": sum(row["length_bytes"] for row in found),
    }


def pack(lake: Lake, config: PackConfig) -> Counts:
    """Brings shards and their tables up to date.

    Cost: one read of the content for the comparison of the splits; one shuffle of that of the buckets that
    changed, by bucket; a task holds the content of one shard.
    """
    folder = Path(lake.folder("shards"))
    encoder_folder = lake.folder("tokenizer")
    encoder = tokenizer.Encoder(Path(encoder_folder))
    settings = f"{manifest.FORMAT} {encoder.digest} {config.model_dump_json(exclude=NOT_IN_SHARDS)}"
    rows = lake.read(CORPUS).withColumn("bucket", _bucket_of(config.buckets))
    overlapping = overlap(lake, rows, config.max_validation_similarity, folder)
    rows = _without(lake, rows, overlapping)
    wanted = rows.groupBy("bucket", "split").agg(
        F.sha2(
            F.concat(F.lit(settings), F.to_json(F.sort_array(F.collect_list("digest")))), 256
        ).alias("fingerprint")
    )
    due_of = {(row["bucket"], row["split"]): row["fingerprint"] for row in wanted.collect()}
    there = {(row["bucket"], row["split"]): row for row in lake.read(SHARDS).collect()}
    due = {
        key: fingerprint
        for key, fingerprint in due_of.items()
        if key not in there or there[key]["fingerprint"] != fingerprint
    }
    kept = {key: row for key, row in there.items() if key in due_of and key not in due}
    if due or len(kept) < len(there):
        folder.mkdir(parents=True, exist_ok=True)
        packer = _Packer(config, str(folder), encoder_folder, encoder.digest)
        _replace(lake, packer, rows, due, kept)
    counts = _write_manifest(lake, folder, encoder, config, overlapping)
    removed = _remove_others(folder, manifest.newest(folder, 1 + config.keep_manifests))
    return {**counts, "shards_written": len(due), "shards_removed": removed}


def _without(lake: Lake, rows: DataFrame, overlapping: Overlap) -> DataFrame:
    """`rows` but for the validation files that are left out."""
    keys = [(file["repo_id"], file["path"]) for file in overlapping.left_out]
    if not keys:
        return rows
    left_out = lake.local_rows(keys, "repo_id string, path string")
    return rows.join(F.broadcast(left_out), on=["repo_id", "path"], how="left_anti")


def _bucket_of(buckets: int) -> Column:
    """Ranges of repo_id."""
    head = F.conv(F.substring("repo_id", 1, 4), 16, 10).cast("long")
    return F.floor(head * buckets / 65_536).cast("long")


def _replace(
    lake: Lake,
    packer: _Packer,
    rows: DataFrame,
    due: dict[tuple[int, str], str],
    kept: dict[tuple[int, str], Any],
) -> None:
    keys = [(part, bucket, split) for part, (bucket, split) in enumerate(sorted(due))]
    wanted = F.broadcast(lake.local_rows(keys, "part int, bucket long, split string"))
    lake.batch_rows(BATCH_ROWS)
    found = (
        rows.join(wanted, on=["bucket", "split"], how="inner")
        .select(*documents.COLUMNS, "part", "bucket", "split")
        .repartition(max(1, len(keys)), "part")
        .sortWithinPartitions("part", "repo_id", "path")
    )
    packed = lake.staged("packed", found.mapInArrow(packer, _PACKED))
    # A shard that was packed before, by a run that was killed or of an older corpus, has its rows
    known = lake.read(SHARD_DOCUMENTS).select("shard").distinct()
    lines = packed.where("repo_id IS NOT NULL").select(*SHARD_DOCUMENTS.columns)
    new = lines.join(F.broadcast(known), on="shard", how="left_anti")
    if keys:
        lake.append(
            SHARD_DOCUMENTS,
            new.repartitionByRange("shard").sortWithinPartitions(*SHARD_DOCUMENTS.order),
        )
    shards = [row.asDict() for row in packed.where("repo_id IS NULL").collect()]
    for shard in shards:
        shard["fingerprint"] = due[shard["bucket"], shard["split"]]
    every = [*(row.asDict() for row in kept.values()), *shards]
    values = [tuple(shard[name] for name in SHARDS.columns) for shard in every]
    lake.overwrite(SHARDS, lake.local_rows(values, SHARDS.schema))


class _Packer:
    """Rows of buckets, sorted, to shard files; what lies in them, and a line for each file."""

    def __init__(self, config: PackConfig, folder: str, encoder_folder: str, digest: str) -> None:
        self.config, self.folder = config, folder
        self.encoder_folder, self.digest = encoder_folder, digest

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        encoder = _encoder(self.encoder_folder, self.digest)
        for _, rows in parts_of(batches):
            yield self._shard(encoder, rows)

    def _shard(self, encoder: tokenizer.Encoder, rows: pa.Table) -> pa.RecordBatch:
        config, folder = self.config, Path(self.folder)
        bucket, split = (rows.column(name)[0].as_py() for name in ("bucket", "split"))
        temporary = folder / f".{uuid.uuid4().hex}.part"
        placed: list[documents.Placed] = []
        with temporary.open("wb") as file:
            writer = documents.Writer(
                encoder, file.write, config.names_rate, config.order, config.key
            )
            for repo_id, repo_name, files in documents.by_repository(rows.to_batches()):
                placed += writer.repository(repo_id, repo_name, files)
        digest = writer.digest.hexdigest()
        held = hashlib.sha256(json.dumps([digest, *placed]).encode()).hexdigest()
        name = f"{split}-{bucket:05d}-{held[:16]}.bin"
        temporary.replace(folder / name)
        shard = {"shard": name, "sha256": digest, "split": split, "bucket": bucket}
        lines = [{**shard, **line._asdict()} for line in placed]
        whole = {
            **shard, "num_tokens": writer.num_tokens, "num_documents": writer.num_documents,
            "num_bytes": sum(line.num_bytes for line in placed),
        }  # fmt: skip
        return pa.RecordBatch.from_pylist([*lines, whole], schema=_arrow_schema())


@functools.lru_cache(1)
def _encoder(folder: str, digest: str) -> tokenizer.Encoder:
    """Once a worker process, while the tokenizer is the same."""
    return tokenizer.Encoder(Path(folder))


def _arrow_schema() -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(_PACKED)


def _write_manifest(
    lake: Lake,
    folder: Path,
    encoder: tokenizer.Encoder,
    config: PackConfig,
    overlapping: Overlap,
) -> Counts:
    shards = sorted(lake.read(SHARDS).collect(), key=lambda row: row["shard"])
    of_split = lake.read(SHARDS).select("shard", "split")
    hosts = lake.read(CORPUS).select("repo_id", "path", F.col("host").alias("source"))
    lines = lake.staged(
        "lines",
        lake.read(SHARD_DOCUMENTS)
        .join(F.broadcast(of_split), on="shard", how="inner")
        .join(hosts, on=["repo_id", "path"], how="left")
        .select("split", "language", "source", "num_tokens", "num_bytes"),
    )
    names = ("sha256", "split", "num_tokens", "num_documents")
    written = manifest.write(
        folder,
        {
            "corpus_version": lake.version(CORPUS),
            "tokenizer": {"sha256": encoder.digest, "vocabulary": encoder.vocabulary},
            "sentinels": {name: number for number, name in enumerate(tokenizer.SENTINELS)},
            "pack": config.model_dump(mode="json"),
            "validation": overlapping.report(config.max_validation_similarity),
            "shards": [
                {"name": row["shard"], **{name: row[name] for name in names}} for row in shards
            ],
            "sources": _token_table(lines, "source"),
            "languages": _token_table(lines, "language"),
        },
    )
    lake.progress("pack: %d shards in %s", len(shards), written)
    return {
        "shards": len(shards),
        "documents": sum(row["num_documents"] for row in shards),
        "tokens": sum(row["num_tokens"] for row in shards),
        "validation_left_out": len(overlapping.left_out),
    }


def _token_table(lines: DataFrame, column: str) -> list[dict[str, Any]]:
    """Files, tokens and bytes by split and `column`, the most tokens first."""
    return [
        row.asDict()
        for row in lines.groupBy("split", F.coalesce(column, F.lit("unknown")).alias(column))
        .agg(
            F.count("*").alias("files"),
            F.sum("num_tokens").alias("tokens"),
            F.sum("num_bytes").alias("bytes"),
        )
        .orderBy("split", F.desc("tokens"), column)
        .collect()
    ]


def _remove_others(folder: Path, manifests: list[Path]) -> int:
    """Removes shards that none of these names, and what a killed run left; nothing that pack has not written."""
    named = {shard["name"] for path in manifests for shard in manifest.read(path)[0]["shards"]}
    others = [
        path for path in folder.iterdir() if OURS.fullmatch(path.name) and path.name not in named
    ]
    for path in others:
        path.unlink(missing_ok=True)
    if others:
        logger.info("pack: %d files that no manifest in use names are removed", len(others))
    return sum(path.suffix == ".bin" for path in others)


TOKENIZER_STAGE = Stage(
    "train_tokenizer",
    "which tokens is the corpus made of?",
    reads=(CORPUS,),
    writes=(),
    config_type=TokenizerConfig,
    run=train_tokenizer,
)
STAGE = Stage(
    "pack",
    "which tokens does a model see, and of which file is each?",
    reads=(CORPUS,),
    writes=(SHARDS, SHARD_DOCUMENTS),
    config_type=PackConfig,
    run=pack,
)
