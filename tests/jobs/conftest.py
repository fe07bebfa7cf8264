"""One MLflow store and one lake for all tests of jobs: either takes long to make."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.__main__ import main
from tests.jobs import small
from tests.jobs.lakes import configure


@pytest.fixture(scope="session", autouse=True)
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


@pytest.fixture(scope="session")
def built(spark: Any, mlflow_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of all small sources, built once."""
    folder = tmp_path_factory.mktemp("built")
    sources = small.write_all(folder / "sources")
    path = configure(folder, sources, assemble={"export": str(folder / "export")})
    handler = logging.FileHandler(folder / "log.txt")
    loggers = [logging.getLogger(name) for name in ("etl", "jobs", "mlflow", "py4j")]
    for logger in loggers:
        logger.addHandler(handler)
    assert main(["refresh", "--conf", path]) == 0
    for logger in loggers:
        logger.removeHandler(handler)
    handler.close()
    return folder
