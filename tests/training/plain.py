"""Training as a few lines of torch: no DeepSpeed, no packing of ours, transformers' own model and loss."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional
from transformers import Starcoder2ForCausalLM

from training.batches import IGNORED, Batch
from training.config import RunConfig, StageConfig
from training.corpus import Corpus
from training.model import initial_value, starcoder2_config
from training.schedule import learning_rate


def model_of(config: RunConfig, stage: StageConfig) -> Starcoder2ForCausalLM:
    settings = starcoder2_config(config.model, stage)
    settings._attn_implementation = "eager"
    settings.pad_token_id = None  # its embedding is learnt too
    return Starcoder2ForCausalLM(settings)


def losses_of(model: Starcoder2ForCausalLM, batch: Batch) -> torch.Tensor:
    """float32[rows, length]"""
    logits = logits_of(model, batch)
    labels = torch.from_numpy(batch.labels)
    found = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED,
        reduction="none",
    )  # fmt: skip
    return found.view(labels.shape)


def logits_of(model: Starcoder2ForCausalLM, batch: Batch) -> torch.Tensor:
    """float32[rows, length, vocabulary], with a mask and positions written out for each token."""
    rows, length = batch.inputs.shape
    window = model.config.sliding_window or length
    mask = np.full((rows, 1, length, length), -np.inf, np.float32)
    positions = np.zeros((rows, length), np.int64)
    for row in range(rows):
        for place in range(length):
            same = np.flatnonzero(batch.segments[row, : place + 1] == batch.segments[row, place])
            positions[row, place] = place - same[0]
            mask[row, 0, place, same[same > place - window]] = 0.0
    found: torch.Tensor = model(
        input_ids=torch.from_numpy(batch.inputs),
        attention_mask=torch.from_numpy(mask),
        position_ids=torch.from_numpy(positions),
    ).logits
    return found


def train(config: RunConfig, corpus: Corpus) -> list[float]:
    """The loss of each step."""
    losses: list[float] = []
    weights = None
    optimizer_state = None
    for stage in config.stages:
        model = model_of(config, stage)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(initial_value(name, parameter.shape, config.model, config.seed))
        if weights is not None:
            model.load_state_dict(weights)
        named = dict(model.named_parameters())
        decayed = [value for name, value in named.items() if value.ndim == 2]
        others = [value for name, value in named.items() if value.ndim == 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
            betas=(0.9, 0.95), eps=1e-8,
        )  # fmt: skip
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        batches = corpus.batches(stage)
        for step in range(stage.steps):
            batch = batches.batch(step)
            loss = losses_of(model, batch).sum() / int((batch.labels != IGNORED).sum())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(stage, step)
            optimizer.step()
            losses.append(loss.item())
        weights, optimizer_state = model.state_dict(), optimizer.state_dict()
    return losses
