"""A standalone cluster of Spark on loopback: a master and a worker."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark

HOME = Path(pyspark.__file__).parent
START_S = 120


@contextmanager
def standalone(folder: Path, cores: int, memory: str) -> Iterator[str]:
    """The address of the master, spark://127.0.0.1:PORT, as long as the cluster runs."""
    port, worker_port = free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    commands = {
        "master.Master": (port, []),
        "worker.Worker": (worker_port, ["--cores", str(cores), "--memory", memory, url]),
    }
    environment = {**spark_environment(), "SPARK_WORKER_DIR": str(folder)}
    processes = []
    try:
        for name, (own_port, arguments) in commands.items():
            command = [
                str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}",
                "--host", "127.0.0.1", "--port", str(own_port), "--webui-port", "0", *arguments,
            ]  # fmt: skip
            with (folder / f"{name}.log").open("w") as log:
                processes.append(
                    subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
                )
            _wait_for(own_port)
        yield url
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(60)


def spark_environment() -> dict[str, str]:
    """This process' environment, for a Spark of its own on loopback.

    Its JVMs live for a minute or two: what the better of Java's compilers saves they do not earn.
    """
    return {
        **os.environ, "SPARK_HOME": str(HOME), "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port} after {START_S} s")
