"""Where does code come from, and what is too much of it?"""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from etl.config import Config
from etl.errors import ConfigError
from etl.sources.records import MAX_TEXT_BYTES

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # s3://, abfss://, dbfs:/
Kind = Literal["tree", "site-packages", "git", "archives", "parquet", "jsonl", "delta"]
ROW_KINDS = ("parquet", "jsonl", "delta")  # a row a file; of the others a unit a repository


class Limits(Config):
    """Beyond these a file or an archive is named and not read."""

    max_file_bytes: int = Field(default=MAX_TEXT_BYTES, ge=1, description="raw bytes of one file")
    max_members: int = Field(default=200_000, ge=1, description="members of one archive")
    max_files: int = Field(default=5_000_000, ge=1, description="files of one git repository")
    max_archive_bytes: int = Field(
        default=4 << 30, ge=1, description="uncompressed bytes of one archive, over all members"
    )
    max_ratio: int = Field(
        default=200, ge=1, description="uncompressed over compressed bytes of one archive"
    )


class SourceConfig(Config):
    """A place that holds repositories."""

    kind: Kind
    path: str = Field(description="folder or file; parquet, jsonl and delta: any path Spark reads")
    host: str | None = Field(
        default=None,
        description="name of the host: makes repository ids that do not depend on the path",
    )
    ref: str | None = Field(default=None, description="git: branch, tag or commit; default HEAD")
    columns: str | dict[str, str] = Field(
        default="the-stack-v2",
        description="parquet, jsonl, delta: a preset, or our column -> the source's column",
    )
    leave_out: list[str] = Field(
        default=[],
        description="tree, site-packages, git, archives: names of repositories that are not read; "
        "`*` stands for any characters",
    )

    @model_validator(mode="after")
    def _has_names(self) -> SourceConfig:
        if self.leave_out and self.kind in ROW_KINDS:
            raise ValueError(
                f"leave_out: expected a source of repositories, found {self.kind}: its rows are all read"
            )
        return self

    def leaves_out(self, name: str) -> bool:
        """Whether the repository of this name is not to be read."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.leave_out)

    @property
    def location(self) -> str:
        """The place as it is written into the tables: absolute."""
        if URL.match(self.path):
            return self.path
        return os.path.abspath(self.path)


def parse_source(text: str) -> SourceConfig:
    """`KIND:PATH` of the command line. Raises ConfigError."""
    kind, colon, path = text.partition(":")
    kinds = get_args(Kind)
    if not colon or not path or kind not in kinds:
        raise ConfigError(
            f"--source {text}: expected KIND:PATH with KIND one of {', '.join(kinds)}"
        )
    return SourceConfig(kind=kind, path=path)


def require_folder(source: SourceConfig, or_file: bool = False) -> Path:
    """The folder (`or_file`) of a source. Raises ConfigError where it is missing or unreadable."""
    path = Path(source.location)
    expected = "a folder or a file" if or_file else "a folder"
    where = f"ingest.sources: {source.kind}: expected {expected} at {path}"
    try:
        if not os.path.lexists(path):
            raise ConfigError(
                f"{where}, found nothing: check the path (it is relative to where the job is started)"
            )
        if or_file and path.is_file():
            path.open("rb").close()
        else:
            os.scandir(path).close()
    except NotADirectoryError as error:
        raise ConfigError(
            f"{where}, found a file: give the folder that holds the repositories"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{where} that this user may read, found: {os.strerror(error.errno or 0)}: check the "
            "path and its permissions"
        ) from error
    return path
