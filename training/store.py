"""Where are runs kept?    address, experiment -> MLflow client and the experiment's id"""

from __future__ import annotations

import functools
import getpass
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from etl.errors import StackmillError

SQLITE = "sqlite:///"


class Store(NamedTuple):
    """An MLflow client and the experiment that runs are logged to."""

    client: Any
    experiment_id: str


def open_experiment(uri: str, experiment: str) -> Store:
    """Raises StackmillError where the store cannot be reached.

    Artifacts of a local database lie beside it; by MLflow's default they would land in the working directory.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        location = None
        if uri.startswith(SQLITE):
            folder = Path(uri.removeprefix(SQLITE)).parent
            folder.mkdir(parents=True, exist_ok=True)
            location = (folder / "mlflow-artifacts").absolute().as_uri()
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None:
            return Store(client, found.experiment_id)
        return Store(client, client.create_experiment(experiment, location))
    except (MlflowException, OSError) as error:
        raise StackmillError(
            f"mlflow.tracking_uri: expected an MLflow server or store that answers, found "
            f"{type(error).__name__}: check the address and that the server runs"
        ) from error


def source_tags(name: str) -> dict[str, str]:
    """What MLflow's pages show as the source of a run and who made it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    found = {"mlflow.source.name": name, "mlflow.source.type": "LOCAL", "mlflow.user": user}
    commit = git_commit()
    return {**found, "mlflow.source.git.commit": commit} if commit else found


@functools.cache
def git_commit() -> str:
    """Of the repository that this code lies in; empty for an installed package."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent,
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
