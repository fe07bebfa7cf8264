"""The corpus as shards: what lies where is what the corpus holds, and only what changed is packed again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etl.errors import ConfigError
from etl.pack.stage import PackConfig, TokenizerConfig, pack, train_tokenizer
from etl.pack.tokenizer import END, FILE_SEP, REPO_NAME, Encoder
from etl.tables import CORPUS, SHARD_DOCUMENTS, SHARDS
from tests.etl.memory import MemoryLake
from training.shards import Shards

pytestmark = pytest.mark.spark

CONFIG = PackConfig(buckets=4)


@pytest.fixture
def lake(spark: Any, tmp_path: Path) -> MemoryLake:
    return MemoryLake(spark, tmp_path)


def row(repo: int, path: str, text: str, split: str = "train") -> dict[str, Any]:
    digest = hashlib.sha256(f"{repo} {path} {text} {split}".encode()).hexdigest()
    return {
        "repo_id": f"{repo * 0x1357:04x}" + "0" * 28, "repo_name": f"ann/r{repo}", "path": path,
        "content": text, "language": "Python", "split": split, "blob_id": digest, "text_id": digest,
        "length_bytes": len(text.encode()), "digest": digest, "host": f"h{repo % 2}",
    }  # fmt: skip


def rows() -> list[dict[str, Any]]:
    found = []
    for repo in range(12):
        for name, body in (("main.py", "import util\n"), ("util.py", ""), ("z/é.py", "# 中\n")):
            text = body + f"def of_{repo}(x):\n    return x\n" * (repo + 1)
            found.append(row(repo, name, text, "validation" if repo == 5 else "train"))
    return found


def write(lake: MemoryLake, found: list[dict[str, Any]]) -> None:
    values = [tuple(one.get(name) for name in CORPUS.columns) for one in found]
    lake.overwrite(CORPUS, lake.local_rows(values, CORPUS.schema))


def packed(lake: MemoryLake) -> dict[tuple[str, str], tuple[str, str]]:
    """(repo_id, path) -> (split, text), by the tables and the files alone."""
    folder = Path(lake.folder("shards"))
    encoder = Encoder(Path(lake.folder("tokenizer")))
    shards = {one["shard"]: one for one in lake.read(SHARDS).collect()}
    found = {}
    for line in lake.read(SHARD_DOCUMENTS).collect():
        if line["shard"] not in shards:  # of an earlier manifest
            continue
        tokens = np.fromfile(folder / line["shard"], "<u2")
        whole = shards[line["shard"]]
        assert len(tokens) == whole["num_tokens"]
        assert hashlib.sha256(tokens.tobytes()).hexdigest() == whole["sha256"]
        piece = tokens[line["offset"] : line["offset"] + line["num_tokens"]]
        assert piece[0] == FILE_SEP
        text = encoder.decode(piece[1:]).decode()
        ends = np.flatnonzero(tokens == END)
        start = int(ends[ends < line["offset"]][-1]) + 1 if (ends < line["offset"]).any() else 0
        if tokens[start] == REPO_NAME:
            path, _, text = text.partition("\n")
            assert path == line["path"]
        found[line["repo_id"], line["path"]] = (whole["split"], text)
    return found


def test_shards_hold_the_corpus_and_a_change_rewrites_its_bucket_alone(lake: MemoryLake) -> None:
    write(lake, rows())
    assert train_tokenizer(lake, TokenizerConfig(vocabulary=600))["tokens"] <= 600
    first = pack(lake, CONFIG)
    expected = {(one["repo_id"], one["path"]): (one["split"], one["content"]) for one in rows()}
    assert packed(lake) == expected
    before = {one["shard"] for one in lake.read(SHARDS).collect()}
    assert first["shards_written"] == len(before) > 2
    assert pack(lake, CONFIG)["shards_written"] == 0

    changed = [one for one in rows() if one["repo_id"] != rows()[0]["repo_id"]]
    changed[3] = row(2, "main.py", "x = 1\n")
    write(lake, changed[::-1])
    again = pack(lake, CONFIG)
    after = {one["shard"] for one in lake.read(SHARDS).collect()}
    assert again["shards_written"] == len(after - before) <= 2
    fresh = {(one["repo_id"], one["path"]): (one["split"], one["content"]) for one in changed}
    assert packed(lake) == fresh
    path = Path(lake.folder("shards")) / "manifest.json"
    manifest = json.loads(path.read_text())
    opened = Shards(path, "train", verify=True)
    assert {shard.name for shard in opened.shards} < after
    assert {one["name"] for one in manifest["shards"]} == after
    assert sum(one["files"] for one in manifest["languages"]) == len(changed)
    assert sum(one["num_tokens"] for one in manifest["shards"]) > sum(
        one["tokens"] for one in manifest["languages"]
    )
    by_source = {(one["split"], one["source"]): one["files"] for one in manifest["sources"]}
    assert by_source == {("train", "h0"): 15, ("train", "h1"): 15, ("validation", "h1"): 3}
    for column in ("files", "tokens", "bytes"):
        assert sum(one[column] for one in manifest["sources"]) == sum(
            one[column] for one in manifest["languages"]
        )

    folder = path.parent
    assert {one.name for one in folder.glob("*.bin")} == before | after
    assert again["shards_removed"] == 0
    last = pack(lake, CONFIG.model_copy(update={"keep_manifests": 0}))
    assert {one.name for one in folder.glob("*.bin")} == after
    assert (last["shards_written"], last["shards_removed"]) == (0, len(before - after))
    lines = {one["shard"] for one in lake.read(SHARD_DOCUMENTS).collect()}
    assert lines == before | after


def test_renamed_files_and_shards_that_come_back_have_their_documents_once(
    lake: MemoryLake,
) -> None:
    """A rename changes no token where documents have no names. What a killed run left is removed meanwhile,
    and nothing of others."""
    config = PackConfig(buckets=2, names_rate=0, order="path")
    write(lake, rows()[:9])
    train_tokenizer(lake, TokenizerConfig(vocabulary=600))
    pack(lake, config)
    first = packed(lake)
    digests = {one["sha256"] for one in lake.read(SHARDS).collect()}
    folder = Path(lake.folder("shards"))
    left = (f".{'0' * 32}.part", f"train-00000-{'0' * 16}.bin")
    others = {"notes.txt", "own.bin", f"other-00000-{'0' * 16}.bin"}
    for name in (*left, *others):
        (folder / name).write_bytes(b"x")

    renamed = rows()[:9]
    renamed[2] = row(0, "z/new.py", renamed[2]["content"])
    write(lake, renamed)
    found = pack(lake, config)
    assert (found["shards_written"], found["shards_removed"]) == (1, 1)
    assert {one["sha256"] for one in lake.read(SHARDS).collect()} == digests
    assert packed(lake) == {
        (one["repo_id"], one["path"]): (one["split"], one["content"]) for one in renamed
    }
    assert others <= {one.name for one in folder.iterdir()}
    assert not {one.name for one in folder.iterdir()} & set(left)

    write(lake, rows()[:9])
    pack(lake, config)
    assert packed(lake) == first
    keys = [(one["shard"], one["offset"]) for one in lake.read(SHARD_DOCUMENTS).collect()]
    assert len(keys) == len(set(keys))


def test_validation_files_like_training_files_are_left_out_and_reported(lake: MemoryLake) -> None:
    """Ten words are 6 shingles. With one word more or in its place, by hand: 6 of 7, and 4 of 8."""
    words = "a b c d e f g h i j"
    corpus = [
        row(1, "train.py", words),
        row(2, "more.py", f"{words} k", "validation"),  # 6 of 7
        row(2, "half.py", "a b c d e f g h x y", "validation"),  # 4 of 8: at the bound
        row(2, "less.py", "a b c d e f g w x y", "validation"),  # 3 of 9
        row(2, "short.py", "a b c", "validation"),
        row(2, "other.py", "k l m n o p q r s t", "validation"),
        row(3, "twin.py", "k l m n o p q r s u"),  # 5 of 7 of other.py
    ]
    write(lake, corpus)
    train_tokenizer(lake, TokenizerConfig(vocabulary=600))
    assert pack(lake, CONFIG)["validation_left_out"] == 3
    in_validation = {path for (_, path), (split, _) in packed(lake).items() if split != "train"}
    assert in_validation == {"less.py", "short.py"}
    manifest = json.loads((Path(lake.folder("shards")) / "manifest.json").read_text())
    found = manifest["validation"]
    assert (found["files"], found["compared"], found["left_out"]) == (5, 5, 3)
    assert [
        (one["path"], one["train_path"], round(one["similarity"], 4))
        for one in found["most_similar"]
    ] == [
        ("more.py", "train.py", 0.8571), ("other.py", "twin.py", 0.7143),
        ("half.py", "train.py", 0.5),
    ]  # fmt: skip


def test_the_order_of_rows_and_their_partitions_change_no_shard(
    lake: MemoryLake, tmp_path: Path
) -> None:
    names = []
    for number, found in enumerate((rows(), rows()[::-1])):
        other = MemoryLake(lake.spark, tmp_path / str(number))
        write(other, found)
        train_tokenizer(other, TokenizerConfig(vocabulary=600))
        pack(other, CONFIG)
        names.append({one["shard"] for one in other.read(SHARDS).collect()})
    assert names[0] == names[1]


def test_without_a_corpus_or_a_tokenizer_it_says_what_to_run(lake: MemoryLake) -> None:
    with pytest.raises(ConfigError, match="stackmill refresh"):
        train_tokenizer(lake, TokenizerConfig())
    write(lake, rows())
    with pytest.raises(ConfigError, match="stackmill train_tokenizer"):
        pack(lake, CONFIG)
