"""Resolve the jars of Delta and Spark NLP once, by Maven coordinates, into the environment's own folder.

    python -m jobs.resolve_jars

Spark's own resolver does it (`spark.jars.packages`), with an Ivy home of the project's own: a
half-filled local Maven repository would make it fail. Later sessions start with the local jars: Delta's
always, Spark NLP's (96 jars, 290 MB) where the stage that needs them is to run.
"""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import sys
import tempfile
from pathlib import Path

from etl.errors import StackmillError
from jobs.session import SessionConfig, jars_folder, spark_nlp_folder

logger = logging.getLogger(__name__)

COORDINATES = {  # PySpark's minor version -> what must be on its class path
    "3.5": ("io.delta:delta-spark_2.12:3.3.2",),
    "4.1": ("io.delta:delta-spark_4.1_2.13:4.4.0",),
}
# There is no build of Spark NLP for Scala 2.13. Its ONNX models need TensorFlow's Java classes and none of
# the native libraries that are left out.
SPARK_NLP = {
    "3.5": (
        "com.johnsnowlabs.nlp:spark-nlp_2.12:5.5.3",
        "org.tensorflow:tensorflow-core-api:0.4.1",
    )
}
EXCLUDED = (
    "com.johnsnowlabs.nlp:tensorflow-cpu_2.12",
    "com.johnsnowlabs.nlp:jsl-llamacpp-cpu_2.12",
    "com.johnsnowlabs.nlp:jsl-openvino-cpu_2.12",
)


def resolve(target: Path) -> list[Path]:
    """Delta's jars for the installed PySpark, in `target`. Nothing is done twice."""
    minor = _minor_version()
    if minor not in COORDINATES:
        raise StackmillError(
            f"pyspark {minor}: expected one of {', '.join(COORDINATES)}: install one"
        )
    return _resolved(COORDINATES[minor], target)


def resolve_spark_nlp(target: Path) -> list[Path]:
    """Spark NLP's jars for the installed PySpark; none where it has none. Nothing is done twice."""
    coordinates = SPARK_NLP.get(_minor_version())
    return _resolved(coordinates, target) if coordinates else []


def _minor_version() -> str:
    import pyspark

    return ".".join(pyspark.__version__.split(".")[:2])


def _resolved(coordinates: tuple[str, ...], target: Path) -> list[Path]:
    marker = target / "coordinates.txt"
    if marker.exists() and marker.read_text().split() == list(coordinates):
        return sorted(target.glob("*.jar"))

    with tempfile.TemporaryDirectory(prefix="stackmill-ivy-") as ivy:
        # In a process of its own: the JVM that resolves one set would start again with its jars
        resolver = multiprocessing.get_context("spawn").Process(
            target=_start_and_stop, args=(",".join(coordinates), ivy)
        )
        resolver.start()
        resolver.join()
        found = sorted(Path(ivy, "jars").glob("*.jar"))
        if resolver.exitcode != 0 or not found:
            raise StackmillError(
                f"{', '.join(coordinates)}: no jar was resolved: see the log above"
            )
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.jar"):
            old.unlink()
        for jar in found:
            shutil.copy2(jar, target / jar.name)
    marker.write_text("\n".join(coordinates) + "\n")
    return sorted(target.glob("*.jar"))


def _start_and_stop(packages: str, ivy: str) -> None:
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.jars.packages", packages)
        .config("spark.jars.excludes", ",".join(EXCLUDED))
        .config("spark.jars.ivy", ivy)
        .getOrCreate()
    )
    session.stop()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    target = jars_folder(SessionConfig())
    jars = resolve(target)
    logger.info("%d jars in %s", len(jars), target)
    target = spark_nlp_folder(SessionConfig())
    jars = resolve_spark_nlp(target)
    logger.info("%d jars in %s", len(jars), target)


if __name__ == "__main__":
    try:
        main()
    except StackmillError as error:
        sys.exit(f"stackmill: {error}")
