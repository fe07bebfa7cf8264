"""What does MLflow know of a run?    one MLflow run a refresh (or a job run by itself)

Parameters: hashes and the resolved configuration as an artifact. Tags: the Delta version of each
table. Metrics: `<stage>/<metric>`, the numbers of the log. Artifacts: the report.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.config import digest, dump
from etl.errors import ConfigError
from jobs import conf
from jobs.lake import absolute, is_catalog
from training.store import Store, open_experiment, source_tags

if TYPE_CHECKING:
    from jobs.runner import Refresh

logger = logging.getLogger(__name__)


def beside_lake(config: conf.PipelineConfig, name: str, key: str) -> str:
    """A local path next to the lake's folder. Raises ConfigError where the lake is no local folder."""
    location = absolute(config.lake)
    if is_catalog(config.lake) or ":" in location.split("/")[0]:
        raise ConfigError(
            f"{key}: expected a value, found nothing: the lake {config.lake} is no local folder, "
            f"so there is no default: set {key}"
        )
    return str(Path(location).parent / name)


def tracking_uri(config: conf.PipelineConfig) -> str:
    given = config.mlflow.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        return given
    if "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return "databricks"
    return f"sqlite:///{beside_lake(config, 'mlflow.db', 'mlflow.tracking_uri')}"


@contextmanager
def tracked(refresh: Refresh, name: str, store: Store) -> Iterator[None]:
    """Logs the refresh's jobs as one MLflow run, with its artifacts."""
    client, experiment_id = store
    run_name = f"{name} {refresh.refresh_id[:8]}"
    run_id = client.create_run(
        experiment_id, run_name=run_name, tags=source_tags(f"jobs.{name}")
    ).info.run_id
    try:
        yield
    except BaseException:
        _log(client, run_id, refresh)
        client.set_terminated(run_id, "FAILED")
        raise
    _log(client, run_id, refresh)
    for path, folder in refresh.artifacts.items():
        client.log_artifact(run_id, path, folder)
    client.set_terminated(run_id)
    logger.info("mlflow: run %s in experiment %s", run_id, refresh.args.config.mlflow.experiment)


def open_store(config: conf.PipelineConfig) -> Store:
    """Raises StackmillError where the store cannot be reached."""
    return open_experiment(tracking_uri(config), config.mlflow.experiment)


def _log(client: Any, run_id: str, refresh: Refresh) -> None:
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.utils.time import get_current_time_millis

    config = refresh.args.config
    now = get_current_time_millis()
    metrics = [
        Metric(f"{run.job}/{name}", float(value), now, 0)
        for run in refresh.runs
        for name, value in (*run.counts.items(), ("elapsed_s", run.elapsed_s))
    ]
    params = [
        Param("lake", config.lake),
        Param("sample", f"{refresh.args.sample:g}"),
        Param("config_hash", digest(config)),
        Param("code_hash", refresh.code_hash),
    ]
    tags = [RunTag("stackmill.refresh_id", refresh.refresh_id)]
    tags += [RunTag(f"stackmill.job.{run.job}", run.status) for run in refresh.runs]
    tags += [
        RunTag(f"stackmill.table.{name}", f"v{version}")
        for name, version in sorted(refresh.table_versions().items())
    ]
    client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
    client.log_text(run_id, json.dumps(dump(config), indent=2), "config.json")
