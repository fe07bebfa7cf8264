"""The same code under each launcher: one rank alone, torchrun, deepspeed, Spark on the driver and on executors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml

from etl.config import dump
from tests.jobs.test_standalone import HOME, free_port, wait_for
from tests.training.lakes import tiny, write_lake
from training.config import TrainingConfig
from training.pretrain import main
from training.steps import read_steps

pytestmark = [pytest.mark.slow]

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
SMALL = {
    "stages": [
        {"name": "base", "steps": 2, "sequence_length": 64, "sequences_per_batch": 4,
         "sequences_per_rank": 2, "warmup_steps": 0}
    ]
}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture
def config(lake: Path, tmp_path: Path) -> TrainingConfig:
    return tiny(lake, tmp_path / "output", **SMALL)


def written(config: TrainingConfig, folder: Path) -> str:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(dump(config)))
    return str(path)


def started(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more,
    }  # fmt: skip
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip


def losses(config: TrainingConfig) -> list[tuple[int, str, float]]:
    lines = read_steps(Path(config.output))
    return [(line["step"], line["batch"], round(line["loss"], 4)) for line in lines]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """spark://127.0.0.1:PORT with one worker of two slots."""
    environment = {
        **os.environ, "SPARK_HOME": str(HOME), "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(tmp_path / "work"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "DS_ACCELERATOR": "cpu",
    }  # fmt: skip
    port, worker_port = free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    commands = {
        port: ["master.Master", "--port", str(port)],
        worker_port: ["worker.Worker", "--port", str(worker_port), "-c", "2", "-m", "1g", url],
    }
    processes = []
    try:
        for listening, (name, *arguments) in commands.items():
            with (tmp_path / f"{name}.log").open("w") as log:
                processes.append(
                    subprocess.Popen(
                        [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}",
                         "--host", "127.0.0.1", "--webui-port", "0", *arguments],
                        env=environment, cwd=tmp_path, stdout=log, stderr=log,
                    )
                )  # fmt: skip
            wait_for(listening)
        yield url
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)


def test_four_launchers_train_alike(config: TrainingConfig, cluster: str, tmp_path: Path) -> None:
    """Two ranks each; what the first learns, the others learn."""
    path = written(config, tmp_path)
    spark = [
        str(HOME / "bin" / "spark-submit"), "--driver-memory", "512m",
        "--conf", "spark.ui.enabled=false", "--conf", f"spark.pyspark.python={sys.executable}",
        "--conf", "spark.executor.memory=512m", "--conf", "spark.executor.cores=1",
    ]  # fmt: skip
    job = str(ROOT / "jobs" / "pretrain.py")
    port = ["--master_port", str(free_port())]
    launchers: dict[str, list[str]] = {
        "torchrun": [str(BIN / "torchrun"), "--standalone", "--nproc-per-node", "2",
                     "-m", "training.pretrain"],
        "deepspeed": [str(BIN / "deepspeed"), "--num_accelerators", "2", *port,
                      "--module", "training.pretrain"],
        "spark": [*spark, "--master", "local[2]", job, "--ranks", "2"],
        "cluster": [*spark, "--master", cluster, job, "--nodes", "2"],
    }  # fmt: skip
    found: dict[str, Any] = {}
    for name, command in launchers.items():
        began = time.monotonic()
        own = ["--conf", path, "--set", f"output={tmp_path / name}"]
        done = started([*command, *own], tmp_path, SPARK_LOCAL_IP="127.0.0.1")
        assert done.returncode == 0, (name, done.stdout[-3000:] + done.stderr[-3000:])
        found[name] = losses(config.model_copy(update={"output": str(tmp_path / name)}))
        print(f"{name}: {time.monotonic() - began:.1f} s")  # noqa: T201
    assert len(found["torchrun"]) == 2
    assert len({json.dumps(lines) for lines in found.values()}) == 1, found
    assert pyspark.__version__ >= "3.5"


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("model.heads=3", 2, "expected an even width a head"),
        ("stages.0.sequences_per_rank=3", 2, "sequences_per_batch = 4: expected a multiple of"),
        ("data.sources.0.lake=nowhere", 2, "tokenizer.json: expected a tokenizer, found none"),
        ("data.sources.0.epochs=0.001", 2, "expected at most 0.001 epochs"),
        ("model.vocabulary=100", 2, "expected at least the tokenizer's"),
        ("zero.stage=2", 2, "zero.stage: unknown key: expected one of activation_checkpointing"),
    ],
)
def test_what_is_configured_wrong_is_said_in_a_line(
    config: TrainingConfig, tmp_path: Path, setting: str, code: int, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["--conf", written(config, tmp_path), "--set", setting]) == code
    assert said in capsys.readouterr().err


def test_a_dry_run_prints_the_resolved_configuration(
    config: TrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--conf", written(config, tmp_path), "--set", "seed=5", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 5
    assert not Path(config.output).exists()
