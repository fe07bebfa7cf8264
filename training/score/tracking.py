"""What does MLflow know of a score?    one run an evaluation: metrics and the table of samples

A child of the training's run where that is named. MLflow allows no `@` in a name: pass@1 is `pass_at_1`.
"""

from __future__ import annotations

import os
from typing import Any

from etl.errors import ConfigError, StackmillError
from training.store import Store, open_experiment, source_tags


def open_store(uri: str | None, experiment: str, parent_run: str | None) -> Store:
    """The parent's experiment where one is named. Raises ConfigError where no store or parent is known,
    StackmillError where the store does not answer."""
    from mlflow.exceptions import MlflowException

    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        raise ConfigError(
            "--tracking-uri: expected an MLflow server or store, found none: set it or MLFLOW_TRACKING_URI, or "
            "pass --no-tracking"
        )
    store = open_experiment(given, experiment)
    if parent_run is None:
        return store
    try:
        return store._replace(experiment_id=store.client.get_run(parent_run).info.experiment_id)
    except MlflowException:
        raise ConfigError(
            f"--parent-run {parent_run}: expected a run of the MLflow store, found none of that id: check the id "
            "and --tracking-uri"
        ) from None


def log_score(
    store: Store,
    task: str,
    run_name: str,
    params: dict[str, Any],
    metrics: dict[str, float],
    samples: dict[str, list[Any]],
    parent_run: str | None,
) -> str:
    """The run's id. Raises StackmillError where the store does not answer."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.utils.time import get_current_time_millis

    client = store.client
    tags = {"stackmill.kind": "evaluation", "stackmill.task": task, **source_tags("training.score")}
    if parent_run is not None:
        tags["mlflow.parentRunId"] = parent_run
    try:
        run_id = client.create_run(store.experiment_id, run_name=run_name, tags=tags).info.run_id
        now = get_current_time_millis()
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag("stackmill.model", str(params["model"]))],
        )
        client.log_table(run_id, samples, f"{task}/samples.json")
        client.set_terminated(run_id)
    except (MlflowException, OSError) as error:
        raise StackmillError(
            f"--tracking-uri: expected an MLflow store that takes the scores, found {type(error).__name__}: check "
            "that it runs; the scores stand above"
        ) from error
    return str(run_id)
