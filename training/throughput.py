"""How well is the hardware used?    tokens, seconds -> tokens/s, MFU, memory

MFU = tokens/s x FLOPs a token / peak FLOPs of all ranks. FLOPs a token, forward and backward pass: 6 N for the
matrices (N parameters; the output matrix counts, a lookup does not) and 6 x layers x hidden x S for attention,
where S is the context or the sliding window: a token attends to half of it on average. What is computed again for
activation checkpointing is not counted, nor are the borders of documents.

Source: Chowdhery et al., "PaLM", 2022, appendix B, with attention halved for causality. Peaks: vendors' data
sheets, dense bf16; a CPU's is that of a product of two matrices, measured once at the start.
"""

from __future__ import annotations

import time
from typing import Any

import psutil
import torch

from training.config import ModelConfig, StageConfig

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "GH200": 989e12, "B200": 2250e12, "A100": 312e12}
_SIDE = 1024


def flops_per_token(model: ModelConfig, stage: StageConfig, parameters: int) -> float:
    matrices = parameters - (0 if model.tied_embeddings else model.vocabulary * model.hidden)
    span = min(stage.sequence_length, stage.sliding_window or stage.sequence_length)
    return 6.0 * matrices + 6.0 * model.layers * model.hidden * span


def peak_flops(device: torch.device) -> float:
    """Of one rank; 0 for a GPU that is not in the list."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((peak for part, peak in PEAK_FLOPS.items() if part in name), 0.0)
    left = torch.ones(_SIDE, _SIDE)
    right = left @ left
    started = time.perf_counter()
    for _ in range(3):
        right = left @ left
    elapsed = time.perf_counter() - started
    del right
    return 3 * 2 * _SIDE**3 / elapsed


def system_metrics(device: torch.device) -> dict[str, float]:
    """Of this process and its machine; names as MLflow's system metrics."""
    process = psutil.Process()
    memory = psutil.virtual_memory()
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": (memory.total - memory.available) / 1e6,
        "system/process_memory_megabytes": process.memory_info().rss / 1e6,
    }
    if device.type == "cuda":
        number = device.index or 0
        found |= {
            f"system/gpu_{number}_memory_usage_megabytes": torch.cuda.memory_allocated(device)
            / 1e6,
            f"system/gpu_{number}_peak_memory_megabytes": torch.cuda.max_memory_allocated(device)
            / 1e6,
        }
    return found


def hardware(device: torch.device, ranks: int) -> dict[str, Any]:
    """Parameters of a run."""
    return {
        "ranks": ranks,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpus": psutil.cpu_count(logical=True),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "threads": torch.get_num_threads(),
    }
