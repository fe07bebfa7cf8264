"""What a stage is: a function over a lake's tables, its configuration, what it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from etl.config import Config
from etl.tables import Table

Counts = dict[str, int]  # funnel counts of a run, by name; they become MLflow metrics


@dataclass(frozen=True)
class SourceFiles:
    """Data files of an external source, as URIs: path, size and time of change of those that hold rows,
    sorted; and those that are damaged."""

    listed: tuple[tuple[str, int, str], ...]
    damaged: tuple[str, ...]


class Lake(Protocol):
    """The tables of one corpus, as a stage sees them. Reads see the stage's own writes.

    A read of a table that does not exist gives no rows. Every write is one Delta commit and checks
    the contract. `sample` is the share of repositories (by repo_id) that the run is limited to.
    """

    sample: float

    def read(self, table: Table) -> DataFrame: ...

    def exists(self, table: Table) -> bool: ...

    def read_source(self, kind: str, path: str, without: Iterable[str] = ()) -> DataFrame:
        """The rows of an external Parquet, JSON Lines or Delta source, but for those of the files
        `without`; no columns if it is empty."""
        ...

    def source_files(self, kind: str, path: str) -> SourceFiles: ...

    def local_rows(
        self, rows: Iterable[tuple[Any, ...]], schema: str | T.StructType
    ) -> DataFrame: ...

    def staged(self, name: str, rows: DataFrame) -> DataFrame:
        """`rows`, computed once and kept until the job ends."""
        ...

    def append(self, table: Table, rows: DataFrame) -> None: ...

    def append_all(self, rows: Mapping[Table, DataFrame]) -> None:
        """`append` to several tables at a time: one commit each."""
        ...

    def overwrite(self, table: Table, rows: DataFrame) -> None: ...

    def replace_repos(self, table: Table, rows: DataFrame, repo_ids: Iterable[str]) -> None:
        """Every row of these repositories becomes `rows` (which holds rows of no other)."""
        ...

    def delete(self, table: Table, keys: DataFrame) -> None:
        """Rows whose values equal a row of `keys` in all of its columns are deleted."""
        ...

    def folder(self, name: str) -> str:
        """Where files that are no table lie, beside the tables: LAKE/name."""
        ...

    def version(self, table: Table) -> int | None:
        """Its current Delta version; None if it does not exist."""
        ...

    def batch_rows(self, num_rows: int) -> None:
        """From here on an Arrow batch that goes to Python holds at most so many rows."""
        ...

    def export(self, rows: DataFrame, path: str) -> None:
        """`rows` as Parquet files in the folder `path`, replacing what is there."""
        ...

    def is_complete(self, path: str) -> bool:
        """Whether an export to `path` was finished."""
        ...

    def progress(self, message: str, *args: object) -> None: ...


@dataclass(frozen=True)
class Stage:
    """One job of the flow. `run` gives the counts of what it did."""

    name: str
    decides: str  # the question that it answers, for the README's table and --help
    reads: tuple[Table, ...]
    writes: tuple[Table, ...]
    config_type: type[Config]
    run: Callable[[Lake, Any], Counts]
    reads_sources: bool = False  # it also reads what is no table: never skipped as up to date
    preview: Callable[[Lake, Any], Mapping[str, object]] | None = (
        None  # --dry-run: what it would do
    )
