"""Sources that are tables of files: Parquet, JSON Lines, Delta, in The Stack's columns or others.

a batch of rows -> repositories and files, in our columns
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from etl.errors import ContractError
from etl.sources.decode import decode, make_name
from etl.sources.records import (
    OVERSIZE,
    ErrorRecord,
    FileRecord,
    Record,
    RepoRecord,
    repo_id_of,
)

REQUIRED = ("content", "path", "repo_name")
OPTIONAL = (
    "source_blob_id", "source_encoding", "revision_id", "branch_name", "revision_date",
    "committer_date", "stars", "forks", "host_license", "is_fork", "host_id", "url",
)  # fmt: skip

# Source: the data cards of The Stack (v1), The Stack v2 and v3; our column -> theirs.
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
        "content": "content",
        "path": "path",
        "repo_name": "repo_name",
        "source_blob_id": "blob_id",
        "revision_id": "commit_id",
        "stars": "stars",
        "forks": "forks",
        "host_license": "license",
    },
}


class Row(NamedTuple):
    """What one row of a source holds: a file of a repository, or why it is none."""

    repo: RepoRecord | None
    record: Record


def resolve_columns(
    found: list[str], columns: str | Mapping[str, str], where: str
) -> dict[str, str]:
    """Our column -> the source's, for those that are there.

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
    if isinstance(columns, str):
        given = []  # a preset's optional columns may be absent
    else:
        given = [theirs for theirs in columns.values() if theirs not in found]
    if unknown or missing or given:
        expected = ", ".join(f"{ours} <- {theirs}" for ours, theirs in wanted.items())
        wrong = ", ".join(sorted({*unknown, *missing, *given}))
        raise ContractError(
            f"{where}: expected columns {expected}; found {', '.join(found)}; at fault: {wrong}: set "
            f"`columns` of this source to one of {', '.join(PRESETS)}, or to a mapping of our "
            "columns to the source's"
        )
    return {ours: theirs for ours, theirs in wanted.items() if theirs in found}


def read_row(values: Mapping[str, Any], source: str, host: str, max_file_bytes: int) -> Row:
    """The file of one row; `values` by our columns. A row without path, name or content is an error."""
    for column in REQUIRED:
        if values.get(column) is None or (column != "content" and values[column] == ""):
            message = f"expected a value in {column}, found null"
            return Row(None, ErrorRecord(source, _row_name(values), "null_value", message))
    repo_name, path = str(values["repo_name"]), str(values["path"]).strip("/")
    host_id = values.get("host_id")
    repo_id = repo_id_of(f"{host}:{host_id if host_id is not None else repo_name}")
    return Row(_repo(values, repo_id, repo_name, host), _file(values, path, max_file_bytes))


def _file(values: Mapping[str, Any], path: str, max_file_bytes: int) -> FileRecord:
    content = values["content"]
    is_text = isinstance(content, str)
    raw = content.encode("utf-8", "surrogatepass") if is_text else bytes(content)
    if len(raw) > max_file_bytes:
        return make_name(path.encode("utf-8", "surrogatepass"), len(raw), OVERSIZE)
    found = decode(raw)
    return FileRecord(
        path=path,
        size_bytes=len(raw),
        status=found.status,
        source_blob_id=_text(values.get("source_blob_id")),
        hash_basis="text" if is_text else "raw",
        source_encoding=_text(values.get("source_encoding")),
        blob_id=found.blob_id,
        text_id=found.text_id,
        encoding=found.encoding,
        text=found.text,
    )


def _repo(values: Mapping[str, Any], repo_id: str, repo_name: str, host: str) -> RepoRecord:
    license_ = values.get("host_license")
    if isinstance(license_, (list, tuple)):
        license_ = " AND ".join(sorted(map(str, license_))) or None
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
        is_fork=bool(values.get("is_fork") or False),
        stars=_number(values.get("stars")),
        forks=_number(values.get("forks")),
        host_license=None if license_ in (None, "NOASSERTION") else str(license_),
    )


def read_batch(
    batch: Any, columns: Mapping[str, str], source: str, host: str, max_file_bytes: int
) -> Iterator[Row]:
    """Rows of an Arrow batch, one Python row at a time."""
    taken = [(ours, batch.column(theirs)) for ours, theirs in columns.items()]
    for index in range(len(batch)):
        values = {ours: column[index].as_py() for ours, column in taken}
        yield read_row(values, source, host, max_file_bytes)


def _row_name(values: Mapping[str, Any]) -> str:
    return "/".join(str(values[name]) for name in ("repo_name", "path") if values.get(name))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _time(value: Any) -> dt.datetime | None:
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, dt.datetime):
        return None
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
