"""The layout's laws: import direction, names, the wheel, and what no file may hold."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("etl", "jobs", "training")
MAY_IMPORT = {"etl": {"etl"}, "jobs": {"etl", "jobs", "training"}, "training": {"training", "etl"}}


def modules(package: str) -> Iterator[Path]:
    return (ROOT / package).rglob("*.py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in PACKAGES and name.split(".")[0] not in MAY_IMPORT[package]
    ]
    assert not wrong


def test_training_imports_no_stage() -> None:
    may = {"etl.config", "etl.errors", "etl.pack.manifest", "etl.pack.tokenizer"}
    may |= {"etl.context_pii.lines", "etl.context_pii.model", "etl.context_pii.words"}
    may |= {"etl.facts", "etl.facts.pii_names", "etl.facts.pii_people"}
    found = {
        name for path in modules("training") for name in imports(path) if name.startswith("etl")
    }
    assert found <= may


SPARK_NLP = ROOT / "etl" / "context_pii" / "spark_nlp.py"


def test_etl_builds_no_session_parses_no_arguments_and_reaches_into_no_jvm() -> None:
    """But for the module that runs Spark NLP, which has no other way."""
    forbidden = re.compile(
        r"argparse|SparkSession\.builder|_jvm\b|sparkContext|\.rdd\b|import torch|pyspark\.ml"
    )
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in modules("etl")
        if path != SPARK_NLP and (found := forbidden.search(path.read_text()))
    ]
    assert not wrong


def test_spark_nlp_is_imported_in_one_module() -> None:
    found = {
        path
        for package in PACKAGES
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] == "sparknlp"
    }
    assert found == {SPARK_NLP}


def test_no_job_carries_the_name_of_a_module_that_it_would_hide() -> None:
    """`python jobs/x.py` puts jobs/ first on sys.path."""
    names = {path.stem for path in (ROOT / "jobs").glob("*.py")} - {"__init__", "__main__"}
    top_level = {
        name
        for names_of in importlib.metadata.packages_distributions().items()
        for name in [names_of[0]]
    }
    assert not names & set(sys.stdlib_module_names)
    assert not names & (top_level - set(PACKAGES))


def test_mlflow_folder_does_not_hide_the_package() -> None:
    assert not list((ROOT / "mlflow").rglob("*.py"))
    code = "from mlflow import MlflowClient; print(MlflowClient.__module__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("mlflow.")


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    hosts = re.compile(
        r"p[y]pi\.org|python[h]osted|m[a]ven\.org|registry\.n[p]mjs|(static|index)\.cr[a]tes\.io"
        r"|proxy\.g[o]lang|deb\.d[e]bian|(^|[^A-Za-z0-9_])/(work|farm)/"
    )
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in tracked_files()
        if (found := hosts.search(path.read_bytes().decode("utf-8", "replace")))
    ]
    assert not wrong


def test_no_tracked_file_is_large() -> None:
    assert not [path for path in tracked_files() if path.stat().st_size > 5_000_000]


def test_the_wheel_holds_the_tree(wheel: Path) -> None:
    """Every module and data file of the packages, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    tree = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == tree
