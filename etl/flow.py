"""The stages in their order: what the CLI, `refresh` and the README's table are made from."""

from etl import annotate, assemble, decide, ingest, license_detection
from etl.near_dedup import stage as near_dedup
from etl.stage import Stage

FLOW: tuple[Stage, ...] = (
    ingest.STAGE,
    annotate.STAGE,
    near_dedup.STAGE,
    license_detection.STAGE,
    decide.STAGE,
    assemble.STAGE,
)
