"""Sources that are tables of files: Parquet, JSON Lines, Delta, in The Stack's columns or others.

rows of the source -> one row a file in our columns -> repositories and files

A row is a file, or a repository with a list of files (The Stack v3). A source's column is named with
dots where it lies inside a structure or a list of structures: `files.content`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from etl.errors import ContractError
from etl.sources.decode import decode
from etl.sources.records import (
    OVERSIZE,
    ErrorRecord,
    FileRecord,
    Record,
    RepoRecord,
    repo_id_of,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql import types as T

REQUIRED = ("content", "path", "repo_name")
OPTIONAL = (
    "source_blob_id", "source_encoding", "revision_id", "branch_name", "revision_date",
    "committer_date", "stars", "forks", "host_license", "is_fork", "fork_of", "host_id", "url",
)  # fmt: skip

# Our column -> theirs. Source: the data cards of The Stack, The Stack v2 (2024; with the content
# filled in) and The Stack v3 (stack-v3-train, August 2026).
PRESETS: Mapping[str, Mapping[str, str]] = {
    "the-stack-v1": {
        "content": "content",
        "path": "max_stars_repo_path",
        "repo_name": "max_stars_repo_name",
        "revision_id": "max_stars_repo_head_hexsha",
        "source_blob_id": "hexsha",
        "stars": "max_stars_count",
        "forks": "max_forks_count",
        "host_license": "max_stars_repo_licenses",
    },
    "the-stack-v2": {
        "content": "content",
        "path": "path",
        "repo_name": "repo_name",
        "source_blob_id": "blob_id",
        "source_encoding": "src_encoding",
        "revision_id": "revision_id",
        "branch_name": "branch_name",
        "revision_date": "revision_date",
        "committer_date": "committer_date",
        "stars": "star_events_count",
        "forks": "fork_events_count",
        "host_license": "gha_license_id",
        "host_id": "github_id",
    },
    "the-stack-v3": {
        "content": "files.content",
        "path": "files.file_path",
        "repo_name": "repo_path",
        "source_blob_id": "files.content_id",
        "revision_id": "commit_id",
        "branch_name": "github_metadata.branch",
        "stars": "github_metadata.stars",
        "forks": "github_metadata.forks",
        "is_fork": "github_metadata.is_fork",
        "fork_of": "github_metadata.forked_from",
        "host_id": "repo_id",
    },
}


class Row(NamedTuple):
    """What one row of a source holds: a file of a repository, or why it is none."""

    repo: RepoRecord | None
    record: Record


def resolve_columns(
    found: list[str], columns: str | Mapping[str, str], where: str
) -> dict[str, str]:
    """Our column -> the source's, for those that are there. `found` as `column_names` gives them.

    Raises: ContractError if a required one is not, with what was expected and what was found.
    """
    if isinstance(columns, str) and columns not in PRESETS:
        raise ContractError(
            f"{where}: columns = {columns}: expected one of {', '.join(PRESETS)}, or a mapping of "
            f"our columns ({', '.join(REQUIRED + OPTIONAL)}) to the source's"
        )
    wanted = PRESETS[columns] if isinstance(columns, str) else columns
    unknown = sorted(set(wanted) - set(REQUIRED + OPTIONAL))
    missing = [wanted.get(name, name) for name in REQUIRED if wanted.get(name) not in found]
    # A preset's optional columns may be absent.
    given = set() if isinstance(columns, str) else set(columns.values()) - set(found)
    if unknown or missing or given:
        expected = ", ".join(f"{ours} <- {theirs}" for ours, theirs in wanted.items())
        wrong = ", ".join(sorted({*unknown, *missing, *given}))
        raise ContractError(
            f"{where}: expected columns {expected}; found {', '.join(found)}; at fault: {wrong}: set "
            f"`columns` of this source to one of {', '.join(PRESETS)}, or to a mapping of our "
            "columns to the source's"
        )
    return {ours: theirs for ours, theirs in wanted.items() if theirs in found}


def column_names(schema: T.StructType) -> list[str]:
    """The columns of a source, those inside structures and lists of structures with dots."""
    names = []
    for field in schema.fields:
        names.append(field.name)
        inner = getattr(field.dataType, "elementType", field.dataType)
        if hasattr(inner, "fields"):
            names += [f"{field.name}.{name}" for name in column_names(cast("T.StructType", inner))]
    return names


def one_row_a_file(rows: DataFrame, columns: Mapping[str, str]) -> DataFrame:
    """The rows under our column names; a row with a list of files becomes one row a file.

    An empty list gives one row without path and content, which `read_row` reports.
    Raises: ContractError if columns lie in two lists, or in a list inside a list.
    """
    from pyspark.sql import functions as F
    from pyspark.sql import types as T

    lists = sorted(
        {
            root
            for root, _, rest in (theirs.partition(".") for theirs in columns.values())
            if rest and isinstance(rows.schema[root].dataType, T.ArrayType)
        }
    )
    if len(lists) > 1:
        raise ContractError(
            f"columns lie in more than one list: {', '.join(lists)}: expected one list of files"
        )
    for name in lists:
        rows = rows.withColumn(name, F.explode_outer(name))
    return rows.select(
        *(F.col(_quoted(theirs, rows)).alias(ours) for ours, theirs in columns.items())
    )


def _quoted(name: str, rows: DataFrame) -> str:
    """A column whose own name has dots is told from one inside a structure."""
    return f"`{name}`" if name in rows.columns else name


def read_row(values: Mapping[str, Any], source: str, host: str, max_file_bytes: int) -> Row:
    """The file of one row; `values` by our columns. What is no file of a repository is an error."""
    problem = _problem(values)
    if problem is not None:
        return Row(None, ErrorRecord(source, _row_name(values), *problem))
    repo_name, path = str(values["repo_name"]), _path(values)
    host_id = values.get("host_id")
    repo_id = repo_id_of(f"{host}:{host_id if host_id is not None else repo_name}")
    return Row(_repo(values, repo_id, repo_name, host), _file(values, path, max_file_bytes))


def _path(values: Mapping[str, Any]) -> str:
    return str(values["path"]).strip("/")


def _problem(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and message of what keeps a row from being a file."""
    for column in REQUIRED:
        value = values.get(column)
        if value is None or (column != "content" and not str(value).strip("/")):
            return "null_value", f"expected a value in {column}, found null or nothing"
    content = values["content"]
    if not isinstance(content, str | bytes):
        found = type(content).__name__
        return "wrong_type", f"expected text or binary in content, found {found}"
    if ".." in _path(values).split("/"):
        return "path_traversal", "a path that leaves the repository was passed over"
    return None


