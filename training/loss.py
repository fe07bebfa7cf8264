"""How surprised is the model?    hidden states, labels -> negative log-likelihood, in nats

The logits of 50,000 tokens are the largest thing in training: here they exist for a chunk of positions at a time.
In training the chunk's gradients are taken in the forward pass, while its logits are there: as much arithmetic
as a plain cross-entropy, and memory for one chunk.

Shapes: N positions with a label, C positions of a chunk, D width, V vocabulary.
Source: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2024; Liger's fused linear loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.batches import IGNORED

CHUNK_BYTES = 256 << 20  # of logits in fp32


class LanguageHead(nn.Linear):
    """The output matrix. Without labels: logits. With: the sum of the losses, or the loss of each position
    (0 where the label is IGNORED) when no gradient is asked for."""

    def __init__(self, hidden: int, vocabulary: int) -> None:
        super().__init__(hidden, vocabulary, bias=False)

    def forward(self, hidden: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            return super().forward(hidden)
        if torch.is_grad_enabled():
            found: Tensor = _SummedLoss.apply(hidden, self.weight, labels)
            return found
        return losses(hidden, self.weight, labels)


def losses(hidden_BTD: Tensor, weight_VD: Tensor, labels_BT: Tensor) -> Tensor:
    """float32[B, T]: of each position."""
    flat_ND, kept, targets_N = _labelled(hidden_BTD, labels_BT)
    found = torch.zeros(labels_BT.numel(), dtype=torch.float32, device=labels_BT.device)
    parts = [
        nn.functional.cross_entropy((chunk_CD @ weight_VD.T).float(), targets_C, reduction="none")
        for chunk_CD, targets_C in _chunks(flat_ND, targets_N, len(weight_VD))
    ]
    if parts:
        found[kept] = torch.cat(parts)
    return found.view(labels_BT.shape)


class _SummedLoss(torch.autograd.Function):
    """The sum over positions. Its gradients are scaled in the backward pass, which needs no weight."""

    @staticmethod
    def forward(ctx: Any, hidden_BTD: Tensor, weight_VD: Tensor, labels_BT: Tensor) -> Tensor:
        flat_ND, kept, targets_N = _labelled(hidden_BTD, labels_BT)
        gradient_ND = torch.empty_like(flat_ND)
        gradient_VD = torch.zeros_like(weight_VD, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=hidden_BTD.device)
        start = 0
        for chunk_CD, targets_C in _chunks(flat_ND, targets_N, len(weight_VD)):
            logits_CV = (chunk_CD @ weight_VD.T).float()
            said_C = logits_CV.gather(1, targets_C[:, None])[:, 0]
            most_C1 = logits_CV.amax(dim=1, keepdim=True)
            powers_CV = logits_CV.sub_(most_C1).exp_()
            sums_C = powers_CV.sum(dim=1)
            total += (sums_C.log() + most_C1[:, 0] - said_C).sum()
            # The gradient by the logits is softmax less one at the label: neither is written out
            shares_C1 = (1.0 / sums_C)[:, None]
            powers_CV = powers_CV.to(weight_VD.dtype)
            whole_CD = (powers_CV @ weight_VD) * shares_C1 - weight_VD[targets_C]
            gradient_ND[start : start + len(chunk_CD)] = whole_CD
            scaled_CD = (chunk_CD * shares_C1).to(weight_VD.dtype)
            if weight_VD.dtype == torch.float32:
                gradient_VD.addmm_(powers_CV.T, scaled_CD)
            else:
                gradient_VD += powers_CV.T @ scaled_CD
            gradient_VD.index_add_(0, targets_C, chunk_CD.float(), alpha=-1.0)
            start += len(chunk_CD)
        gradient = torch.zeros_like(hidden_BTD)
        gradient.view(-1, hidden_BTD.shape[-1])[kept] = gradient_ND
        ctx.save_for_backward(gradient, gradient_VD.to(weight_VD.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        gradient_BTD, gradient_VD = ctx.saved_tensors
        (scale,) = upstream
        return gradient_BTD * scale, gradient_VD * scale, None


def _labelled(hidden_BTD: Tensor, labels_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states of the positions that have a label, which these are, and their labels."""
    labels = labels_BT.reshape(-1)
    kept = torch.nonzero(labels != IGNORED).squeeze(1)
    return hidden_BTD.reshape(-1, hidden_BTD.shape[-1])[kept], kept, labels[kept]


def _chunks(flat_ND: Tensor, targets_N: Tensor, vocabulary: int) -> list[tuple[Tensor, Tensor]]:
    rows = max(64, CHUNK_BYTES // (4 * vocabulary))
    return list(zip(torch.split(flat_ND, rows), torch.split(targets_N, rows), strict=True))
