"""What is configured?    YAML file, --set, --lake and --source -> PipelineConfig"""

from __future__ import annotations

from pydantic import Field

from etl.annotate import AnnotateConfig
from etl.assemble import AssembleConfig
from etl.config import Config, read_values, validated
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
    values = read_values(path, settings)
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
    return validated(PipelineConfig, values, where)
