"""A cluster whose executors have the wheel and not the repository: master and worker on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pyspark
import pytest

from tests.jobs import small

pytestmark = [pytest.mark.spark, pytest.mark.slow]

HOME = Path(pyspark.__file__).parent


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


def test_executors_run_the_wheel(
    master: str, executor_python: Path, tmp_path: Path, wheel: Path
) -> None:
    where = subprocess.run(
        [str(executor_python), "-c", "import etl; print(etl.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert str(executor_python.parents[1]) in where.stdout

    trees = small.write_trees(tmp_path)
    driver = tmp_path / "driver"
    driver.mkdir()
    command = [
        str(executor_python), "-m", "jobs", "refresh",
        "--lake", str(tmp_path / "lake"), "--source", f"tree:{trees}",
        "--set", f"session.master={master}",
        "--set", f"session.jars={Path(sys.prefix) / 'share' / 'stackmill' / 'jars'}",
        "--set", "session.spark={spark.executor.memory: 1g, spark.cores.max: '1'}",
    ]  # fmt: skip
    unset = ("PYTHONPATH", "MLFLOW_TRACKING_URI")  # the store beside the lake is the default
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    found = subprocess.run(
        command,
        cwd=driver,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert "= kept" in found.stdout
    assert (tmp_path / "lake" / "corpus" / "_delta_log").is_dir()
    assert (tmp_path / "mlflow.db").is_file()
