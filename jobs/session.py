"""Which Spark runs this, and what does it still need?    environment -> SparkSession

On Databricks and EMR the platform's session is taken as it is; under a plain spark-submit only
what is missing is added; with none of them a local session starts from the project's own jars.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from etl.config import Config
from etl.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
DELTA_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"

# Values that every platform accepts at run time; the laws need the first two.
RUNTIME = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Parquet skips the pages without any of so many values; of more only their range is used. Each is a
    # level of the stack of a task's thread.
    "spark.sql.parquet.pushdown.inFilterThreshold": "256",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    # Sets of names are gathered by hashing up to so many keys a task; the default, 128, always sorts.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "65536",
}

# Parquet checks a row group's size every 100 rows by default: 100 files of 10 MB are 1 GB.
PARQUET = {
    "spark.hadoop.parquet.block.size": str(32 << 20),
    "spark.hadoop.parquet.block.size.row.check.min": "4",
    "spark.hadoop.parquet.page.size.row.check.min": "4",
    "spark.hadoop.parquet.compression.codec.zstd.level": "1",
}

LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "1",
    # A refresh compiles some 500 classes; the default, 100, makes every query compile its own again.
    "spark.sql.codegen.cache.maxEntries": "4000",
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.sql.files.maxPartitionBytes": str(16 << 20),
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "3g",
    # Of the log no checksum files: `_write_no_checksums` says why.
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "org.apache.hadoop.fs.local.RawLocalFs",
    # A heap and class space of their final size from the start: no collections that only grow them.
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:ReservedCodeCacheSize=512m -Xms1500m "
    "-Xmn700m -XX:MetaspaceSize=512m",
}


# Java names that PySpark asks for again with every column and plan; `_remember_names` says why.
REMEMBERED = (
    *(
        f"functions.{name}"
        for name in ("col", "lit", "when", "coalesce", "concat", "sum", "struct")
    ),
    "PythonUtils.toSeq",
    "PythonUtils.toArray",
    "PythonUtils.getBroadcastThreshold",
    "PythonRDD.readRDDFromFile",
    "SerDeUtil.toJavaArray",
    "SerDeUtil.pythonToJava",
    "SimplePythonFunction",
    "SparkSession.getActiveSession",
    "SparkSession.setActiveSession",
    "SparkSession$.MODULE$",
    "py4j.reflection.TypeUtil.isInstanceOf",
    "org.apache.hadoop.fs.Path",
    "org.apache.spark.util.Utils.exceptionString",
    "org.apache.spark.sql.types.StructType.fromDDL",
    "org.apache.spark.sql.internal.SQLConf.get",
    "org.apache.spark.sql.execution.python.UserDefinedPythonFunction",
)


class SessionConfig(Config):
    """How Spark is started where no platform starts it."""

    master: str | None = Field(
        default=None, description="Spark master where none is given by the platform; local[*]"
    )
    jars: str | None = Field(
        default=None, description="folder with Delta's jars; default: what `make setup` resolved"
    )
    spark: dict[str, str] = Field(default={}, description="further Spark settings, as they are")


def platform() -> str:
    """databricks, emr, spark-submit or local."""
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return "databricks"
    if Path("/emr/instance-controller").exists() or "EMR_CLUSTER_ID" in os.environ:
        return "emr"
    if "PYSPARK_GATEWAY_PORT" in os.environ or os.environ.get("SPARK_REMOTE"):
        return "spark-submit"
    return "local"


def jars_folder(config: SessionConfig) -> Path:
    """Where the project's jars lie: beside the environment that runs this, or as configured."""
    if config.jars is not None:
        return Path(config.jars)
    named = os.environ.get("STACKMILL_JARS")
    return Path(named) if named else Path(sys.prefix) / "share" / "stackmill" / "jars"


def spark_nlp_folder(config: SessionConfig) -> Path:
    """Where Spark NLP's jars lie, if they were resolved."""
    return jars_folder(config) / "spark-nlp"


