"""The model's shape, what attends to what, and the loss: against torch's own and formulas worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training import attention
from training.attention import bounds_of, mask_of, positions_of
from training.batches import IGNORED, Batch
from training.config import ModelConfig, StageConfig, load
from training.loss import LanguageHead
from training.model import (
    CodeModel,
    build,
    count_parameters,
    enter_stage,
    initial_value,
    is_matrix,
    packed,
    starcoder2_config,
)

CONF = Path(__file__).parents[2] / "conf" / "training"
MODEL = ModelConfig(
    layers=2, hidden=32, feed_forward=64, heads=4, kv_heads=2, vocabulary=96, initializer_range=0.3
)
STAGE = StageConfig(
    name="base", steps=10, sequence_length=16, sequences_per_batch=2, sequences_per_rank=2,
    warmup_steps=1,
)  # fmt: skip
CPU = torch.device("cpu")


def batch(*rows: list[int], segments: list[list[int]]) -> Batch:
    inputs = np.array(rows)
    labels = np.roll(inputs, -1, axis=1)
    return Batch(inputs, labels, np.array(segments), np.zeros(len(rows), np.int64))


def model(stage: StageConfig = STAGE) -> CodeModel:
    made = build(MODEL, stage, "cpu")
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(initial_value(name, parameter.shape, MODEL, 1))
    return made.eval()


def losses(made: CodeModel, given: Batch) -> Tensor:
    with torch.no_grad():
        return made(*packed(given, CPU))


@pytest.mark.parametrize(
    ("name", "billions"), [("3b", 3.03), ("7b", 7.17), ("15b", 15.96)]
)  # StarCoder2's model cards; 15B's output matrix is its own
def test_the_released_shapes_have_their_numbers_of_parameters(name: str, billions: float) -> None:
    config = load(str(CONF / f"{name}.yaml"), [])
    assert round(count_parameters(config.model, config.stages[0]) / 1e9, 2) == billions


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_configuration_is_starcoder2_within_its_vocabulary_and_without_dropout(
    path: Path,
) -> None:
    config = load(str(path), [])
    found = starcoder2_config(config.model, config.stages[-1])
    assert found.bos_token_id == found.eos_token_id == 0
    assert found.pad_token_id == 4
    assert found.attention_dropout == found.residual_dropout == found.embedding_dropout == 0.0
    assert found.sliding_window == config.stages[-1].sliding_window
    assert found.max_position_embeddings == config.stages[-1].sequence_length


def test_a_document_says_the_same_whatever_lies_beside_it() -> None:
    made = model()
    document = [7, 8, 9, 10, 11, 12]
    alone = losses(made, batch(document, segments=[[0] * 6]))
    first = losses(made, batch([40, 41, 42, 43, *document], segments=[[0] * 4 + [1] * 6]))
    second = losses(made, batch([50, 51, 52, 53, *document], segments=[[5] * 4 + [6] * 6]))
    # The last label is that of a neighbour
    assert torch.equal(first[0, 4:9], second[0, 4:9])
    torch.testing.assert_close(first[0, 4:9], alone[0, :5])


def test_a_token_behind_the_window_is_not_seen() -> None:
    narrow = STAGE.model_copy(update={"sliding_window": 3})
    shallow = MODEL.model_copy(update={"layers": 1})
    made = build(shallow, narrow, "cpu").eval()
    rows = [[first, 7, 8, 9, 10] for first in (20, 30)]
    found = losses(made, batch(*rows, segments=[[0] * 5] * 2))
    # The two rows of a batch may be summed in different orders: equal to rounding, not to the bit.
    torch.testing.assert_close(found[0, 3], found[1, 3], rtol=1e-6, atol=0)  # token 3 sees 1, 2, 3
    assert (found[0, 2] - found[1, 2]).abs() > 1e-4  # token 2 sees 0, 1, 2


def test_positions_and_bounds_restart_with_each_document() -> None:
    segments = np.array([[0, 0, 0, 1, 1, 2], [3, 3, 4, 4, 4, 4]])
    assert positions_of(segments).tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 2, 3]]
    bounds, longest = bounds_of(segments)
    assert bounds.tolist() == [0, 3, 5, 6, 8, 12]
    assert longest == 4


def test_flash_attention_over_bounds_is_attention_under_a_mask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is handed to the GPU's kernel, computed one document after the other."""

    def by_document(
        query: Tensor, key: Tensor, value: Tensor, starts: Tensor, _: Tensor, *longest: int,
        scale: float, window_size: tuple[int, int], enable_gqa: bool,
    ) -> Tensor:  # fmt: skip
        assert longest == (5, 5)
        assert enable_gqa
        left, right = window_size
        assert right == 0
        parts = []
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            near = torch.ones(end - start, end - start, dtype=torch.bool).tril().triu(-left)
            part = torch.nn.functional.scaled_dot_product_attention(
                *(states[start:end].transpose(0, 1) for states in (query, key, value)),
                attn_mask=near, scale=scale, enable_gqa=True,
            )  # fmt: skip
            parts.append(part.transpose(0, 1))
        return torch.cat(parts)

    monkeypatch.setattr(attention, "varlen_attn", by_document)
    segments = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]])
    torch.manual_seed(1)
    query, key, value = torch.randn(2, 4, 6, 8), torch.randn(2, 2, 6, 8), torch.randn(2, 2, 6, 8)
    bounds, longest = bounds_of(segments)
    found, _ = attention.varlen_attention(
        torch.nn.Module(), query, key, value, None, scaling=0.5,
        bounds=torch.from_numpy(bounds), longest=longest, sliding_window=2,
    )  # fmt: skip
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask_of(torch.from_numpy(segments), 2), scale=0.5,
        enable_gqa=True,
    )  # fmt: skip
    torch.testing.assert_close(found, expected.transpose(1, 2))


