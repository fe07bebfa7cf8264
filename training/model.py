"""What is trained?    configuration -> transformers' Starcoder2, with packed documents and a loss in its head

The model takes a batch as `training.batches` cuts it and returns a sum of losses. Its weights at the start are
a function of seed and name, whatever the number of ranks. Its context grows from stage to stage: RoPE's base and
the sliding window are no weights.

Source: StarCoder 2, section 6; initialisation as Megatron-LM's: projections into the residual stream are smaller
by sqrt(2 layers).
"""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import Starcoder2Config, Starcoder2ForCausalLM

from etl.pack.tokenizer import END, FIM_PAD
from training import attention
from training.attention import bounds_of, mask_of, positions_of
from training.batches import Batch
from training.config import ModelConfig, StageConfig
from training.loss import LanguageHead

_INTO_RESIDUAL = ("self_attn.o_proj.weight", "mlp.c_proj.weight")


class Packed(NamedTuple):
    """A batch on a device: tokens[B, T], and what attention needs of the documents in it."""

    tokens: Tensor
    labels: Tensor
    positions: Tensor
    documents: Tensor  # segments[B, T] on a CPU, bounds on a GPU
    longest: int


class CodeModel(Starcoder2ForCausalLM):  # type: ignore[no-untyped-call]  # transformers' own
    """Starcoder2 whose forward pass takes packed documents and gives losses in nats."""

    def __init__(self, config: Starcoder2Config) -> None:
        super().__init__(config)
        self.lm_head = LanguageHead(config.hidden_size, config.vocab_size)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self, tokens: Tensor, labels: Tensor, positions: Tensor, documents: Tensor, longest: int
    ) -> Tensor:
        """The sum of losses where gradients are taken, else float32[B, T]."""
        if self.config._attn_implementation == attention.VARLEN:
            how: dict[str, Any] = {"bounds": documents, "longest": longest}
        else:
            how = {"attention_mask": mask_of(documents, self.config.sliding_window)}
        hidden = self.model(
            input_ids=tokens, position_ids=positions, use_cache=False, **how
        ).last_hidden_state
        found: Tensor = self.lm_head(hidden, labels)
        return found


def packed(batch: Batch, device: torch.device) -> Packed:
    tokens, labels, positions = (
        torch.from_numpy(array).to(device, non_blocking=True)
        for array in (batch.inputs, batch.labels, positions_of(batch.segments))
    )
    if device.type == "cuda":
        bounds, longest = bounds_of(batch.segments)
        documents = torch.from_numpy(bounds).to(device, torch.int32, non_blocking=True)
        return Packed(tokens, labels, positions, documents, longest)
    segments = torch.from_numpy(batch.segments).to(device)
    return Packed(tokens, labels, positions, segments, 0)


def starcoder2_config(config: ModelConfig, stage: StageConfig) -> Starcoder2Config:
    """As the model is at the end of the stage; what an export says of itself."""
    return Starcoder2Config(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=stage.sequence_length,
        initializer_range=config.initializer_range,
        norm_epsilon=config.norm_epsilon,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=FIM_PAD,
        rope_parameters={"rope_type": "default", "rope_theta": stage.rope_base},
        sliding_window=stage.sliding_window,
        attention_dropout=0.0,
        residual_dropout=0.0,
        embedding_dropout=0.0,
        tie_word_embeddings=config.tied_embeddings,
    )


def build(config: ModelConfig, stage: StageConfig, device_type: str) -> CodeModel:
    """Weights are whatever construction leaves: `initialize` follows."""
    settings = starcoder2_config(config, stage)
    settings.pad_token_id = None  # transformers would keep its embedding at zero
    if device_type == "cuda":
        attention.register()
    settings._attn_implementation = attention.VARLEN if device_type == "cuda" else "sdpa"
    return CodeModel(settings)


def enter_stage(model: CodeModel, stage: StageConfig) -> None:
    """Sets the stage's context. The frequencies of RoPE are kept in fp32, whatever the weights are in."""
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": stage.rope_base}
    model.config.sliding_window = stage.sliding_window
    model.config.max_position_embeddings = stage.sequence_length
    rotary = model.model.rotary_emb
    device = rotary.inv_freq.device
    frequencies, _ = rotary.compute_default_rope_parameters(model.config)
    rotary.inv_freq = frequencies.to(device, torch.float32)
    rotary.original_inv_freq = rotary.inv_freq


def initial_value(name: str, shape: torch.Size, config: ModelConfig, seed: int) -> Tensor:
    """float32: the parameter's value at step 0."""
    if name.endswith(".bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    spread = config.initializer_range
    if name.endswith(_INTO_RESIDUAL):
        spread /= math.sqrt(2 * config.layers)
    generator = torch.Generator().manual_seed((seed << 32) ^ zlib.crc32(name.encode()))
    return torch.empty(shape).normal_(0.0, spread, generator=generator)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms do not. A tied matrix is there once."""
    named = list(model.named_parameters())
    matrices = [parameter for name, parameter in named if is_matrix(name)]
    others = [parameter for name, parameter in named if not is_matrix(name)]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def is_matrix(name: str) -> bool:
    """By name: a partitioned parameter has lost its shape."""
    return name.endswith(".weight") and "norm" not in name


def count_parameters(config: ModelConfig, stage: StageConfig) -> int:
    """Allocates nothing."""
    with torch.device("meta"):
        model = build(config, stage, "meta")
    return sum(parameter.numel() for parameter in model.parameters())
