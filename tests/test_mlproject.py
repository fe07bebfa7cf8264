"""The MLproject is one that MLflow reads, and its commands call what exists."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest
from mlflow.projects._project_spec import Project, load_project

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "mlflow"
PARAMETERS: dict[str, dict[str, str]] = {
    "prepare": {},
    "pretrain": {"conf": "conf/demo.yaml"},
    "finetune": {"conf": "conf/demo.yaml"},
    "score": {"model": "conf", "samples": "20", "k": "10"},
}


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(str(FOLDER))


def command(project: Project, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    return str(project.get_entry_point(name).compute_command(PARAMETERS[name], None))


def test_the_entry_points_are_the_four(project: Project) -> None:
    assert set(project._entry_points) == set(PARAMETERS)


def test_paths_are_relative_to_the_root_and_values_are_passed_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = command(project, "prepare", monkeypatch)
    assert prepare.startswith("cd .. && ")
    assert prepare.count("--conf conf/demo.yaml") == 3
    assert (ROOT / "conf" / "demo.yaml").is_file()
    score = command(project, "score", monkeypatch)
    assert score.endswith("--model conf --task humaneval --samples 20 --k 10 --temperature 0.2")


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_commands_run_modules_that_exist(
    project: Project, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = re.findall(r"python -m ([\w.]+)", command(project, name, monkeypatch))
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_jobs_that_are_named_are_jobs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl.flow import FLOW, TRAINING
    from jobs.__main__ import OTHERS

    known = {stage.name for stage in (*FLOW, *TRAINING)} | set(OTHERS)
    named = re.findall(r"python -m jobs (\w+)", command(project, "prepare", monkeypatch))
    assert named == ["refresh", "train_tokenizer", "pack"]
    assert set(named) <= known


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment whose `mlflow` prints its arguments and its store's address."""
    executable = tmp_path / "mlflow"
    executable.write_text('#!/bin/sh\necho "$@"\necho "$MLFLOW_BACKEND_STORE_URI"\n')
    executable.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def server(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(FOLDER / "server.sh")], env=environment, capture_output=True, text=True
    )


def test_the_server_takes_what_the_example_lists_and_keeps_the_password_from_the_command_line(
    stand_in: dict[str, str],
) -> None:
    lines = (FOLDER / "server.env.example").read_text().splitlines()
    names = [line.split("=")[0].lstrip("#") for line in lines if re.match(r"#?[A-Z0-9_]+=", line)]
    values = {name: f"v-{name.lower()}" for name in names}
    done = server(stand_in | values)
    assert done.returncode == 0, done.stderr
    arguments, store = done.stdout.splitlines()
    assert arguments == (
        "server --artifacts-destination s3://v-mlflow_bucket/v-mlflow_prefix --serve-artifacts "
        "--host v-mlflow_host --port v-mlflow_port --workers v-mlflow_workers"
    )
    assert store == (
        "postgresql+psycopg2://v-mlflow_db_user:v-mlflow_db_password@v-mlflow_db_host:"
        "v-mlflow_db_port/v-mlflow_db_name"
    )


def test_the_server_says_what_is_missing(stand_in: dict[str, str]) -> None:
    done = server(stand_in | {"MLFLOW_DB_HOST": "h"})
    assert done.returncode == 2
    assert done.stderr.startswith("MLFLOW_DB_NAME: expected a value in the environment, found none")
