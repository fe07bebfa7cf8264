"""Does a rank hold what is predicted?    stage of ZeRO, ranks, precision -> bytes a parameter, measured and predicted

    python -m bench.zero_memory

Every combination is a job of its own, started by torchrun. Measured is what all tensors of a rank hold between the
backward pass and the optimizer's step of the third step, when weights, gradients and optimizer states are all there and
activations are gone; the largest rank's. Buckets for communication are kept small, so that they do not count.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import torch

from training import zero
from training.batches import Batch
from training.config import ModelConfig, StageConfig, TrainingConfig, load
from training.model import build, count_parameters, initial_value, packed, parameter_groups
from training.ranks import joined

MODEL = ModelConfig(
    layers=8, hidden=256, feed_forward=1024, heads=4, kv_heads=2, vocabulary=16384,
    initializer_range=0.05,
)  # fmt: skip
LARGE = ("3b", "7b", "15b")
BUCKET = 100_000  # elements
STEPS = 3


def stage_of(ranks: int) -> StageConfig:
    return StageConfig(
        name="base", steps=STEPS, sequence_length=16, sequences_per_batch=ranks, sequences_per_rank=1,
        warmup_steps=0,
    )  # fmt: skip


def _config(bf16: bool, ranks: int) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "output": "-",
            "data": {"sources": [{"lake": "-"}]},
            "model": MODEL.model_dump(),
            "stages": [stage_of(ranks).model_dump()],
            "zero": {
                "precision": "bf16" if bf16 else "fp32",
                "bucket_elements": BUCKET,
                "prefetch_elements": BUCKET,
                "live_parameters": 0,
                "persistent_elements": 0,
            },
        }
    )


def held_bytes() -> int:
    """Of all tensors that this process can reach, each storage once."""
    gc.collect()
    storages = {}
    for found in gc.get_objects():
        if isinstance(found, torch.Tensor) and found.device.type != "meta":
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def measure(stage: int, bf16: bool) -> int:
    """As one rank of a job: bytes of the largest rank, the same on all."""
    with joined(300) as rank:
        config = _config(bf16, rank.count)
        first = config.stages[0]
        engine = _engine(config, stage, rank)
        drawn = np.random.default_rng(rank.number).integers(0, MODEL.vocabulary, (1, 17))
        batch = Batch(
            drawn[:, :-1], drawn[:, 1:], np.zeros((1, 16), np.int64), np.zeros(1, np.int64)
        )
        for step in range(first.steps):
            loss = engine(*packed(batch, rank.device))
            engine.backward(loss)
            del loss
            if step < first.steps - 1:
                engine.step()
        held = [0.0] * rank.count
        held[rank.number] = float(held_bytes())
        return int(max(rank.total(held)))


def _engine(config: TrainingConfig, stage: int, rank: Any) -> Any:
    if stage == 3:
        return zero.start_engine(
            config, rank, config.stages[0],
            lambda name, shape: initial_value(name, shape, config.model, config.seed),
        )  # fmt: skip
    import deepspeed

    settings = zero.deepspeed_config(config, rank.count, zero.is_bf16(config, rank.device))
    settings["zero_optimization"] = {
        "stage": stage, "reduce_bucket_size": BUCKET, "allgather_bucket_size": BUCKET,
        "contiguous_gradients": True, "overlap_comm": False,
    }  # fmt: skip
    model = build(config.model, config.stages[0], rank.device.type)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), fused=True)
    return deepspeed.initialize(
        model=model, optimizer=optimizer, config=settings, dist_init_required=False
    )[0]


def _measured(stage: int, ranks: int, bf16: bool) -> int:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}",
        "-m", "bench.zero_memory", "--stage", str(stage), *(["--bf16"] if bf16 else []),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"stage {stage}, {ranks} ranks: failed:\n{done.stderr[-3000:]}")
    return next(int(line) for line in done.stdout.splitlines() if line.isdecimal())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", type=int, help="as a rank of a job: measure and print bytes")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2, 4])
    given = parser.parse_args()
    if given.stage:
        held = measure(given.stage, given.bf16)
        if os.environ["RANK"] == "0":
            print(held, flush=True)
        return
    parameters = count_parameters(MODEL, stage_of(1))
    print(f"{parameters} parameters, {torch.__version__}, on CPUs; bytes a parameter on a rank")
    print("| precision | ZeRO | ranks | measured | predicted |")
    for bf16, stage, ranks in itertools.product((False, True), (1, 2, 3), given.ranks):
        held = _measured(stage, ranks, bf16) / parameters
        predicted = zero.memory_bytes(parameters, ranks, bf16, stage) / parameters
        name = "bf16" if bf16 else "fp32"
        print(f"| {name} | {stage} | {ranks} | {held:.2f} | {predicted:.2f} |", flush=True)
    _large()


def _large() -> None:
    """Weights, gradients and optimizer states in bf16, GB a rank."""
    heads = [f"{name} ZeRO-{stage}" for name in LARGE for stage in (1, 2, 3)]
    print("\n| ranks | " + " | ".join(heads) + " |")
    for ranks in (1, 8, 64, 256, 512):
        cells = []
        for name in LARGE:
            config = load(f"conf/training/{name}.yaml", [])
            count = count_parameters(config.model, config.stages[0])
            each = (zero.memory_bytes(count, ranks, bf16=True, stage=stage) for stage in (1, 2, 3))
            cells += [f"{size / 1e9:.1f}" for size in each]
        print(f"| {ranks} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
