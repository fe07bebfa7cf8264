"""Whatever is wrong with a training, its command says what was expected, found, where, and ends with its code."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from etl.config import dump
from etl.pack import tokenizer
from tests.training import jobs
from tests.training.lakes import VOCABULARY, tiny, write_lake
from tests.training.ranks import launch
from training import tracking
from training.config import TrainingConfig
from training.steps import read_steps

SHARD = "shards/train-00001.bin"
SHORT: dict[str, Any] = {"stages__0__steps": 4, "stages__1__steps": 3}


@pytest.fixture(scope="module")
def whole_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture
def lake(whole_lake: Path, tmp_path: Path) -> Path:
    """One that a test may spoil."""
    shutil.copytree(whole_lake, tmp_path / "lake")
    return tmp_path / "lake"


def call(
    config: TrainingConfig, *flags: str, ranks: int = 1, **environment: str
) -> tuple[int, str]:
    """Exit code and stderr of rank 0 of `python -m training.pretrain`."""
    path = Path(config.output).parent / "training.yaml"
    path.write_text(yaml.safe_dump(dump(config)))
    arguments = ["--conf", str(path), *flags]
    found: tuple[int, str] = launch(ranks, jobs.command, "pretrain", arguments, environment)[0]
    return found


def cut_short(lake: Path) -> None:
    path = lake / SHARD
    path.write_bytes(path.read_bytes()[:-2])


def of_another_format(lake: Path) -> None:
    for path in (lake / "shards").glob("manifest*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))


def of_another_tokenizer(lake: Path) -> None:
    shutil.rmtree(lake / "tokenizer")
    texts = [f"void g{i}() {{}}\n" for i in range(300)]
    tokenizer.save(tokenizer.train(texts, VOCABULARY), lake / "tokenizer")


def of_one_shard_less(lake: Path) -> None:
    (lake / SHARD).unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut_short, rf"{SHARD}: expected (\d+) bytes, found \d+ bytes: run `stackmill pack --force`"),
        (of_one_shard_less, rf"{SHARD}: expected \d+ bytes, found no file: run"),
        (of_another_format, r"shards/manifest\.json: expected a manifest of format 1, found 2: pack again"),
        (of_another_tokenizer, r"expected shards of the tokenizer \w+, found those of \w+: run `stackmill pack`"),
    ],
)  # fmt: skip
def test_shards_that_are_not_what_they_should_be_end_it_with_3(
    spoil: Any, said: str, lake: Path, tmp_path: Path
) -> None:
    spoil(lake)
    code, found = call(tiny(lake, tmp_path / "output", **SHORT))
    assert code == 3
    assert_said(said, found)
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--set", "model.vocabulary=100"], r"model\.vocabulary = 100: expected at least the tokenizer's \d+ tokens"),
        (["--set", "model.depth=2"], r"training\.yaml: model\.depth: unknown key: expected one of .*layers"),
        (["--set", "stages.0.warmup_steps=4"], r"warmup_steps = 4: expected fewer than steps = 4"),
        (["--set", "stages.1.sequences_per_batch=3"],
         r"stage long: sequences_per_batch = 3: expected a multiple of 1 ranks x sequences_per_rank = 2"),
        (["--set", "stages.0.steps=100000"], r"expected at most 50 epochs of \d+ windows"),
    ],
)  # fmt: skip
def test_a_configuration_that_does_not_fit_ends_it_with_2(
    flags: list[str], said: str, lake: Path, tmp_path: Path
) -> None:
    code, found = call(tiny(lake, tmp_path / "output", **SHORT), *flags)
    assert code == 2
    assert_said(said, found)


def test_ranks_that_do_not_fit_the_batch_end_it_with_2(lake: Path, tmp_path: Path) -> None:
    code, found = call(tiny(lake, tmp_path / "output", **SHORT), ranks=3)
    assert code == 2
    assert_said(r"stage base: sequences_per_batch = 8: expected a multiple of 3 ranks", found)


@pytest.mark.slow
def test_a_server_that_is_down_changes_no_step_and_hears_all_later(
    lake: Path, tmp_path: Path
) -> None:
    """Then: another model does not go on from this one's checkpoint, nor after the loss of its manifest."""
    store = f"sqlite:///{tmp_path}/mlflow.db"
    config = tiny(
        lake, tmp_path / "output", tracking={"patience_s": 0, "log_every_steps": 1}, **SHORT
    )
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code, found = call(config, MLFLOW_TRACKING_URI=down, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert code == 0, found
    assert "have not been sent" in found
    assert f"python -m training.tracking {config.output}" in found
    code, found = call(
        config.model_copy(update={"output": str(tmp_path / "heard")}), MLFLOW_TRACKING_URI=store
    )
    assert code == 0, found
    steps = read_steps(Path(config.output))
    assert steps == read_steps(tmp_path / "heard")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        assert tracking.main([config.output]) == 0
    client = MlflowClient(store)
    (experiment,) = (
        one for one in client.search_experiments() if one.name == config.tracking.study
    )
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    run = runs["output"]
    assert run.info.status == "FINISHED"
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    assert [one.value for one in losses] == pytest.approx([line["loss"] for line in steps])

    code, found = call(config, "--set", "model.layers=2", MLFLOW_TRACKING_URI=store)
    assert code == 2
    assert_said(
        r"step-000000007: expected a checkpoint of the same model, .*layers is 1 there and 2 here",
        found,
    )
    for path in (lake / "shards").glob("manifest-*.json"):
        path.unlink()
    code, found = call(config, MLFLOW_TRACKING_URI=store)
    assert code == 3
    assert_said(r"manifest-\w+\.json: expected a manifest, found none", found)
    assert steps == read_steps(Path(config.output))


def assert_said(pattern: str, text: str) -> None:
    """In one line, which begins with the program's name."""
    lines = [line for line in text.splitlines() if line.startswith("stackmill: ")]
    assert len(lines) == 1, text
    assert re.search(pattern, lines[0]), lines[0]
