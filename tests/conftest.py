"""One Spark session for all tests: two cores, ANSI mode, Delta from the project's jars."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.lake import DeltaLake


# Half of what a JVM of the tests does is to compile: methods with less in them take a third less of that.
SMALL_COMPILATIONS = (
    "-XX:MaxInlineLevel=9 -XX:InlineSmallCode=1000 -XX:MaxNodeLimit=30000 -XX:NodeLimitFudgeFactor=1000 "
    "-XX:LiveNodeCountInliningCutoff=12000 -XX:-DoEscapeAnalysis"
)

# A plan of the tests sees a few rows: to compile Java for it costs more than to interpret it. The cluster
# of tests/jobs/test_standalone.py runs what is compiled.
INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}


def needs_spark(path: Path) -> bool:
    return "mark.spark" in path.read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = {path: needs_spark(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: not known[item.path])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two processes one begins with the files of `tests/jobs` that need Spark, the other with all others
    that do; what needs no Spark goes to the one that is done first, a file at a time. So either has
    one session, which warms up once."""
    from xdist.scheduler import LoadScopeScheduling

    class BySession(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if not needs_spark(config.rootpath / file):
                return file
            return "jobs" if file.startswith("tests/jobs/") else "stages"

    return BySession(config, log)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from jobs.session import LOCAL, SessionConfig, open_session

    options = "spark.driver.extraJavaOptions"
    scratch = tmp_path_factory.mktemp("spark")
    os.environ["SPARK_LOCAL_DIRS"] = str(scratch)
    config = SessionConfig(
        master="local[2]",
        spark={
            "spark.sql.shuffle.partitions": "2",
            "spark.default.parallelism": "2",
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.driver.memory": "2g",
            **INTERPRETED,
            options: f"{LOCAL[options]} {SMALL_COMPILATIONS}",
        },
    )
    session = open_session("tests", config)
    assert session.conf.get("spark.sql.ansi.enabled") == "true"
    yield session
    session.stop()


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> DeltaLake:
    from jobs.lake import DeltaLake

    return DeltaLake(spark, str(tmp_path / "lake"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as a cluster would get it, built from a copy of what git would commit."""
    root = Path(__file__).parents[1]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    copy = tmp_path_factory.mktemp("tree")
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy / name)
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
         "--no-build-isolation", "--wheel-dir", str(folder), str(copy)],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("stackmill-*.whl")
    return built
