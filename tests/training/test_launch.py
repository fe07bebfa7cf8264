"""Whoever starts the ranks, it is the same training: every launcher gives the losses of `python -m`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl.config import dump
from tests.clusters import HOME, free_port, spark_environment, standalone
from tests.training.lakes import tiny, write_lake
from training.steps import read_steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
JOB = str(ROOT / "jobs" / "pretrain.py")
STEPS = 5


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three steps of one stage and two of the next; its folders are relative to the file's."""
    folder = tmp_path_factory.mktemp("launch")
    write_lake(folder / "lake")
    config = tiny(
        Path("lake"), Path("plain"), stages__0__steps=3, stages__0__warmup_steps=1,
        stages__1__steps=2, stages__1__warmup_steps=1,
        tracking__tracking_uri=f"sqlite:///{folder}/mlflow.db",
    )  # fmt: skip
    (folder / "training.yaml").write_text(yaml.safe_dump(dump(config)))
    return folder / "training.yaml"


@pytest.fixture(scope="module")
def expected(conf: Path) -> list[dict[str, Any]]:
    return trained(conf, "plain", [sys.executable, "-m", "training.pretrain"])


def trained(conf: Path, output: str, command: list[str]) -> list[dict[str, Any]]:
    """The steps of a training that the command has started in the configuration's folder."""
    unset = (
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "MLFLOW_TRACKING_URI",
    )
    environment = {key: value for key, value in spark_environment().items() if key not in unset}
    environment |= {
        "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [*command, "--conf", conf.name, "--set", f"output={output}"],
        cwd=conf.parent, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert (conf.parent / output / "export" / "model.safetensors").exists()
    return read_steps(conf.parent / output)


def assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [line["step"] for line in found] == list(range(1, STEPS + 1))
    assert [line["batch"] for line in found] == [line["batch"] for line in expected]
    losses = [line["loss"] for line in expected]
    assert [line["loss"] for line in found] == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < losses[0]


def test_torchrun_trains_as_python_does(conf: Path, expected: list[dict[str, Any]]) -> None:
    command = [
        "torchrun", "--nproc-per-node", "2", "--master-port", str(free_port()),
        "-m", "training.pretrain",
    ]  # fmt: skip
    assert_alike(trained(conf, "torchrun", command), expected)


def test_deepspeed_trains_as_python_does(conf: Path, expected: list[dict[str, Any]]) -> None:
    command = [
        "deepspeed", "--num_gpus", "2", "--master_port", str(free_port()),
        "--module", "training.pretrain",
    ]  # fmt: skip
    assert_alike(trained(conf, "deepspeed", command), expected)


def test_spark_on_the_driver_trains_as_python_does(
    conf: Path, expected: list[dict[str, Any]]
) -> None:
    command = [*submit("local[2]"), JOB, "--ranks", "2"]
    assert_alike(trained(conf, "driver", command), expected)


def test_executors_in_barrier_mode_train_as_python_does(
    conf: Path, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Two executors of one core; a rank in each, which meet at an address that Spark's barrier tells."""
    with standalone(tmp_path, cores=2, memory="2g") as master:
        executors = {"cores": "1", "memory": "512m"}
        flags = [
            part
            for key, value in executors.items()
            for part in ("--conf", f"spark.executor.{key}={value}")
        ]
        command = [*submit(master), *flags, JOB, "--ranks", "1", "--nodes", "2"]
        found = trained(conf, "executors", command)
    assert_alike(found, expected)
    logs = list(tmp_path.glob("app-*/*/stderr"))
    assert len(logs) == 2


def submit(master: str) -> list[str]:
    options = ("--driver-memory", "512m", "--conf", "spark.ui.enabled=false")
    return [str(HOME / "bin" / "spark-submit"), "--master", master, *options]
