"""Which names and credentials stand in words?    decisions, blobs, pii_spans -> context_lines, line_spans,
context_spans

Only contents that are kept are looked at. Lines that may hold something (`etl.context_pii.lines`) are facts
of a content: found once. Equal lines are one, whatever file they stand in; by rank and hash, as many of
them as the budget allows are given to the classifier, each once for each classifier. Which those are
follows from the kept contents alone, not from what was tagged before or in which order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from etl.batches import gathered
from etl.contents import class_sizes, contents_of_class, contents_with
from etl.context_pii import lines, spark_nlp
from etl.context_pii.config import ContextPiiConfig
from etl.context_pii.model import Model, load_model
from etl.errors import ConfigError
from etl.facts import annotators
from etl.stage import Counts, Lake, Stage
from etl.tables import (
    BLOBS,
    CONTEXT_LINES,
    CONTEXT_SPANS,
    DECISIONS,
    FILES,
    LINE_SPANS,
    PII_SPANS,
    SPANS,
)

if TYPE_CHECKING:
    from etl.context_pii.words import LineSpan

BROADCAST_CONTENTS = 2_000_000  # up to so many contents are broadcast to the blobs
BINS = 4096  # of a rank: the budget is cut at a bin of hashes, so that no list is sorted
TAG_ROWS = 2048  # lines in one Arrow batch that goes to a classifier

TEXTS = T.StructType(
    [T.StructField("line_hash", T.LongType()), T.StructField("text", T.StringType())]
)
TAGGED = T.StructType([LINE_SPANS.schema["line_hash"], LINE_SPANS.schema["spans"]])
FOUND = T.StructType([CONTEXT_LINES.schema[name] for name in ("blob_id", "is_prose", "lines")])

# lines (line_hash, text) -> TAGGED
Tag = Callable[[DataFrame], DataFrame]


class Cut(NamedTuple):
    """Lines below (rank, bin) are looked at; what that leaves out."""

    rank: int
    bin: int
    lines_cut: int
    bytes_cut: int


def find_in_context(lake: Lake, config: ContextPiiConfig) -> Counts:
    """Brings the three tables up to date.

    Cost: the content of newly kept files is read once for their lines, and again where it holds a line
    that no file had; lines are shuffled as ids of 40 bytes.
    """
    if config.backend == "off":
        lake.overwrite(CONTEXT_SPANS, lake.local_rows([], CONTEXT_SPANS.schema))
        return {}
    model = load_model(config.model)
    tag = backend(lake, config, model)
    kept = lake.staged("kept", kept_contents(lake))
    num_new = _find_lines(lake, kept)
    found = lake.staged("lines", _lines_of(lake, kept))
    distinct = lake.staged("distinct", _distinct(found))
    kept_bytes = _sum(kept, "size_bytes")
    cut = _budget(distinct, int(config.budget_share * kept_bytes))
    chosen = lake.staged("chosen", distinct.where(_below(cut)))
    num_tagged = _tag_new(lake, chosen, model, tag)
    spans = _spans(lake, found, chosen, model, config.min_score)
    lake.overwrite(CONTEXT_SPANS, spans)
    return {
        "contents_read": num_new,
        "lines": distinct.count(),
        "lines_tagged": num_tagged,
        "lines_cut": cut.lines_cut,
        "bytes_tagged": _sum(chosen, "num_bytes"),
        "bytes_cut": cut.bytes_cut,
        "spans": _sum(lake.read(CONTEXT_SPANS), "size(spans)"),
    }


def kept_contents(lake: Lake) -> DataFrame:
    """blob_id, size_class, size_bytes, is_prose of each kept file; a content is kept in one place."""
    kept = lake.read(DECISIONS).where("kept").select("repo_id", "path")
    files = lake.read(FILES).join(kept, on=["repo_id", "path"], how="left_semi")
    is_prose = F.col("extension").isin(list(lines.PROSE_EXTENSIONS))
    return files.select("blob_id", "size_class", "size_bytes", is_prose.alias("is_prose"))


def _find_lines(lake: Lake, kept: DataFrame) -> int:
    """Adds the lines of contents that are new, takes out those of contents that are kept no more."""
    key = ["blob_id", "is_prose"]
    version = 1000 * lines.VERSION + annotators.PII_VERSION
    there = lake.read(CONTEXT_LINES).select(*key, "version")
    gone = there.join(
        kept.withColumn("version", F.lit(version)), on=[*key, "version"], how="left_anti"
    )
    if lake.exists(CONTEXT_LINES):
        lake.delete(CONTEXT_LINES, lake.staged("gone", gone))
    done = there.where(F.col("version") == version)
    spans = lake.read(PII_SPANS).where(F.col("version") == annotators.PII_VERSION)
    new = kept.join(done, on=key, how="left_anti").join(
        spans.select("blob_id", "spans"), on="blob_id", how="left"
    )
    new = lake.staged("new", new.select(*key, "size_class", "spans"))
    num_new = new.count()
    if num_new or not lake.exists(CONTEXT_LINES):
        rows = _by_class(lake, new, "found-lines", find_lines, FOUND)
        lake.append(
            CONTEXT_LINES,
            rows.withColumn("version", F.lit(version)).select(*CONTEXT_LINES.columns),
        )
    return num_new


def _by_class(
    lake: Lake,
    wanted: DataFrame,
    name: str,
    function: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    schema: T.StructType,
) -> DataFrame:
    """`function` over the contents of `wanted` (blob_id, size_class, ...), a class of sizes at a time."""
    sizes = class_sizes(wanted)
    contents = lake.read(BLOBS)
    if sum(sizes.values()) <= BROADCAST_CONTENTS:
        contents, wanted = contents_with(lake, wanted), F.broadcast(wanted)
    parts = []
    for size_class in sorted(sizes):
        rows = contents_of_class(lake, contents, wanted, size_class)
        parts.append(lake.staged(name, rows.mapInArrow(function, schema)))
    return reduce(DataFrame.unionByName, parts, lake.local_rows([], schema))


def find_lines(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a worker does: blob_id, content, is_prose, spans -> FOUND."""
    for batch in gathered(batches):
        is_prose = np.array(batch.column("is_prose"), np.bool_)
        found = lines.candidate_lines(batch.column("content"), is_prose, batch.column("spans"))
        columns = {"blob_id": batch.column("blob_id"), "is_prose": batch.column("is_prose")}
        yield pa.RecordBatch.from_pydict({**columns, "lines": found})


