"""Reads a whole source into plain dictionaries; for sources small enough to decide by eye."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from etl.sources import reader_for
from etl.sources.config import Limits, SourceConfig
from etl.sources.records import ErrorRecord, FileRecord, RepoRecord, Unit


class Reading(NamedTuple):
    units: list[Unit]
    repos: list[RepoRecord]
    files: dict[tuple[str, str], FileRecord]  # by repo_name and path
    errors: list[ErrorRecord]

    @property
    def texts(self) -> dict[str, bytes | None]:
        return {path: file.text for (_, path), file in self.files.items()}

    @property
    def statuses(self) -> dict[str, str]:
        return {path: file.status for (_, path), file in self.files.items()}

    @property
    def problems(self) -> list[tuple[str, str]]:
        return [(error.kind, error.member) for error in self.errors]


def read_source(kind: str, path: Path, limits: Limits | None = None, **settings: str) -> Reading:
    """Checks on the way what holds of every reader: a repository comes first, each path once."""
    source = SourceConfig.model_validate({"kind": kind, "path": str(path), **settings})
    reader = reader_for(kind)
    found = Reading([], [], {}, [])
    for unit in reader.list_units(source):
        if isinstance(unit, ErrorRecord):
            found.errors.append(unit)
            continue
        found.units.append(unit)
        records = list(reader.read_unit(unit, limits or Limits()))
        assert isinstance(records[0], RepoRecord | ErrorRecord)
        assert sum(isinstance(record, RepoRecord) for record in records) <= 1
        for record in records:
            if isinstance(record, RepoRecord):
                assert record.repo_id == unit.repo_id
                found.repos.append(record)
            elif isinstance(record, FileRecord):
                key = (unit.name, record.path)
                assert key not in found.files
                assert (record.text is not None) == (record.status == "stored")
                found.files[key] = record
            else:
                found.errors.append(record)
    for error in found.errors:
        assert error.source == source.location
        error.member.encode("utf-8")  # a table of text can hold it
    return found
