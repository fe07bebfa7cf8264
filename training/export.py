"""What do others load?    checkpoint -> safetensors, config, tokenizer and model card, as transformers reads them

    python -m training.export --output OUTPUT [--step N] --to DIR [--dtype bfloat16]

Weights come from the checkpoint's files alone: no GPU, no DeepSpeed, the memory of one copy of the model. A tied
output matrix is left out: transformers and vLLM take the input matrix for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from etl.errors import ConfigError, StackmillError
from training.checkpoints import Checkpoint, list_checkpoints, whole_weights
from training.config import FinetuneConfig, RunConfig, load_resolved
from training.conversations import TEMPLATE
from training.model import starcoder2_config
from training.schedule import place_of

logger = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
DTYPES = ("float32", "bfloat16", "float16")


def export(config: RunConfig, checkpoint: Checkpoint, folder: Path, dtype: str = "float32") -> Path:
    """Replaces the folder by the model as it was after the checkpoint's last step."""
    from transformers import Starcoder2ForCausalLM
    from transformers.utils import logging as progress

    quiet: Any = progress.disable_progress_bar  # it has no types
    quiet()
    stage = place_of(config.stages, checkpoint.step - 1).stage
    settings = starcoder2_config(config.model, stage)
    kind = getattr(torch, dtype)
    settings.dtype = kind
    weights = {name: value.to(kind) for name, value in whole_weights(checkpoint)}
    with torch.device("meta"):
        model = Starcoder2ForCausalLM(settings)
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    model.save_pretrained(temporary, state_dict=weights)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(config.tokenizer_folder / name, temporary / name)
    if isinstance(config, FinetuneConfig):
        (temporary / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    (temporary / "README.md").write_text(_card(config, checkpoint, dtype), "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
    return folder


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of an export's weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def find_checkpoint(output: Path, step: int | None = None) -> Checkpoint:
    """The newest, or that of a step. Raises ConfigError where there is none."""
    found = list_checkpoints(output / CHECKPOINTS)
    chosen = [one for one in found if step is None or one.step == step]
    if not chosen:
        steps = ", ".join(str(one.step) for one in found) or "none"
        wanted = "a checkpoint" if step is None else f"the checkpoint of step {step}"
        raise ConfigError(f"{output / CHECKPOINTS}: expected {wanted}, found {steps}: train first")
    return chosen[-1]


def _card(config: RunConfig, checkpoint: Checkpoint, dtype: str) -> str:
    model, data = config.model, checkpoint.meta["identity"]["data"]
    stage = place_of(config.stages, checkpoint.step - 1).stage
    sources = "\n".join(
        f"- `{name}`: `{entry['sha256']}`, weight {entry['weight']:g}"
        for name, entry in data["sources"].items()
    )
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [code]
---

# A code model trained by Stackmill

| | |
|---|---|
| architecture | Starcoder2: {model.layers} layers, width {model.hidden} |
| heads | {model.heads}, of keys and values {model.kv_heads} |
| context | {stage.sequence_length} tokens, sliding window {stage.sliding_window or "none"} |
| RoPE base | {stage.rope_base:g} |
| steps | {checkpoint.step} of {config.total_steps} |
| weights | {dtype}, from checkpoint `{checkpoint.meta["sha256"]}` |
| tokenizer | `{checkpoint.meta["identity"]["tokenizer"]["sha256"]}` |

## Data

{sources}

Each with the digest of what was read: the manifest of token shards (`shard_documents` in the lake names the files in
each, `corpus` their licenses), or conversations.

## Use

Documents are `<repo_name>NAME<file_sep>PATH` and text, or `<file_sep>` and text, up to `<|endoftext|>`. To fill in a
middle: `<fim_prefix>BEFORE<fim_suffix>AFTER<fim_middle>`.

## Limits

It may repeat what it was trained on, and what it writes may be wrong or unsafe: run it in a sandbox, and check the
license of what it resembles.
"""


def parse(argv: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m training.export", allow_abbrev=False)
    parser.add_argument("--output", required=True, metavar="DIR", help="of the training")
    parser.add_argument("--step", type=int, help="default: the newest checkpoint")
    parser.add_argument("--to", required=True, metavar="DIR", help="is replaced")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    given = parse(argv)
    output = Path(given.output)
    try:
        config = load_resolved(output)
        checkpoint = find_checkpoint(output, given.step)
        folder = export(config, checkpoint, Path(given.to), given.dtype)
    except StackmillError as error:
        sys.stderr.write(f"stackmill: {error}\n")
        return error.exit_code
    found = {"export": str(folder), "step": checkpoint.step, "sha256": weights_digest(folder)}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
