"""Conversations become rows whose answers alone are learnt; a tuned model answers as it was taught."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.errors import ConfigError, ContractError
from etl.pack.tokenizer import END, Encoder
from tests.training.lakes import write_lake
from training.batches import IGNORED
from training.config import load_finetune
from training.conversations import (
    ChatBatches,
    Conversation,
    encode,
    is_held_out,
    pack,
    read_messages,
)

CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "def f"},
    {"role": "assistant", "content": "(x): pass"},
    {"role": "user", "content": "more"},
    {"role": "assistant", "content": "no"},
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lake") / "lake")


def conversation(*tokens: int, answer_from: int = 1) -> Conversation:
    return Conversation(np.array(tokens), np.arange(len(tokens)) >= answer_from)


def test_only_answers_and_their_ends_are_learnt(lake: Path) -> None:
    encoder = Encoder(lake / "tokenizer")
    found = encode(CHAT, encoder)
    texts: list[tuple[bool, bytes]] = []
    for token, is_answer in zip(found.tokens.tolist(), found.is_answer.tolist(), strict=True):
        raw = b"<END>" if token == END else encoder.bytes_of[token]
        if texts and texts[-1][0] == is_answer:
            texts[-1] = (is_answer, texts[-1][1] + raw)
        else:
            texts.append((is_answer, raw))
    assert texts == [
        (False, b"Be short.\n\n### Instruction\ndef f\n\n### Response\n"),
        (True, b"(x): pass<END>"),
        (False, b"### Instruction\nmore\n\n### Response\n"),
        (True, b"no<END>"),
    ]


def test_rows_are_packed_best_fit_and_what_is_too_long_is_left_out() -> None:
    given = [
        conversation(10, 11, 12),
        conversation(20, 21, 22, 23, 24),
        conversation(*range(30, 40)),
        conversation(40, 41, answer_from=0),
    ]
    found = pack(given, 6)
    assert found.left_out == 1
    assert found.inputs.tolist() == [[20, 21, 22, 23, 10, 11], [40, END, END, END, END, END]]
    assert found.labels.tolist() == [
        [21, 22, 23, 24, 11, 12],
        [41, *[IGNORED] * 5],
    ]
    assert found.segments.tolist() == [[0, 0, 0, 0, 1, 1], [0, 1, 1, 1, 1, 1]]
    assert pack([], 6).inputs.shape == (0, 6)


def test_each_row_is_read_once_an_epoch_by_any_number_of_ranks() -> None:
    rows = pack([conversation(*[number] * 7) for number in range(50, 62)], 6)
    batches = ChatBatches(rows, 4, seed=3, epochs=2)
    epochs = [
        np.concatenate([batches.batch(step).inputs[:, 0] for step in steps]).tolist()
        for steps in (range(3), range(3, 6))
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50, 62))
    assert epochs[0] != epochs[1]
    parts = [batches.batch(1, rank, 2).inputs for rank in (0, 1)]
    assert np.array_equal(np.concatenate(parts), batches.batch(1).inputs)
    with pytest.raises(ConfigError, match=r"at most 2 epochs of 12 rows, .* train 6 steps"):
        batches.batch(6)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_conversations_are_read_from_either_format(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"chat{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{"messages": CHAT, "id": 1}]), path)
    else:
        path.write_text(json.dumps({"messages": CHAT, "id": 1}) + "\n")
    assert list(read_messages([str(path)])) == [CHAT]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "row 1: expected a line of JSON"),
        ('{"messages": 3}', "row 1: expected messages of role and content"),
        ('{"messages": [{"role": "user"}]}', "row 1: expected messages of role and content"),
        ('{"messages": [{"role": "user", "content": "secret"}]}', "found user$"),
        ('{"messages": []}', "found no message"),
    ],
)
def test_a_bad_row_is_named_and_not_shown(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ContractError, match=said) as raised:
        list(read_messages([str(path)]))
    assert "secret" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_files_that_are_not_there_are_said_to_be_missing(tmp_path: Path) -> None:
    for name in ("none.jsonl", "none.parquet"):
        with pytest.raises(ContractError, match="none"):
            list(read_messages([str(tmp_path / name)]))


def test_copies_of_a_conversation_go_to_the_same_side() -> None:
    many = [[{"role": "user", "content": str(number)}] for number in range(2000)]
    held = [is_held_out(messages, 0.1) for messages in many]
    assert 150 < sum(held) < 250
    assert held == [is_held_out(list(messages), 0.1) for messages in many]


def test_a_base_that_is_no_export_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text(
        f"base: {tmp_path}\noutput: {tmp_path}/out\nchat: {{files: [a.jsonl]}}\nstages: []\n"
    )
    with pytest.raises(
        ConfigError, match=r"config.json: expected the configuration of a Starcoder2"
    ):
        load_finetune(str(path), [])