@pytest.mark.parametrize("chunk", [1 << 30, 1], ids=["one chunk", "many chunks"])
def test_the_loss_and_its_gradients_are_those_of_cross_entropy(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.loss.CHUNK_BYTES", chunk)
    torch.manual_seed(1)
    head = LanguageHead(16, 40)
    hidden = torch.randn(3, 100, 16, requires_grad=True)
    labels = torch.randint(0, 40, (3, 100))
    labels[0, :50] = IGNORED
    logits = (hidden @ head.weight.T).view(-1, 40)
    expected = torch.nn.functional.cross_entropy(
        logits, labels.view(-1), ignore_index=IGNORED, reduction="sum"
    )
    truth = torch.autograd.grad(2.5 * expected, (hidden, head.weight))
    found = head(hidden, labels)
    gradients = torch.autograd.grad(2.5 * found, (hidden, head.weight))
    torch.testing.assert_close(found, expected)
    for one, other in zip(gradients, truth, strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        each = head(hidden, labels)
    assert each.shape == labels.shape
    assert (each[0, :50] == 0).all()
    torch.testing.assert_close(each.sum(), expected)


def test_no_label_is_no_loss() -> None:
    head = LanguageHead(16, 40)
    hidden = torch.randn(1, 4, 16, requires_grad=True)
    found = head(hidden, torch.full((1, 4), IGNORED))
    found.backward()
    assert found.item() == 0.0
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_weights_start_with_the_configured_spread_and_smaller_into_the_residual_stream() -> None:
    wide = MODEL.model_copy(update={"initializer_range": 0.02, "layers": 8})
    shape = torch.Size((400, 400))
    plain = initial_value("model.layers.0.mlp.c_fc.weight", shape, wide, 1)
    inner = initial_value("model.layers.0.mlp.c_proj.weight", shape, wide, 1)
    assert float(plain.std()) == pytest.approx(0.02, rel=0.02)
    assert float(inner.std()) == pytest.approx(0.02 / math.sqrt(16), rel=0.02)
    assert float(plain.mean()) == pytest.approx(0, abs=3e-4)
    again = initial_value("model.layers.0.mlp.c_fc.weight", shape, wide, 1)
    assert torch.equal(plain, again)
    other = initial_value("model.layers.1.mlp.c_fc.weight", shape, wide, 1)
    assert not torch.equal(plain, other)
    assert not initial_value("model.norm.bias", torch.Size((8,)), wide, 1).any()
    assert (initial_value("model.norm.weight", torch.Size((8,)), wide, 1) == 1).all()


def test_a_stage_changes_the_base_of_rope_and_the_window_and_no_weight() -> None:
    made = model()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    long = STAGE.model_copy(
        update={"rope_base": 1e6, "sliding_window": 4, "sequence_length": 32, "name": "long"}
    )
    enter_stage(made, long)
    # Width of a head 8: base^(-0/8), base^(-2/8), base^(-4/8), base^(-6/8)
    expected = [1.0, 1e6**-0.25, 1e-3, 1e6**-0.75]
    assert made.model.rotary_emb.inv_freq.tolist() == pytest.approx(expected)
    fresh = build(MODEL, long, "cpu").eval()
    fresh.load_state_dict(before)
    given = batch(list(range(10, 30)), segments=[[0] * 20])
    assert torch.equal(losses(made, given), losses(fresh, given))
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())


def test_matrices_decay_and_nothing_else_does() -> None:
    names = [name for name, _ in model().named_parameters() if is_matrix(name)]
    assert names[0] == "model.embed_tokens.weight"
    assert len(names) == 1 + 2 * 6
    assert not [name for name in names if "norm" in name or name.endswith("bias")]


def test_gradients_of_the_tied_matrix_are_those_of_both_its_uses() -> None:
    made: Any = model().train()
    given = batch(list(range(10, 20)), segments=[[0] * 10])
    made(*packed(given, CPU)).backward()
    found = made.model.embed_tokens.weight.grad.clone()
    made.zero_grad()
    hidden = made.model(
        input_ids=torch.from_numpy(given.inputs), attention_mask=mask_of(
            torch.from_numpy(given.segments), None)
    ).last_hidden_state  # fmt: skip
    logits = hidden @ made.model.embed_tokens.weight.T
    torch.nn.functional.cross_entropy(
        logits.view(-1, 96), torch.from_numpy(given.labels).view(-1), reduction="sum"
    ).backward()
    torch.testing.assert_close(found, made.model.embed_tokens.weight.grad)
