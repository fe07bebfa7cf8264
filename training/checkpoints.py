"""What does a run go on from after it was stopped?    engine <-> OUTPUT/checkpoints/step-000000100

Each rank writes the partitions that it holds (weights in fp32, Adam's two averages), each reads the parts that it
needs: a checkpoint is of no number of ranks. It is written beside the others under a hidden name, synchronised
to the disk and then renamed: whatever has the name of a checkpoint is whole, whenever the run is killed and
however full the disk.

ZeRO-3 lays a parameter's elements end to end and cuts them into one equal piece a rank, the last ones padded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from etl.errors import ConfigError, ContractError, TrainingError
from training.config import CheckpointConfig
from training.ranks import Rank

logger = logging.getLogger(__name__)

FORMAT = 1
META = "checkpoint.json"
WEIGHTS = "fp32"
STATES = ("exp_avg", "exp_avg_sq")
_PREFIX = "step-"


class Checkpoint(NamedTuple):
    path: Path
    meta: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps that were done."""
        return int(self.meta["step"])


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """Oldest first."""
    found = []
    for path in sorted(folder.glob(f"{_PREFIX}*")):
        try:
            meta = json.loads((path / META).read_text("utf-8"))
        except (OSError, ValueError):
            raise ContractError(
                f"{path / META}: expected what the checkpoint holds, found no readable file: delete {path} to go "
                "on from the one before"
            ) from None
        if meta.get("format") != FORMAT:
            raise ContractError(
                f"{path / META}: expected format {FORMAT}, found {meta.get('format')}: go on with the version that "
                "wrote it"
            )
        found.append(Checkpoint(path, meta))
    return found


