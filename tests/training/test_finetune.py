"""Conversations become rows whose answers alone are learnt; a tuned model answers as it was taught."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from etl.config import dump
from etl.errors import ConfigError, ContractError
from etl.pack.tokenizer import END, Encoder
from tests.training import jobs
from tests.training.lakes import tiny, write_lake
from tests.training.ranks import launch
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


ANSWERED = "return x + 1"


def asked(numbers: range) -> list[list[dict[str, str]]]:
    return [
        [{"role": "user", "content": f"f{number}"}, {"role": "assistant", "content": ANSWERED}]
        for number in numbers
    ]


def nats_of_answers(base: Path, talks: list[list[dict[str, str]]]) -> float:
    """Nats a token of answers and their ends, by transformers alone, a conversation at a time."""
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    nats = tokens = 0.0
    for question, answer in talks:
        prompt = f"### Instruction\n{question['content']}\n\n### Response\n"
        before = tokenizer.encode(prompt, add_special_tokens=False)
        after = [*tokenizer.encode(answer["content"], add_special_tokens=False), END]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*before, *after]])).logits[0]
        said = torch.log_softmax(logits[len(before) - 1 : -1], -1)
        nats -= float(said[torch.arange(len(after)), torch.tensor(after)].sum())
        tokens += len(after)
    return nats / tokens


@pytest.mark.slow
def test_a_base_is_tuned_to_answer_as_it_was_taught(lake: Path, tmp_path: Path) -> None:
    """Its first loss is the base's on the answers; on two ranks as on one; what was held out is learnt too."""
    pretrained = tiny(lake, tmp_path / "base", stages__0__steps=4, stages__1__steps=3)
    (lines,) = launch(1, jobs.pretrain, dump(pretrained))
    assert len(lines) == 7, lines
    base = tmp_path / "base" / "export"
    talks = asked(range(80))
    (tmp_path / "chat.jsonl").write_text(
        "".join(json.dumps({"messages": messages}) + "\n" for messages in talks)
    )
    kept = [messages for messages in talks if not is_held_out(messages, 0.2)]
    assert 50 < len(kept) < 75
    encoder = Encoder(lake / "tokenizer")
    rows = len(pack([encode(messages, encoder) for messages in kept], 128).inputs)
    per_batch = rows - rows % 2
    values = {
        "base": str(base),
        "chat": {
            "files": [str(tmp_path / "chat.jsonl")], "epochs": 100, "validation_share": 0.2,
        },
        "stages": [
            {"name": "sft", "steps": 40, "sequence_length": 128, "sequences_per_batch": per_batch,
             "sequences_per_rank": per_batch // 2, "learning_rate": 2e-2, "warmup_steps": 2},
        ],
        "zero": {"bucket_elements": 100_000, "persistent_elements": 100, "timeout_s": 60},
        "tracking": {"tracking_uri": f"sqlite:///{lake.parent}/mlflow.db"},
    }  # fmt: skip
    (tmp_path / "sft.yaml").write_text(yaml.safe_dump(values))
    found = {
        ranks: launch(
            ranks, jobs.finetune, str(tmp_path / "sft.yaml"), [f"output={tmp_path}/sft-{ranks}"]
        )[0]
        for ranks in (1, 2)
    }
    losses = {ranks: [line["loss"] for line in lines] for ranks, lines in found.items()}
    assert losses[2] == pytest.approx(losses[1], rel=1e-5)
    # A batch holds all rows but perhaps one, and answers are alike: as good as their mean
    assert losses[1][0] == pytest.approx(nats_of_answers(base, kept), rel=1e-2)

    export = tmp_path / "sft-1" / "export"
    held_out = [messages for messages in talks if messages not in kept]
    validated = json.loads((tmp_path / "sft-1" / "validation.json").read_text())
    assert validated["loss"] == pytest.approx(nats_of_answers(export, held_out), rel=1e-4)
    assert validated["loss"] < 0.1
    tokenizer = AutoTokenizer.from_pretrained(export)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "f99"}], return_tensors="pt", return_dict=True
    )
    model = AutoModelForCausalLM.from_pretrained(export).eval()
    said = model.generate(**prompt, max_new_tokens=32, do_sample=False, eos_token_id=END)
    assert tokenizer.decode(said[0, prompt["input_ids"].shape[1] :]) == f"{ANSWERED}<|endoftext|>"
