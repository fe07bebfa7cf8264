"""Writes a token classifier in the form that the context layer runs (`etl.context_pii.model`).

    python -m training.ner.export --model FOLDER --to FOLDER

FOLDER is what `save_pretrained` of transformers wrote, model and tokenizer: any token classifier whose
labels are NAME, USERNAME, PASSWORD, KEY or PER, with or without B- and I-. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from etl.context_pii.model import INPUTS, load_model
from etl.errors import ConfigError, StackmillError

logger = logging.getLogger(__name__)

OPSET = 14


class _Logits(torch.nn.Module):
    """The arrays that the runtimes give, the one that they read."""

    def __init__(self, model: Any, takes_types: bool) -> None:
        super().__init__()
        self.model, self.takes_types = model, takes_types

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        types = {"token_type_ids": token_type_ids} if self.takes_types else {}
        logits: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, **types
        ).logits
        return logits if self.takes_types else logits + 0 * token_type_ids.unsqueeze(-1)


def export_network(model: Any, to: Path, takes_types: bool = True) -> None:
    """Writes model.onnx."""
    to.mkdir(parents=True, exist_ok=True)
    ids = torch.ones((2, 8), dtype=torch.long)
    axes = {name: {0: "batch", 1: "length"} for name in (*INPUTS, "logits")}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer: sizes that are the same for every batch
        torch.onnx.export(
            _Logits(model, takes_types).eval(), (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(to / "model.onnx"), input_names=list(INPUTS), output_names=["logits"], dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip


def write_assets(to: Path, labels: Sequence[str], max_length: int, is_case_sensitive: bool) -> None:
    """Writes labels.txt and settings.json."""
    assets = to / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (assets / "labels.txt").write_text("".join(f"{label}\n" for label in labels), "utf-8")
    settings = {"max_length": max_length, "is_case_sensitive": is_case_sensitive}
    (assets / "settings.json").write_text(json.dumps(settings) + "\n", "utf-8")


def export(source: Path, to: Path) -> None:
    """Raises ConfigError where `source` is no token classifier with a tokenizer of its own."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    if not (source / "config.json").is_file():
        raise ConfigError(
            f"{source}: expected a folder with config.json, weights and a tokenizer, found none: save one "
            "with `save_pretrained`"
        )
    try:
        model = AutoModelForTokenClassification.from_pretrained(
            source, local_files_only=True, attn_implementation="eager"
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{source}: expected a token classifier of transformers, found {type(error).__name__}: save "
            "model and tokenizer with `save_pretrained`"
        ) from None
    config: Any = model.config
    labels = [config.id2label[number] for number in range(config.num_labels)]
    max_length = min(512, int(getattr(config, "max_position_embeddings", 512)))
    takes_types = int(getattr(config, "type_vocab_size", 0)) > 0
    export_network(model, to, takes_types)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    is_cased = not (backend.get("normalizer") or {}).get("lowercase", False)
    write_assets(to, labels, max_length, is_cased)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if backend["model"]["type"] == "WordPiece":
        (to / "assets" / "vocab.txt").write_text(
            "".join(f"{piece}\n" for piece, _ in pieces), "utf-8"
        )
    else:
        tokenizer.backend_tokenizer.save(str(to / "assets" / "tokenizer.json"))
    load_model(str(to))


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m training.ner.export", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of the classifier")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        export(args.model, args.to)
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    logger.info("written: %s", args.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
