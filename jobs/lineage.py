"""What did a training run read, and which runs read a file?    MLflow's runs, manifests, tables -> answers

A run names its manifest by digest, the manifest names its shards, `shard_documents` says which file lies where
in them, and the step's batch is a function of all that (`training.seen`). None of it is removed by VACUUM.
Steps are counted from 1, as MLflow's metrics and checkpoints count them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from etl.errors import ConfigError, ContractError, StackmillError
from etl.pack import manifest as manifests
from etl.tables import CORPUS_HISTORY, RUNS, SHARD_DOCUMENTS
from jobs.lookup import Row, rows_of
from training.files import DATA, LISTED
from training.seen import NEVER, Reading, readings

TAG = "stackmill.corpus_version"  # a run that has it has read a lake


class Run(NamedTuple):
    """A training run. `step` is the number of steps that it has finished."""

    run_id: str
    name: str
    status: str
    step: int
    data: dict[str, Any]
    checkpoints: list[dict[str, Any]]

    @property
    def heading(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("run_id", "name", "status", "step")}


def open_run(client: Any, run_id: str) -> Run:
    """Raises ConfigError where there is no such run, or none that read a lake."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException:
        raise ConfigError(
            f"--run {run_id}: expected a run of the MLflow store, found none of that id: check the id and "
            "MLFLOW_TRACKING_URI"
        ) from None
    if TAG not in run.data.tags:
        raise ConfigError(
            f"--run {run_id}: expected a training run, found one without the tag {TAG}: name the parent run"
        )
    return _run_of(client, run)


def training_runs(client: Any) -> Iterator[Run | StackmillError]:
    """Every training run of the store, deleted ones too, the oldest first; an error for one that does not say what
    it read."""
    from mlflow.entities import ViewType

    experiments = _all(client.search_experiments, view_type=ViewType.ALL)
    found = _all(
        client.search_runs,
        [experiment.experiment_id for experiment in experiments],
        f"tags.`{TAG}` LIKE '%'",
        run_view_type=ViewType.ALL,
        order_by=["attributes.start_time ASC"],
    )
    for run in found:
        try:
            yield _run_of(client, run)
        except StackmillError as error:
            yield error


