"""How is the model spread over ranks?    configuration, ranks -> DeepSpeed's ZeRO-3 configuration and engine

Parameters, gradients and optimizer states are partitioned over all ranks. Weights are fp32 beside the bf16 copies
that a GPU computes with. Learning rate and accumulation are the loop's: DeepSpeed is told at each step.

Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from etl.errors import ConfigError
from training.config import RunConfig, StageConfig
from training.model import CodeModel, build, enter_stage, parameter_groups
from training.ranks import Rank


def pieces_of(stage: StageConfig, ranks: int) -> int:
    """Forward passes of a rank in a step. Raises ConfigError where the batch does not divide."""
    share = ranks * stage.sequences_per_rank
    if stage.sequences_per_batch % share:
        raise ConfigError(
            f"stage {stage.name}: sequences_per_batch = {stage.sequences_per_batch}: expected a multiple of "
            f"{ranks} ranks x sequences_per_rank = {stage.sequences_per_rank}: change either, or the ranks"
        )
    return stage.sequences_per_batch // share


def is_bf16(config: RunConfig, device: torch.device) -> bool:
    return config.zero.precision == "bf16" or (
        config.zero.precision == "auto" and device.type == "cuda"
    )


def deepspeed_config(config: RunConfig, ranks: int, bf16: bool) -> dict[str, Any]:
    """Derived, never written by hand."""
    zero, stage = config.zero, config.stages[0]
    offload = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    parts: dict[str, Any] = {
        "stage": 3,
        "contiguous_gradients": True,
        "overlap_comm": torch.cuda.is_available(),
        "reduce_bucket_size": zero.bucket_elements,
        "stage3_prefetch_bucket_size": zero.prefetch_elements,
        "stage3_max_live_parameters": zero.live_parameters,
        "stage3_max_reuse_distance": zero.live_parameters,
        "stage3_param_persistence_threshold": zero.persistent_elements,
    }
    if zero.offload_optimizer:
        parts["offload_optimizer"] = offload
    if zero.offload_parameters:
        parts["offload_param"] = offload
    found: dict[str, Any] = {
        "train_batch_size": stage.sequences_per_batch,
        "train_micro_batch_size_per_gpu": stage.sequences_per_rank,
        "gradient_accumulation_steps": pieces_of(stage, ranks),
        "gradient_clipping": config.optimizer.max_gradient_norm,
        "bf16": {"enabled": bf16},
        "zero_optimization": parts,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }
    if bf16:
        found["data_types"] = {"grad_accum_dtype": "fp32"}
    return found


Weights = Callable[[str, torch.Size], torch.Tensor]  # of a parameter, by its name, in fp32


def start_engine(config: RunConfig, rank: Rank, stage: StageConfig, weights: Weights) -> Any:
    """A DeepSpeed engine with these weights. Raises ConfigError where a batch does not divide."""
    for each in config.stages:
        pieces_of(each, rank.count)
    settings = deepspeed_config(config, rank.count, is_bf16(config, rank.device))
    import deepspeed

    with deepspeed.zero.Init(config_dict_or_path=settings):
        model = build(config.model, stage, rank.device.type)
    _initialize(model, weights)
    if config.zero.activation_checkpointing:
        kept: Any = model  # its method has no types
        kept.gradient_checkpointing_enable({"use_reentrant": False})
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=_optimizer(model, config), config=settings, dist_init_required=False
    )
    enter_stage(model, stage)
    return engine


def _initialize(model: CodeModel, weights: Weights) -> None:
    """Rank 0's values are taken for all."""
    import deepspeed

    for name, parameter in model.named_parameters():
        with (
            torch.no_grad(),
            deepspeed.zero.GatheredParameters([parameter], modifier_rank=0),
        ):
            if parameter.numel():
                parameter.copy_(weights(name, parameter.shape))


def _optimizer(model: CodeModel, config: RunConfig) -> torch.optim.Optimizer:
    own = config.optimizer
    groups = parameter_groups(model, own.weight_decay)
    shared = {"lr": config.stages[0].learning_rate, "betas": (own.beta1, own.beta2)}
    if config.zero.offload_optimizer:
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        found: torch.optim.Optimizer = DeepSpeedCPUAdam(
            groups, eps=own.epsilon, adamw_mode=True, **shared
        )
        return found
    return torch.optim.AdamW(groups, eps=own.epsilon, fused=True, **shared)  # type: ignore[arg-type]


def set_rate(engine: Any, rate: float) -> None:
    """For the next step."""
    for group in engine.optimizer.param_groups:
        group["lr"] = rate


def memory_bytes(parameters: int, ranks: int, bf16: bool, stage: int = 3) -> int:
    """Of weights, gradients and optimizer states on a rank, between the backward pass and the step; activations
    and buffers come on top.

    A parameter is 2 bytes of bf16 and 12 of fp32 (itself, Adam's averages), its gradient 4 of fp32, in ZeRO-1 2
    of bf16 beside them; in fp32 it is held twice. `bench.zero_memory` measures it. Source: ZeRO, section 3.
    """
    weights, states = (2, 12) if bf16 else (4, 12)
    gradients = 6 if bf16 and stage == 1 else 4
    are_gradients_split = stage >= 2 or not bf16
    parts = [
        weights / (ranks if stage >= 3 else 1),
        gradients / (ranks if are_gradients_split else 1),
        states / (ranks if stage >= 1 else 1),
    ]
    return round(parameters * sum(parts))
