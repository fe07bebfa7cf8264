"""From a file to the runs that saw it, and from a run to its data: on a lake of two corpus versions, written by
hand, of which only ids are left."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from mlflow import MlflowClient

from etl.tables import CORPUS_HISTORY, REPOS, RUNS, SHARD_DOCUMENTS, Table
from jobs.__main__ import main
from jobs.lineage import TAG
from training.batches import Batches, FimConfig, Source
from training.shards import Shard, Shards

LENGTH, ROWS, SEED, STEPS = 8, 2, 5, 9
ANN, BOB = hashlib.sha256(b"ann").hexdigest()[:32], hashlib.sha256(b"bob").hexdigest()[:32]
OLD, NEW, OTHER, HELD = (f"{number:064x}" for number in range(1, 5))
SIZES = {"train-a": 60, "train-b": 45, "train-c": 70, "validation-a": 30}
DOCUMENTS = [  # shard, offset, tokens, repo, path, blob
    ("train-a", 1, 20, ANN, "a.py", OLD),
    ("train-a", 21, 38, BOB, "b.py", OTHER),
    ("train-b", 0, 45, BOB, "c.py", OTHER),
    ("validation-a", 1, 28, ANN, "v.py", HELD),
    ("train-c", 5, 60, ANN, "a.py", NEW),  # packed later, in place of train-a
]


def write(lake: Path, table: Table, rows: list[dict[str, Any]]) -> None:
    kinds = {"string": pa.string(), "bigint": pa.int64(), "double": pa.float64(),
             "timestamp": pa.timestamp("us", "UTC"), "boolean": pa.bool_(), "int": pa.int32(),
             "map<string,bigint>": pa.map_(pa.string(), pa.int64()),
             "array<bigint>": pa.list_(pa.int64())}  # fmt: skip
    fields = [(field.name, kinds[field.dataType.simpleString()]) for field in table.schema]
    full = [{name: row.get(name) for name in table.columns} for row in rows]
    write_deltalake(str(lake / table.name), pa.Table.from_pylist(full, pa.schema(fields)))


def write_manifest(lake: Path, version: int, shards: list[str]) -> tuple[str, str]:
    """Path under the lake, and digest."""
    entries = [
        {"name": name, "split": name.split("-")[0], "num_tokens": SIZES[name], "sha256": ""}
        for name in shards
    ]
    tokenizer = {"sha256": "t" * 64, "vocabulary": 100}
    manifest = {
        "format": 1, "corpus_version": version, "tokenizer": tokenizer, "shards": entries,
    }  # fmt: skip
    raw = json.dumps(manifest).encode()
    digest = hashlib.sha256(raw).hexdigest()
    (lake / "shards").mkdir(parents=True, exist_ok=True)
    (lake / "shards" / f"manifest-{digest[:16]}.json").write_bytes(raw)
    return f"shards/manifest-{digest[:16]}.json", digest


def job(name: str, hour: int, read: dict[str, int], written: dict[str, int]) -> dict[str, Any]:
    return {
        "run_id": f"{name}{hour}", "job": name, "status": "done", "config_hash": "c",
        "started_at": dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC), "code_hash": "h",
        "tables_read": list(read.items()), "tables_written": list(written.items()),
    }  # fmt: skip


def write_lake(lake: Path) -> dict[int, tuple[str, str]]:
    """Its manifests, by corpus version. `a.py` has changed from version 0 to 1."""
    write(lake, REPOS, [{"repo_id": ANN, "repo_name": "ann/tool"}])  # bob is gone
    spells = [
        (ANN, "a.py", OLD, 0, 1), (ANN, "a.py", NEW, 1, None), (BOB, "b.py", OTHER, 0, 1),
        (BOB, "c.py", OTHER, 0, None), (ANN, "v.py", HELD, 0, None), (ANN, "n.py", OTHER, 1, None),
    ]  # fmt: skip
    names = ("repo_id", "path", "blob_id", "valid_from", "valid_to")
    write(lake, CORPUS_HISTORY, [dict(zip(names, spell, strict=True)) for spell in spells])
    names = ("shard", "offset", "num_tokens", "repo_id", "path", "blob_id")
    rows = [{**dict(zip(names, row, strict=True)), "num_bytes": 1} for row in DOCUMENTS]
    write(lake, SHARD_DOCUMENTS, rows)
    write(
        lake,
        RUNS,
        [
            job("ingest", 1, {}, {"files": 0}),
            job("decide", 2, {"files": 0}, {"decisions": 0}),
            job("assemble", 3, {"decisions": 0}, {"corpus": 0}),
            job("ingest", 4, {}, {"files": 1}),
            job("decide", 5, {"files": 1}, {"decisions": 1}),
            job("assemble", 6, {"decisions": 1}, {"corpus": 1}),
            job("assemble", 7, {"decisions": 1}, {"corpus": 1}),  # nothing had changed
        ],
    )
    return {
        0: write_manifest(lake, 0, ["train-a", "train-b", "validation-a"]),
        1: write_manifest(lake, 1, ["train-b", "train-c", "validation-a"]),
    }


class World(NamedTuple):
    lake: Path
    runs: dict[int, str]  # corpus version -> id


def log_run(lake: Path, version: int, manifest: str, digest: str, steps: int) -> str:
    client = MlflowClient()
    found = client.get_experiment_by_name("lineage")
    experiment = found.experiment_id if found else client.create_experiment(
        "lineage", (lake.parent / "artifacts").as_uri()
    )  # fmt: skip
    tags = {"stackmill.lake": str(lake), TAG: str(version), "stackmill.step": str(steps)}
    run_id = client.create_run(experiment, run_name=f"of {version}", tags=tags).info.run_id
    data = {
        "lake": str(lake), "corpus_version": version, "manifest": manifest,
        "manifest_sha256": digest, "seed": SEED,
        "mixture": [
            {"name": "elsewhere", "lake": "/nowhere", "manifest": "m.json", "weight": 1.0,
             "manifest_sha256": "0" * 64, "epochs": 9.0},
            {"name": "corpus", "lake": str(lake), "manifest": manifest, "weight": 3.0,
             "manifest_sha256": digest, "epochs": 9.0},
        ],
        "stages": [
            {"name": "only", "first_step": 0, "end_step": 20, "sequence_length": LENGTH,
             "sequences_per_batch": ROWS}
        ],
    }  # fmt: skip
    checkpoints = [{"step": step, "path": f"/c/{step}", "sha256": "0"} for step in (1, steps)]
    client.log_text(run_id, json.dumps(data), "data.json")
    client.log_text(run_id, json.dumps(checkpoints), "checkpoints.json")
    client.set_terminated(run_id)
    return run_id


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, mlflow_store: str) -> World:
    lake = tmp_path_factory.mktemp("lineage") / "lake"
    manifests = write_lake(lake)
    return World(
        lake, {version: log_run(lake, version, *manifests[version], STEPS) for version in (0, 1)}
    )


class Sized(Shards):
    def __init__(self, *names: str) -> None:
        self.shards = [
            Shard(name, "", np.full(SIZES[name], 60, np.uint16), np.empty(0, np.int64))
            for name in names
        ]


def forward(shards: list[str], shard: str, offset: int, num_tokens: int) -> list[int]:
    """Steps, from 1, by the loader run forward."""
    sources = (Source(Sized("train-c"), 1.0), Source(Sized(*shards), 3.0))
    encoder: Any = None
    reader = Batches(sources, encoder, LENGTH, ROWS, SEED, FimConfig(rate=0))
    found = []
    for step in range(STEPS):
        for place in reader.places(step):
            start = place.window * LENGTH
            if (
                place.source == 1
                and shards[place.shard] == shard
                and start < offset + num_tokens
                and offset < start + LENGTH + 1
            ):
                found.append(step + 1)
    return sorted(set(found))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_file_names_the_runs_steps_and_checkpoints_that_saw_each_of_its_contents(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    [found] = answer(capsys, "runs", "--file", "ann/tool", "a.py", "--lake", str(world.lake))
    assert [(row["blob_id"], row["valid_from"], row["valid_to"]) for row in found["history"]] == [
        (OLD, 0, 1), (NEW, 1, None),
    ]  # fmt: skip
    first, second = found["runs"]
    assert (first["run_id"], second["run_id"]) == (world.runs[0], world.runs[1])
    assert [read["blob_id"] for read in first["reads"]] == [OLD]
    assert [read["blob_id"] for read in second["reads"]] == [NEW]
    assert first["steps"] == forward(["train-a", "train-b"], "train-a", 1, 20) != []
    assert second["steps"] == forward(["train-b", "train-c"], "train-c", 5, 60) != []
    for run in found["runs"]:
        expected = [step for step in (1, STEPS) if step >= run["steps"][0]]
        assert [one["step"] for one in run["checkpoints"]] == expected


def test_a_file_of_a_repository_that_is_gone_is_found_by_its_id(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = ["--lake", str(world.lake)]
    [found] = answer(capsys, "runs", "--file", BOB, "b.py", *lake)
    assert [run["run_id"] for run in found["runs"]] == [world.runs[0]]
    [found] = answer(capsys, "runs", "--file", BOB, "c.py", *lake)
    assert len(found["runs"]) == 2
    assert main(["runs", "--file", "bob/tool", "b.py", *lake]) == 2
    assert "give the id" in capsys.readouterr().err


def test_files_for_validation_and_files_of_no_run_are_said_to_be_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = ["--lake", str(world.lake)]
    [found] = answer(capsys, "runs", "--file", "ann/tool", "v.py", *lake)
    assert {read["split"] for run in found["runs"] for read in run["reads"]} == {"validation"}
    assert all(not run["steps"] and not run["checkpoints"] for run in found["runs"])
    assert main(["runs", "--file", "ann/tool", "v.py", *lake]) == 0
    assert "for validation only" in capsys.readouterr().out
    assert main(["runs", "--file", "ann/tool", "n.py", *lake]) == 0
    assert "no training run has it" in capsys.readouterr().out
    assert main(["runs", "--file", "ann/tool", "none.py", *lake]) == 2
    assert "expected a file that a version" in capsys.readouterr().err


def test_a_run_names_its_tables_versions_and_files(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = ["--lake", str(world.lake)]
    found = answer(capsys, "data", "--run", world.runs[0], "--files", *lake)
    [source] = found["sources"]
    assert (source["name"], source["corpus_version"]) == ("corpus", 0)
    assert [(job["job"], job["tables_read"]) for job in source["jobs"]] == [
        ("assemble", {"decisions": 0}), ("decide", {"files": 0}), ("ingest", {}),
    ]  # fmt: skip
    assert [part["name"] for part in found["elsewhere"]] == ["elsewhere"]
    shards = ["train-a", "train-b"]
    expected = {
        (repo, path): min(forward(shards, shard, offset, size), default=None)
        for shard, offset, size, repo, path, _ in DOCUMENTS
        if shard in shards
    }
    assert {
        (file["repo_id"], file["path"]): file["first_step"]
        for file in found["files"]
        if file["split"] == "train"
    } == expected
    train = source["splits"][0]
    assert (train["files"], train["repositories"], train["tokens"]) == (3, 2, 103)
    assert train["files_read"] == sum(step is not None for step in expected.values())

    [source] = answer(capsys, "data", "--run", world.runs[1], *lake)["sources"]
    assert [job["tables_read"] for job in source["jobs"]] == [{"decisions": 1}, {"files": 1}, {}]
    assert main(["data", "--run", world.runs[1], *lake]) == 0
    assert "corpus version 1" in capsys.readouterr().out


def test_a_moved_lake_is_known_by_its_manifests(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = world.lake.rename(tmp_path / "moved")
    try:
        [found] = answer(capsys, "runs", "--file", "ann/tool", "a.py", "--lake", str(moved))
        assert len(found["runs"]) == 2
    finally:
        moved.rename(world.lake)


def test_a_run_that_does_not_say_what_it_read_is_an_error_beside_the_others(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("lineage")
    assert experiment is not None
    silent = client.create_run(experiment.experiment_id, tags={TAG: "0"}).info.run_id
    path, digest = write_manifest(world.lake, 2, ["train-a"])
    (world.lake / path).unlink()
    lost = log_run(world.lake, 2, path, digest, 3)
    try:
        found = answer(
            capsys, "runs", "--file", "ann/tool", "a.py", "--lake", str(world.lake), code=3
        )
        assert len(found[0]["runs"]) == 2
        one, other = found[0]["errors"]
        assert silent in one
        assert "data.json" in one
        assert lost in other
        assert "found none" in other
    finally:
        for run_id in (silent, lost):
            client.set_tag(run_id, TAG, "0")
            client.delete_tag(run_id, TAG)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "--run", "none"], "expected a run of the MLflow store"),
        (["runs", "--file", "ann/tol", "a.py"], "did you mean ann/tool"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(
    world: World, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    assert main([*arguments, "--lake", str(world.lake)]) == 2
    assert said in capsys.readouterr().err
