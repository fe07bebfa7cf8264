"""What is fine-tuned on?    Parquet or JSON Lines of messages -> rows of packed conversations, answers labelled

A line has `messages`: role and content; perhaps a first one of the system, then user and assistant in turn. Only
what the assistant says, and the end after it, has a label. Conversations are packed whole into rows, the longest
first, each where the least room is left: a row's conversations do not attend to one another. One that is longer
than a row is left out and counted.

Source of the form: StarCoder2-Instruct (self-align).
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from etl.errors import ConfigError, ContractError
from etl.pack.tokenizer import END, Encoder
from training.batches import IGNORED, Batch, key_of, permuted
from training.shards import Ints

ASK, ANSWER = "### Instruction\n", "\n\n### Response\n"
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ '### Instruction\n' + message['content'] + '\n\n### Response\n' }}"
    "{% else %}{{ message['content'] + '<|endoftext|>' }}{% endif %}{% endfor %}"
)


class Conversation(NamedTuple):
    tokens: Ints
    is_answer: Any  # bool of each token


@dataclass(frozen=True)
class Rows:
    """int64[rows, length] each, as in a batch."""

    inputs: Ints
    labels: Ints
    segments: Ints
    left_out: int  # conversations longer than a row


def read_messages(files: Iterable[str]) -> Iterator[list[dict[str, str]]]:
    """Raises ContractError with the file and the row of one that is no conversation."""
    for name in files:
        path = Path(name)
        for number, row in enumerate(_rows_of(path)):
            messages = row.get("messages") if isinstance(row, dict) else None
            yield _checked(messages, f"{path}: row {number + 1}")


def encode(messages: Sequence[dict[str, str]], encoder: Encoder) -> Conversation:
    parts: list[tuple[Any, bool]] = []
    for message in messages:
        text = message["content"]
        if message["role"] == "assistant":
            parts.append((np.append(encoder.encode(text), END), True))
        elif message["role"] == "user":
            parts.append((encoder.encode(f"{ASK}{text}{ANSWER}"), False))
        else:
            parts.append((encoder.encode(f"{text}\n\n"), False))
    tokens = np.concatenate([part for part, _ in parts]).astype(np.int64)
    return Conversation(
        tokens, np.repeat([of for _, of in parts], [len(part) for part, _ in parts])
    )


def is_held_out(messages: Sequence[dict[str, str]], share: float) -> bool:
    """By the conversation's hash: its copies go the same way."""
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def pack(conversations: Sequence[Conversation], length: int) -> Rows:
    """Best fit, the longest first. Positions: a token less than tokens, for what comes next is the label."""
    order = sorted(range(len(conversations)), key=lambda at: (-len(conversations[at].tokens), at))
    fitting = [at for at in order if len(conversations[at].tokens) - 1 <= length]
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # what is left of a row, and which: ascending
    for at in fitting:
        size = len(conversations[at].tokens) - 1
        place = bisect.bisect_left(room, (size, -1))
        if place == len(room):
            rows.append([at])
            bisect.insort(room, (length - size, len(rows) - 1))
            continue
        left, row = room.pop(place)
        rows[row].append(at)
        bisect.insort(room, (left - size, row))
    inputs = np.full((len(rows), length), END, np.int64)
    labels = np.full((len(rows), length), IGNORED, np.int64)
    segments = np.zeros((len(rows), length), np.int64)
    for number, members in enumerate(rows):
        start = 0
        for segment, at in enumerate(members):
            tokens, is_answer = conversations[at]
            end = start + len(tokens) - 1
            inputs[number, start:end] = tokens[:-1]
            labels[number, start:end] = np.where(is_answer[1:], tokens[1:], IGNORED)
            segments[number, start:end] = segment
            start = end
        segments[number, start:] = len(members)
    return Rows(inputs, labels, segments, len(order) - len(fitting))


@dataclass(frozen=True)
class ChatBatches:
    """Batches of rows: each epoch of them in an order of its own."""

    rows: Rows
    per_batch: int
    seed: int
    epochs: float

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The rank's slice of the batch of a step. Raises ConfigError behind the epochs."""
        total = len(self.rows.inputs)
        if (step + 1) * self.per_batch > self.epochs * total:
            raise ConfigError(
                f"chat: expected at most {self.epochs:g} epochs of {total} rows, found step {step + 1} of "
                f"{self.per_batch}: train {int(self.epochs * total / self.per_batch)} steps, or more epochs"
            )
        share = self.per_batch // ranks
        first = step * self.per_batch + rank * share
        chosen = [
            permuted(sample % total, total, key_of(self.seed, sample // total))
            for sample in range(first, first + share)
        ]
        rows = self.rows
        return Batch(
            rows.inputs[chosen], rows.labels[chosen], rows.segments[chosen],
            np.zeros(share, np.int64),
        )  # fmt: skip


def _rows_of(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path, columns=["messages"])
        except (OSError, ValueError) as error:
            raise ContractError(
                f"{path}: expected Parquet with a column messages, found {type(error).__name__}"
            ) from None
        yield from table.to_pylist()
        return
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise ContractError(
                        f"{path}: row {number + 1}: expected a line of JSON, found none"
                    ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(
            f"{path}: expected JSON Lines or Parquet, found {type(error).__name__}: check chat.files"
        ) from None


def _checked(messages: Any, where: str) -> list[dict[str, str]]:
    is_listed = isinstance(messages, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("role"), str)
        and isinstance(one.get("content"), str)
        for one in messages
    )
    if not is_listed:
        raise ContractError(f"{where}: expected messages of role and content, found none")
    roles = [one["role"] for one in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or len(turns) % 2 or turns != ["user", "assistant"] * (len(turns) // 2):
        raise ContractError(
            f"{where}: expected user and assistant in turn, perhaps after system, found "
            f"{', '.join(role[:20] for role in roles[:8]) or 'no message'}"
        )
    return [{"role": one["role"], "content": one["content"]} for one in messages]
