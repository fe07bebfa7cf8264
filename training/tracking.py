"""What does MLflow know of a training run?    journal -> MLflow runs

Rank 0 writes whatever is to be known as a line into OUTPUT/journal.jsonl; a thread sends the lines on. A server
that is down holds nothing up: lines wait in the journal, across restarts too, and

    python -m training.tracking OUTPUT

sends what a run has left behind. A line that was sent and not yet marked as sent is sent again: MLflow keeps one of
two equal metrics, and a run that has the line's key is found, not made anew.

OUTPUT/mlflow.json holds the runs' ids and how far the journal has been sent.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etl.errors import StackmillError
from training.config import RunConfig, load_resolved
from training.files import replace_text
from training.journal import JOURNAL, PARENT
from training.store import SQLITE, Store, open_experiment

logger = logging.getLogger(__name__)

STATE = "mlflow.json"
KEY_TAG = "stackmill.key"
PAUSE_S = 2.0
RETRY_S = 15.0
TIMEOUT_S = 10  # for an answer of a server
MANY = 1000  # metrics sent at once
MANY_BYTES = 1 << 20  # of the journal read at once


def tracking_uri(config: RunConfig) -> str:
    given = config.tracking.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return "databricks"
    return f"{SQLITE}{config.store_folder / 'mlflow.db'}"


class Sender:
    """Sends a journal's lines in their order, and remembers how far it has come."""

    def __init__(self, folder: Path, uri: str, experiment: str) -> None:
        self.folder, self.uri, self.experiment = folder, uri, experiment
        self.runs: dict[str, str] = {}
        self.sent = 0  # bytes of the journal
        self._store: Store | None = None
        path = folder / STATE
        if path.exists():
            state = json.loads(path.read_text("utf-8"))
            self.runs, self.sent = state["runs"], state["sent"]

    def waiting(self) -> int:
        """Bytes that have not been sent."""
        path = self.folder / JOURNAL
        return path.stat().st_size - self.sent if path.exists() else 0

    def send(self) -> None:
        """All that there is. Raises an error of Stackmill or MLflow where the store does not answer."""
        if self._store is None:
            self._store = open_experiment(self.uri, self.experiment)
        while True:
            lines, end = self._lines()
            if not lines:
                return
            for group in _grouped(lines):
                self._send(self._store, group)
            self.sent = end
            self._save()

    def _send(self, store: Store, group: list[dict[str, Any]]) -> None:
        """What the store refuses would be refused again: it is said and left out."""
        from mlflow.exceptions import MlflowException

        if group[0]["op"] != "begin" and group[0]["run"] not in self.runs:
            logger.warning("mlflow: %s of a run that never began", group[0]["op"])
            return
        try:
            _SEND[group[0]["op"]](self, store, group)
        except MlflowException as error:
            if not 400 <= error.get_http_status_code() < 500:
                raise
            logger.warning("mlflow: refused %s: %s", group[0]["op"], error.error_code)

    def _lines(self) -> tuple[list[dict[str, Any]], int]:
        """The next ones, whole, and the byte behind them."""
        path = self.folder / JOURNAL
        if not path.exists():
            return [], self.sent
        with path.open("rb") as file:
            file.seek(self.sent)
            raw = file.readlines(MANY_BYTES)
        whole = [line for line in raw if line.endswith(b"\n")]
        return [json.loads(line) for line in whole], self.sent + sum(map(len, whole))

    def _save(self) -> None:
        state = {"uri": self.uri, "experiment": self.experiment}
        replace_text(
            self.folder / STATE, json.dumps({**state, "runs": self.runs, "sent": self.sent})
        )

    def _begin(self, store: Store, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            run = line["run"]
            if run in self.runs:
                store.client.update_run(self.runs[run], status="RUNNING")
                continue
            tags = {**line["tags"], KEY_TAG: line["key"]}
            if run != PARENT:
                tags["mlflow.parentRunId"] = self.runs[PARENT]
            found = store.client.search_runs(
                [store.experiment_id], f"tags.`{KEY_TAG}` = '{line['key']}'", max_results=1
            )
            made = found[0] if found else None
            if made is None:
                made = store.client.create_run(
                    store.experiment_id, start_time=line["time"], tags=tags, run_name=line["name"]
                )
            self.runs[run] = made.info.run_id

    def _metrics(self, store: Store, lines: list[dict[str, Any]]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, float(value), line["time"], line["step"])
            for line in lines
            for name, value in line["values"].items()
        ]
        for start in range(0, len(metrics), MANY):
            store.client.log_batch(
                self.runs[lines[0]["run"]], metrics=metrics[start : start + MANY]
            )

    def _params(self, store: Store, lines: list[dict[str, Any]]) -> None:
        from mlflow.entities import Param

        # A restart may be on other hardware, and MLflow keeps the first value
        known = store.client.get_run(self.runs[lines[0]["run"]]).data.params
        params = [
            Param(name, value[:6000])
            for line in lines
            for name, value in line["values"].items()
            if name not in known
        ]
        for start in range(0, len(params), 100):
            store.client.log_batch(self.runs[lines[0]["run"]], params=params[start : start + 100])

    def _tags(self, store: Store, lines: list[dict[str, Any]]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for line in lines for name, value in line["values"].items()]
        store.client.log_batch(self.runs[lines[0]["run"]], tags=tags)

    def _text(self, store: Store, lines: list[dict[str, Any]]) -> None:
        newest = {line["name"]: line["text"] for line in lines}
        for name, text in newest.items():
            store.client.log_text(self.runs[lines[0]["run"]], text, name)

    def _files(self, store: Store, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            store.client.log_artifacts(self.runs[line["run"]], line["folder"], line["name"])

    def _inputs(self, store: Store, lines: list[dict[str, Any]]) -> None:
        """Without the data: a name, a path, a version. MLflow loses version 0: it is a tag as well."""
        from mlflow.data.delta_dataset_source import DeltaDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag

        for line in lines:
            found = []
            for table in line["tables"]:
                version = table["version"]
                source = DeltaDatasetSource(path=table["path"], delta_table_version=version)
                dataset = MetaDataset(source, name=table["name"], digest=table["digest"])
                tags = [
                    InputTag("mlflow.data.context", "training"),
                    InputTag("version", str(version)),
                ]
                found.append(DatasetInput(dataset._to_mlflow_entity(), tags))
            store.client.log_inputs(self.runs[line["run"]], datasets=found)

    def _register(self, store: Store, lines: list[dict[str, Any]]) -> None:
        from mlflow.exceptions import MlflowException

        for line in lines:
            run_id = self.runs[line["run"]]
            try:
                store.client.create_registered_model(line["model"])
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{store.client.get_run(run_id).info.artifact_uri}/{line['name']}"
            store.client.create_model_version(line["model"], source, run_id, tags=line["tags"])

    def _end(self, store: Store, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            store.client.set_terminated(self.runs[line["run"]], line["status"], line["time"])


_SEND: dict[str, Callable[[Sender, Store, list[dict[str, Any]]], None]] = {
    "begin": Sender._begin,
    "metrics": Sender._metrics,
    "params": Sender._params,
    "tags": Sender._tags,
    "text": Sender._text,
    "files": Sender._files,
    "inputs": Sender._inputs,
    "register": Sender._register,
    "end": Sender._end,
}


class Background:
    """A sender in a thread of its own."""

    def __init__(self, sender: Sender, patience_s: float) -> None:
        self.sender, self.patience_s = sender, patience_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits for what is left to be sent, but not for ever."""
        self._closing.set()
        self._thread.join(self.patience_s + 2 * TIMEOUT_S)
        waiting = self.sender.waiting()
        if waiting:
            logger.warning(
                "mlflow: %d bytes of the journal have not been sent to %s; when it answers: "
                "python -m training.tracking %s", waiting, self.sender.uri, self.sender.folder,
            )  # fmt: skip

    def _run(self) -> None:
        deadline: float | None = None
        is_down = False
        while True:
            closing = self._closing.is_set()
            if closing and deadline is None:
                deadline = time.monotonic() + self.patience_s
            try:
                self.sender.send()
                is_down = False
            except Exception as error:  # noqa: BLE001  whatever a store says, training goes on
                if not is_down:
                    logger.warning(
                        "mlflow: %s does not take what is sent (%s): it is kept in %s and sent later",
                        self.sender.uri, type(error).__name__, JOURNAL,
                    )  # fmt: skip
                is_down = True
            if closing and not (is_down and deadline and time.monotonic() < deadline):
                return
            self._closing.wait(PAUSE_S if closing or not is_down else RETRY_S)
            if closing:
                time.sleep(PAUSE_S)


def start(config: RunConfig) -> Background:
    _answer_soon()
    sender = Sender(Path(config.output), tracking_uri(config), config.tracking.study)
    return Background(sender, config.tracking.patience_s)


def _answer_soon() -> None:
    """MLflow's client would wait for minutes; the thread tries again anyway."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT_S))


def _grouped(lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Neighbours that are of one kind and one run."""
    keyed = itertools.groupby(lines, key=lambda line: (line["op"], line["run"]))
    return [list(group) for _, group in keyed]


def main(argv: list[str] | None = None) -> int:
    """Sends what a run has left in its journal."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m training.tracking OUTPUT\n")
        return 2
    folder = Path(arguments[0])
    try:
        config = load_resolved(folder)
        _answer_soon()
        sender = Sender(folder, tracking_uri(config), config.tracking.study)
        before = sender.waiting()
        sender.send()
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    sys.stdout.write(f"sent {before} bytes of {folder / JOURNAL} to {sender.uri}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
