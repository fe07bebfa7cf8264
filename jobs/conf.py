"""What is configured?    YAML file, --set, --lake and --source -> PipelineConfig

A message names the file, the key, what was found and what is expected.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from etl.annotate import AnnotateConfig
from etl.assemble import AssembleConfig
from etl.config import Config
from etl.context_pii.config import ContextPiiConfig
from etl.decide import DecideConfig
from etl.errors import ConfigError
from etl.ingest import IngestConfig
from etl.licenses import LicenseConfig
from etl.near_dedup.config import NearDedupConfig
from etl.pack.stage import PackConfig, TokenizerConfig
from etl.sources.config import parse_source
from jobs.session import SessionConfig


class ReportConfig(Config):
    path: str | None = Field(
        default=None, description="HTML file; default: report/index.html beside the lake"
    )


class MlflowConfig(Config):
    tracking_uri: str | None = Field(
        default=None,
        description="MLflow server or store; default: MLFLOW_TRACKING_URI, else sqlite beside the lake",
    )
    experiment: str = Field(default="stackmill", description="experiment of the refreshes")


class PipelineConfig(Config):
    lake: str = Field(description="folder or URI of the tables, or CATALOG.SCHEMA")
    staging: str | None = Field(
        default=None, description="folder for intermediate files; default: LAKE/_staging"
    )
    ingest: IngestConfig = IngestConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    near_dedup: NearDedupConfig = NearDedupConfig()
    license_detection: LicenseConfig = LicenseConfig()
    decide: DecideConfig = DecideConfig()
    context_pii: ContextPiiConfig = ContextPiiConfig()
    assemble: AssembleConfig = AssembleConfig()
    train_tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    report: ReportConfig = ReportConfig()
    mlflow: MlflowConfig = MlflowConfig()
    session: SessionConfig = SessionConfig()


def load(
    path: str | None, settings: list[str], lake: str | None = None, sources: list[str] | None = None
) -> PipelineConfig:
    """The resolved configuration. Raises ConfigError, one line a wrong key."""
    values = _read(path) if path is not None else {}
    for setting in settings:
        _set(values, setting)
    if lake is not None:
        values["lake"] = lake
    if sources:
        section = values.setdefault("ingest", {})
        section["sources"] = [parse_source(text).model_dump() for text in sources]
    where = path or "command line"
    if "lake" not in values:
        raise ConfigError(
            f"{where}: lake: expected a folder, found nothing: set it, or pass --lake"
        )
    try:
        return PipelineConfig.model_validate(values)
    except ValidationError as error:
        lines = [_line(where, detail) for detail in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def dump(config: Config) -> dict[str, Any]:
    return config.model_dump(mode="json")


def digest(config: Config) -> str:
    """SHA-256 of the section, keys in their own order where the order says something."""
    return hashlib.sha256((json.dumps(dump(config)) + config.beside()).encode()).hexdigest()


def _read(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: expected a readable YAML file: {type(error).__name__}: check --conf"
        ) from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}:{line} not YAML: mend its syntax") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections (a mapping), found {type(values).__name__}")
    return values


def _set(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: expected section.key=value")
    *parents, last = key.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {setting}: {parent} is a value, not a section")
        values = child
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key}: expected a YAML value: quote it") from None


def _line(where: str, detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = _keys_at(detail["loc"][:-1])
        return f"{where}: {key}: unknown key: expected one of {', '.join(known)}"
    if detail["type"] == "missing":
        return f"{where}: {key}: expected a value, found nothing"
    found = json.dumps(detail["input"], default=str)
    message = detail["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{where}: {key} = {found[:200]}: {message}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """The keys that are known in a section."""
    model: Any = PipelineConfig
    for part in location:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return ["those of the documentation"]
        model = fields[part].annotation
        if not hasattr(model, "model_fields") and hasattr(model, "__args__"):
            model = model.__args__[0]
    return sorted(getattr(model, "model_fields", {"those of the documentation": None}))
