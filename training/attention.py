"""Which tokens does a token attend to?    segments -> positions, and a mask or bounds of documents

To those before it in its own document, at most `sliding_window` of them; positions begin anew in each document.
On a GPU torch's variable-length flash attention takes the bounds of the documents; elsewhere, fused attention
takes a mask.

Shapes: B sequences, T tokens of one, H heads, D width of a head.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from training.shards import Ints

VARLEN = "varlen"


def positions_of(segments_BT: Ints) -> Ints:
    """int64[B, T]: of each token inside its document, or its part of it that the sequence holds."""
    places = np.broadcast_to(np.arange(segments_BT.shape[1]), segments_BT.shape)
    found: Ints = places - np.maximum.accumulate(np.where(_begins(segments_BT), places, 0), axis=1)
    return found


def bounds_of(segments_BT: Ints) -> tuple[Ints, int]:
    """Where documents begin in all sequences laid end to end, and the end; tokens of the longest."""
    starts = np.flatnonzero(_begins(segments_BT).reshape(-1))
    bounds = np.append(starts, segments_BT.size)
    return bounds, int(np.diff(bounds).max())


def mask_of(segments_BT: Tensor, sliding_window: int | None) -> Tensor:
    """bool[B, 1, T, T]: whether the row attends to the column."""
    place = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    distance_TT = place[:, None] - place[None, :]
    seen_TT = distance_TT >= 0
    if sliding_window is not None:
        seen_TT &= distance_TT < sliding_window
    return (seen_TT & (segments_BT[:, :, None] == segments_BT[:, None, :]))[:, None]


def varlen_attention(
    module: torch.nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    bounds: Tensor,
    longest: int,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' interface of an attention: [B, T, H, D], and no weights. `bounds`: int32."""
    batch, _heads, length, _width = query_BHTD.shape
    query, key, value = (
        states.transpose(1, 2).reshape(batch * length, states.shape[1], states.shape[3])
        for states in (query_BHTD, key_BHTD, value_BHTD)
    )
    # torch counts the tokens to the left, transformers the token itself too
    window = (-1, 0) if sliding_window is None else (sliding_window - 1, 0)
    found = varlen_attn(
        query, key, value, bounds, bounds, longest, longest,
        scale=scaling, window_size=window, enable_gqa=True,
    )  # fmt: skip
    states = cast(Tensor, found)  # nothing auxiliary was asked for
    return states.view(batch, length, *states.shape[1:]), None


def register() -> None:
    """Makes the attention known to transformers by its name."""
    AttentionInterface.register(VARLEN, varlen_attention)


def _begins(segments_BT: Ints) -> np.ndarray[Any, np.dtype[np.bool_]]:
    first = np.ones((len(segments_BT), 1), bool)
    return np.concatenate((first, np.diff(segments_BT, axis=1) != 0), axis=1)
