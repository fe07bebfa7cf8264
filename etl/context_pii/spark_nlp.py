"""Does Spark NLP run the classifier here, and what does it say?    lines -> lines with tagged words

The one module that imports Spark NLP, which reaches into the JVM of a classic session. A row is a line
and a line is a sentence; its words come with a blank between them, so that they are the same for every
backend. Offsets are UTF-16's, which `words.shown` makes the same as Python's.
"""

from __future__ import annotations

import importlib.util

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from etl.context_pii.model import BATCH_LINES, Model

JAR_CLASS = "com.johnsnowlabs.nlp.DocumentAssembler"
WORDS = "array<struct<start:int,label:string,score:float>>"


def why_not(spark: SparkSession, model: Model) -> str | None:
    """What is in the way of Spark NLP in this session, or None."""
    if importlib.util.find_spec("sparknlp") is None:
        return "no Python package spark-nlp"
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:
        return "a session of Spark Connect"
    if not spark.version.startswith("3.5."):
        return f"Spark {spark.version}"
    try:
        jvm.java.lang.Class.forName(
            JAR_CLASS, False, jvm.java.lang.Thread.currentThread().getContextClassLoader()
        )
    except Exception:  # noqa: BLE001  Py4J's own
        return "a session without Spark NLP's jars"
    if not model.is_wordpiece:
        return f"a classifier whose pieces are not WordPiece ({model.folder})"
    return None


def tagged(spark: SparkSession, lines: DataFrame, model: Model) -> DataFrame:
    """`lines` (with `spaced`, words with a blank between them) and `words`: where each begins in it, its
    label and score; those that the classifier has no place for are left out."""
    from pyspark.ml import Pipeline
    from sparknlp.annotator import BertForTokenClassification, Tokenizer
    from sparknlp.base import DocumentAssembler

    document = DocumentAssembler().setInputCol("spaced").setOutputCol("document")
    tokens = (
        Tokenizer()
        .setInputCols(["document"])
        .setOutputCol("token")
        .setPrefixPattern(r"\A()")
        .setSuffixPattern(r"()\z")
        .setInfixPatterns([r"(.+)"])
    )
    spark.conf.set("spark.jsl.settings.onnx.intraOpNumThreads", "1")
    classifier = (
        BertForTokenClassification.loadSavedModel(model.folder, spark)
        .setInputCols(["document", "token"])
        .setOutputCol("ner")
        .setCaseSensitive(model.is_case_sensitive)
        .setMaxSentenceLength(model.max_length)
        .setBatchSize(BATCH_LINES)
    )
    pipeline = Pipeline(stages=[document, tokens, classifier])
    found = pipeline.fit(lines.limit(0)).transform(lines)
    words = F.expr(
        "transform(ner, word -> struct(word.begin AS start, word.result AS label, "
        "cast(word.metadata[word.result] as float) AS score))"
    )
    return found.select(*lines.columns, words.cast(WORDS).alias("words"))
