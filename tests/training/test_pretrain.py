"""A model is trained alike by plain torch, by one, two or four ranks, killed or not; bad inputs are refused."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deltalake import DeltaTable
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench import zero_memory
from etl.config import dump
from etl.errors import ConfigError, ContractError
from etl.pack.tokenizer import Encoder
from tests import disks
from tests.training import jobs, plain
from tests.training.lakes import tiny, write_lake
from tests.training.ranks import Ranks, launch
from training import checkpoints
from training.batches import IGNORED, FimConfig, batch_of
from training.checkpoints import list_checkpoints
from training.config import CheckpointConfig, TrainingConfig
from training.corpus import open_corpus
from training.files import DATA, LISTED, VALIDATED
from training.journal import JOURNAL, PARENT
from training.model import count_parameters
from training.ngram import windows_read
from training.shards import Shards
from training.steps import read_steps
from training.zero import memory_bytes

pytestmark = pytest.mark.slow

Lines = list[dict[str, Any]]
LONGER = {"stages__0__steps": 38, "stages__1__steps": 12}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture(scope="module")
def whole(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """A run of 50 steps on two ranks that nothing has disturbed."""
    config = tiny(lake, tmp_path_factory.mktemp("whole") / "output", **LONGER)
    train(2, config)
    return config


def train(ranks: int, config: TrainingConfig) -> Lines:
    found = launch(ranks, jobs.pretrain, dump(config if ranks < 4 else in_quarters(config)))
    assert not [text for text in found if isinstance(text, str)], found
    return found[0]


def in_quarters(config: TrainingConfig) -> TrainingConfig:
    """Pieces that four ranks can read; they are of no consequence to what is learnt."""
    stages = tuple(
        stage.model_copy(update={"sequences_per_rank": stage.sequences_per_batch // 4})
        for stage in config.stages
    )
    return config.model_copy(update={"stages": stages})


def moved(config: TrainingConfig, output: Path, **more: Any) -> TrainingConfig:
    return config.model_copy(update={"output": str(output), **more})


def steps_of(config: TrainingConfig) -> Lines:
    return read_steps(Path(config.output))


def copied(config: TrainingConfig, output: Path, last_step: int) -> TrainingConfig:
    """The run as it was when the checkpoint of a step was its newest."""
    shutil.copytree(config.output, output)
    for checkpoint in list_checkpoints(output / "checkpoints"):
        if checkpoint.step > last_step:
            shutil.rmtree(checkpoint.path)
    return moved(config, output)


def test_losses_are_those_of_plain_torch(whole: TrainingConfig) -> None:
    found = [line["loss"] for line in steps_of(whole)]
    expected = plain.train(whole, open_corpus(whole))
    assert len(found) == len(expected) == 50
    assert found == pytest.approx(expected, rel=1e-4)
    assert expected[37] < expected[0] - 1  # it learns


@pytest.mark.parametrize("ranks", [1, 4])
def test_any_number_of_ranks_reads_the_same_and_learns_alike(
    whole: TrainingConfig, ranks: int, tmp_path: Path
) -> None:
    found = train(ranks, moved(whole, tmp_path / "output"))
    expected = steps_of(whole)
    assert [line["batch"] for line in found] == [line["batch"] for line in expected]
    assert len({line["batch"] for line in found}) == 50
    losses = [line["loss"] for line in expected]
    assert [line["loss"] for line in found] == pytest.approx(losses, rel=1e-5)


def training_ranks(ranks: int, config: TrainingConfig, steps: int) -> Ranks:
    """Ranks that train, once they have done so many steps."""
    started = Ranks(ranks, jobs.pretrain, dump(config))
    deadline = time.monotonic() + 60
    while len(steps_of(config)) < steps and time.monotonic() < deadline:
        time.sleep(0.02)
    return started


def test_a_run_that_was_killed_goes_on_to_the_same_losses(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    config = moved(whole, tmp_path / "output")
    started = training_ranks(2, config, 20)
    started.kill()
    left = steps_of(config)
    assert 20 <= len(left) < 50
    assert train(2, config) == steps_of(whole)


def test_a_run_that_is_told_to_stop_says_that_it_was_killed(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    config = moved(whole, tmp_path / "output")
    started = training_ranks(1, config, 3)
    (process,) = started.processes
    process.terminate()
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    lines = (Path(config.output) / JOURNAL).read_text().splitlines()
    ends = [line for line in map(json.loads, lines) if line["op"] == "end"]
    assert [(line["run"], line["status"]) for line in ends] == [(PARENT, "KILLED")]


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_run_goes_on_with_another_number_of_ranks(
    whole: TrainingConfig, ranks: int, tmp_path: Path
) -> None:
    config = copied(whole, tmp_path / "output", last_step=24)
    found, expected = train(ranks, config), steps_of(whole)
    assert found[:24] == expected[:24]
    assert [line["batch"] for line in found] == [line["batch"] for line in expected]
    losses = [line["loss"] for line in expected]
    assert [line["loss"] for line in found] == pytest.approx(losses, rel=1e-5)


def test_a_run_that_is_done_does_nothing_and_exports_again(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    config = copied(whole, tmp_path / "output", last_step=50)
    shutil.rmtree(tmp_path / "output" / "export")
    assert train(1, config) == steps_of(whole)
    assert (tmp_path / "output" / "export" / "model.safetensors").exists()


def test_a_run_goes_on_with_the_shards_that_it_began_with(
    whole: TrainingConfig, lake: Path, tmp_path: Path
) -> None:
    """The corpus is packed again meanwhile: `manifest.json` names other shards."""
    own = tmp_path / "lake"
    shutil.copytree(lake, own)
    config = tiny(own, tmp_path / "output", **LONGER)
    shutil.copytree(whole.output, config.output)
    described = json.loads((Path(config.output) / DATA).read_text())
    manifest = json.loads((own / "shards" / "manifest.json").read_text())
    manifest["corpus_version"] = 4
    (own / "shards" / "manifest.json").write_text(json.dumps(manifest))
    pinned = {source["name"]: source["manifest"] for source in described["mixture"]}
    identity = list_checkpoints(Path(config.output) / "checkpoints")[-1].meta["identity"]
    assert open_corpus(config, pinned).identity() == identity
    assert open_corpus(config).identity() != identity


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model__layers": 3}, r"same model, .*: layers is 1 there and 3 here"),
        ({"seed": 2}, r"same data, .*: seed is 1 there and 2 here"),
        ({"stages__0__sequences_per_batch": 16}, r"same data, .*stages"),
    ],
)
def test_a_checkpoint_of_another_model_or_data_is_refused(
    whole: TrainingConfig, lake: Path, change: dict[str, Any], said: str
) -> None:
    newest = list_checkpoints(Path(whole.output) / "checkpoints")[-1]
    other = tiny(lake, Path(whole.output), **{**LONGER, **change})
    with pytest.raises(ConfigError, match=said):
        checkpoints.check(newest, open_corpus(other).identity())


def test_a_checkpoint_of_another_tokenizer_or_lake_is_refused(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    newest = list_checkpoints(Path(whole.output) / "checkpoints")[-1]
    other = tiny(write_lake(tmp_path / "lake", seed=7), Path(whole.output), **LONGER)
    with pytest.raises(ConfigError, match=r"same data, found another: sources\.corpus\.sha256 is"):
        checkpoints.check(newest, open_corpus(other).identity())
    identity = {**newest.meta["identity"], "tokenizer": {"sha256": "another"}}
    with pytest.raises(ConfigError, match="same tokenizer"):
        checkpoints.check(newest, identity)


def test_a_checkpoint_cut_short_is_refused(whole: TrainingConfig, tmp_path: Path) -> None:
    config = copied(whole, tmp_path / "output", last_step=50)
    newest = list_checkpoints(Path(config.output) / "checkpoints")[-1]
    part = newest.path / "rank-00001.safetensors"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ContractError, match=r"rank-00001.safetensors: expected \d+ bytes, found"):
        checkpoints.check(newest, newest.meta["identity"])
    (newest.path / "checkpoint.json").write_text("{")
    with pytest.raises(ContractError, match=r"delete .* to go on from the one before"):
        list_checkpoints(Path(config.output) / "checkpoints")


def test_old_checkpoints_are_pruned_but_for_those_to_be_kept(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    folder = Path(copied(whole, tmp_path / "output", last_step=50).output) / "checkpoints"
    steps = [one.step for one in list_checkpoints(folder)]
    assert steps == [8, 16, 24, 32, 38, 40, 48, 50]  # the interval, and each stage's end
    checkpoints.prune(folder, CheckpointConfig(keep_last=2, keep_every_steps=16))
    assert [one.step for one in list_checkpoints(folder)] == [16, 32, 48, 50]


def test_ranks_that_do_not_divide_the_batch_are_refused(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    found = launch(3, jobs.pretrain, dump(moved(whole, tmp_path / "output")))
    assert all(
        "stage base: sequences_per_batch = 8: expected a multiple of 3" in one for one in found
    )


def test_a_rank_that_dies_ends_the_others_with_a_clear_error(
    whole: TrainingConfig, tmp_path: Path
) -> None:
    config = moved(whole, tmp_path / "output")
    started = training_ranks(2, config, 3)
    started.processes[1].kill()
    rank, said = started.answers.get(timeout=90)
    assert rank == 0
    assert "TrainingError: rank 0: expected all 2 ranks to answer, found one gone" in said
    for process in started.processes:
        process.join(30)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds one checkpoint."""
    with disks.mounted(tmp_path / "disk", "450k") as disk:
        yield disk


