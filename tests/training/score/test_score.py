"""pass@k against enumeration; HumanEval's own solutions and broken ones; a model of random weights end to end."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from etl.pack import tokenizer
from training.score import __main__ as score
from training.score.estimate import mean_pass_at_k, pass_at_k
from training.score.humaneval import HumanEval
from training.score.sandbox import SandboxConfig
from training.score.task import cut

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed"
)
LIMITS = SandboxConfig(timeout_s=10)
FEW = ("HumanEval/0", "HumanEval/32", "HumanEval/38", "HumanEval/53", "HumanEval/162")


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_correct_sample(n: int) -> None:
    for correct, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations(range(n), k))
        hits = sum(any(sample < correct for sample in subset) for subset in subsets)
        assert math.isclose(pass_at_k(n, correct, k), hits / len(subsets), abs_tol=1e-12)


def test_the_mean_is_over_problems() -> None:
    """Of 4 samples 0, 1 and 4 right: pass@2 = 0, 1 - C(3,2) / C(4,2) = 1/2, 1."""
    assert math.isclose(mean_pass_at_k(4, [0, 1, 4], 2), 0.5)


def test_a_completion_ends_before_the_first_stop() -> None:
    stops = HumanEval.stops
    assert cut("\n    return 1\n\ndef g():\n    pass\n\nprint(g())", stops) == "\n    return 1\n"
    assert cut("\n    if x:\n        return 1", stops) == "\n    if x:\n        return 1"
    assert cut("", stops) == ""


@needs_bwrap
def test_solutions_pass_and_broken_ones_do_not() -> None:
    task = HumanEval()
    problems = [problem for problem in task.problems() if problem.problem_id in FEW]
    assert len(task.problems()) == 164
    assert len(problems) == len(FEW)
    broken = ["\n    return None\n", "\n    raise ValueError\n", "\n    return (", ""]
    completions = [[problem.solution, *broken] for problem in problems]
    outcomes = score.run_all(task, problems, completions, LIMITS, 2)
    for problem, of_problem in zip(problems, outcomes, strict=True):
        passed = [outcome.has_passed for outcome in of_problem]
        assert passed == [True, False, False, False, False], problem.problem_id


@needs_bwrap
def test_the_command_scores_the_solutions_at_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "samples.jsonl"
    arguments = ["--solutions", "--limit", "4", "--no-tracking", "--output", str(output)]
    assert score.main(arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["problems"], shown["pass@1"], shown["results"]) == (4, 1.0, {"passed": 4})
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["problem_id"] for row in rows] == [f"HumanEval/{number}" for number in range(4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of Starcoder2's shape, and a tokenizer of this project."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    texts = [problem.prompt for problem in HumanEval().problems()[:40]]
    trained = tokenizer.train(texts, 512)
    tokenizer.save(trained, folder)
    torch.manual_seed(1)
    config = transformers.Starcoder2Config(
        vocab_size=512, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=1024,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.Starcoder2ForCausalLM(config).save_pretrained(folder)
    return folder


@needs_bwrap
def test_a_model_is_scored_and_mlflow_has_metrics_and_samples(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("study", (tmp_path / "artifacts").as_uri())
    parent = client.create_run(experiment).info.run_id
    arguments = [
        "--model", str(model), "--limit", "3", "--samples", "2", "--k", "1", "2",
        "--max-new-tokens", "16", "--batch-size", "4", "--temperature", "0.8",
        "--parent-run", parent,
    ]  # fmt: skip
    assert score.main(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["problems"], first["samples"], first["pass@2"]) == (3, 2, 0.0)
    (run,) = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")
    assert run.data.metrics["humaneval/pass_at_1"] == run.data.metrics["humaneval/pass_at_2"] == 0.0
    assert run.data.tags["stackmill.model"] == str(model)
    table = client.load_table(experiment, "humaneval/samples.json", [run.info.run_id])
    assert list(table.columns[:4]) == ["problem_id", "sample", "completion", "result"]
    assert len(table) == 6

    output = tmp_path / "again.jsonl"
    assert score.main([*arguments[:-2], "--no-tracking", "--output", str(output)]) == 0
    again = [json.loads(line)["completion"] for line in output.read_text().splitlines()]
    assert again == table["completion"].tolist()
    assert any(again)


def test_a_batch_of_prompts_gives_what_each_gives_alone(model: Path) -> None:
    from training.score.generate import GenerateConfig, Generator

    prompts = ["def f(x):", "def add_many_numbers(first, second, third):\n    '''Sum.'''", "x"]
    config = GenerateConfig(temperature=0, max_new_tokens=12, batch_size=3)
    together = Generator(model, config).completions(prompts, ())
    alone = [Generator(model, config).completions([prompt], ())[0] for prompt in prompts]
    assert together == alone


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--k", "2"], "numbers from 1 to --samples 1"),
        (["--k", "0"], "numbers from 1"),
        (["--timeout", "0", "--solutions"], "timeout_s = 0"),
        (["--model", "NOWHERE"], "found no config.json"),
        (["--tracking"], "--no-tracking"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[Any],
    said: str,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    without_store = [] if arguments == ["--tracking"] else ["--no-tracking"]
    if not without_store:
        arguments = []
    if "NOWHERE" in arguments:
        pytest.importorskip("transformers")
        arguments = ["--model", str(tmp_path / "none")]
    elif "--solutions" not in arguments:
        arguments = [*arguments, "--solutions"]
    assert score.main([*arguments, *without_store, "--unsafe"]) == 2
    assert said in capsys.readouterr().err


def test_without_bubblewrap_the_command_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert score.main(["--solutions", "--no-tracking"]) == 2
    assert "--unsafe" in capsys.readouterr().err
