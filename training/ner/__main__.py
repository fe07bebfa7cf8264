"""Trains the classifier of the context layer and writes it with its scores.

    python -m training.ner [--to etl/data/ner] [--site-packages DIR] [--sdists build/demo/sdists]

The data is made here: labelled lines of installed packages and of the demo's source distributions, and
lines made by rules. The packages of the labelled set (`bench/pii_labels.jsonl`) are left out.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from etl.context_pii.model import load_model
from etl.errors import StackmillError
from training.ner.distant import excluded_packages, labelled_lines
from training.ner.export import export_network, write_assets
from training.ner.made import made_lines
from training.ner.names import People
from training.ner.train import LABELS, Settings, encode, scores, train, train_vocabulary

logger = logging.getLogger(__name__)

MADE_LINES, HELD_OUT_MADE_LINES = 60_000, 3_000
NUM_FILLS = 3  # of a line of a package, each with other names


def run(args: argparse.Namespace) -> None:
    """Writes model.onnx, assets and scores.json under `args.to`."""
    started = time.monotonic()
    settings = Settings(num_epochs=args.epochs)
    torch.set_num_threads(args.threads)
    learned, held_out = labelled_lines(
        args.site_packages, args.sdists, excluded_packages(args.exclude), settings.seed, NUM_FILLS
    )
    made = made_lines(People(settings.seed + 1, False), MADE_LINES)
    held_out_made = made_lines(People(settings.seed + 1, True), HELD_OUT_MADE_LINES)
    vocab = args.to / "assets" / "vocab.txt"
    train_vocabulary(learned + made, settings, vocab)
    num_pieces = len(vocab.read_text("utf-8").splitlines())
    model = train(encode(learned + made, vocab, settings.max_length), num_pieces, settings)
    export_network(model, args.to)
    write_assets(args.to, LABELS, settings.max_length, is_case_sensitive=True)
    loaded = load_model(str(args.to))
    result = {
        "lines": {"packages": len(learned), "made": len(made)},
        "held_out_packages": scores(model, encode(held_out, vocab, settings.max_length), settings),
        "held_out_made": scores(model, encode(held_out_made, vocab, settings.max_length), settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "elapsed_s": round(time.monotonic() - started),
    }
    (args.to / "scores.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    sys.stdout.write(json.dumps(result, indent=1) + f"\nmodel {loaded.model_id} in {args.to}\n")


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m training.ner", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--to", type=Path, default=Path("etl/data/ner"), help="folder to write")
    parser.add_argument("--site-packages", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--sdists", type=Path, default=Path("build/demo/sdists"))
    parser.add_argument(
        "--exclude", type=Path, default=Path("bench/pii_labels.jsonl"),
        help="labelled set whose packages are left out",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, default=Settings.num_epochs)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    try:
        run(args)
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
