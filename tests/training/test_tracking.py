"""What is written to the journal reaches MLflow once, in whatever pieces and whenever the store answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from training.journal import JOURNAL, PARENT, Journal
from training.store import open_experiment
from training.tracking import STATE, Background, Sender

STUDY = "study"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def written(folder: Path) -> Journal:
    """A run with a stage, as a training leaves it."""
    journal = Journal(folder)
    journal.begin(PARENT, "smoke", {"stackmill.lake": "lake"})
    journal.params(PARENT, {"model.layers": 2})
    journal.inputs(
        PARENT, [{"name": "corpus", "path": "/lake/corpus", "version": 0, "digest": "abc"}]
    )
    journal.begin("stage/base", "base", {})
    for step in (1, 2, 3):
        journal.metrics(PARENT, step, {"train/loss": 4.0 - step, "train/mfu": 0.5})
    journal.text(PARENT, "checkpoints.json", "[1]")
    journal.text(PARENT, "checkpoints.json", "[1, 2]")
    (folder / "export").mkdir(exist_ok=True)
    (folder / "export" / "config.json").write_text("{}")
    journal.files(PARENT, folder / "export", "export")
    journal.register(PARENT, "model", "export", {"step": 3})
    journal.end("stage/base")
    journal.end(PARENT)
    return journal


def runs_of(uri: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    client = open_experiment(uri, STUDY).client
    ids = json.loads((folder / STATE).read_text())["runs"]
    return client, {key: client.get_run(run_id) for key, run_id in ids.items()}


def test_a_journal_becomes_a_run_and_its_children(uri: str, tmp_path: Path) -> None:
    written(tmp_path)
    sender = Sender(tmp_path, uri, STUDY)
    sender.send()
    assert sender.waiting() == 0
    client, runs = runs_of(uri, tmp_path)
    parent, stage = runs[PARENT], runs["stage/base"]
    assert (parent.info.run_name, parent.info.status) == ("smoke", "FINISHED")
    assert parent.data.tags["stackmill.lake"] == "lake"
    assert parent.data.params["model.layers"] == "2"
    history = client.get_metric_history(parent.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    (given,) = parent.inputs.dataset_inputs
    assert given.dataset.name == "corpus"
    assert json.loads(given.dataset.source)["path"] == "/lake/corpus"
    assert {tag.key: tag.value for tag in given.tags}["version"] == "0"
    artifacts = Path(parent.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "checkpoints.json").read_text() == "[1, 2]"
    assert (artifacts / "export" / "config.json").exists()
    (version,) = client.search_model_versions("name='model'")
    assert version.tags == {"step": "3"}
    assert version.source == f"{parent.info.artifact_uri}/export"


def test_what_was_sent_is_not_sent_again_and_a_restart_goes_on_with_the_same_run(
    uri: str, tmp_path: Path
) -> None:
    journal = written(tmp_path)
    Sender(tmp_path, uri, STUDY).send()
    before = json.loads((tmp_path / STATE).read_text())
    again = Journal(tmp_path)
    again.begin(PARENT, "smoke", {})
    again.params(PARENT, {"model.layers": 3, "ranks": 2})  # the first value stays
    again.metrics(PARENT, 4, {"train/loss": 0.5})
    Sender(tmp_path, uri, STUDY).send()
    client, runs = runs_of(uri, tmp_path)
    assert {key: run.info.run_id for key, run in runs.items()} == before["runs"]
    assert runs[PARENT].info.status == "RUNNING"
    assert runs[PARENT].data.params == {"model.layers": "2", "ranks": "2"}
    run_id = runs[PARENT].info.run_id
    assert len(client.get_metric_history(run_id, "train/loss")) == 4
    # Killed before it had marked what it sent: it finds its runs again
    (tmp_path / STATE).unlink()
    Sender(tmp_path, uri, STUDY).send()
    assert json.loads((tmp_path / STATE).read_text())["runs"] == before["runs"]
    assert len(client.get_metric_history(run_id, "train/loss")) == 4
    assert journal.path == again.path


def test_a_line_that_was_cut_off_by_a_kill_is_left_out(uri: str, tmp_path: Path) -> None:
    written(tmp_path)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"op": "metrics", "run"')
    sender = Sender(tmp_path, uri, STUDY)
    sender.send()
    assert sender.waiting() == len('{"op": "metrics", "run"')
    Journal(tmp_path).metrics(PARENT, 9, {"train/loss": 0.0})
    sender.send()
    assert sender.waiting() == 0


def test_what_the_store_refuses_does_not_hold_up_the_rest(
    uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path)
    journal.begin(PARENT, "smoke", {})
    journal.metrics(PARENT, 1, {"no*such*name": 1.0})
    journal.metrics("no run", 1, {"train/loss": 1.0})
    journal.tags(PARENT, {"stackmill.step": 1})
    sender = Sender(tmp_path, uri, STUDY)
    sender.send()
    assert sender.waiting() == 0
    assert "refused metrics" in caplog.text
    _, runs = runs_of(uri, tmp_path)
    assert runs[PARENT].data.tags["stackmill.step"] == "1"


def test_a_server_that_is_down_holds_nothing_up_and_gets_all_later(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        sender = Sender(tmp_path, down, STUDY)
        background = Background(sender, patience_s=0)
        written(tmp_path)
        background.close()
    size = (tmp_path / JOURNAL).stat().st_size
    assert sender.waiting() == size
    assert "does not take what is sent" in caplog.text
    assert f"{size} bytes of the journal have not been sent" in caplog.text
    Sender(tmp_path, uri, STUDY).send()
    _, runs = runs_of(uri, tmp_path)
    assert runs[PARENT].data.metrics["train/loss"] == 1.0
