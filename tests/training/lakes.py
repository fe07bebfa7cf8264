"""A lake that is packed, as `stackmill pack` leaves it, without Spark: tokenizer, shards, shard_documents."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from etl.pack import documents, tokenizer
from etl.pack.tokenizer import Encoder
from training.config import TrainingConfig

VOCABULARY = 600
LANGUAGES = {"py": "Python", "cc": "C++"}


def write_lake(folder: Path, seed: int = 0, repositories: int = 60) -> Path:
    """Two training shards and one of validation."""
    texts = [f"def function_{i}(x):\n    return x + {i}  # é 中\n" for i in range(300)]
    tokenizer.save(tokenizer.train(texts, VOCABULARY), folder / "tokenizer")
    encoder = Encoder(folder / "tokenizer")
    entries, lines = [], []
    for number, split in enumerate(("train", "train", "validation")):
        entry, placed = _write_shard(folder, encoder, number, split, repositories, seed)
        entries.append(entry)
        lines += placed
    write_deltalake(str(folder / "shard_documents"), pa.Table.from_pylist(lines))
    manifest = {
        "format": 1,
        "corpus_version": 3,
        "tokenizer": {"sha256": encoder.digest, "vocabulary": encoder.vocabulary},
        "shards": entries,
    }
    text = json.dumps(manifest)
    digest = hashlib.sha256(text.encode()).hexdigest()
    for name in ("manifest.json", f"manifest-{digest[:16]}.json"):
        (folder / "shards" / name).write_text(text)
    return folder


def _write_shard(
    folder: Path, encoder: Encoder, number: int, split: str, repositories: int, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    draw = random.Random(f"{seed} {number}")
    name = f"{split}-{number:05d}.bin"
    placed: list[documents.Placed] = []
    (folder / "shards").mkdir(exist_ok=True)
    with (folder / "shards" / name).open("wb") as file:
        writer = documents.Writer(encoder, file.write, 0.5, "path", "k")
        for repo in range(repositories):
            files = []
            for place in range(1 + repo % 3):
                extension = ("py", "cc")[(repo + place) % 2]
                content = "".join(
                    f"def f{draw.randrange(20)}(x):\n    return x + {draw.randrange(50)}\n"
                    for _ in range(draw.randrange(1, 9))
                )
                files.append(
                    {"path": f"a{place}.{extension}", "blob_id": "b", "text_id": "t",
                     "language": LANGUAGES[extension], "content": content,
                     "length_bytes": len(content.encode())}
                )  # fmt: skip
            placed += writer.repository(f"{number:08x}{repo:08x}", f"ann/r{repo}", files)
    entry = {
        "name": name, "sha256": writer.digest.hexdigest(), "split": split,
        "num_tokens": writer.num_tokens, "num_documents": repositories,
    }  # fmt: skip
    return entry, [{"shard": name, **line._asdict()} for line in placed]


def tiny(lake: Path, output: Path, **changes: Any) -> TrainingConfig:
    """Two stages of 20 and 10 steps; a model of one layer."""
    values: dict[str, Any] = {
        "output": str(output),
        "data": {"sources": [{"lake": str(lake), "epochs": 50}]},
        "model": {
            "layers": 1, "hidden": 32, "feed_forward": 64, "heads": 2, "kv_heads": 1,
            "vocabulary": 640, "initializer_range": 0.1,
        },
        "stages": [
            {"name": "base", "steps": 20, "sequence_length": 64, "sequences_per_batch": 8,
             "sequences_per_rank": 4, "learning_rate": 1e-2, "final_learning_rate": 1e-3,
             "warmup_steps": 3},
            {"name": "long", "steps": 10, "sequence_length": 128, "sequences_per_batch": 4,
             "sequences_per_rank": 2, "rope_base": 1e6, "sliding_window": 32,
             "learning_rate": 1e-3, "final_learning_rate": 1e-4, "warmup_steps": 2},
        ],
        "zero": {"bucket_elements": 100_000, "persistent_elements": 100, "timeout_s": 60},
        "checkpoint": {"every_steps": 8, "keep_last": 10},
        "validation": {"every_steps": 1000, "max_tokens": 2048, "sequences_per_rank": 8},
        "tracking": {"tracking_uri": f"sqlite:///{lake.parent}/mlflow.db", "log_every_steps": 5,
                     "patience_s": 60},
    }  # fmt: skip
    for key, value in changes.items():
        part = values
        *parents, last = key.split("__")
        for parent in parents:
            part = part[int(parent)] if isinstance(part, list) else part.setdefault(parent, {})
        part[last] = value
    return TrainingConfig.model_validate(values)