def test_a_full_disk_leaves_the_last_good_checkpoint_and_a_rerun_completes(
    whole: TrainingConfig, small_disk: Path, tmp_path: Path
) -> None:
    config = moved(whole, tmp_path / "output")
    Path(config.output).mkdir()
    (Path(config.output) / "checkpoints").symlink_to(small_disk)
    found = launch(2, jobs.pretrain, dump(config))
    for said in found:
        assert "the disk is full: expected room for the checkpoint of step 16" in said
        assert "the last good one is of step 8: free space" in said
    assert [path.name for path in small_disk.iterdir()] == ["step-000000008"]
    disks.resize(small_disk, "50m")
    assert train(2, config) == steps_of(whole)


def test_a_spike_changes_no_weight_and_many_end_the_run(
    whole: TrainingConfig, lake: Path, tmp_path: Path
) -> None:
    wary = tiny(lake, tmp_path / "wary", guard={"window": 8, "deviations": 1e-9, "max_skipped": 30})
    lines = train(1, wary)
    skipped = [line for line in lines if line["is_skipped"]]
    assert skipped
    newest = list_checkpoints(tmp_path / "wary" / "checkpoints")[-1]
    assert newest.meta["applied_steps"] == 30 - len(skipped)
    assert all(math.isnan(line["gradient_norm"]) for line in skipped)

    wild = tiny(lake, tmp_path / "wild", guard={"max_skipped": 3}, stages__0__learning_rate=1e20)
    (said,) = launch(1, jobs.pretrain, dump(wild))
    assert "expected a finite loss near those before it, found none in 3 steps" in said


