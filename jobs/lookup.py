"""Which rows hold a value?    tables read directly, without Spark: an answer takes a second or two"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from etl.errors import ConfigError
from etl.tables import REPOS, Table
from jobs import conf
from jobs.lake import absolute, is_catalog

Row = dict[str, Any]


def parser(command: str, doc: str | None) -> argparse.ArgumentParser:
    """Of a command that answers from a lake's tables."""
    found = argparse.ArgumentParser(
        prog=f"stackmill {command}", description=(doc or "").split("\n")[0]
    )
    found.add_argument("--conf", metavar="FILE", help="YAML configuration that names the lake")
    found.add_argument("--lake", metavar="DIR", help="folder or URI of the tables")
    found.add_argument("--json", action="store_true", help="print the answer as JSON")
    return found


def lake_of(config: conf.PipelineConfig) -> str:
    """Folder or URI of the tables. Raises ConfigError for a catalog."""
    if is_catalog(config.lake):
        raise ConfigError(
            f"lake = {config.lake}: expected the tables' folder or URI, found a catalog"
        )
    return absolute(config.lake)


def rows_of(lake: str, table: Table, **values: str | Sequence[str]) -> list[Row]:
    """Rows where each column has its value, or one of its values: files are skipped by statistics, then
    filtered. None where the table does not exist."""
    try:
        dataset = dataset_of(lake, table)
    except TableNotFoundError:
        return []
    found: ds.Expression | None = None
    for column, value in values.items():
        wanted = [value] if isinstance(value, str) else list(value)
        term = pc.field(column).isin(pa.array(wanted, pa.string()))
        found = term if found is None else found & term
    rows: list[Row] = dataset.to_table(filter=found).to_pylist()
    return rows


def dataset_of(lake: str, table: Table) -> ds.Dataset:
    """The table's current files, read by Arrow's own file system.

    deltalake's would call Python from Arrow's threads, which aborts a process that ends meanwhile.
    """
    found = DeltaTable(f"{lake}/{table.name}")
    schema = pa.schema(found.schema().to_arrow())
    return ds.dataset(found.file_uris(), schema=schema, format="parquet")


def looks_like_id(repo: str) -> bool:
    return len(repo) == 32 and all(digit in "0123456789abcdef" for digit in repo)


def no_such_repository(lake: str, repo: str) -> str:
    """An error's message that names what comes close."""
    try:
        names = dataset_of(lake, REPOS).to_table(columns=["repo_name"]).column("repo_name")
    except TableNotFoundError:
        return (
            f"{lake}: expected a lake, found none: check --lake, or run `stackmill refresh` first"
        )
    near = difflib.get_close_matches(repo, names.to_pylist(), 3, 0.4)
    hint = f": did you mean {', '.join(near)}?" if near else ""
    return f"{repo}: expected a repository of the lake {lake}, found none of that name{hint}"