def open_session(name: str, config: SessionConfig, with_spark_nlp: bool = False) -> SparkSession:
    """A session with Delta. Raises ConfigError where Delta's jars are nowhere to be found.

    `with_spark_nlp` puts Spark NLP's jars beside them, where this starts the session and they are there.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError(
            "pyspark: expected an installed PySpark 3.5 or 4.1, found none: install the extra "
            "`stackmill[spark]`, or run with spark-submit"
        ) from error

    where = platform()
    if where == "databricks":
        session = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
    else:
        builder = SparkSession.builder.appName(f"stackmill {name}")
        for key, value in _missing_settings(where, config, with_spark_nlp).items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
    for key, value in RUNTIME.items():
        session.conf.set(key, value)
    _remember_names(session)
    if where == "local":
        session.sparkContext.setLogLevel("ERROR")
        _write_no_checksums(session)
    logger.info("session: %s, Spark %s", where, session.version)
    return session


def _write_no_checksums(session: SparkSession) -> None:
    """Without its native library Hadoop starts a process (chmod, readlink) for each file that it makes
    or renames on a local disk, and makes two of each: one for checksums. Parquet has its own."""
    jvm = session._jvm
    assert jvm is not None  # noqa: S101
    root = jvm.java.net.URI("file:///")
    configuration = session._jsc.hadoopConfiguration()
    jvm.org.apache.hadoop.fs.FileSystem.get(root, configuration).setWriteChecksum(False)


def _remember_names(session: SparkSession) -> None:
    """Py4J asks the JVM for every name in `functions.col`, each time, and the JVM looks for a class
    of it in a dozen packages, in every jar: most of what it costs to build a plan. Not over Spark
    Connect, which has no JVM."""
    jvm = getattr(session, "_jvm", None)
    if jvm is None:
        return
    for path in REMEMBERED:
        place = jvm
        for name in path.split("."):
            found = getattr(place, name)
            setattr(place, name, found)
            place = found


def _missing_settings(where: str, config: SessionConfig, with_spark_nlp: bool) -> dict[str, str]:
    """What has to be set before the session starts and is not set by the platform."""
    from pyspark import SparkConf

    given = SparkConf() if where in ("spark-submit", "emr") else None
    settings: dict[str, str] = dict(PARQUET)
    if where == "local":
        settings.update(LOCAL)
        settings["spark.master"] = config.master or os.environ.get(
            "SPARK_MASTER", f"local[{os.cpu_count()}]"
        )
        jars = sorted(str(path) for path in jars_folder(config).glob("*.jar"))
        if not jars:
            raise ConfigError(
                f"{jars_folder(config)}: expected Delta's jars, found none: run `make setup`, or "
                "set session.jars or STACKMILL_JARS to the folder that holds them"
            )
        if with_spark_nlp and spark_nlp_folder(config).is_dir():
            # Last on the JVM's class path: Spark's own classes win, and nothing is copied (290 MB).
            os.environ["SPARK_DIST_CLASSPATH"] = f"{spark_nlp_folder(config)}/*"
            settings["spark.jsl.settings.onnx.intraOpNumThreads"] = "1"
        settings["spark.jars"] = ",".join(jars)
        if settings["spark.master"].startswith("local"):
            settings["spark.python.daemon.module"] = "jobs.worker_daemon"
    settings.update(config.spark)
    extensions = settings.get("spark.sql.extensions") or (
        given.get("spark.sql.extensions", "") if given else ""
    )
    if DELTA_EXTENSION not in (extensions or ""):
        settings["spark.sql.extensions"] = ",".join(filter(None, (extensions, DELTA_EXTENSION)))
    settings.setdefault("spark.sql.catalog.spark_catalog", DELTA_CATALOG)
    if given is not None:
        own = {"spark.sql.extensions"}
        settings = {
            key: value for key, value in settings.items() if key in own or not given.contains(key)
        }
    # Workers must run the interpreter that runs this, unless the platform says otherwise.
    if where == "local":
        os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    return settings