def _lines_of(lake: Lake, kept: DataFrame) -> DataFrame:
    """A row a line of a kept content: blob_id, size_class, start, end, line_hash, line_rank."""
    found = lake.read(CONTEXT_LINES).select("blob_id", F.explode("lines").alias("line"))
    sizes = kept.select("blob_id", "size_class")
    return found.select("blob_id", "line.*").join(sizes, on="blob_id", how="inner")


def _distinct(found: DataFrame) -> DataFrame:
    """A row a distinct line: its best rank, its size, and the least of the places where it stands."""
    place = F.struct("blob_id", "start", "end", "size_class")
    return found.groupBy("line_hash").agg(
        F.min("line_rank").alias("line_rank"),
        F.max(F.col("end") - F.col("start")).alias("num_bytes"),
        F.min(place).alias("place"),
        F.expr(f"pmod(line_hash, {BINS})").alias("bin"),
    )


def _budget(distinct: DataFrame, budget_bytes: int) -> Cut:
    """Where the lines reach the budget. Cost: a row a rank and bin comes to the driver."""
    sums = distinct.groupBy("line_rank", "bin").agg(
        F.sum("num_bytes").alias("num_bytes"), F.count("*").alias("num_lines")
    )
    cut, used, lines_cut, bytes_cut = (lines.PROSE + 1, 0), 0, 0, 0
    for row in sorted(sums.collect(), key=lambda row: (row["line_rank"], row["bin"])):
        place = (row["line_rank"], row["bin"])
        if place >= cut or used + row["num_bytes"] > budget_bytes:
            cut = min(cut, place)
            lines_cut += row["num_lines"]
            bytes_cut += row["num_bytes"]
        used += row["num_bytes"]
    return Cut(*cut, lines_cut, bytes_cut)


def _below(cut: Cut) -> str:
    return f"line_rank < {cut.rank} OR (line_rank = {cut.rank} AND bin < {cut.bin})"


def _tag_new(lake: Lake, chosen: DataFrame, model: Model, tag: Tag) -> int:
    """Adds what the classifier says of lines that it has not seen; forgets lines that are no more."""
    there = lake.read(LINE_SPANS).select("line_hash", "model_id")
    if lake.exists(LINE_SPANS):
        is_ours = chosen.select("line_hash").withColumn("model_id", F.lit(model.model_id))
        gone = there.join(is_ours, on=["line_hash", "model_id"], how="left_anti")
        lake.delete(LINE_SPANS, lake.staged("lines-gone", gone))
    done = there.where(F.col("model_id") == model.model_id).select("line_hash")
    new = chosen.join(done, on="line_hash", how="left_anti")
    places = lake.staged(
        "places",
        new.groupBy("place.blob_id", "place.size_class").agg(
            F.sort_array(F.collect_list(F.struct("place.start", "place.end", "line_hash"))).alias(
                "lines"
            )
        ),
    )
    num_lines = _sum(places, "size(lines)")
    if num_lines or not lake.exists(LINE_SPANS):
        texts = _by_class(lake, places, "texts", cut_lines, TEXTS)
        lake.batch_rows(TAG_ROWS)
        tagged = tag(texts).withColumn("model_id", F.lit(model.model_id))
        lake.append(LINE_SPANS, tagged.select(*LINE_SPANS.columns))
    return num_lines


