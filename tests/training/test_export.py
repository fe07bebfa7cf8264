"""What others load of a training: transformers, in a process that knows nothing of this project."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from etl.config import dump
from tests.training import jobs, plain
from tests.training.lakes import tiny, write_lake
from tests.training.ranks import launch
from training.batches import batch_of
from training.checkpoints import whole_weights
from training.config import TrainingConfig
from training.export import find_checkpoint
from training.shards import Shards

pytestmark = pytest.mark.slow

LENGTH = 128
# Without `site` no .pth file is read, so that the editable install leads nowhere
LOADING = """
import importlib.util, sys
sys.path.append(sys.argv[1])
assert not [name for name in ("training", "etl", "jobs") if importlib.util.find_spec(name)]
import numpy, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[2]).eval()
assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
assert AutoTokenizer.from_pretrained(sys.argv[2]).encode("x")
with torch.no_grad():
    logits = model(input_ids=torch.from_numpy(numpy.load(sys.argv[3]))).logits
numpy.save(sys.argv[4], logits.numpy())
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    folder = tmp_path_factory.mktemp("export")
    config = tiny(
        write_lake(folder / "lake"), folder / "output", stages__0__steps=6, stages__1__steps=4
    )
    (lines,) = launch(1, jobs.pretrain, dump(config))
    assert len(lines) == 10, lines
    return config


def test_a_clean_process_gives_the_logits_of_the_checkpoint(
    trained: TrainingConfig, tmp_path: Path
) -> None:
    shards = Shards(Path(trained.data.sources[0].lake) / "shards" / "manifest.json", "validation")
    rows = batch_of(shards.window(0, 0, LENGTH)[None], np.zeros(1, np.int64))._replace(
        segments=np.zeros((1, LENGTH), np.int64)  # one text: transformers knows of no documents
    )
    np.save(tmp_path / "tokens.npy", rows.inputs)
    export = Path(trained.output) / "export"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADING, sysconfig.get_path("purelib"), str(export),
         str(tmp_path / "tokens.npy"), str(tmp_path / "logits.npy")],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

    model = plain.model_of(trained, trained.stages[-1])
    weights = dict(whole_weights(find_checkpoint(Path(trained.output))))
    left = model.load_state_dict(weights, strict=False)
    assert left.unexpected_keys == []
    with torch.no_grad():
        expected = plain.logits_of(model, rows)
    found = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_a_tied_matrix_is_stored_once(trained: TrainingConfig) -> None:
    with safe_open(Path(trained.output) / "export" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names
