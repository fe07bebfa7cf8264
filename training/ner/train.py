"""Trains the classifier: WordPiece from the lines, a small BERT, its scores on held-out lines.

One loss: cross-entropy of the label of each word's first piece. Same seed, same data and one thread count,
same network. Tensors: B lines, T pieces, L labels.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, trainers
from tokenizers.models import WordPiece
from torch import nn
from transformers import BertConfig, BertForTokenClassification

from etl.context_pii.model import END, PAD, START, UNKNOWN, wordpiece
from etl.context_pii.words import shown, splitter, word_bounds
from training.ner.made import Labelled

logger = logging.getLogger(__name__)

ENTITIES = ("NAME", "USERNAME", "PASSWORD", "KEY")
LABELS = ("O", *(f"{mark}-{entity}" for entity in ENTITIES for mark in "BI"))
IGNORED = -100


@dataclass(frozen=True)
class Settings:
    """Of the shipped classifier: 0.7 million parameters."""

    seed: int = 20
    num_pieces: int = 2560  # few, so that each is met in many names
    max_length: int = 128
    hidden_size: int = 128
    num_layers: int = 2
    num_heads: int = 4
    batch_pieces: int = 1024  # pieces, padding included, of one step
    num_epochs: int = 1  # no line is met twice with the same names
    learning_rate: float = 1e-3
    warmup_share: float = 0.06
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Encoded:
    ids: list[int]
    labels: list[int]


def train_vocabulary(lines: list[Labelled], settings: Settings, path: Path) -> None:
    """Writes vocab.txt."""
    tokenizer = Tokenizer(WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter()
    trainer = trainers.WordPieceTrainer(
        vocab_size=settings.num_pieces, special_tokens=[PAD, UNKNOWN, START, END], limit_alphabet=700,
        min_frequency=3, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator((shown(line.text) for line in lines), trainer)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{piece}\n" for piece, _ in pieces), "utf-8")


def encode(lines: list[Labelled], vocab: Path, max_length: int) -> list[Encoded]:
    """Pieces of each line; a label where a word begins, else IGNORED."""
    tokenizer = wordpiece(vocab, is_case_sensitive=True)
    tokenizer.enable_truncation(max_length)
    texts = [shown(line.text) for line in lines]
    found = []
    for line, text, encoding in zip(lines, texts, tokenizer.encode_batch(texts), strict=True):
        label_at = {}
        for start, _ in word_bounds(text):
            label_at[start] = _label(line, start)
        seen: set[int] = set()
        labels = []
        for (start, end), is_special in zip(
            encoding.offsets, encoding.special_tokens_mask, strict=True
        ):
            is_first = not is_special and end > start and start in label_at and start not in seen
            if is_first:
                seen.add(start)
            labels.append(label_at[start] if is_first else IGNORED)
        found.append(Encoded(encoding.ids, labels))
    return found


def _label(line: Labelled, start: int) -> int:
    for low, high, entity in line.entities:
        if low <= start < high:
            return LABELS.index(f"{'B' if start == low else 'I'}-{entity}")
    if any(low <= start < high for low, high in line.unknown):
        return IGNORED
    return 0


def new_model(settings: Settings, num_pieces: int) -> BertForTokenClassification:
    config = BertConfig(  # type: ignore[call-arg]
        vocab_size=num_pieces,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        intermediate_size=4 * settings.hidden_size,
        max_position_embeddings=settings.max_length,
        num_labels=len(LABELS),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    return BertForTokenClassification(config)


def batches(encoded: list[Encoded], settings: Settings, epoch: int) -> list[list[Encoded]]:
    """Lines of like length together, in an order that seed and epoch give."""
    generator = np.random.default_rng((settings.seed, epoch))
    noise = generator.random(len(encoded))
    order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i].ids) // 4, noise[i]))
    found: list[list[Encoded]] = [[]]
    for index in order:
        one = encoded[index]
        if (len(found[-1]) + 1) * len(one.ids) > settings.batch_pieces and found[-1]:
            found.append([])
        found[-1].append(one)
    return [found[i] for i in generator.permutation(len(found))]


def tensors(batch: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ids_BT, mask_BT, labels_BT."""
    length = max(len(one.ids) for one in batch)
    ids_BT = torch.zeros((len(batch), length), dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    labels_BT = torch.full_like(ids_BT, IGNORED)
    for row, one in enumerate(batch):
        ids_BT[row, : len(one.ids)] = torch.tensor(one.ids)
        mask_BT[row, : len(one.ids)] = 1
        labels_BT[row, : len(one.ids)] = torch.tensor(one.labels)
    return ids_BT, mask_BT, labels_BT


def train(encoded: list[Encoded], num_pieces: int, settings: Settings) -> Any:
    """The trained model, in evaluation mode."""
    torch.manual_seed(settings.seed)
    model = new_model(settings, num_pieces)
    schedule = [
        batch for epoch in range(settings.num_epochs) for batch in batches(encoded, settings, epoch)
    ]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    warmup = max(1, int(settings.warmup_share * len(schedule)))
    loss_of = nn.CrossEntropyLoss(ignore_index=IGNORED)
    started, mean_loss = time.monotonic(), 0.0
    model.train()
    for step, batch in enumerate(schedule):
        share = (
            step / warmup if step < warmup else (len(schedule) - step) / (len(schedule) - warmup)
        )
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * share
        ids_BT, mask_BT, labels_BT = tensors(batch)
        logits_BTL = model(input_ids=ids_BT, attention_mask=mask_BT).logits
        loss = loss_of(logits_BTL.flatten(0, 1), labels_BT.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if math.isfinite(loss.item()):
            mean_loss = 0.98 * mean_loss + 0.02 * loss.item()
        if step % 100 == 0 or step + 1 == len(schedule):
            logger.info(
                "step %d of %d, loss %.4f, %.0f s",
                step,
                len(schedule),
                mean_loss,
                time.monotonic() - started,
            )
    model.eval()  # type: ignore[no-untyped-call]
    return model


@torch.no_grad()
def scores(model: Any, encoded: list[Encoded], settings: Settings) -> dict[str, dict[str, float]]:
    """`scores_of` the model's labels; words that are not known count for nothing."""
    truth, guess = [], []
    for batch in batches(encoded, settings, 0):
        ids_BT, mask_BT, labels_BT = tensors(batch)
        predicted_BT = model(input_ids=ids_BT, attention_mask=mask_BT).logits.argmax(-1)
        for row in range(len(batch)):
            known = labels_BT[row] != IGNORED
            truth.append(labels_BT[row][known].tolist())
            guess.append(predicted_BT[row][known].tolist())
    return scores_of(truth, guess)


def scores_of(truth: list[list[int]], guess: list[list[int]]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of whole entities of each kind, over lines of labels."""
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    for labels, guessed in zip(truth, guess, strict=True):
        of_truth, of_guess = _entities(labels), _entities(guessed)
        expected.update(entity for entity, _, _ in of_truth)
        found.update(entity for entity, _, _ in of_guess)
        right.update(entity for entity, _, _ in of_truth & of_guess)
    return {
        entity: {
            "labelled": expected[entity],
            "precision": round(right[entity] / max(1, found[entity]), 4),
            "recall": round(right[entity] / max(1, expected[entity]), 4),
            "f1": round(2 * right[entity] / max(1, found[entity] + expected[entity]), 4),
        }
        for entity in ENTITIES
    }


def _entities(labels: list[int]) -> set[tuple[str, int, int]]:
    found, start, entity = set(), -1, ""
    for place, label in enumerate([*labels, 0]):
        mark, _, name = LABELS[label].partition("-")
        if entity and not (mark == "I" and name == entity):
            found.add((entity, start, place))
            entity = ""
        if name and not entity:
            start, entity = place, name
    return found
