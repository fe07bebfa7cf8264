"""The settings of the context layer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from etl.config import Config


class ContextPiiConfig(Config):
    backend: Literal["auto", "spark-nlp", "onnxruntime", "off"] = Field(
        default="auto",
        description="what runs the classifier: Spark NLP, ONNX Runtime in Python workers, or nothing; "
        "auto: Spark NLP where the session has it, else ONNX Runtime",
    )
    model: str | None = Field(
        default=None,
        description="folder of a classifier that driver and workers can read (`python -m "
        "training.ner.export` makes one); default: the one that comes with Stackmill",
    )
    budget_share: float = Field(
        default=0.002, ge=0, le=1, description="bytes of distinct lines over bytes of kept files"
    )
    min_score: float = Field(
        default=0.6, ge=0, le=1, description="least score of a word of a span that is taken"
    )

    def beside(self) -> str:
        """A digest of the files of a model of the user's: another network, other spans."""
        if self.model is None or self.backend == "off":
            return ""
        digest = hashlib.sha256()
        for path in sorted(Path(self.model).rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]