def check(checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Raises ConfigError for a checkpoint of another model, tokenizer or data, ContractError for one cut short."""
    for part, expected in identity.items():
        found = checkpoint.meta["identity"].get(part)
        if found != expected:
            raise ConfigError(
                f"{checkpoint.path}: expected a checkpoint of the same {part}, found another: "
                f"{_difference(found, expected)}: configure what it was trained with, or another output"
            )
    for entry in checkpoint.meta["files"]:
        path = checkpoint.path / entry["name"]
        size = path.stat().st_size if path.exists() else -1
        if size != entry["size"]:
            raise ContractError(
                f"{path}: expected {entry['size']} bytes, found {size if size >= 0 else 'no file'}: delete "
                f"{checkpoint.path} to go on from the one before"
            )


def write(engine: Any, folder: Path, meta: dict[str, Any], rank: Rank) -> Checkpoint:
    """Raises TrainingError where any rank cannot write; checkpoints that were there stay as they are."""
    final = folder / f"{_PREFIX}{meta['step']:09d}"
    temporary = folder / f".{final.name}.part"
    if rank.is_first:
        shutil.rmtree(temporary, ignore_errors=True)
    rank.wait()
    entry: dict[str, Any] = {}
    failure = ""
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        entry = _write_part(engine, temporary / _name_of(rank.number), rank)
    except (OSError, SafetensorError) as error:
        failure = f"{temporary}: {_reason(error)}"
    failure = rank.agree(failure)
    entries: list[dict[str, Any]] = [{}] * rank.count
    torch.distributed.all_gather_object(entries, entry)
    whole = {
        "format": FORMAT,
        "ranks": rank.count,
        **meta,
        "parameters": {name: list(shape) for name, _, shape in _named(engine)},
        "files": entries,
        "sha256": hashlib.sha256(json.dumps(entries).encode()).hexdigest(),
    }
    if rank.is_first and not failure:
        try:
            _write_text(temporary / META, json.dumps(whole, indent=1))
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)
            _sync(folder)
        except OSError as error:
            failure = f"{temporary}: {_reason(error)}"
    failure = rank.agree(failure)
    if failure:
        if rank.is_first:
            shutil.rmtree(temporary, ignore_errors=True)
        there = [found.step for found in list_checkpoints(folder)]
        raise TrainingError(
            f"{failure}: expected room for the checkpoint of step {meta['step']}; the last good one is "
            f"{f'of step {there[-1]}' if there else 'none'}: free space and start again"
        )
    return Checkpoint(final, whole)


def prune(folder: Path, config: CheckpointConfig) -> None:
    """Keeps the last ones and those of the configured interval."""
    for checkpoint in list_checkpoints(folder)[: -config.keep_last]:
        every = config.keep_every_steps
        if every is None or checkpoint.step % every:
            shutil.rmtree(checkpoint.path)


def read(engine: Any, checkpoint: Checkpoint, rank: Rank) -> None:
    """Weights and optimizer states of the checkpoint, into an engine of any number of ranks."""
    from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

    optimizer = engine.optimizer
    optimizer.checkpoint_event_prologue()  # every parameter in its partitions
    applied = int(checkpoint.meta["applied_steps"])
    if applied:
        for flat in optimizer.fp32_partitioned_groups_flat:
            optimizer.optimizer.state[flat] = {
                "step": _step_of(optimizer.optimizer, applied, flat.device),
                **{name: torch.zeros_like(flat) for name in STATES},
            }
    with _Pieces(checkpoint) as pieces:
        for name, parameter, shape in _named(engine):
            size = parameter.ds_tensor.numel()
            start = rank.number * size
            weights = pieces.part(f"{name}/{WEIGHTS}", shape, start, size)
            safe_set_local_fp32_param(parameter, weights.to(parameter.ds_tensor.device))
            parameter.ds_tensor.data.copy_(weights)
            for state in STATES if applied else ():
                value = pieces.part(f"{name}/{state}", shape, start, size)
                safe_set_local_optimizer_state(parameter, value, state)
    optimizer.checkpoint_event_epilogue()


def whole_weights(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """float32: each parameter, one at a time."""
    with _Pieces(checkpoint) as pieces:
        for name, shape in checkpoint.meta["parameters"].items():
            numel = _numel(shape)
            yield name, pieces.part(f"{name}/{WEIGHTS}", shape, 0, numel).view(shape)


class _Pieces:
    """The files of all ranks that wrote a checkpoint, mapped into memory."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.files: list[Any] = []

    def __enter__(self) -> _Pieces:
        for entry in self.checkpoint.meta["files"]:
            path = self.checkpoint.path / entry["name"]
            self.files.append(safe_open(path, "pt"))
        return self

    def __exit__(self, *_: object) -> None:
        self.files.clear()

    def part(self, key: str, shape: Sequence[int], start: int, size: int) -> Tensor:
        """`size` elements from `start`; zeros behind the parameter's end."""
        found = torch.zeros(size)
        end = min(start + size, _numel(shape))
        place = start
        while place < end:
            held = self.files[0].get_slice(key).get_shape()[0]
            owner, offset = divmod(place, held)
            stop = min(end, (owner + 1) * held)
            piece = self.files[owner].get_slice(key)[offset : offset + stop - place]
            found[place - start : stop - start] = piece
            place = stop
        return found


def _write_part(engine: Any, path: Path, rank: Rank) -> dict[str, Any]:
    from deepspeed.utils import safe_get_local_fp32_param, safe_get_local_optimizer_state

    tensors: dict[str, Tensor] = {}
    has_states = bool(engine.optimizer.optimizer.state)
    for name, parameter, _ in _named(engine):
        tensors[f"{name}/{WEIGHTS}"] = safe_get_local_fp32_param(parameter).cpu()
        for state in STATES if has_states else ():
            value = safe_get_local_optimizer_state(parameter, state)
            tensors[f"{name}/{state}"] = value.cpu()
    # Partitions are views into one buffer: each is stored by itself
    save_file({key: value.clone() for key, value in tensors.items()}, path)
    _sync(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "size": path.stat().st_size, "sha256": digest}


def _named(engine: Any) -> Iterator[tuple[str, Any, Sequence[int]]]:
    for name, parameter in engine.module.named_parameters():
        yield name, parameter, tuple(parameter.ds_shape)


def _numel(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


def _step_of(optimizer: torch.optim.Optimizer, applied: int, device: torch.device) -> Any:
    """As the optimizer counts: torch's in a tensor, DeepSpeed's in a number."""
    if isinstance(optimizer, torch.optim.AdamW):
        return torch.tensor(float(applied), device=device)
    return applied


def _name_of(number: int) -> str:
    return f"rank-{number:05d}.safetensors"


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    text = str(error)
    if getattr(error, "errno", None) == 28 or "No space left" in text or "os error 28" in text:
        return "the disk is full"
    return f"{type(error).__name__}: {text[:200]}"


def _difference(found: Any, expected: Any, key: str = "") -> str:
    """The first key at which they differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in {**expected, **found}:
            if found.get(name) != expected.get(name):
                return _difference(found.get(name), expected.get(name), f"{key}.{name}".strip("."))
    return f"{key or 'it'} is {found!r} there and {expected!r} here"
