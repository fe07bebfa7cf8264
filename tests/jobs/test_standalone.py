"""A cluster whose executors have the wheel and not the repository: master and worker on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml

from tests.jobs.lakes import configure, tables_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]

HOME = Path(pyspark.__file__).parent
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port}")


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
    for package in ("facts", "near_dedup"):
        for compiled in (ROOT / "etl" / package / "__pycache__").glob("*.nb[ic]"):
            (site / "etl" / package / "__pycache__").mkdir(exist_ok=True)
            shutil.copy(compiled, site / "etl" / package / "__pycache__")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """spark://127.0.0.1:PORT with one worker of one core."""
    folder = tmp_path_factory.mktemp("cluster")
    port, worker_port = free_port(), free_port()
    environment = {
        **os.environ,
        "SPARK_HOME": str(HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder),
    }
    environment.pop("PYTHONPATH", None)
    url = f"spark://127.0.0.1:{port}"
    processes = []
    try:
        for name, port_of, arguments in (
            ("master.Master", port, ["--port", str(port), "--webui-port", "0"]),
            (
                "worker.Worker",
                worker_port,
                ["--port", str(worker_port), "--webui-port", "0", "-c", "1", "-m", "1500m", url],
            ),
        ):
            command = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}"]
            with (folder / f"{name}.log").open("w") as log:
                processes.append(
                    subprocess.Popen(
                        [*command, "--host", "127.0.0.1", *arguments],
                        env=environment, cwd=folder, stdout=log, stderr=log,
                    )
                )  # fmt: skip
            wait_for(port_of)
        yield url
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


def test_executors_run_the_wheel_and_the_tables_are_those_of_one_process(
    spark: Any, built: Path, master: str, executor_python: Path, tmp_path: Path
) -> None:
    """By spark-submit, as on EMR; whole-stage code and partitions other than the tests' own."""
    where = subprocess.run(
        [str(executor_python), "-c", "import jobs; print(jobs.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    folder = Path(where.stdout.strip()).parent
    assert folder.is_relative_to(executor_python.parents[1])

    sources = yaml.safe_load((built / "pipeline.yaml").read_text())["ingest"]["sources"]
    jars = sorted((Path(sys.prefix) / "share" / "stackmill" / "jars").glob("*.jar"))
    options = "-XX:+UseParallelGC -XX:TieredStopAtLevel=1"
    settings = {
        "spark.pyspark.python": str(executor_python),
        "spark.jars": ",".join(map(str, jars)),
        "spark.driver.extraJavaOptions": options,
        "spark.executor.extraJavaOptions": options,
        "spark.executor.memory": "1g",
        "spark.cores.max": "1",
        "spark.sql.shuffle.partitions": "3",
        "spark.ui.enabled": "false",
    }
    flags = [part for item in settings.items() for part in ("--conf", "=".join(item))]
    command = [
        str(HOME / "bin" / "spark-submit"), "--master", master, "--driver-memory", "1500m", *flags,
        str(folder / "refresh.py"), "--conf", configure(tmp_path, sources),
    ]  # fmt: skip
    # Where nothing names a store, it lies beside the lake.
    unset = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"SPARK_HOME": str(HOME), "SPARK_LOCAL_IP": "127.0.0.1"}
    driver = tmp_path / "driver"
    driver.mkdir()
    found = subprocess.run(
        command, cwd=driver, env=environment, capture_output=True, text=True, check=False, timeout=500
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    assert "session: spark-submit" in found.stderr
    assert "= kept" in found.stdout
    assert (tmp_path / "mlflow.db").is_file()
    here, there = tables_of(spark, built), tables_of(spark, tmp_path)
    for name in here:
        assert there[name] == here[name], name
