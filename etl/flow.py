"""The stages in their order: what the CLI, `refresh` and the README's table are made from; and those that
make the corpus ready for training, which a refresh does not run."""

from etl import annotate, assemble, decide, ingest, license_detection
from etl.context_pii import stage as context_pii
from etl.near_dedup import stage as near_dedup
from etl.pack import stage as pack
from etl.stage import Stage

FLOW: tuple[Stage, ...] = (
    ingest.STAGE,
    annotate.STAGE,
    near_dedup.STAGE,
    license_detection.STAGE,
    decide.STAGE,
    context_pii.STAGE,
    assemble.STAGE,
)

TRAINING: tuple[Stage, ...] = (pack.TOKENIZER_STAGE, pack.STAGE)