def cut_lines(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a worker does: content, lines -> TEXTS."""
    for batch in gathered(batches):
        wanted = batch.column("lines")
        texts = lines.line_texts(batch.column("content"), wanted)
        yield pa.RecordBatch.from_pydict(
            {"line_hash": wanted.flatten().field("line_hash"), "text": texts}
        )


def backend(lake: Lake, config: ContextPiiConfig, model: Model) -> Tag:
    """What runs the classifier in this session. Raises ConfigError where Spark NLP is asked for and cannot be had."""
    session = lake.local_rows([], TEXTS).sparkSession
    reason = spark_nlp.why_not(session, model)
    if config.backend == "spark-nlp" and reason is not None:
        raise ConfigError(
            "context_pii.backend = spark-nlp: expected a classic session of Spark 3.5 with Spark NLP 5.5, "
            f"found {reason}: run `python -m jobs.resolve_jars`, or use the backend onnxruntime"
        )
    if config.backend == "onnxruntime" or reason is not None:
        lake.progress("context_pii: ONNX Runtime%s", f": {reason}" if reason else "")
        return lambda texts: texts.mapInArrow(_OnnxTag(model), TAGGED)
    lake.progress("context_pii: Spark NLP")

    def tag(texts: DataFrame) -> DataFrame:
        spaced = texts.mapInArrow(space_lines, "line_hash long, text string, spaced string")
        return spark_nlp.tagged(session, spaced, model).mapInArrow(decide_lines, TAGGED)

    return tag


def space_lines(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a worker does: TEXTS, and each line's words as a classifier sees them, blanks between them."""
    from etl.context_pii.words import shown, word_bounds

    for batch in batches:
        texts = [shown(text) for text in batch.column("text").to_pylist()]
        spaced = [" ".join(text[start:end] for start, end in word_bounds(text)) for text in texts]
        columns = [batch.column("line_hash"), batch.column("text"), pa.array(spaced, pa.string())]
        yield pa.RecordBatch.from_arrays(columns, names=["line_hash", "text", "spaced"])


def decide_lines(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What a worker does: line_hash, text, words -> TAGGED."""
    from etl.context_pii.words import Word, shown, spans_of, word_bounds

    for batch in batches:
        found = []
        for text, tagged in zip(
            batch.column("text").to_pylist(), batch.column("words").to_pylist(), strict=True
        ):
            bounds_at, place = {}, 0
            for start, end in word_bounds(shown(text)):
                bounds_at[place] = start, end
                place += end - start + 1
            words = [
                Word(*bounds_at[word["start"]], word["label"], word["score"]) for word in tagged
            ]
            found.append(spans_of(text, words))
        yield _tagged_batch(batch.column("line_hash"), found)


class _OnnxTag:
    """Batches of TEXTS to batches of TAGGED."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from etl.context_pii.model import Tagger  # loads ONNX Runtime: in the worker only

        tagger = None
        for batch in batches:
            tagger = tagger or Tagger(self.model)
            yield _tagged_batch(batch.column("line_hash"), tagger(batch.column("text").to_pylist()))


def _tagged_batch(line_hashes: pa.Array, found: list[list[LineSpan]]) -> pa.RecordBatch:
    from etl.facts.pii import SPAN

    rows = [[span._asdict() for span in spans] for spans in found]
    spans = pa.array(rows, pa.list_(SPAN))
    return pa.RecordBatch.from_arrays([line_hashes, spans], names=["line_hash", "spans"])


def _spans(
    lake: Lake, found: DataFrame, chosen: DataFrame, model: Model, min_score: float
) -> DataFrame:
    """CONTEXT_SPANS: of every place of a line that was looked at, what was found in the line."""
    tagged = lake.read(LINE_SPANS).where(F.col("model_id") == model.model_id)
    sure = F.expr(f"filter(spans, span -> span.score >= {min_score})")
    telling = tagged.select("line_hash", sure.alias("found")).where("size(found) > 0")
    telling = telling.join(chosen.select("line_hash"), on="line_hash", how="left_semi")
    moved = F.expr(
        "transform(found, span -> named_struct('kind', span.kind, 'start', start + span.start, "
        "'end', start + span.end, 'detector', span.detector, 'score', span.score))"
    )
    rows = found.join(telling, on="line_hash", how="inner").select(
        "blob_id", "start", moved.alias("moved")
    )
    spans = F.flatten(
        F.expr("transform(array_sort(collect_list(struct(start, moved))), x -> x.moved)")
    )
    return (
        rows.groupBy("blob_id")
        .agg(spans.cast(SPANS).alias("spans"))
        .withColumn("model_id", F.lit(model.model_id))
        .select(*CONTEXT_SPANS.columns)
    )


def _sum(rows: DataFrame, expression: str) -> int:
    total = rows.agg(F.expr(f"coalesce(sum({expression}), 0)").cast("long").alias("total")).first()
    return int(total["total"]) if total is not None else 0


STAGE = Stage(
    "context_pii",
    "which names and credentials stand in words?",
    reads=(DECISIONS, FILES, BLOBS, PII_SPANS),
    writes=(CONTEXT_LINES, LINE_SPANS, CONTEXT_SPANS),
    config_type=ContextPiiConfig,
    run=find_in_context,
)