def test_the_export_is_the_model_to_transformers(whole: TrainingConfig) -> None:
    """Its loss on the validation windows, by transformers' own code, is the one that was logged."""
    folder = Path(whole.output) / "export"
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert model.config.rope_parameters["rope_theta"] == 1e6
    assert model.config.sliding_window == 32
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lake = Path(whole.data.sources[0].lake)
    text = "def f1(x):\n    return x + 42\n"
    own = Encoder(lake / "tokenizer").encode(text).tolist()
    assert tokenizer.encode(text, add_special_tokens=False) == own
    assert "Starcoder2: 1 layers" in (folder / "README.md").read_text()

    logged = json.loads((Path(whole.output) / VALIDATED).read_text())
    assert logged["step"] == 50
    nats, tokens, num_bytes = _slowly(model, lake, 128, 2048)
    for name, row in {"": logged, **logged["languages"]}.items():
        assert row["tokens"] == tokens[name]
        assert row["bytes"] == num_bytes[name]
        assert row["loss"] == pytest.approx(nats[name] / tokens[name], rel=1e-5)
        bits = nats[name] / math.log(2) / num_bytes[name]
        assert row["bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    assert set(logged["languages"]) == {"Python", "C++"}
    assert sum(row["tokens"] for row in logged["languages"].values()) < logged["tokens"]


def _slowly(
    model: Any, lake: Path, length: int, most: int
) -> tuple[dict[str, float], dict[str, int], dict[str, int]]:
    """By language, and of all under the empty name: a token at a time."""
    shards = Shards(lake / "shards" / "manifest.json", "validation")
    files = DeltaTable(str(lake / "shard_documents")).to_pandas()
    files = files[files["shard"] == shards.shards[0].name]
    encoder = Encoder(lake / "tokenizer")
    total = int(shards.window_counts(length)[0])
    wanted = min(total, most // length)
    nats: dict[str, float] = defaultdict(float)
    tokens: dict[str, int] = defaultdict(int)
    num_bytes: dict[str, int] = defaultdict(int)
    for number in range(wanted):
        window = number * total // wanted
        batch = batch_of(shards.window(0, window, length)[None], np.zeros(1, np.int64))
        with torch.no_grad():
            losses = plain.losses_of(model, batch)[0].tolist()
        for place, (loss, label) in enumerate(zip(losses, batch.labels[0].tolist(), strict=True)):
            if label == IGNORED:
                continue
            at = window * length + place + 1
            inside = files[(files["offset"] <= at) & (at < files["offset"] + files["num_tokens"])]
            for name in ("", *inside["language"]):
                nats[name] += loss
                tokens[name] += 1
                num_bytes[name] += len(encoder.bytes_of[label])
    return nats, tokens, num_bytes


def test_the_windows_of_a_run_are_the_rows_of_its_batches(whole: TrainingConfig) -> None:
    """Which fill-in-the-middle has left as they are."""
    plain = whole.data.model_copy(update={"fim": FimConfig(rate=0)})
    corpus = open_corpus(whole.model_copy(update={"data": plain}))
    expected = [
        row.tolist()
        for stage in whole.stages
        for step in range(stage.steps)
        for row in corpus.batches(stage).batch(step).inputs
    ]
    assert [row[:-1].tolist() for row in windows_read(Path(whole.output))] == expected


def test_what_the_run_read_and_wrote_is_on_record(whole: TrainingConfig, lake: Path) -> None:
    output = Path(whole.output)
    described = json.loads((output / DATA).read_text())
    manifest = (lake / described["manifest"]).read_bytes()
    import hashlib

    assert described["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert (described["lake"], described["corpus_version"]) == (str(lake), 3)
    ends = [
        (stage["name"], stage["first_step"], stage["end_step"]) for stage in described["stages"]
    ]
    assert ends == [("base", 0, 38), ("long", 38, 50)]
    listed = json.loads((output / LISTED).read_text())
    assert [one["step"] for one in listed] == [8, 16, 24, 32, 38, 40, 48, 50]
    for one in listed:
        assert (Path(one["path"]) / "checkpoint.json").exists()
        assert len(one["sha256"]) == 64


@pytest.mark.parametrize(("ranks", "bf16"), [(1, False), (2, True)])
def test_a_rank_holds_what_is_predicted(ranks: int, bf16: bool) -> None:
    """Buffers come on top, and the weights that every rank keeps."""
    found = launch(ranks, jobs.held_bytes, bf16)
    stage = zero_memory.stage_of(ranks)
    predicted = memory_bytes(count_parameters(zero_memory.MODEL, stage), ranks, bf16)
    assert found == [pytest.approx(predicted, rel=0.01)] * ranks
