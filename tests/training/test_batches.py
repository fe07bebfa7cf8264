"""A batch is a function of its step; every window is read once an epoch; fill-in-the-middle stays inside a file."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import ConfigError, ContractError
from etl.pack import documents, tokenizer
from etl.pack.tokenizer import (
    END,
    FILE_SEP,
    FIM_MIDDLE,
    FIM_PREFIX,
    FIM_SUFFIX,
    REPO_NAME,
    SENTINELS,
    Encoder,
)
from training.batches import IGNORED, Batches, FimConfig, Source, permuted
from training.shards import Shards

LENGTH = 64


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [f"def function_{i}(x):\n    return x + {i}  # é 中\n" for i in range(300)]
    tokenizer.save(tokenizer.train(texts, 600), folder)
    return Encoder(folder)


def write_shards(folder: Path, encoder: Encoder, sizes: list[int], lines: int = 6) -> Path:
    """A shard for each of `sizes`, of so many repositories of 1 to 4 files."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, size in enumerate(sizes):
        name = f"train-{number:05d}.bin"
        with (folder / name).open("wb") as file:
            writer = documents.Writer(encoder, file.write, 0.5, "path", "k")
            for repo in range(size):
                texts = [
                    f"def f{number}_{repo}_{i}(x):\n    return x  # é\n" * (1 + (repo + i) % lines)
                    for i in range(1 + repo % 4)
                ]
                files = [
                    {"path": f"a{i}.py", "blob_id": "b", "text_id": "t", "language": "Python",
                     "content": text, "length_bytes": len(text.encode())}
                    for i, text in enumerate(texts)
                ]  # fmt: skip
                list(writer.repository(f"{number:08x}{repo:08x}", f"ann/r{repo}", files))
        entries.append(
            {"name": name, "sha256": writer.digest.hexdigest(), "split": "train",
             "num_tokens": writer.num_tokens, "num_documents": size}
        )  # fmt: skip
    manifest = {"format": 1, "tokenizer": {"sha256": encoder.digest}, "shards": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder / "manifest.json"


@pytest.fixture(scope="module")
def shards(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return Shards(
        write_shards(tmp_path_factory.mktemp("shards"), encoder, [40, 7, 25]), "train", verify=True
    )


def batches(shards: Shards, encoder: Encoder, rows: int = 8, **more: Any) -> Batches:
    return Batches((Source(shards),), encoder, LENGTH, rows, more.pop("seed", 1), **more)


def test_a_document_has_its_marks_in_order(shards: Shards, encoder: Encoder) -> None:
    whole = shards.shards[0]
    document = whole.tokens[: whole.ends[0]]
    assert document[-1] == END
    assert document[0] in (REPO_NAME, FILE_SEP)
    texts = {True: 0, False: 0}
    for start, end in zip([0, *whole.ends[:-1]], whole.ends, strict=True):
        text = encoder.decode(whole.tokens[start:end]).decode()
        has_names = whole.tokens[start] == REPO_NAME
        assert ("ann/r" in text) == has_names == ("a0.py" in text)
        texts[has_names] += 1
    assert min(texts.values()) > 5


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_a_permutation_is_one(count: int, key: int) -> None:
    assert sorted(permuted(i, count, key) for i in range(count)) == list(range(count))


def test_each_window_is_read_once_an_epoch_and_in_another_order_in_the_next(
    shards: Shards, encoder: Encoder
) -> None:
    reader = batches(shards, encoder, rows=1)
    total = int(shards.window_counts(LENGTH).sum())
    epochs = [[reader.place(epoch * total + i) for i in range(total)] for epoch in range(2)]
    windows = [[(place.shard, place.window) for place in places] for places in epochs]
    assert sorted(windows[0]) == sorted(windows[1]) == sorted(set(windows[0]))
    assert windows[0] != windows[1]


def test_ranks_slice_one_batch(shards: Shards, encoder: Encoder) -> None:
    reader = batches(shards, encoder)
    for step in (0, 5):
        whole = reader.batch(step)
        for ranks in (2, 4):
            parts = [reader.batch(step, rank, ranks) for rank in range(ranks)]
            assert (
                np.concatenate([part.inputs for part in parts]).tobytes() == whole.inputs.tobytes()
            )
            assert (
                np.concatenate([part.labels for part in parts]).tobytes() == whole.labels.tobytes()
            )
    with pytest.raises(ConfigError, match="multiple of 3 ranks"):
        reader.batch(0, 0, 3)


def test_a_batch_follows_from_seed_and_step(shards: Shards, encoder: Encoder) -> None:
    digests = [
        batches(shards, encoder, seed=seed).batch(step).digest for seed in (1, 2) for step in (0, 1)
    ]
    assert len(set(digests)) == 4
    assert batches(shards, encoder, seed=2).batch(1).digest == digests[3]


def test_labels_are_the_next_tokens_but_for_the_first_of_a_document(
    shards: Shards, encoder: Encoder
) -> None:
    reader = batches(shards, encoder, rows=32, fim=FimConfig(rate=0))
    found = reader.batch(0)
    assert found.inputs.shape == found.labels.shape == (32, LENGTH)
    after_end = found.inputs == END
    assert after_end.any()
    assert (found.labels[after_end] == IGNORED).all()
    inside = ~after_end[:, :-1]
    assert (found.labels[:, :-1][inside] == found.inputs[:, 1:][inside]).all()
    assert (np.diff(found.segments, axis=1) == after_end[:, :-1]).all()


def test_a_file_cut_in_its_middle_holds_the_same_text(shards: Shards, encoder: Encoder) -> None:
    """Put together again, every cut file is the file; names of repositories are never cut."""
    reader, plain = (
        Batches((Source(shards),), encoder, 512, 1, 1, FimConfig(rate=rate, file_rate=1))
        for rate in (1, 0)
    )
    seen = {"psm": 0, "spm": 0}
    for sample in range(30):
        place = reader.place(sample)
        cut = reader._row(place)
        whole = plain._row(place)
        # The last piece may have been pushed out of the window in part
        for (mark, tokens), (_, original) in zip(pieces(cut)[:-1], pieces(whole), strict=False):
            if mark == REPO_NAME:
                assert not np.isin(tokens, (FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)).any()
            if mark != FILE_SEP or FIM_MIDDLE not in tokens:
                continue
            at = tokens.tolist()
            suffix, middle = at.index(FIM_SUFFIX), at.index(FIM_MIDDLE)
            assert at[0] == FIM_PREFIX
            if suffix == 1:
                seen["spm"] += 1
                text = encoder.decode(tokens[middle + 1 :]) + encoder.decode(tokens[2:middle])
            else:
                seen["psm"] += 1
                text = (
                    encoder.decode(tokens[1:suffix])
                    + encoder.decode(tokens[middle + 1 :])
                    + encoder.decode(tokens[suffix + 1 : middle])
                )
            assert text == encoder.decode(original)
    assert min(seen.values()) > 5


def pieces(tokens: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(mark, tokens behind it) of each stretch of a window that a mark begins."""
    marks = np.flatnonzero(np.isin(tokens, (END, REPO_NAME, FILE_SEP))).tolist()
    ends = [*marks[1:], len(tokens)][: len(marks)]
    return [(int(tokens[at]), tokens[at + 1 : end]) for at, end in zip(marks, ends, strict=True)]


def test_files_are_cut_at_the_configured_rates(encoder: Encoder, tmp_path: Path) -> None:
    """One short file a document, a document a window's part: 10^5 of them, within the 99.9 % interval."""
    manifest = write_shards(tmp_path, encoder, [1500], lines=1)
    shards = Shards(manifest, "train")
    reader = Batches((Source(shards),), encoder, 512, 1, 3, FimConfig(rate=0.5, file_rate=0.5))
    plain = Batches((Source(shards),), encoder, 512, 1, 3, FimConfig(rate=0))
    files = cut = 0
    sample = 0
    while files < 100_000:
        place = reader.place(sample)
        files += sum(mark == FILE_SEP for mark, _ in pieces(plain._row(place))[:-1])
        row = reader._row(place)
        # The last may have been pushed out of the window: count among the files that are in it
        cut += sum(mark == FILE_SEP and FIM_PREFIX in tokens for mark, tokens in pieces(row)[:-1])
        files -= sum(mark == FILE_SEP for mark, _ in pieces(plain._row(place))[:-1]) - sum(
            mark == FILE_SEP for mark, _ in pieces(row)[:-1]
        )
        sample += 1
    # Files of a document are cut together or not at all: the spread is that of whole documents
    spread = 3.3 * math.sqrt(2.5 * 0.25 * 0.75 * files) / files
    assert abs(cut / files - 0.25) < spread


def test_sources_are_mixed_by_their_weights(shards: Shards, encoder: Encoder) -> None:
    reader = Batches((Source(shards, 3.0), Source(shards, 1.0)), encoder, LENGTH, 1, 5)
    chosen = [reader.place(i).source for i in range(4096)]
    assert chosen.count(0) == 3072
    assert 0 < chosen[:64].count(1) < 64
    places = [reader.place(i) for i in range(4096)]
    total = int(shards.window_counts(LENGTH).sum())
    first = [(p.shard, p.window) for p in places if p.source == 1 and p.epoch == 0]
    assert len(first) == len(set(first)) == min(total, 1024)


def test_reading_beyond_the_epochs_is_refused(shards: Shards, encoder: Encoder) -> None:
    total = int(shards.window_counts(LENGTH).sum())
    reader = Batches((Source(shards, 1.0, 1.0),), encoder, LENGTH, 1, 5)
    reader.place(total - 1)
    with pytest.raises(ConfigError, match="epochs"):
        reader.place(total)


def test_shards_cut_short_changed_or_of_another_tokenizer_are_refused(
    encoder: Encoder, tmp_path: Path
) -> None:
    manifest = write_shards(tmp_path, encoder, [5])
    with pytest.raises(ContractError, match="expected shards of the tokenizer"):
        Shards(manifest, "train", tokenizer_sha256="0" * 64)
    path = tmp_path / "train-00000.bin"
    raw = path.read_bytes()
    path.write_bytes(raw[:-2] + b"\1\1")
    with pytest.raises(ContractError, match="digest"):
        Shards(manifest, "train", verify=True)
    path.write_bytes(raw[:-2])
    with pytest.raises(ContractError, match=r"expected \d+ bytes, found \d+"):
        Shards(manifest, "train")
    path.unlink()
    with pytest.raises(ContractError, match="no file"):
        Shards(manifest, "train")
    manifest.write_text("{}")
    with pytest.raises(ContractError, match="format"):
        Shards(manifest, "train")
    with pytest.raises(ContractError, match="stackmill pack"):
        Shards(tmp_path / "nowhere.json", "train")


def test_sentinels_of_the_marks_are_those_of_the_vocabulary() -> None:
    names = [
        SENTINELS[number]
        for number in (END, REPO_NAME, FILE_SEP, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX)
    ]
    assert names == [
        "<|endoftext|>", "<repo_name>", "<file_sep>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>",
    ]  # fmt: skip


def test_what_a_shard_holds_is_what_its_digest_says(shards: Shards) -> None:
    for shard in shards.shards:
        assert hashlib.sha256(shard.tokens.tobytes()).hexdigest() == shard.sha256
