"""What does MLflow know of a score?    one run an evaluation: metrics and the table of samples

A child of the training's run where that is named. MLflow allows no `@` in a name: pass@1 is `pass_at_1`.
"""

from __future__ import annotations

from typing import Any

from etl.errors import StackmillError


def log_score(
    task: str,
    run_name: str,
    params: dict[str, Any],
    metrics: dict[str, float],
    samples: dict[str, list[Any]],
    experiment: str,
    parent_run: str | None,
) -> str:
    """The run's id. Raises StackmillError where the store does not answer."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.utils.time import get_current_time_millis

    client = MlflowClient()
    try:
        tags = {"stackmill.task": task}
        if parent_run is not None:
            experiment_id = client.get_run(parent_run).info.experiment_id
            tags["mlflow.parentRunId"] = parent_run
        else:
            found = client.get_experiment_by_name(experiment)
            experiment_id = (
                found.experiment_id if found is not None else client.create_experiment(experiment)
            )
        run = client.create_run(experiment_id, run_name=run_name, tags=tags)
        now = get_current_time_millis()
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag("stackmill.model", str(params["model"]))],
        )
        client.log_table(run.info.run_id, samples, f"{task}/samples.json")
        client.set_terminated(run.info.run_id)
    except (MlflowException, OSError) as error:
        raise StackmillError(
            f"MLFLOW_TRACKING_URI: expected an MLflow server or store that takes the scores, found "
            f"{type(error).__name__}: check the address and that the server runs; the scores stand above"
        ) from error
    return str(run.info.run_id)