def _all(search: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    """The answers of all pages."""
    token = None
    while True:
        page = search(*args, page_token=token, **kwargs)
        yield from page
        token = page.token
        if not token:
            return


def _run_of(client: Any, run: Any) -> Run:
    data = _artifact(client, run.info.run_id, DATA)
    return Run(
        run.info.run_id,
        run.info.run_name,
        run.info.status,
        int(run.data.tags.get("stackmill.step", 0)),
        data,
        _artifact(client, run.info.run_id, LISTED, []),
    )


def _artifact(client: Any, run_id: str, name: str, missing: Any = None) -> Any:
    """Raises ContractError where it cannot be read, unless there is a value for `missing`."""
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as folder:
            return json.loads(Path(client.download_artifacts(run_id, name, folder)).read_bytes())
    except (MlflowException, OSError, ValueError) as error:
        if missing is not None:
            return missing
        raise ContractError(
            f"run {run_id}: expected the artifact {name}, found {type(error).__name__}: what it read is not "
            "known from MLflow: look at its output folder"
        ) from None


class Source(NamedTuple):
    """A part of a run's mixture that was read from this lake. `number` is its place in the mixture."""

    number: int
    name: str
    manifest: dict[str, Any]

    def shards(self, split: str) -> dict[str, int]:
        """Name -> place among those of the split."""
        names = [shard["name"] for shard in self.manifest["shards"] if shard["split"] == split]
        return {name: place for place, name in enumerate(names)}


def sources_of(run: Run, lake: str) -> tuple[list[Source], list[tuple[str, Reading]]]:
    """The parts of the run's mixture whose manifests lie in the lake, and what each stage reads.

    A lake is known by its manifests' digests, wherever it lies now. Raises ContractError for a manifest that is
    gone or changed though the run names this lake.
    """
    found: list[Source] = []
    every: list[dict[str, Any]] = []
    for number, part in enumerate(run.data["mixture"]):
        path = Path(lake, part.get("manifest", run.data["manifest"]))
        expected = part.get("manifest_sha256", run.data["manifest_sha256"])
        digest = None
        if path.exists():
            manifest, digest = manifests.read(path)
        if digest == expected:
            found.append(Source(number, part.get("name", str(number)), manifest))
            every.append(manifest)
        elif Path(part.get("lake", run.data["lake"])).absolute() == Path(lake).absolute():
            raise ContractError(
                f"run {run.run_id}: expected the manifest {expected[:12]} at {path}, found "
                f"{'another' if digest else 'none'}: restore it to know what the run read"
            )
        else:
            every.append({"shards": []})  # of another lake: not asked for
    return found, readings(run.data, every)


def reads_of(run: Run, lake: str, documents: list[Row]) -> list[dict[str, Any]]:
    """Where and when the run read these rows of `shard_documents`: one entry a row that its shards hold."""
    found = []
    sources, stages = sources_of(run, lake)
    for source in sources:
        for split in ("train", "validation"):
            shards = source.shards(split)
            for row in documents:
                if row["shard"] not in shards:
                    continue
                place = (shards[row["shard"]], row["offset"], row["num_tokens"])
                steps = (
                    [
                        step + 1
                        for _, reading in stages
                        for step in reading.steps(source.number, *place).tolist()
                        if step < run.step
                    ]
                    if split == "train"
                    else []
                )
                found.append(
                    {
                        "source": source.name,
                        "split": split,
                        "blob_id": row["blob_id"],
                        "shard": row["shard"],
                        "offset": row["offset"],
                        "num_tokens": row["num_tokens"],
                        "steps": steps,
                    }
                )
    return found


def checkpoints_after(run: Run, steps: list[int]) -> list[dict[str, Any]]:
    """Those whose weights the first of these steps has changed."""
    return [one for one in run.checkpoints if steps and int(one["step"]) >= steps[0]]


def files_of(run: Run, lake: str) -> list[dict[str, Any]]:
    """Every file of the lake that lies in the run's shards, with the first step that read it (null: none yet)."""
    found: list[dict[str, Any]] = []
    sources, stages = sources_of(run, lake)
    for source in sources:
        for split in ("train", "validation"):
            shards = source.shards(split)
            rows = rows_of(lake, SHARD_DOCUMENTS, shard=list(shards)) if shards else []
            first = np.full(len(rows), NEVER)
            if split == "train" and rows:
                columns = [np.array([shards[row["shard"]] for row in rows])]
                columns += [
                    np.array([row[name] for row in rows]) for name in ("offset", "num_tokens")
                ]
                for _, reading in stages:
                    first = np.minimum(first, reading.first_steps(source.number, *columns))
            names = ("repo_id", "path", "blob_id", "language", "num_tokens", "num_bytes")
            for row, step in zip(rows, first.tolist(), strict=True):
                is_read = step < run.step
                found.append(
                    {
                        "source": source.name,
                        "split": split,
                        **{name: row[name] for name in names},
                        "first_step": step + 1 if is_read else None,
                    }
                )
    return found


def tables_of(lake: str, corpus_version: int) -> list[dict[str, Any]]:
    """The jobs that made this version of the corpus, the last first: what each read and wrote, by version."""
    done = [row for row in rows_of(lake, RUNS) if row["status"] == "done"]
    done.sort(key=lambda row: row["started_at"])
    written: dict[tuple[str, int], Row] = {}
    for row in done:
        for table, version in dict(row["tables_written"] or []).items():
            if version is not None:
                written.setdefault((table, version), row)  # a later job may have left it as it was
    found: dict[str, dict[str, Any]] = {}
    wanted = [("corpus", corpus_version)]
    while wanted:
        writer = written.get(wanted.pop())
        if writer is None or writer["run_id"] in found:
            continue
        read = {name: n for name, n in dict(writer["tables_read"] or []).items() if n is not None}
        found[writer["run_id"]] = {
            "job": writer["job"],
            "started_at": writer["started_at"],
            "config_hash": writer["config_hash"],
            "code_hash": writer["code_hash"],
            "tables_read": read,
            "tables_written": dict(writer["tables_written"] or []),
        }
        wanted += read.items()
    return sorted(found.values(), key=lambda job: job["started_at"], reverse=True)


def history_of(lake: str, repo_id: str, path: str) -> list[dict[str, Any]]:
    """Which contents stood at the path in which versions of the corpus, the oldest first."""
    rows = rows_of(lake, CORPUS_HISTORY, repo_id=repo_id, path=path)
    names = ("blob_id", "valid_from", "valid_to")
    found = [{name: row[name] for name in names} for row in rows]
    return sorted(found, key=lambda row: row["valid_from"])
