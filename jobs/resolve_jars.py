"""Resolve Delta's jars once, by Maven coordinates, into the environment's own folder.

    python -m jobs.resolve_jars

Spark's own resolver does it (`spark.jars.packages`), with an Ivy home of the project's own: a
half-filled local Maven repository would make it fail. Later sessions start with the local jars.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from pathlib import Path

from etl.errors import StackmillError
from jobs.session import SessionConfig, jars_folder

logger = logging.getLogger(__name__)

COORDINATES = {  # PySpark's minor version -> what must be on its class path
    "3.5": ("io.delta:delta-spark_2.12:3.3.2",),
    "4.1": ("io.delta:delta-spark_4.1_2.13:4.4.0",),
}


def resolve(target: Path) -> list[Path]:
    """The jars of the installed PySpark's coordinates, in `target`. Nothing is done twice."""
    import pyspark

    minor = ".".join(pyspark.__version__.split(".")[:2])
    if minor not in COORDINATES:
        raise StackmillError(
            f"pyspark {pyspark.__version__}: expected one of {', '.join(COORDINATES)}: install one"
        )
    coordinates = COORDINATES[minor]
    marker = target / "coordinates.txt"
    if marker.exists() and marker.read_text().split() == list(coordinates):
        return sorted(target.glob("*.jar"))

    with tempfile.TemporaryDirectory(prefix="stackmill-ivy-") as ivy:
        _start_and_stop(",".join(coordinates), ivy)
        found = sorted(Path(ivy, "jars").glob("*.jar"))
        if not found:
            raise StackmillError(
                f"{', '.join(coordinates)}: no jar was resolved: see the log above"
            )
        if target.exists():
            shutil.rmtree(target)
        target.mkdir(parents=True)
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
        .config("spark.jars.ivy", ivy)
        .getOrCreate()
    )
    session.stop()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    target = jars_folder(SessionConfig())
    jars = resolve(target)
    logger.info("%d jars in %s", len(jars), target)


if __name__ == "__main__":
    try:
        main()
    except StackmillError as error:
        sys.exit(f"stackmill: {error}")