def _file(values: Mapping[str, Any], path: str, max_file_bytes: int) -> FileRecord:
    content = values["content"]
    is_text = isinstance(content, str)
    raw = content.encode("utf-8", "replace") if is_text else content
    hash_basis = "text" if is_text else "raw"
    blob_id, encoding = _text(values.get("source_blob_id")), _text(values.get("source_encoding"))
    if len(raw) > max_file_bytes:
        return FileRecord(
            path,
            len(raw),
            OVERSIZE,
            source_blob_id=blob_id,
            hash_basis=hash_basis,
            source_encoding=encoding,
        )
    found = decode(raw)
    return FileRecord(
        path=path,
        size_bytes=len(raw),
        status=found.status,
        source_blob_id=blob_id,
        hash_basis=hash_basis,
        source_encoding=encoding,
        blob_id=found.blob_id,
        text_id=found.text_id,
        encoding=found.encoding,
        text=found.text,
    )


def _repo(values: Mapping[str, Any], repo_id: str, repo_name: str, host: str) -> RepoRecord:
    license_ = values.get("host_license")
    if isinstance(license_, (list, tuple)):
        license_ = " AND ".join(sorted(map(str, filter(None, license_)))) or None
    return RepoRecord(
        repo_id,
        repo_name,
        host,
        account=repo_name.rpartition("/")[0] or None,
        url=_text(values.get("url")),
        revision_id=_text(values.get("revision_id")),
        branch_name=_text(values.get("branch_name")),
        revision_date=_time(values.get("revision_date")),
        committer_date=_time(values.get("committer_date")),
        is_fork=str(values.get("is_fork")).lower() in ("true", "1"),
        fork_of=_text(values.get("fork_of")),
        stars=_number(values.get("stars")),
        forks=_number(values.get("forks")),
        host_license=None if license_ in (None, "NOASSERTION") else str(license_),
    )


def read_batch(
    batch: Any, columns: Mapping[str, str], source: str, host: str, max_file_bytes: int
) -> Iterator[Row]:
    """Rows of an Arrow batch with the columns `columns` names; one content at a time is in Python."""
    small = {
        ours: batch.column(theirs).to_pylist()
        for ours, theirs in columns.items()
        if ours != "content"
    }
    contents = batch.column(columns["content"])
    for index in range(len(batch)):
        values = {ours: column[index] for ours, column in small.items()}
        values["content"] = contents[index].as_py()
        yield read_row(values, source, host, max_file_bytes)


def _row_name(values: Mapping[str, Any]) -> str:
    return "/".join(str(values[name]) for name in ("repo_name", "path") if values.get(name))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> int | None:
    """A count; other sources' tables hold it as a double, or as text."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _time(value: Any) -> dt.datetime | None:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, dt.datetime):
        return None
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
