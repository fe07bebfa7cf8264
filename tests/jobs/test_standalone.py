"""A cluster whose executors have the wheel and not the repository: master and worker on loopback.

It builds a lake that this process has refreshed, killed at several of its writes, with other
partitions and another order of sources.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clusters import HOME, spark_environment, standalone
from tests.jobs import small
from tests.jobs.lakes import configure, refresh_killed_between_its_writes, tables_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def executor_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the dependencies and the wheel, and no way to the repository.

    A folder that a .pth file names is searched, but .pth files in it (the editable install) are not.
    """
    folder = tmp_path_factory.mktemp("executor")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         "--target", str(site), str(wheel)],
        check=True,
    )  # fmt: skip
    # As a packed environment would, it brings the kernels compiled.
    for package in (".", "facts", "near_dedup", "context_pii"):
        for compiled in (ROOT / "etl" / package / "__pycache__").glob("*.nb[ic]"):
            (site / "etl" / package / "__pycache__").mkdir(exist_ok=True)
            shutil.copy(compiled, site / "etl" / package / "__pycache__")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def master(cluster: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        with standalone(cluster, cores=1, memory="1500m") as url:
            yield url


@pytest.fixture
def sources_to_change(built: Path, tmp_path: Path) -> Iterator[Path]:
    """The sources of `built`, which are put back as they were: times and holes of files too."""
    copy = ["cp", "-a", "--sparse=always"]
    subprocess.run([*copy, str(built / "sources"), str(tmp_path / "backup")], check=True)
    yield built / "sources"
    shutil.rmtree(built / "sources")
    subprocess.run([*copy, str(tmp_path / "backup"), str(built / "sources")], check=True)


@pytest.mark.timeout(1200)  # two refreshes, one of them in four processes
def test_a_killed_refresh_equals_a_rebuild_on_executors_that_have_the_wheel_and_order_is_nothing(
    spark: Any,
    built: Path,
    sources_to_change: Path,
    cluster: Path,
    master: str,
    executor_python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lake that saw a change, a removal, an addition and kills is the lake of what is left, built at
    once."""
    sources = yaml.safe_load((built / "pipeline.yaml").read_text())["ingest"]["sources"]
    refreshed = tmp_path / "refreshed"
    path = configure(refreshed, sources)
    shutil.copytree(built / "lake", refreshed / "lake")  # as a refresh of these sources left it
    trees = sources_to_change / "trees"
    (trees / "ann" / "area.py").write_text(small.CODE + "\n\nSIDES = 4\n")
    (trees / "ann" / "made.py").unlink()
    shutil.rmtree(trees / "cho")
    small.write_tree(
        trees / "fay", {"LICENSE": small.MIT.format(name="Fay"), "fay.py": small.OTHER}
    )
    killed = refresh_killed_between_its_writes(path, monkeypatch)
    assert len(killed) >= 3, killed

    rebuilt = tmp_path / "rebuilt"
    said = submit(master, executor_python, configure(rebuilt, sources[::-1]))
    # Where nothing names a store, it lies beside the lake.
    assert (rebuilt / "mlflow.db").is_file()
    logs = [path for place in (cluster, rebuilt / "events") for path in place.rglob("*")]
    logs = [path for path in logs if path.is_file() and path.suffix not in (".jar", ".py")]
    assert any(
        "SparkListenerJobEnd" in path.read_text() for path in logs if path.parent.name == "events"
    )
    for canary in small.CANARIES:
        assert canary not in said
        assert not [path for path in logs if canary.encode() in path.read_bytes()]
    found, expected = tables_of(spark, refreshed), tables_of(spark, rebuilt)
    for name in expected:
        assert found[name] == expected[name], name


def submit(master: str, executor_python: Path, conf: str) -> str:
    """Runs every job on the cluster by spark-submit, as on EMR; what it says."""
    away = Path(conf).parent
    events = away / "events"
    events.mkdir()
    where = subprocess.run(
        [str(executor_python), "-c", "import jobs; print(jobs.__file__)"],
        capture_output=True, text=True, check=True, cwd=away,
    )  # fmt: skip
    folder = Path(where.stdout.strip()).parent
    assert folder.is_relative_to(executor_python.parents[1])
    jars = sorted((Path(sys.prefix) / "share" / "stackmill" / "jars").glob("*.jar"))
    options = "-XX:+UseParallelGC"
    settings = {
        "spark.pyspark.python": str(executor_python),
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.extraJavaOptions": options,
        "spark.executor.extraJavaOptions": options,
        "spark.executor.memory": "1g",
        "spark.cores.max": "1",
        "spark.sql.shuffle.partitions": "3",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.codegen.cache.maxEntries": "4000",
        "spark.sql.files.maxPartitionBytes": "65536",
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
    }
    flags = [part for item in settings.items() for part in ("--conf", "=".join(item))]
    command = [
        str(HOME / "bin" / "spark-submit"), "--master", master, "--driver-memory", "1500m", *flags,
        str(folder / "refresh.py"), "--conf", conf,
    ]  # fmt: skip
    unset = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
    environment = {key: value for key, value in spark_environment().items() if key not in unset}
    found = subprocess.run(
        command, cwd=away, env=environment, capture_output=True, text=True, check=False, timeout=900
    )  # fmt: skip
    said = found.stdout + found.stderr  # spark-submit hands the program's errors on as output
    assert found.returncode == 0, said[-3000:]
    assert "session: spark-submit" in said
    assert "= kept" in found.stdout
    return said
